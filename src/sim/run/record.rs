//! The decisions of a run, one readable line for each: what a scenario's `expected` holds.
//!
//! It holds what was decided, when, and what came of it; not the wording of any message and not every step on the way.
//! A line that no longer stands there, or stands there later, is a change that somebody must want.

use crate::core::action::Note;
use crate::core::reason::{Alert, Wait};
use crate::explain::{NameList, Names};
use crate::sim::explain;
use crate::sim::facts;
use crate::sim::kinds::kind_of;
use crate::sim::run::finals::FinalStates;
use crate::sim::spelling::fault_kind;
use crate::sim::timeline::{Happening, Moment};
use serde_json::Value;

/// The record of a run.
pub fn of(events: &[Moment], finals: &FinalStates, names: &NameList) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for moment in events {
        if let Some(decision) = decision(&moment.what, names) {
            lines.push(format!("{:>8} ms  {decision}", moment.at_micros / 1_000));
        }
    }
    for (vm, end) in &finals.vms {
        let place = end.host.map(|host| format!(" on {}", names.host(host))).unwrap_or_default();
        let wait = end.wait.as_ref().filter(|_| end.host.is_none());
        let reason = wait.map(|wait| format!(" ({})", wait_kinds(wait, names))).unwrap_or_default();
        lines.push(format!("     end     {} {}{place}{reason}", names.vm(*vm), end.state.name()));
    }
    for (host, state) in &finals.hosts {
        lines.push(format!("     end     {} {}", names.host(*host), state.map_or("unknown", |state| state.name())));
    }
    lines
}

fn decision(what: &Happening, names: &NameList) -> Option<String> {
    let line = match what {
        Happening::Fault(_) | Happening::FaultSkipped(_) => event(what, names),
        Happening::VmUp(vm, host, _) => format!("{} running on {}", names.vm(*vm), names.host(*host)),
        Happening::VmDown(vm, host, why) => format!("{} ended on {}: {why}", names.vm(*vm), names.host(*host)),
        Happening::Power(..) => return None,
        Happening::Violation(violation) => explain::violation(violation),
        Happening::Note(speaker, said) => note(&names.host(*speaker), said, names)?,
    };
    Some(line)
}

fn event(what: &Happening, names: &NameList) -> String {
    match what {
        Happening::FaultSkipped(fault) => format!("event {} without effect", fault_kind(fault)),
        _ => explain::happening(what, names),
    }
}

fn note(speaker: &str, note: &Note, names: &NameList) -> Option<String> {
    let line = match note {
        Note::Master(_) => format!("{speaker} master"),
        Note::Host(host, state) => format!("{} {}", names.host(*host), state.name()),
        Note::Judged(host, cause) => format!("{} judged: {}", names.host(*host), kind_of(cause)),
        Note::Proof(host, proof) => format!("{} proof: {}", names.host(*host), fields(&facts::proof(proof, names))),
        Note::Placed { vm, host, proofs, .. } => {
            let proofs: Vec<String> =
                proofs.iter().map(|by| format!("{} {}", names.host(by.host), by.proof.kind())).collect();
            let after = if proofs.is_empty() { String::new() } else { format!(", after {}", proofs.join(", ")) };
            format!("{} placed on {}{after}", names.vm(*vm), names.host(*host))
        }
        Note::Waits(_, Wait::Nothing | Wait::Starting { .. }) => return None,
        Note::Waits(vm, wait) => format!("{} waits: {}", names.vm(*vm), wait_kinds(wait, names)),
        Note::Refused(refusal) => format!("{speaker} refused: {}", kind_of(refusal)),
        Note::LeaseEnded => format!("{speaker} lease ended"),
        Note::Alert(alert) => format!("alert: {}", alert_kinds(alert, names)),
        Note::Guest { vm, host, answers } => {
            let does = if *answers { "answers" } else { "is silent" };
            format!("{} {does} on {}", names.vm(*vm), names.host(*host))
        }
        Note::Deposed(_) | Note::Gap => return None,
    };
    Some(line)
}

/// A wait by its kinds alone: figures that count down would make a line of their own each time.
fn wait_kinds(wait: &Wait, names: &NameList) -> String {
    match wait {
        Wait::Proof(hosts) => {
            let each: Vec<String> = hosts
                .iter()
                .map(|(host, closed)| {
                    let closed: Vec<String> = closed.iter().map(kind_of).collect();
                    format!("{} [{}]", names.host(*host), closed.join(", "))
                })
                .collect();
            format!("proof for {}", each.join(", "))
        }
        Wait::NoRoom(hosts) => {
            let each: Vec<String> =
                hosts.iter().map(|(host, why)| format!("{} [{}]", names.host(*host), kind_of(why))).collect();
            format!("no-room: {}", each.join(", "))
        }
        other => kind_of(other),
    }
}

fn alert_kinds(alert: &Alert, names: &NameList) -> String {
    match alert {
        Alert::Waiting { vm, wait, .. } => format!("waiting {}: {}", names.vm(*vm), wait_kinds(wait, names)),
        other => fields(&facts::alert(other, names)),
    }
}

/// The plain values of an event, its kind first.
fn fields(value: &Value) -> String {
    let Value::Object(fields) = value else {
        return String::new();
    };
    let first = ["alert", "proof"].into_iter().filter_map(|key| fields.get(key));
    let rest = fields.iter().filter(|(key, _)| !["alert", "proof", "text"].contains(&key.as_str()));
    let words = first.chain(rest.map(|(_, value)| value)).map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}
