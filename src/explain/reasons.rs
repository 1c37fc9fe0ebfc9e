//! Proofs, waits, refusals and alerts in words.

use crate::core::ids::{DatastoreId, HostId};
use crate::core::message::Exit;
use crate::core::reason::{NoProof, Proof, Refusal, StorageTrouble, Unfit, Wait};
use crate::explain::{Names, exit};
use crate::words::{format_duration, listed};
use std::time::Duration;

/// A proof, as what proves it.
pub fn proof(proof: &Proof, names: &dyn Names) -> String {
    match proof {
        Proof::Released { refuses } => format!("it let go, and refuses all epochs up to {refuses}"),
        Proof::Fenced { device } => format!("{} switched it off, and it reads as off", names.fence(*device)),
        Proof::FoundOff { device } => format!("{} twice read it as off", names.fence(*device)),
        Proof::Rebooted { .. } => "it lives in a newer boot".to_owned(),
        Proof::LeaseExpired { .. } => "its lease has run out, and so has the guard that enforces it".to_owned(),
        Proof::DiskLocked => "storage let another host take the lock".to_owned(),
        Proof::Operator => "a person says that it is dead".to_owned(),
    }
}

/// What a VM waits for.
pub fn wait(wait: &Wait, names: &dyn Names) -> String {
    match wait {
        Wait::Nothing => "waits for nothing".to_owned(),
        Wait::Stopped => "stays stopped: a person stopped it, a person starts it".to_owned(),
        Wait::LeftAlone => "is left alone: its host died, and policy says so; a person starts it".to_owned(),
        Wait::NotProtected => "is not protected".to_owned(),
        Wait::NotArmed => "waits: the cluster only observes until it is armed".to_owned(),
        Wait::Proof(hosts) => {
            let each: Vec<String> = hosts
                .iter()
                .map(|(host, closed)| {
                    let closed: Vec<String> = closed.iter().map(|why| no_proof(why, names)).collect();
                    match closed.is_empty() {
                        true => names.host(*host),
                        false => format!("{} ({})", names.host(*host), closed.join("; ")),
                    }
                })
                .collect();
            format!("waits for a proof from {}", listed(&each, "and"))
        }
        Wait::Starting { host, epoch } => format!("is being started on {} under epoch {epoch}", names.host(*host)),
        Wait::Unknown { host } => {
            format!("waits: {} does not say how it fares there, and is asked again", names.host(*host))
        }
        Wait::Locked => "waits: its lock is held by another".to_owned(),
        Wait::Retry { attempts, milliseconds, last } => {
            format!("waits {} before the next try: {}", millis(*milliseconds), failed(*attempts, *last, names))
        }
        Wait::NoRoom(hosts) => {
            let each: Vec<String> =
                hosts.iter().map(|(host, why)| format!("{} {}", names.host(*host), unfit(why, names))).collect();
            format!("fits nowhere: {}", listed(&each, "and"))
        }
        Wait::GaveUp { attempts, last } => {
            format!(
                "was given up: {}; a person's start, or a host that joins, begins anew",
                failed(*attempts, *last, names)
            )
        }
        Wait::Recovering(hosts) => {
            let hosts: Vec<String> = hosts.iter().map(|host| names.host(*host)).collect();
            format!("waits: {} must first say what runs there, or be proven dead", listed(&hosts, "and"))
        }
        Wait::Moving { from, to } => format!("is being moved from {} to {}", names.host(*from), names.host(*to)),
    }
}

fn failed(attempts: u32, last: Option<(HostId, Exit)>, names: &dyn Names) -> String {
    let count = if attempts == 1 { "1 start failed".to_owned() } else { format!("{attempts} starts failed") };
    match last {
        Some((host, how)) => format!("{count}, the last one on {}: {}", names.host(host), exit(how)),
        None => count,
    }
}

/// Why one way to a proof is closed for now.
pub fn no_proof(reason: &NoProof, names: &dyn Names) -> String {
    match reason {
        NoProof::AskedToRelease => "it lives, and was asked to let go".to_owned(),
        NoProof::NotJudged => "it is not judged yet".to_owned(),
        NoProof::Brake { suspects, hosts } => format!("the brake is on, {suspects} of {hosts} hosts are silent"),
        NoProof::LeaseRuns { milliseconds } => format!("its lease runs for {} more", millis(*milliseconds)),
        NoProof::NotLeased => "no lease that counts covers the VM there".to_owned(),
        NoProof::DatastoreUnreachable(id) => format!("{} cannot be reached", names.datastore(*id)),
        NoProof::NoFence => "it has no fence device".to_owned(),
        NoProof::Fencing(id) => format!("{} is being asked", names.fence(*id)),
        NoProof::FenceUnreachable(id) => format!("{} does not answer", names.fence(*id)),
        NoProof::FenceRefused(id) => format!("{} refuses the credentials", names.fence(*id)),
        NoProof::WrongMachine(id) => format!("{} is another machine's", names.fence(*id)),
        NoProof::NotDrilled(id) => format!(
            "{} cannot say which machine it controls, and no drill has shown that it is this one",
            names.fence(*id)
        ),
        NoProof::StillOn(id) => format!("{} still reads it as on", names.fence(*id)),
        NoProof::Conflicted => "two machines use its UUID".to_owned(),
        NoProof::NotArmed => "the cluster only observes".to_owned(),
        NoProof::Unaccounted => "it has not said yet whether it runs the VM".to_owned(),
    }
}

/// Why a host cannot take a VM, as what follows the host's name.
pub fn unfit(unfit: &Unfit, names: &dyn Names) -> String {
    match unfit {
        Unfit::NotAlive => "is not alive".to_owned(),
        Unfit::Witness => "is a witness".to_owned(),
        Unfit::Memory { free_mib, needed_mib } => format!("has {free_mib} MiB free of {needed_mib} MiB needed"),
        Unfit::Cpu { free_millicores, needed_millicores } => {
            format!("has {free_millicores} thousandths of a core free of {needed_millicores} needed")
        }
        Unfit::Datastore(id) => format!("does not reach {}", names.datastore(*id)),
        Unfit::Network(id) => format!("does not have {}", names.network(*id)),
        Unfit::Lacks(id) => format!("does not have {}", names.feature(*id)),
        Unfit::Bound => "is not the host that it is bound to".to_owned(),
        Unfit::Quarantined => "is quarantined".to_owned(),
        Unfit::Leaving => "is about to be removed".to_owned(),
        Unfit::Busy => "starts as many as it may".to_owned(),
        Unfit::HypervisorDown => "has a hypervisor that does not answer".to_owned(),
    }
}

/// Why something was refused.
pub fn refusal(refusal: &Refusal, names: &dyn Names) -> String {
    let text = match refusal {
        Refusal::OldAuthority => "it comes from an older term or cluster generation than was seen",
        Refusal::OtherIncarnation => "it names another boot or generation",
        Refusal::OldEpoch => "its epoch is not the newest",
        Refusal::Stale => "it answers a heartbeat that is too old or was never sent",
        Refusal::PermitExpired => "the permit's time ran out",
        Refusal::LeaseEnded => "the lease has ended",
        Refusal::Tombstone => "a tombstone binds this generation",
        Refusal::NotAdmitted => "the host is not admitted yet",
        Refusal::ConfigBehind => "the host does not know yet what the order presumes",
        Refusal::Held => "the VM may run on a host for which there is no proof",
        Refusal::NotWanted => "the VM is not wanted to run",
        Refusal::TargetGone => "the target is judged, dead or of another generation",
        Refusal::NotArmed => "the cluster is not armed",
        Refusal::NoSuchThing => "there is no such VM or host",
        Refusal::Busy => "another operation on the VM is under way",
        Refusal::OldVersion => "the intent was changed meanwhile",
        Refusal::SignsOfLife => "a channel shows life",
        Refusal::Recovering => "not every host has said yet what runs there",
        Refusal::NoPermit => "no permit came in time",
        Refusal::IdentityClash => "a process of the same identity runs here",
        Refusal::NoMajority => "there is no majority",
        Refusal::DatastoreUnreachable => "a datastore that must carry the order cannot be reached",
        Refusal::NothingToDo => "the state is as asked already",
        Refusal::NameTaken => "another thing has that name or identity already",
        Refusal::NotInvited => "the invitation was used, taken back, or never given",
        Refusal::Votes => "a voter lives there and must move first",
        Refusal::InUse => "something else still refers to it",
        Refusal::OtherRequest => "another request was made under this name before: ask again under a new one",
        Refusal::StillRuns(host) => {
            let host = names.host(*host);
            return format!(
                "it still runs on {host}: nobody would know it any more; end it there, or protect it again"
            );
        }
        Refusal::RunsUnprotected { vm, host } => {
            let (name, host) = (names.vm(*vm), names.host(*host));
            let uuid = names.uuid(*vm).map(|uuid| format!(" {}", uuid::Uuid::from_u128(uuid))).unwrap_or_default();
            return format!(
                "{name} runs on {host} already, under no protection, and this would be a second one: to protect that one, \
                 give its UUID{uuid}"
            );
        }
        Refusal::InDoubt(host) => {
            let host = names.host(*host);
            return format!("{host} does not say now how it fares there: ask again when it does");
        }
        Refusal::SavedBefore => {
            "it ran elsewhere since it was saved here, so what was saved is older than its disks: drop that \
             (`virsh managedsave-remove`), and start it anew"
        }
        Refusal::Unfit(why) => return format!("the host {}", unfit(why, names)),
    };
    text.to_owned()
}

/// What is wrong with a heartbeat datastore.
pub fn storage_trouble(datastore: DatastoreId, trouble: &StorageTrouble, names: &dyn Names) -> String {
    let datastore = names.datastore(datastore);
    match trouble {
        StorageTrouble::Unread => format!("{datastore} can be read by no host"),
        StorageTrouble::Unwritten { host, hosts: 1 } => {
            format!("{} writes no liveness record on {datastore}", names.host(*host))
        }
        StorageTrouble::Unwritten { host, hosts } => {
            format!("{} and {} more write no liveness record on {datastore}", names.host(*host), hosts - 1)
        }
    }
}

pub(super) fn millis(milliseconds: u64) -> String {
    format_duration(Duration::from_millis(milliseconds))
}
