//! What stands in the ledger, in words.

use crate::core::command::Want;
use crate::core::ids::{Epoch, FactKey, FenceId, HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::JudgeCause;
use crate::core::state::{Account, Armed, HolderProof, Right, Tag, UpMeans};
use crate::explain::{Names, alert, cause, proof};
use crate::ledger::{ChannelDeed, Decision, What};
use crate::words::format_duration;
use std::time::Duration;

/// A fact, as a sentence without its full stop.
pub fn fact(what: &What, names: &dyn Names) -> String {
    match what {
        What::HostJoined { name, .. } => format!("{name} joined the cluster"),
        What::HostLeft { host } => format!("{} left the cluster", names.host(*host)),
        What::HostUp { host, .. } => format!("{} is up", names.host(*host)),
        What::HostJudged { host, cause: why, silent_milliseconds, planned } => {
            // That a person wants it off says all.
            let planned =
                if *planned && *why != JudgeCause::SwitchedOff { ", being shut down by a person" } else { "" };
            let silence = millis(*silent_milliseconds);
            format!("{} judged after {silence} of silence: {}{planned}", names.host(*host), cause(*why))
        }
        What::HostProven { host, proof: by } => format!("{} proven: {}", names.host(*host), proof(by, names)),
        What::HostQuarantined { host, on: true } => format!("{} gets no VMs until a person says so", names.host(*host)),
        What::HostQuarantined { host, on: false } => format!("{} may have VMs again", names.host(*host)),
        What::HostSwitched { host, on: true } => format!("a person has {} switched on", names.host(*host)),
        What::HostSwitched { host, on: false } => {
            format!("a person has {} switched off: it stays off until a person says otherwise", names.host(*host))
        }
        What::HostDrilled { host, devices } => {
            let devices: Vec<String> = devices.iter().map(|device| names.fence(*device)).collect();
            format!("{} was seen to go off and on by {}", names.host(*host), devices.join(" and "))
        }
        What::VmProtected { name, want: Want::Running, .. } => format!("{name} is protected, and should run"),
        What::VmProtected { name, .. } => format!("{name} is protected, and should run if a host says that it does"),
        What::VmRedefined { vm, host, memory_mib, millicores, bonds } => {
            let is = format!("{} has by now {memory_mib} MiB and {millicores} thousandths of a core", names.vm(*vm));
            match bonds.as_slice() {
                [] => format!("{is}, says {}", names.host(*host)),
                bonds => format!("{is}, and only {} can run it: {}", names.host(*host), bonds.join("; ")),
            }
        }
        What::VmUnprotected { vm } => format!("{} is not protected any more", names.vm(*vm)),
        What::VmWanted { vm, want } => format!("{} {}", names.vm(*vm), wanted(*want)),
        What::VmPlaced { vm, host, epoch, proofs } => placed(*vm, (*host, *epoch), proofs.last(), names),
        What::VmUp { vm, host, again: false, .. } => format!("{} runs on {}", names.vm(*vm), names.host(*host)),
        What::VmUp { vm, host, again: true, .. } => format!("{} still runs on {}", names.vm(*vm), names.host(*host)),
        What::VmGone { vm, host, proof: by, exit: how, .. } => {
            let why = match (how, by) {
                (Some(how), _) => exit(*how).to_owned(),
                (None, Some(by)) => proof(by, names),
                (None, None) => "its protection ended".to_owned(),
            };
            format!("{} is gone from {}: {why}", names.vm(*vm), names.host(*host))
        }
        What::VmNotMoved { vm, from, to } => not_moved(*vm, (*from, *to), names),
        What::NotTold { channel, fact, why } => not_told(channel, *fact, why),
        What::VmGaveUp { vm } => format!("{} failed everywhere, too often, and is given up", names.vm(*vm)),
        What::Armed { armed: Armed::Armed } => "the cluster is armed".to_owned(),
        What::Armed { armed: Armed::Observe } => "the cluster only observes".to_owned(),
        What::MasterBegan { host, blind_milliseconds: 0 } => format!("{} is master", names.host(*host)),
        What::MasterBegan { host, blind_milliseconds } => {
            format!("{} is master, after {} without one", names.host(*host), millis(*blind_milliseconds))
        }
        What::Alert { alert: what } => format!("ALERT: {}", alert(what, names)),
        What::Voters { voters } => {
            let homes: Vec<String> = voters.iter().map(|(_, host)| names.host(*host)).collect();
            format!("the voters are {}", homes.join(", "))
        }
        What::Decided { decision: what } => decision(what, names),
        What::VmAccounted { vm, account } => accounted(*vm, account, names),
        What::VmAnswers { vm, host, answers, ago_milliseconds, .. } => {
            let does = if *answers { "answers" } else { "does not answer" };
            let since = if *answers { String::new() } else { format!(", since {}", millis(*ago_milliseconds)) };
            format!("the guest of {} on {} {does}{since}", names.vm(*vm), names.host(*host))
        }
        What::VmSystem { vm, system } => format!("the guest of {} is {system}", names.vm(*vm)),
        What::Recovered { dead } => format!("{} voters were given up by a person", dead.len()),
    }
}

fn placed(vm: VmId, (host, epoch): (HostId, Epoch), last: Option<&HolderProof>, names: &dyn Names) -> String {
    let (vm, host) = (names.vm(vm), names.host(host));
    match last {
        None => format!("{vm} placed on {host}, epoch {epoch}"),
        Some(last) => {
            let by = proof(&last.proof, names);
            format!("{vm} placed on {host}, epoch {epoch}, as {} is proven: {by}", names.host(last.host))
        }
    }
}

fn not_moved(vm: VmId, (from, to): (HostId, HostId), names: &dyn Names) -> String {
    let (vm, from, to) = (names.vm(vm), names.host(from), names.host(to));
    format!("{vm} was not moved to {to}, and runs on on {from}: the agent's log on {from} says why")
}

fn accounted(vm: VmId, account: &Account, names: &dyn Names) -> String {
    let mut parts = vec![match &account.up {
        UpMeans::Running => format!("{} counts as up when it runs", names.vm(vm)),
        UpMeans::Agent => format!("{} counts as up when the agent in its guest answers", names.vm(vm)),
        UpMeans::Probe(_) => format!("{} counts as up when {} answers", names.vm(vm), account.up),
    }];
    parts.extend(account.target.map(|target| format!("{target} % of its time are wanted")));
    if !account.tags.is_empty() {
        let tags: Vec<&str> = account.tags.iter().map(Tag::as_str).collect();
        parts.push(format!("its tags are {}", tags.join(", ")));
    }
    parts.join("; ")
}

fn not_told(channel: &str, fact: FactKey, why: &str) -> String {
    format!(
        "the channel {channel} was not told of {fact}, and perhaps not of others: {why}; see `holdfast notify show \
         {channel}`"
    )
}

/// A decision, as a sentence without its full stop.
fn decision(what: &Decision, names: &dyn Names) -> String {
    match what {
        Decision::Policy { changes } if changes.is_empty() => "the rules were set as they were".to_owned(),
        Decision::Policy { changes } => format!("the rules changed: {}", changes.join(", ")),
        Decision::Rearm { after_milliseconds: Some(after) } => format!("it will be armed again in {}", millis(*after)),
        Decision::Rearm { after_milliseconds: None } => "it will not be armed again by itself".to_owned(),
        Decision::Resolved { host } => format!("only one machine is left that is {}", names.host(*host)),
        Decision::Leave { host, leaves: true } => format!("{} is to be removed", names.host(*host)),
        Decision::Leave { host, leaves: false } => format!("{} is not to be removed after all", names.host(*host)),
        Decision::HostFences { host, levels } if levels.is_empty() => {
            format!("no device fences {} any more", names.host(*host))
        }
        Decision::HostFences { host, levels } => {
            let level =
                |level: &Vec<FenceId>| level.iter().map(|fence| names.fence(*fence)).collect::<Vec<_>>().join(" and ");
            let levels: Vec<String> = levels.iter().map(level).collect();
            format!("{} is fenced by {}", names.host(*host), levels.join(", else by "))
        }
        Decision::Fence { name } => format!("the fence device {name} was set up"),
        Decision::FenceRemoved { fence } => format!("the fence device {} was removed", names.fence(*fence)),
        Decision::Datastore { name } => format!("the datastore {name} was named"),
        Decision::Network { name } => format!("the network {name} was named"),
        Decision::Invited => "a host was invited to join".to_owned(),
        Decision::Granted { print, name, right: Right::Viewer } => format!("{name} ({print}) may look"),
        Decision::Granted { print, name, right: Right::Operator } => format!("{name} ({print}) may look and act"),
        Decision::Target { tag, target: Some(target) } => {
            format!("VMs with the tag {tag} are to be up for {target} % of their time")
        }
        Decision::Target { tag, target: None } => format!("VMs with the tag {tag} have no target any more"),
        Decision::Channel { name, deed } => channel(name, *deed),
        Decision::Revoked { print } => format!("whoever shows {print} may do nothing any more"),
    }
}

fn channel(name: &str, deed: ChannelDeed) -> String {
    match deed {
        ChannelDeed::SetUp => format!("the channel {name} was set up, to be told of what happens"),
        ChannelDeed::Paused => format!("the channel {name} is told nothing for now"),
        ChannelDeed::Resumed => format!("the channel {name} is told again of what happens"),
        ChannelDeed::Skipped => format!("what the channel {name} had not been told yet it is not told any more"),
        ChannelDeed::Removed => format!("the channel {name} was removed"),
    }
}

fn wanted(want: Want) -> &'static str {
    match want {
        Want::Running => "should run",
        Want::Stopped => "should be stopped",
        Want::Killed => "should be stopped at once",
    }
}

/// How a VM ended on a host.
pub fn exit(exit: Exit) -> &'static str {
    match exit {
        Exit::NeverStarted => "it was never started there",
        Exit::StartFailed => "its start failed",
        Exit::Locked => "its lock was held by another",
        Exit::ByPerson => "the guest powered itself off, or a person stopped it",
        Exit::Crashed => "it crashed",
        Exit::CrashedSoon => "it crashed soon after its start",
        Exit::Ordered => "it was stopped by order",
        Exit::HostShutdown => "the host was shut down",
        Exit::LeaseEnded => "the host's lease ended",
        Exit::Moved => "it was moved away",
        Exit::NotFound => "it was not there any more",
    }
}

fn millis(milliseconds: u64) -> String {
    format_duration(Duration::from_millis(milliseconds))
}
