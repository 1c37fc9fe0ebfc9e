//! What stands in the ledger, in words.

use crate::core::command::Want;
use crate::core::message::Exit;
use crate::core::state::Armed;
use crate::explain::{Names, alert, cause, proof};
use crate::ledger::What;
use crate::words::format_duration;
use std::time::Duration;

/// A fact, as a sentence without its full stop.
pub fn fact(what: &What, names: &dyn Names) -> String {
    match what {
        What::HostJoined { name, .. } => format!("{name} joined the cluster"),
        What::HostLeft { host } => format!("{} left the cluster", names.host(*host)),
        What::HostUp { host, .. } => format!("{} is up", names.host(*host)),
        What::HostJudged { host, cause: why, silent_milliseconds, planned } => {
            let planned = if *planned { ", being shut down by a person" } else { "" };
            let silence = millis(*silent_milliseconds);
            format!("{} judged after {silence} of silence: {}{planned}", names.host(*host), cause(*why))
        }
        What::HostProven { host, proof: by } => format!("{} proven: {}", names.host(*host), proof(by, names)),
        What::HostQuarantined { host, on: true } => format!("{} gets no VMs until a person says so", names.host(*host)),
        What::HostQuarantined { host, on: false } => format!("{} may have VMs again", names.host(*host)),
        What::VmProtected { name, want, .. } => format!("{name} is protected, and {}", wanted(*want)),
        What::VmUnprotected { vm } => format!("{} is not protected any more", names.vm(*vm)),
        What::VmWanted { vm, want } => format!("{} {}", names.vm(*vm), wanted(*want)),
        What::VmPlaced { vm, host, epoch, proofs } => {
            let (vm, host) = (names.vm(*vm), names.host(*host));
            match proofs.last() {
                None => format!("{vm} placed on {host}, epoch {epoch}"),
                Some(last) => {
                    let by = proof(&last.proof, names);
                    format!("{vm} placed on {host}, epoch {epoch}, as {} is proven: {by}", names.host(last.host))
                }
            }
        }
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
        What::Recovered { dead } => format!("{} voters were given up by a person", dead.len()),
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
