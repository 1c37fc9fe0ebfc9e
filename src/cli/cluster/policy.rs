//! `holdfast policy`: the rules of the cluster.

use super::flags::Flags;
use super::host::say;
use super::session::{Answer, Session, Verb, ended};
use super::show::Sheet;
use crate::api::sound_policy;
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::core::state::Policy;
use crate::reader::choice;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

const EXAMPLES: &str = "\
Rules of the whole cluster; they take effect at once.

  brake_percent           more than this share of all hosts silent at once, in percent, is taken for a fault of the
                          network: no host is powered off, and a lease that ended or a lock on a disk proves no death
  parallel_starts         so many VMs start on one host at the same time
  max_attempts            a VM is given up, and told as an alert, after so many failed starts
  accept_software_guards  whether a lease counts that only software enforces (softdog, no watchdog): a frozen host may
                          thaw and write on
  fence_unanswered        whether a host that lives and leaves an order unanswered is fenced; else it is only told
  isolation               what becomes of VMs on a host that is seen on storage alone: \"leave\", they run on;
                          \"release\", the host is told to let them go, and they are started elsewhere
  power_on_after_fence    whether a host that was fenced is powered on again
  max_fences              a host that was fenced more often within ten minutes gets no VMs before a person has looked
  voters                  how many hosts vote: 1, 3, 5 or 7; more than half of them must live

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
            let mut sheet = Sheet::new(&["rule", "value", "what it says"]);
            for (key, value) in &rules {
                sheet.row([key.clone(), plain(value), meaning(key)]);
            }
            sheet.show(session.flags.output, &rules, output)?;
        }
        PolicyVerb::Set(set) => {
            let mut rules: Map<String, Value> = session.find("/v1/policy")?;
            for (key, value) in &set.rules {
                change(&mut rules, key, value).map_err(|error| ended(Exit::BadUsage, error))?;
            }
            // Wrong rules are wrong in a dry run, too.
            let policy: Policy = serde_json::from_value(Value::Object(rules.clone()))
                .map_err(|error| ended(Exit::BadUsage, format!("the rules cannot be so: {error}")))?;
            sound_policy(&policy).map_err(|(what, hint)| ended(Exit::BadUsage, format!("{what}\n  hint: {hint}")))?;
            let answer = session.change(Verb::Put, "/v1/policy", &Value::Object(rules), output)?;
            if answer != Answer::Dry {
                let set: Vec<String> = set.rules.iter().map(|(key, value)| format!("{key} is {value}")).collect();
                say(&set.join(", "), session, output)?;
            }
        }
    }
    Ok(Exit::Good)
}

/// What the help says of a rule.
fn meaning(key: &str) -> String {
    let begins = |line: &str| line.strip_prefix("  ").is_some_and(|line| line.split(' ').next() == Some(key));
    let mut lines = EXAMPLES.lines().skip_while(|line| !begins(line));
    let first = lines.next().map(|line| line.trim_start().trim_start_matches(key)).unwrap_or_default();
    let further = lines.take_while(|line| line.starts_with("      "));
    let words: Vec<&str> = std::iter::once(first).chain(further).map(str::trim).collect();
    words.join(" ")
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

    #[test]
    fn each_rule_is_explained() {
        let Ok(Value::Object(rules)) = serde_json::to_value(Policy::default()) else { panic!("no object") };
        for key in rules.keys() {
            assert!(meaning(key).len() > 20, "{key}: {}", meaning(key));
        }
        assert_eq!(meaning("voters"), "how many hosts vote: 1, 3, 5 or 7; more than half of them must live");
        assert!(meaning("isolation").ends_with("and they are started elsewhere"), "{}", meaning("isolation"));
    }

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
