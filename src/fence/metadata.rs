//! What a fence agent says of itself: which options it takes, and which it cannot do without.

use super::agent;
use super::device::{Agent, BadDevice};
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// No agent takes so many options.
const MOST: usize = 512;
/// No text of an agent is shown at greater length.
const LONGEST: usize = 200;

/// A fence agent as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentMetadata {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Its options.
    pub options: Vec<AgentOption>,
}

/// An option of a fence agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentOption {
    /// Its name.
    pub name: String,
    /// An older name of the same.
    pub old_name: Option<String>,
    /// Whether the agent cannot do without.
    pub required: bool,
    /// What it is if nobody says otherwise.
    pub default: Option<String>,
    /// What it is for.
    pub about: String,
}

/// Why an agent cannot be used as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAgent {
    /// It does not say what it is.
    #[error("{program} does not describe itself: {why}")]
    Silent {
        /// Which.
        program: String,
        /// Why not.
        why: String,
    },
    /// Something is missing.
    #[error("{program} needs {}: give them with --option or --secret-option", missing.join(", "))]
    Missing {
        /// Which.
        program: String,
        /// What.
        missing: Vec<String>,
    },
    /// Something is not known to it.
    #[error("{program} has no option \"{key}\"; {hint}")]
    Unknown {
        /// Which.
        program: String,
        /// What.
        key: String,
        /// What there is.
        hint: String,
    },
    /// It is no agent.
    #[error(transparent)]
    Device(#[from] BadDevice),
}

/// The fence agents in a folder, by name.
pub fn installed(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut agents: Vec<String> = names.filter(|name| Agent::new(name, BTreeMap::new()).is_ok()).collect();
    agents.sort();
    agents
}

/// Has an agent describe itself.
pub async fn describe(folder: &Path, program: &str, deadline: Duration) -> Result<AgentMetadata, BadAgent> {
    let agent = Agent::new(program, BTreeMap::new())?;
    let silent = |why: String| BadAgent::Silent { program: program.to_owned(), why };
    let text = agent::metadata(folder, &agent, deadline).await.map_err(silent)?;
    parse(&agent.program, &text).map_err(silent)
}

impl Agent {
    /// Whether this is what the agent needs and knows.
    pub fn suits(&self, metadata: &AgentMetadata) -> Result<(), BadAgent> {
        let program = self.program.clone();
        let given = |name: &str| self.options.contains_key(name);
        let is_given = |option: &AgentOption| given(&option.name) || option.old_name.as_deref().is_some_and(given);
        let lacks = |option: &&AgentOption| option.required && option.default.is_none() && !is_given(option);
        let missing: Vec<String> = metadata.options.iter().filter(lacks).map(|option| option.name.clone()).collect();
        if !missing.is_empty() {
            return Err(BadAgent::Missing { program, missing });
        }
        let known = |key: &str| {
            metadata.options.iter().any(|option| option.name == key || option.old_name.as_deref() == Some(key))
        };
        match self.options.keys().find(|key| !known(key)) {
            Some(key) => {
                let hint = crate::reader::choice(key, metadata.options.iter().map(|option| option.name.as_str()));
                Err(BadAgent::Unknown { program, key: key.clone(), hint })
            }
            None => Ok(()),
        }
    }
}

/// Reads what agents print: XML, of which no more is taken than is needed.
pub(super) fn parse(program: &str, text: &str) -> Result<AgentMetadata, String> {
    let start = text.find("<?xml").or_else(|| text.find("<resource-agent")).ok_or("it prints no XML")?;
    let document = Document::parse(&text[start..]).map_err(|error| plain(&error.to_string()))?;
    let root = document.root_element();
    if !root.has_tag_name("resource-agent") {
        return Err("its XML describes no agent".to_owned());
    }
    let parameters = root.descendants().filter(|node| node.has_tag_name("parameter"));
    let mut options: Vec<AgentOption> = parameters.take(MOST).filter_map(option).collect();
    // An old name stands in the list a second time, as an option of its own.
    let old: BTreeSet<String> = options.iter().filter_map(|option| option.old_name.clone()).collect();
    options.retain(|option| !old.contains(&option.name));
    let about = plain(root.attribute("shortdesc").unwrap_or_default());
    Ok(AgentMetadata { name: program.to_owned(), about, options })
}

fn option(node: Node<'_, '_>) -> Option<AgentOption> {
    let name = plain(node.attribute("name")?);
    // It is chosen anew for each call.
    if name == "action" {
        return None;
    }
    let child = |tag: &str| node.children().find(|child| child.has_tag_name(tag));
    let about = child("shortdesc").and_then(|node| node.text()).map(plain).unwrap_or_default();
    Some(AgentOption {
        name,
        old_name: node.attribute("obsoletes").map(plain),
        required: node.attribute("required") == Some("1") && node.attribute("deprecated") != Some("1"),
        default: child("content").and_then(|node| node.attribute("default")).map(plain),
        about,
    })
}

/// Text from outside, as a person may see it.
fn plain(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secret;
    use super::*;

    const TEXT: &str = r#"/usr/sbin/fence_x:5: DeprecationWarning: 'pipes'
<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="For outlets" >
<parameters>
  <parameter name="action" required="1"><content type="string" default="reboot"  /></parameter>
  <parameter name="ip" required="1" obsoletes="ipaddr"><content type="string" /><shortdesc lang="en">Where
  it is</shortdesc></parameter>
  <parameter name="ipaddr" required="1" deprecated="1"><content type="string" /></parameter>
  <parameter name="ipport" required="1"><content type="integer" default="623" /></parameter>
  <parameter name="snmp" required="1" deprecated="1"><content type="string" /></parameter>
  <parameter name="password" required="0"><content type="string" /></parameter>
</parameters></resource-agent>"#;

    fn agent(keys: &[&str]) -> Agent {
        let options = keys.iter().map(|key| ((*key).to_owned(), Secret::new("x").unwrap()));
        Agent::new("fence_x", options.collect()).unwrap()
    }

    #[test]
    fn what_an_agent_says_of_itself_is_read() {
        let metadata = parse("fence_x", TEXT).unwrap();
        assert_eq!((metadata.about.as_str(), metadata.options.len()), ("For outlets", 4));
        assert_eq!(metadata.options[0].about, "Where it is");
        assert_eq!(metadata.options[1].default.as_deref(), Some("623"));
        for bad in ["", "usage: fence_x", "<?xml version=\"1.0\"?><other/>", "<resource-agent", "<resource-agent></x>"]
        {
            assert!(parse("fence_x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_told_before_it_is_needed() {
        let metadata = parse("fence_x", TEXT).unwrap();
        assert_eq!(agent(&["ip", "password"]).suits(&metadata), Ok(()));
        assert_eq!(agent(&["ipaddr"]).suits(&metadata), Ok(()));
        let missing = agent(&["password"]).suits(&metadata).unwrap_err();
        assert_eq!(missing.to_string(), "fence_x needs ip: give them with --option or --secret-option");
        let unknown = agent(&["ip", "pasword"]).suits(&metadata).unwrap_err();
        assert!(unknown.to_string().starts_with("fence_x has no option \"pasword\"; "), "{unknown}");
    }
}
