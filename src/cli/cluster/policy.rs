//! `holdfast policy`: the rules of the cluster.

use super::flags::Flags;
use super::host::say;
use super::session::{Answer, Session, Verb, ended};
use super::show::Sheet;
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::reader::choice;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

const EXAMPLES: &str = "\
Examples:
  holdfast policy show
  holdfast policy set voters=5 brake_percent=30
  holdfast policy set isolation=release";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PolicyArgs {
    #[command(subcommand)]
    verb: PolicyVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// Shows the rules
    #[command(after_help = "Examples:\n  holdfast policy show -o json")]
    Show,
    /// Changes some rules, and leaves the others as they are
    #[command(after_help = EXAMPLES)]
    Set(SetArgs),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// A rule and its new value
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
    rules: Vec<(String, String)>,
}

/// A key and its value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is no KEY=VALUE")),
    }
}

/// Shows or changes the rules.
pub fn policy(args: &PolicyArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        PolicyVerb::Show => {
            let rules: Map<String, Value> = session.look("/v1/policy")?;
            let mut sheet = Sheet::new(&["rule", "value"]);
            for (key, value) in &rules {
                sheet.row([key.clone(), plain(value)]);
            }
            sheet.show(session.flags.output, &rules, output)?;
        }
        PolicyVerb::Set(set) => {
            let mut rules: Map<String, Value> = session.find("/v1/policy")?;
            for (key, value) in &set.rules {
                change(&mut rules, key, value).map_err(|error| ended(Exit::BadUsage, error))?;
            }
            let answer = session.change(Verb::Put, "/v1/policy", &Value::Object(rules), output)?;
            if answer != Answer::Dry {
                let set: Vec<String> = set.rules.iter().map(|(key, value)| format!("{key} is {value}")).collect();
                say(&set.join(", "), session, output)?;
            }
        }
    }
    Ok(Exit::Good)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Sets a rule that is there to a value of its own kind.
fn change(rules: &mut Map<String, Value>, key: &str, text: &str) -> Result<(), String> {
    let Some(old) = rules.get(key) else {
        return Err(format!("there is no rule `{key}`\n  hint: {}", choice(key, rules.keys().map(String::as_str))));
    };
    let new = match old {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Bool(_) => text.parse::<bool>().ok().map(Value::Bool),
        _ => text.parse::<u32>().ok().map(Value::from),
    };
    let new = new.ok_or_else(|| format!("`{key}` cannot be \"{text}\": it is {old} now"))?;
    rules.insert(key.to_owned(), new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::Policy;

    #[test]
    fn a_rule_keeps_its_kind() {
        let Ok(Value::Object(mut rules)) = serde_json::to_value(Policy::default()) else { panic!("no object") };
        assert_eq!(change(&mut rules, "voters", "5"), Ok(()));
        assert_eq!(change(&mut rules, "power_on_after_fence", "false"), Ok(()));
        assert_eq!(change(&mut rules, "isolation", "release"), Ok(()));
        let policy: Policy = serde_json::from_value(Value::Object(rules.clone())).expect("it is a policy");
        assert_eq!((policy.voters, policy.power_on_after_fence), (5, false));
        assert!(change(&mut rules, "voters", "many").is_err());
        assert!(change(&mut rules, "power_on_after_fence", "1").is_err());
        assert!(change(&mut rules, "voter", "5").is_err_and(|error| error.contains("did you mean \"voters\"?")));
    }
}
