//! How each fault is written: the word after `do` in a scenario, and the keys beside it.
//!
//! The same words and keys stand in JSON output, so an event that a seed brought about can be copied into a scenario.
//! What reads them back is [`scenario::event`](crate::sim::scenario::event).

use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::HostId;
use crate::explain::{NameList, Names};
use crate::sim::fault::{DatastoreFault, Fault, FenceFault, LinkFault};
use crate::words::format_duration;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The word of every fault, in the order in which the scenarios' documentation lists them.
pub const FAULT_KINDS: [&str; 69] = [
    "power-off",
    "power-on",
    "power-blip",
    "reboot",
    "shutdown",
    "freeze",
    "suspend",
    "agent-crash",
    "agent-hang",
    "agent-upgrade",
    "daemon-hang",
    "daemon-restart",
    "fail-starts",
    "slow-starts",
    "timed-out-starts",
    "guest-crash",
    "guest-poweroff",
    "guest-hush",
    "link-cut",
    "link-loss",
    "link-delay",
    "link-duplicate",
    "link-replay",
    "isolate",
    "partition",
    "datastore-hang",
    "datastore-error",
    "datastore-slow",
    "tear-record",
    "tear-mail",
    "stall-write",
    "roll-back",
    "voter-disk-full",
    "voter-disk-slow",
    "restore-backup",
    "fence-slow",
    "fence-late",
    "fence-unreachable",
    "fence-wrong-password",
    "fence-lies",
    "swap-fences",
    "twin",
    "confirm-seen-dead",
    "recover-seen-dead",
    "hypervisor-start",
    "hypervisor-stop",
    "hypervisor-move",
    "move-in-doubt",
    "edit",
    "start",
    "stop",
    "kill",
    "move",
    "protect",
    "unprotect",
    "remove",
    "arm",
    "disarm",
    "rearm-after",
    "drill",
    "switch-off",
    "switch-on",
    "confirm-dead",
    "resolve-conflict",
    "end-quarantine",
    "set-policy",
    "account",
    "recover",
    "heal",
];

/// The word of a fault.
pub fn fault_kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::PowerOff(..) => "power-off",
        Fault::PowerOn(..) => "power-on",
        Fault::PowerBlip(..) => "power-blip",
        Fault::Reboot(..) => "reboot",
        Fault::Shutdown(..) => "shutdown",
        Fault::Freeze(..) => "freeze",
        Fault::Suspend(..) => "suspend",
        Fault::AgentCrash(..) => "agent-crash",
        Fault::AgentHang(..) => "agent-hang",
        Fault::AgentUpgrade(..) => "agent-upgrade",
        Fault::DaemonHang(..) => "daemon-hang",
        Fault::DaemonRestart(..) => "daemon-restart",
        Fault::FailStarts(..) => "fail-starts",
        Fault::SlowStarts(..) => "slow-starts",
        Fault::TimedOutStarts(..) => "timed-out-starts",
        Fault::GuestCrash(..) => "guest-crash",
        Fault::GuestPoweroff(..) => "guest-poweroff",
        Fault::GuestHush(..) => "guest-hush",
        Fault::Link(_, _, LinkFault::Cut, _) => "link-cut",
        Fault::Link(_, _, LinkFault::Loss(_), _) => "link-loss",
        Fault::Link(_, _, LinkFault::Delay(_), _) => "link-delay",
        Fault::Link(_, _, LinkFault::Duplicate(_), _) => "link-duplicate",
        Fault::Link(_, _, LinkFault::Replay(_), _) => "link-replay",
        Fault::Isolate(..) => "isolate",
        Fault::Partition(..) => "partition",
        Fault::Datastore(_, _, DatastoreFault::Hang, _) => "datastore-hang",
        Fault::Datastore(_, _, DatastoreFault::Error, _) => "datastore-error",
        Fault::Datastore(_, _, DatastoreFault::Slow(_), _) => "datastore-slow",
        Fault::TearRecord(..) => "tear-record",
        Fault::TearMail(..) => "tear-mail",
        Fault::StallWrite(..) => "stall-write",
        Fault::RollBack(..) => "roll-back",
        Fault::VoterDiskFull(..) => "voter-disk-full",
        Fault::VoterDiskSlow(..) => "voter-disk-slow",
        Fault::RestoreBackup(..) => "restore-backup",
        Fault::Fence(_, FenceFault::Slow(_), _) => "fence-slow",
        Fault::Fence(_, FenceFault::Late(_), _) => "fence-late",
        Fault::Fence(_, FenceFault::Unreachable, _) => "fence-unreachable",
        Fault::Fence(_, FenceFault::WrongPassword, _) => "fence-wrong-password",
        Fault::Fence(_, FenceFault::Lies, _) => "fence-lies",
        Fault::SwapFences(..) => "swap-fences",
        Fault::Twin(..) => "twin",
        Fault::ConfirmDead(..) => "confirm-seen-dead",
        Fault::Recover => "recover-seen-dead",
        Fault::HypervisorStart(..) => "hypervisor-start",
        Fault::Edit(..) => "edit",
        Fault::HypervisorStop(..) => "hypervisor-stop",
        Fault::HypervisorMove(..) => "hypervisor-move",
        Fault::MoveInDoubt(..) => "move-in-doubt",
        Fault::Request(request) => request_kind(request),
        Fault::Heal => "heal",
    }
}

fn request_kind(request: &Request) -> &'static str {
    match request {
        Request::Intend { want: Want::Running, .. } => "start",
        Request::Intend { want: Want::Stopped, .. } => "stop",
        Request::Intend { want: Want::Killed, .. } => "kill",
        Request::Move { .. } => "move",
        Request::Protect(_) => "protect",
        Request::Unprotect(_) => "unprotect",
        Request::Remove(_) => "remove",
        Request::Arm => "arm",
        Request::Disarm => "disarm",
        Request::RearmAfter(_) => "rearm-after",
        Request::Drill(_) => "drill",
        Request::SwitchOff { .. } => "switch-off",
        Request::SwitchOn(_) => "switch-on",
        Request::ConfirmDead(_) => "confirm-dead",
        Request::ResolveConflict(_) => "resolve-conflict",
        Request::EndQuarantine(_) => "end-quarantine",
        Request::SetPolicy(_) => "set-policy",
        Request::Register(_) => "register",
        Request::Notified { .. } => "notified",
        Request::Account { .. } => "account",
        Request::Recover { .. } => "recover",
    }
}

/// The keys of a fault, as a scenario writes them beside `do`.
pub fn fault_fields(fault: &Fault, names: &NameList) -> Map<String, Value> {
    let host = |id: &HostId| names.host(*id);
    let value = match fault {
        Fault::PowerOff(id) | Fault::PowerOn(id) | Fault::Reboot(id) => json!({ "host": host(id) }),
        Fault::DaemonRestart(id) | Fault::ConfirmDead(id) => json!({ "host": host(id) }),
        Fault::PowerBlip(id, time) | Fault::Freeze(id, time) | Fault::Suspend(id, time) => lasting(host(id), *time),
        Fault::AgentCrash(id, time) | Fault::AgentHang(id, time) | Fault::DaemonHang(id, time) => {
            lasting(host(id), *time)
        }
        Fault::Isolate(id, time) | Fault::VoterDiskFull(id, time) | Fault::Twin(id, time) => lasting(host(id), *time),
        Fault::Shutdown(id, Some(time)) | Fault::AgentUpgrade(id, Some(time)) => lasting(host(id), *time),
        Fault::Shutdown(id, None) | Fault::AgentUpgrade(id, None) => json!({ "host": host(id) }),
        Fault::FailStarts(vm, count) => json!({ "vm": names.vm(*vm), "count": count }),
        Fault::SlowStarts(id, takes, time) | Fault::VoterDiskSlow(id, takes, time) => {
            json!({ "host": host(id), "takes": format_duration(*takes), "for": format_duration(*time) })
        }
        Fault::TimedOutStarts(id, count) => json!({ "host": host(id), "count": count }),
        Fault::GuestHush(vm, time) => json!({ "vm": names.vm(*vm), "for": format_duration(*time) }),
        Fault::GuestCrash(vm) | Fault::GuestPoweroff(vm) => json!({ "vm": names.vm(*vm) }),
        Fault::Link(from, to, fault, time) => {
            link_fields(json!({ "from": host(from), "to": host(to), "for": format_duration(*time) }), fault)
        }
        Fault::Partition(hosts, time) => {
            let hosts: Vec<String> = hosts.iter().map(host).collect();
            json!({ "hosts": hosts, "for": format_duration(*time) })
        }
        Fault::Datastore(id, datastore, fault, time) => {
            let mut value = json!({ "datastore": names.datastore(*datastore), "for": format_duration(*time) });
            if let Some(id) = id {
                value["host"] = json!(host(id));
            }
            if let DatastoreFault::Slow(takes) = fault {
                value["takes"] = json!(format_duration(*takes));
            }
            value
        }
        Fault::TearRecord(datastore, id) | Fault::TearMail(datastore, id) => {
            json!({ "datastore": names.datastore(*datastore), "host": host(id) })
        }
        Fault::StallWrite(id, datastore, time) => {
            json!({ "host": host(id), "datastore": names.datastore(*datastore), "for": format_duration(*time) })
        }
        Fault::RollBack(datastore, ago) => {
            json!({ "datastore": names.datastore(*datastore), "ago": format_duration(*ago) })
        }
        Fault::RestoreBackup(id, ago) => json!({ "host": host(id), "ago": format_duration(*ago) }),
        Fault::Fence(fence, fault, time) => {
            let mut value = json!({ "fence": names.fence(*fence), "for": format_duration(*time) });
            if let FenceFault::Slow(takes) | FenceFault::Late(takes) = fault {
                value["takes"] = json!(format_duration(*takes));
            }
            value
        }
        Fault::SwapFences(fence, with, time) => {
            json!({ "fence": names.fence(*fence), "with": names.fence(*with), "for": format_duration(*time) })
        }
        Fault::Request(request) => request_fields(request, names),
        Fault::HypervisorStart(vm, id) => json!({ "vm": names.vm(*vm), "host": host(id) }),
        Fault::HypervisorStop(vm) | Fault::Edit(vm) => json!({ "vm": names.vm(*vm) }),
        Fault::HypervisorMove(vm, id) | Fault::MoveInDoubt(vm, id) => json!({ "vm": names.vm(*vm), "to": host(id) }),
        Fault::Heal | Fault::Recover => json!({}),
    };
    map(value)
}

fn lasting(host: String, time: Duration) -> Value {
    json!({ "host": host, "for": format_duration(time) })
}

fn link_fields(mut value: Value, fault: &LinkFault) -> Value {
    match fault {
        LinkFault::Cut => {}
        LinkFault::Loss(percent) | LinkFault::Duplicate(percent) => value["percent"] = json!(percent),
        LinkFault::Delay(takes) => value["takes"] = json!(format_duration(*takes)),
        LinkFault::Replay(ago) => value["ago"] = json!(format_duration(*ago)),
    }
    value
}

fn request_fields(request: &Request, names: &NameList) -> Value {
    match request {
        Request::Intend { vm, .. } | Request::Unprotect(vm) | Request::Remove(vm) => json!({ "vm": names.vm(*vm) }),
        Request::Account { vm, change } => {
            let up = change.up.as_ref().map(ToString::to_string);
            json!({ "vm": names.vm(*vm), "up": up.unwrap_or_default() })
        }
        Request::Move { vm, to } => json!({ "vm": names.vm(*vm), "to": names.host(*to) }),
        Request::Protect(definition) => json!({ "vm": definition.name, "response": definition.response }),
        Request::Arm | Request::Disarm | Request::RearmAfter(None) | Request::Register(_) => json!({}),
        Request::RearmAfter(Some(after)) => json!({ "takes": format_duration(*after) }),
        Request::ConfirmDead(host)
        | Request::Drill(host)
        | Request::SwitchOn(host)
        | Request::ResolveConflict(host)
        | Request::EndQuarantine(host) => {
            json!({ "host": names.host(*host) })
        }
        Request::SwitchOff { host, force } => json!({ "host": names.host(*host), "force": force }),
        Request::SetPolicy(policy) => json!({ "policy": policy }),
        Request::Notified { channel, .. } => json!({ "channel": channel }),
        Request::Recover { dead } => {
            let voters: Vec<u64> = dead.iter().map(|voter| voter.0).collect();
            json!({ "voters": voters })
        }
    }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A fault as the event of a scenario.
pub fn fault_as_toml(at: Duration, fault: &Fault, names: &NameList) -> String {
    let mut text = format!("[[event]]\nat = \"{}\"\ndo = \"{}\"\n", format_duration(at), fault_kind(fault));
    for (key, value) in fault_fields(fault, names) {
        // What JSON can say of a fault is text, numbers, lists and tables of such: TOML can say it too.
        if let Ok(value) = toml::Value::try_from(value) {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}
