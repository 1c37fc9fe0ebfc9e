//! What happened, as data for machines: one flat JSON object for each moment, with names and not numbers.

use crate::core::action::Note;
use crate::core::reason::{Alert, NoProof, Proof, Refusal, Unfit, Wait};
use crate::explain::{NameList, Names};
use crate::sim::explain;
use crate::sim::kinds::kind_of;
use crate::sim::spelling::{fault_fields, fault_kind};
use crate::sim::timeline::{Happening, Moment, Violation};
use serde_json::{Map, Value, json};

/// The event of a moment: `t_ms`, `kind`, and what belongs to the kind.
pub fn event(moment: &Moment, names: &NameList) -> Value {
    let (kind, data) = data(&moment.what, names);
    let mut object = Map::new();
    object.insert("t_ms".to_owned(), json!(moment.at_micros / 1_000));
    object.insert("kind".to_owned(), json!(kind));
    if let Value::Object(fields) = data {
        object.extend(fields);
    }
    Value::Object(object)
}

/// The kind of a happening, and its data.
pub fn data(what: &Happening, names: &NameList) -> (&'static str, Value) {
    match what {
        Happening::Fault(fault) | Happening::FaultSkipped(fault) => {
            let mut fields = fault_fields(fault, names);
            fields.insert("do".to_owned(), json!(fault_kind(fault)));
            let kind = if matches!(what, Happening::Fault(_)) { "fault" } else { "fault-skipped" };
            (kind, Value::Object(fields))
        }
        Happening::Note(host, note) => self::note(&names.host(*host), note, names),
        Happening::VmUp(vm, host, epoch) => {
            let epoch = epoch.map(|epoch| epoch.to_string());
            ("vm-up", json!({ "vm": names.vm(*vm), "host": names.host(*host), "epoch": epoch }))
        }
        Happening::VmDown(vm, host, why) => {
            ("vm-down", json!({ "vm": names.vm(*vm), "host": names.host(*host), "why": why }))
        }
        Happening::Power(host, what) => ("power", json!({ "host": names.host(*host), "state": what })),
        Happening::Violation(violation) => ("violation", self::violation(violation)),
    }
}

/// A violation.
pub fn violation(violation: &Violation) -> Value {
    json!({ "invariant": violation.invariant, "detail": violation.detail, "excused": violation.excused })
}

fn note(speaker: &str, note: &Note, names: &NameList) -> (&'static str, Value) {
    match note {
        Note::Master(authority) => ("master", json!({ "host": speaker, "term": authority.term })),
        Note::Deposed(authority) => ("deposed", json!({ "host": speaker, "term": authority.term })),
        Note::Host(host, state) => ("host-state", json!({ "host": names.host(*host), "state": state.name() })),
        Note::Judged(host, cause) => ("judged", json!({ "host": names.host(*host), "cause": kind_of(cause) })),
        Note::Proof(host, by) => {
            let mut value = proof(by, names);
            value["host"] = json!(names.host(*host));
            ("proof", value)
        }
        Note::Placed { vm, host, epoch, proofs } => {
            let proofs: Vec<Value> = proofs
                .iter()
                .map(|by| {
                    let mut value = proof(&by.proof, names);
                    value["host"] = json!(names.host(by.host));
                    value["epoch"] = json!(by.epoch.to_string());
                    value
                })
                .collect();
            let epoch = epoch.to_string();
            ("placed", json!({ "vm": names.vm(*vm), "host": names.host(*host), "epoch": epoch, "proofs": proofs }))
        }
        Note::Waits(vm, why) => {
            let mut value = wait(why, names);
            value["vm"] = json!(names.vm(*vm));
            ("waits", value)
        }
        Note::Refused(why) => {
            let mut value = json!({ "host": speaker, "refusal": kind_of(why) });
            if let Refusal::Unfit(unfit) = why {
                value["unfit"] = self::unfit(unfit, names);
            }
            ("refused", value)
        }
        Note::LeaseEnded => ("lease-ended", json!({ "host": speaker })),
        Note::Gap => ("gap", json!({ "host": speaker })),
        Note::Alert(what) => ("alert", alert(what, names)),
        Note::Guest { vm, host, answers } => {
            let kind = if *answers { "guest-answers" } else { "guest-silent" };
            (kind, json!({ "vm": names.vm(*vm), "host": names.host(*host) }))
        }
    }
}

/// A proof, by its kind.
pub fn proof(proof: &Proof, names: &NameList) -> Value {
    let mut value = json!({ "proof": proof.kind() });
    match proof {
        Proof::Released { refuses } => value["refuses"] = json!(refuses.to_string()),
        Proof::Fenced { device } | Proof::FoundOff { device } => value["fence"] = json!(names.fence(*device)),
        Proof::LeaseExpired { generation } => value["generation"] = json!(generation.0),
        Proof::Rebooted { .. } | Proof::DiskLocked | Proof::Operator => {}
    }
    value
}

/// What a VM waits for, by its kind.
pub fn wait(wait: &Wait, names: &NameList) -> Value {
    let mut value = json!({ "wait": kind_of(wait), "text": explain::wait(wait, names) });
    match wait {
        Wait::Proof(hosts) => {
            let each = hosts.iter().map(|(host, closed)| {
                let closed: Vec<Value> = closed.iter().map(|why| no_proof(why, names)).collect();
                json!({ "host": names.host(*host), "closed": closed })
            });
            value["needed"] = each.collect();
        }
        Wait::NoRoom(hosts) => {
            let each = hosts.iter().map(|(host, why)| {
                let mut value = unfit(why, names);
                value["host"] = json!(names.host(*host));
                value
            });
            value["hosts"] = each.collect();
        }
        Wait::Starting { host, epoch } => {
            value["host"] = json!(names.host(*host));
            value["epoch"] = json!(epoch.to_string());
        }
        Wait::Unknown { host } => value["host"] = json!(names.host(*host)),
        Wait::Retry { attempts, milliseconds, .. } => {
            value["attempts"] = json!(attempts);
            value["retry_in_ms"] = json!(milliseconds);
        }
        Wait::GaveUp { attempts, .. } => value["attempts"] = json!(attempts),
        Wait::Recovering(hosts) => value["hosts"] = hosts.iter().map(|host| json!(names.host(*host))).collect(),
        Wait::Moving { from, to } => {
            value["from"] = json!(names.host(*from));
            value["to"] = json!(names.host(*to));
        }
        Wait::Nothing | Wait::Stopped | Wait::LeftAlone | Wait::NotProtected | Wait::NotArmed | Wait::Locked => {}
    }
    value
}

fn no_proof(why: &NoProof, names: &NameList) -> Value {
    let mut value = json!({ "reason": kind_of(why) });
    match why {
        NoProof::Brake { suspects, hosts } => {
            value["suspects"] = json!(suspects);
            value["hosts"] = json!(hosts);
        }
        NoProof::LeaseRuns { milliseconds } => value["for_ms"] = json!(milliseconds),
        NoProof::DatastoreUnreachable(id) => value["datastore"] = json!(names.datastore(*id)),
        NoProof::Fencing(id) | NoProof::FenceUnreachable(id) | NoProof::FenceRefused(id) => {
            value["fence"] = json!(names.fence(*id));
        }
        NoProof::WrongMachine(id) | NoProof::StillOn(id) | NoProof::NotDrilled(id) => {
            value["fence"] = json!(names.fence(*id))
        }
        NoProof::AskedToRelease
        | NoProof::NotJudged
        | NoProof::NotLeased
        | NoProof::NoFence
        | NoProof::Conflicted
        | NoProof::NotArmed
        | NoProof::Unaccounted => {}
    }
    value
}

fn unfit(why: &Unfit, names: &NameList) -> Value {
    let mut value = json!({ "reason": kind_of(why) });
    match why {
        Unfit::Memory { free_mib, needed_mib } => {
            value["free_mib"] = json!(free_mib);
            value["needed_mib"] = json!(needed_mib);
        }
        Unfit::Cpu { free_millicores, needed_millicores } => {
            value["free_millicores"] = json!(free_millicores);
            value["needed_millicores"] = json!(needed_millicores);
        }
        Unfit::Datastore(id) => value["datastore"] = json!(names.datastore(*id)),
        Unfit::Network(id) => value["network"] = json!(names.network(*id)),
        Unfit::Lacks(id) => value["lacks"] = json!(names.feature(*id)),
        Unfit::NotAlive
        | Unfit::Witness
        | Unfit::Bound
        | Unfit::Quarantined
        | Unfit::Leaving
        | Unfit::Busy
        | Unfit::HypervisorDown => {}
    }
    value
}

/// An alert, by its kind.
pub fn alert(alert: &Alert, names: &NameList) -> Value {
    let mut value = json!({ "alert": kind_of(alert), "text": explain::alert(alert, names) });
    match alert {
        Alert::Waiting { vm, .. } | Alert::GaveUp { vm } => value["vm"] = json!(names.vm(*vm)),
        Alert::TwoMachines { host } | Alert::Isolated { host } | Alert::Quarantined { host } => {
            value["host"] = json!(names.host(*host));
        }
        Alert::DeadShowsLife { host } | Alert::AgentAway { host } => value["host"] = json!(names.host(*host)),
        Alert::WrongMachine { device } | Alert::FenceFailed { device } => value["fence"] = json!(names.fence(*device)),
        Alert::Brake { suspects, hosts } => {
            value["suspects"] = json!(suspects);
            value["hosts"] = json!(hosts);
        }
        Alert::Unanswered { host, vm } | Alert::Clash { vm, host } => {
            value["host"] = json!(names.host(*host));
            value["vm"] = json!(names.vm(*vm));
        }
        Alert::Storage { datastore, .. } => value["datastore"] = json!(names.datastore(*datastore)),
        Alert::StoreLost | Alert::NoMajority => {}
    }
    value
}

/// Whether an event is about this name: any of its texts, but its kind, is that name.
pub fn is_about(event: &Value, name: &str) -> bool {
    match event {
        Value::String(text) => text == name,
        Value::Array(values) => values.iter().any(|value| is_about(value, name)),
        Value::Object(fields) => fields.iter().any(|(key, value)| key != "kind" && is_about(value, name)),
        _ => false,
    }
}
