//! Alerts in words: what is wrong, since when, and what a person does about it.

use crate::core::ids::{DatastoreId, VmId};
use crate::core::reason::{Alert, StorageTrouble, Wait};
use crate::explain::reasons::millis;
use crate::explain::{Names, storage_trouble, wait};

/// What must be said loudly.
pub fn alert(alert: &Alert, names: &dyn Names) -> String {
    match alert {
        Alert::Waiting { vm, wait, milliseconds } => waiting(*vm, wait, *milliseconds, names),
        Alert::TwoMachines { host } => {
            let host = names.host(*host);
            format!(
                "two machines use the UUID of {host}: nothing is proven of it; switch off the wrong one, then \
                 `holdfast host resolve {host}`"
            )
        }
        Alert::WrongMachine { device } => format!(
            "{} controls another machine than it should: it proves nothing until it is set up anew",
            names.fence(*device)
        ),
        Alert::FenceFailed { device } => format!(
            "the fence device {device} failed: a host that has no other one cannot be proven dead by it; \
             `holdfast doctor` says why",
            device = names.fence(*device)
        ),
        Alert::Brake { suspects, hosts } => format!(
            "the brake is on: {suspects} of {hosts} hosts are silent at once, so the fault may be the network's and no \
             host is switched off; see to the network, or to their power"
        ),
        Alert::Isolated { host } => format!(
            "{} is alive on storage only: its network is gone, and its VMs are where policy leaves them; see to its \
             network",
            names.host(*host)
        ),
        Alert::Unanswered { host, vm } => format!(
            "{host} lives and does not answer for {}: see to the hypervisor on {host}",
            names.vm(*vm),
            host = names.host(*host)
        ),
        Alert::Quarantined { host } => format!(
            "{host} was fenced too often and gets no VMs: find out why it fails, then `holdfast host end-quarantine \
             {host}`",
            host = names.host(*host)
        ),
        Alert::AgentAway { host } => format!(
            "the agent of {host} was stopped and has not come back: its VMs run on there, and nobody restarts one that \
             ends; start the agent of {host}",
            host = names.host(*host)
        ),
        Alert::GaveUp { vm } => format!(
            "{vm} was started too often without success and is given up: `holdfast vm explain {vm}` says where it failed; \
             mend that, then `holdfast vm start {vm}`",
            vm = names.vm(*vm)
        ),
        Alert::DeadShowsLife { host } => format!(
            "{host} was called dead by a person and shows life: its VMs may run twice; switch it off at once",
            host = names.host(*host)
        ),
        Alert::StoreLost => {
            "a voter's store cannot be used: another one takes its place; see to the disk of its host".to_owned()
        }
        Alert::Clash { vm, host } => format!(
            "{vm} runs on {} where it should not: it may run twice; `holdfast vm explain {vm}` says where else",
            names.host(*host),
            vm = names.vm(*vm)
        ),
        Alert::NoMajority => {
            "there is no majority of voters, nothing is restarted: bring back hosts that vote".to_owned()
        }
        Alert::Storage { datastore, trouble } => storage(*datastore, trouble, names),
    }
}

fn storage(datastore: DatastoreId, trouble: &StorageTrouble, names: &dyn Names) -> String {
    let leases = match trouble {
        StorageTrouble::Unread => "no lease can be proven to have run out",
        StorageTrouble::Unwritten { .. } => "leases there hang on the network alone",
    };
    format!("{}: meanwhile {leases}; see to the storage", storage_trouble(datastore, trouble, names))
}

fn waiting(vm: VmId, why: &Wait, milliseconds: u64, names: &dyn Names) -> String {
    let name = names.vm(vm);
    let since = match milliseconds / 1_000 {
        0 => String::new(),
        seconds => format!("for {} ", millis(seconds * 1_000)),
    };
    let text = format!("{name} should run, and {since}is not known to: it {}", wait(why, names));
    match advice(why, &name, names) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// What a person can do about it.
fn advice(why: &Wait, vm: &str, names: &dyn Names) -> Option<String> {
    Some(match why {
        Wait::NotArmed => "`holdfast arm` has it started".to_owned(),
        Wait::LeftAlone => format!("`holdfast vm start {vm}` starts it"),
        Wait::Proof(hosts) => {
            let host = names.host(hosts.first()?.0);
            format!("mend what is named, or see to it that {host} is off and say `holdfast host confirm-dead {host}`")
        }
        Wait::Starting { host, .. } => format!("see what holds up the hypervisor on {}", names.host(*host)),
        Wait::Unknown { host } => format!("see to the agent and the hypervisor on {}", names.host(*host)),
        Wait::Locked => "end what has its disks open, or wait for it".to_owned(),
        Wait::Retry { last: Some((host, _)), .. } => format!("the agent's log on {} says more", names.host(*host)),
        Wait::NoRoom(_) => "make room, or bring a host back".to_owned(),
        Wait::Recovering(_) => "bring them back, or say which are dead with `holdfast host confirm-dead`".to_owned(),
        Wait::Moving { from, .. } => format!("the agent's log on {} says how far the move is", names.host(*from)),
        Wait::Nothing | Wait::Stopped | Wait::NotProtected | Wait::Retry { .. } | Wait::GaveUp { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{Epoch, HostId};
    use crate::core::message::Exit;
    use crate::core::reason::Unfit;
    use crate::explain::NameList;

    fn said(wait: Wait) -> String {
        let names = NameList {
            hosts: [(HostId(2), "host-2".to_owned())].into(),
            vms: [(VmId(1), "db".to_owned())].into(),
            ..NameList::default()
        };
        alert(&Alert::Waiting { vm: VmId(1), wait, milliseconds: 10_100 }, &names)
    }

    #[test]
    fn an_alert_says_what_is_wrong_since_when_and_what_to_do() {
        assert_eq!(
            said(Wait::Starting { host: HostId(2), epoch: Epoch::NONE }),
            format!(
                "db should run, and for 10s is not known to: it is being started on host-2 under epoch {}; see what \
                 holds up the hypervisor on host-2",
                Epoch::NONE
            )
        );
        assert_eq!(
            said(Wait::Retry { attempts: 3, milliseconds: 2_000, last: Some((HostId(2), Exit::CrashedSoon)) }),
            "db should run, and for 10s is not known to: it waits 2s before the next try: 3 starts failed, the last \
             one on host-2: it crashed soon after its start; the agent's log on host-2 says more"
        );
        assert!(said(Wait::NoRoom(vec![(HostId(2), Unfit::Busy)])).ends_with("; make room, or bring a host back"));
    }
}
