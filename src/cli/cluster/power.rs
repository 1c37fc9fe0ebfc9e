//! `holdfast fence test`, `history`, `on` and `off`: what fence devices say and do, by a person's word.

use super::events::{since_now, staged};
use super::flags::Form;
use super::host::{HostName, say};
use super::moment::{ago, moment, parse_span};
use super::session::{Answer, Progress, Session, Verb, ended, segment};
use super::show::{Mood, Sheet, json, or_dash, span, tame};
use crate::api::{EventView, FenceReading, FenceTest, HostView};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::fence::AgentMetadata;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const TEST_HELP: &str = "\
Reads and orders nothing: the power, and the UUID of the machine where the device can tell it. Every voter that lives asks,
for any of them may have to give the order one day. Exit code 4 if one of them could not reach a device, or if a device
controls another machine than the host that it is to fence. A fence agent cannot say which machine it controls: only
`holdfast drill` shows that.

Examples:
  holdfast fence test bmc-1
  holdfast fence test host-1 -o json";

pub(super) const HISTORY_HELP: &str = "\
What was judged, ordered off or on, and proven, with who asked for it and how long it took from the judgement to the
proof; and each alert about a fence device.

Examples:
  holdfast fence history
  holdfast fence history host-3 --since 7d";

pub(super) const OFF_HELP: &str = "\
The power is cut, as if the plug was pulled, by the host's fence devices; guests are not asked first. The order goes through
the cluster's log: the host is judged, and only when its power was read as off are its VMs restarted elsewhere. It is
refused while the host holds VMs, unless with --force: move or stop them first (`holdfast vm move`, `holdfast vm stop`).

The host stays off, whatever `power_on_after_fence` says, and is kept out of use if somebody presses its button, until
`holdfast fence on` (or `holdfast host end-quarantine`). The master's own host is refused: it fences others and not itself;
so is a voter without which there would be no majority.

To see only whether the devices work: `holdfast fence test` reads, `holdfast drill` switches off and on.

Examples:
  holdfast fence off host-3 --reason \"new memory\"
  holdfast fence off host-3 --force --yes --reason \"its guests hang\"";

pub(super) const ON_HELP: &str = "\
Switches a host on that is off and proven so, and lets it have VMs again. Waits until its agent is heard.

Examples:
  holdfast fence on host-3";

#[derive(Debug, Args)]
pub struct TestArgs {
    /// A fence device, or a host whose devices are all tested
    #[arg(value_name = "DEVICE|HOST", value_parser = named)]
    name: String,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only what befell this host
    #[arg(value_name = "HOST", value_parser = named)]
    name: Option<String>,
    /// Only what happened in this time up to now
    #[arg(long, value_name = "DURATION", value_parser = parse_span, default_value = "30d")]
    since: Duration,
}

#[derive(Debug, Args)]
pub struct OffArgs {
    #[command(flatten)]
    host: HostName,
    /// Although it holds VMs: they end with it, and are restarted elsewhere
    #[arg(long)]
    force: bool,
}

/// Asks devices who and how they are.
pub(super) fn test(args: &TestArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let names = devices(&args.name, session)?;
    let mut tests: Vec<FenceTest> = Vec::new();
    for name in names {
        tests.push(session.look(&format!("/v1/fences/{}/test", segment(&name)))?);
    }
    let mut sheet = Sheet::new(&["device", "fences", "asked by", "answers", "machine", "power", "took", "problem"]);
    for test in &tests {
        for reading in &test.readings {
            let plain = |text: String| (text, Mood::Plain);
            let (machine, right) = machine(test, reading);
            sheet.moody([
                plain(test.name.clone()),
                plain(or_dash(Some(&test.fences.join(", ")))),
                plain(reading.by.clone()),
                if reading.reached { ("yes".to_owned(), Mood::Good) } else { ("no".to_owned(), Mood::Bad) },
                (machine, right),
                plain(or_dash(reading.power.as_deref())),
                plain(span(i64::try_from(reading.took_milliseconds).unwrap_or(i64::MAX))),
                plain(or_dash(reading.problem.as_deref())),
            ]);
        }
    }
    sheet.show(session.flags.output, &tests, output)?;
    Ok(if tests.iter().all(|test| test.good) { Exit::Good } else { Exit::Failed })
}

/// Shows which fence agents there are, or what one of them takes.
pub(super) fn agents(name: Option<&str>, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let Some(name) = name else {
        let all: Vec<String> = session.look("/v1/fence-agents")?;
        let mut sheet = Sheet::new(&["agent"]);
        for agent in &all {
            sheet.row([tame(agent)]);
        }
        sheet.show(session.flags.output, &all, output)?;
        return Ok(Exit::Good);
    };
    let agent: AgentMetadata = session.look(&format!("/v1/fence-agents/{}", segment(name)))?;
    let mut sheet = Sheet::new(&["option", "needed", "default", "about"]);
    for option in &agent.options {
        sheet.row([
            tame(&option.name),
            if option.required && option.default.is_none() { "yes" } else { "no" }.to_owned(),
            or_dash(option.default.as_deref()),
            tame(&option.about),
        ]);
    }
    sheet.show(session.flags.output, &agent, output)?;
    Ok(Exit::Good)
}

/// The device of this name, or all devices of the host of this name.
fn devices(name: &str, session: &mut Session<'_>) -> anyhow::Result<Vec<String>> {
    let known: Vec<Value> = session.look("/v1/fences")?;
    if known.iter().any(|entry| entry["name"] == name) {
        return Ok(vec![name.to_owned()]);
    }
    let hosts: Vec<HostView> = session.list("/v1/hosts", |host: &HostView| host.uuid)?;
    let Some(host) = hosts.iter().find(|host| host.name == name || host.uuid.to_string() == name) else {
        let all = known.iter().filter_map(|entry| entry["name"].as_str());
        let hint = crate::reader::choice(name, all.chain(hosts.iter().map(|host| host.name.as_str())));
        let text = format!("there is neither a fence device nor a host \"{name}\"\n  hint: {hint}");
        return Err(ended(Exit::Failed, text));
    };
    if host.fences.is_empty() {
        let text = format!("{name} has no fence device\n  hint: see `holdfast host fence --help`");
        return Err(ended(Exit::Failed, text));
    }
    Ok(host.fences.iter().flatten().cloned().collect())
}

fn machine(test: &FenceTest, reading: &FenceReading) -> (String, Mood) {
    match (reading.machine, reading.right_machine) {
        (Some(_), Some(true)) if test.fences.is_empty() => ("of no host yet".to_owned(), Mood::Plain),
        (Some(_), Some(true)) => ("the right one".to_owned(), Mood::Good),
        (Some(uuid), _) => (format!("another: {uuid}"), Mood::Bad),
        (None, _) => ("cannot say".to_owned(), Mood::Plain),
    }
}

/// One line of the history.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    event: EventView,
    /// From the judgement to this proof.
    took_milliseconds: Option<i64>,
}

/// Shows what was ordered, what came of it, and how long that took.
pub(super) fn history(args: &HistoryArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let events = super::events::paged(session, &format!("from={}", ago(args.since)), usize::MAX)?;
    let mut judged: BTreeMap<String, i64> = BTreeMap::new();
    let mut lines = Vec::new();
    for event in events.into_iter().filter(is_about_fences) {
        if args.name.is_some() && event.host != args.name && !(event.host.is_none() && event.kind == "alert") {
            continue;
        }
        let host = event.host.clone().unwrap_or_default();
        let took = match event.kind.as_str() {
            "host-judged" => {
                judged.insert(host, event.at_milliseconds);
                None
            }
            "host-proven" => judged.get(&host).map(|at| event.at_milliseconds - at),
            _ => None,
        };
        lines.push(Line { event, took_milliseconds: took });
    }
    let mut sheet = Sheet::new(&["when", "host", "what", "took", "by", "reason"]);
    for Line { event, took_milliseconds } in &lines {
        sheet.row([
            moment(event.at_milliseconds),
            or_dash(event.host.as_deref()),
            tame(&event.text),
            took_milliseconds.map_or("-".to_owned(), span),
            or_dash(event.by.as_deref()),
            or_dash(event.reason.as_deref()),
        ]);
    }
    sheet.show(session.flags.output, &lines, output)?;
    Ok(Exit::Good)
}

fn is_about_fences(event: &EventView) -> bool {
    match event.kind.as_str() {
        "host-judged" | "host-proven" | "host-switched" | "host-quarantined" => true,
        "alert" => event.text.contains("fence"),
        _ => false,
    }
}

/// Has a host switched off.
pub(super) fn off(args: &OffArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let path = format!("/v1/hosts/{}", segment(&args.host.name));
    let host: HostView = session.find(&path)?;
    switchable(&host, args.force)?;
    let name = tame(&host.name);
    let question = match host.vms.as_slice() {
        [] => format!("Cut the power of {name}? It stays off until `holdfast fence on {name}`."),
        vms => format!("Cut the power of {name}, and restart {} elsewhere?", tame(&vms.join(", "))),
    };
    session.confirm(&question)?;
    let mut after = since_now(session)?;
    let body = value!({ "force": args.force });
    if session.change(Verb::Post, &format!("{path}/off"), &body, output)? == Answer::Dry {
        return Ok(Exit::Good);
    }
    if session.flags.no_wait {
        say(&format!("{} is being switched off", host.name), session, output)?;
        return Ok(Exit::Good);
    }
    let done = session.wait(&format!("switching {} off", host.name), |session| {
        for event in staged(session, &mut after)? {
            if event.host.as_ref() == Some(&host.name) {
                session.remark(&event.text);
                if event.kind == "host-proven" {
                    return Ok(Progress::Done(event.text));
                }
            } else if event.kind == "alert" && event.text.contains("fence") {
                session.remark(&event.text);
            }
        }
        Ok(Progress::Going("its power has not been read as off yet".to_owned()))
    })?;
    say(&format!("{done}; it stays off until `holdfast fence on {}`", host.name), session, output)?;
    Ok(Exit::Good)
}

/// Says in a host's own words what the cluster would refuse in general ones.
fn switchable(host: &HostView, force: bool) -> anyhow::Result<()> {
    let name = &host.name;
    let why = if !host.vms.is_empty() && !force {
        format!(
            "{name} holds {}\n  hint: `holdfast vm move` or `holdfast vm stop` them first; with --force they end with the \
             host and are restarted elsewhere",
            host.vms.join(", ")
        )
    } else if host.fences.is_empty() {
        format!("{name} has no fence device\n  hint: see `holdfast host fence --help`")
    } else if host.is_master {
        format!(
            "{name} is master, which fences others and not itself\n  hint: start its agent anew, and ask again when another \
             host is master"
        )
    } else {
        return Ok(());
    };
    Err(ended(Exit::Failed, why))
}

/// Has a host switched on.
pub(super) fn on(host: &HostName, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let path = format!("/v1/hosts/{}", segment(&host.name));
    let host: HostView = session.find(&path)?;
    let mut after = since_now(session)?;
    match session.change(Verb::Post, &format!("{path}/on"), &value!({}), output)? {
        Answer::Dry => return Ok(Exit::Good),
        Answer::SoAlready => {
            say(&format!("{} is on, and in the cluster", host.name), session, output)?;
            return Ok(Exit::Good);
        }
        Answer::Done(_) if session.flags.no_wait => {
            say(&format!("{} is being switched on", host.name), session, output)?;
            return Ok(Exit::Good);
        }
        Answer::Done(_) => {}
    }
    session.wait(&format!("switching {} on", host.name), |session| {
        let events = staged(session, &mut after)?;
        let is_up = |event: &EventView| event.host.as_ref() == Some(&host.name) && event.kind == "host-up";
        Ok(match events.iter().any(is_up) {
            true => Progress::Done(()),
            false => Progress::Going("its agent is not heard yet".to_owned()),
        })
    })?;
    match session.flags.output {
        Form::Json => json(&value!({ "done": true, "host": host.name }), output)?,
        _ => say(&format!("{} is up", host.name), session, output)?,
    }
    Ok(Exit::Good)
}
