//! What a host and its VMs use, and what guests say: for people, and for whoever draws curves.
//!
//! What is used is told as counters that only grow, so that who wants a rate subtracts two readings of the same host,
//! whoever else reads in between.

use super::usage;
use crate::core::time::Instant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Tells what goes on. It may be used on any thread that may wait, and waits no longer than until the deadline.
///
/// A hypervisor that hangs hides only what it alone knows: what the kernel tells is told all the same.
pub trait Live: Send + Sync {
    /// What the host and its VMs have used until now; or why that cannot be told.
    fn reading(&self, deadline: Instant) -> Result<Reading, String>;

    /// What a VM's guest says of itself; or why nobody can be asked.
    fn guest(&self, uuid: Uuid, deadline: Instant) -> Result<Guest, String>;

    /// How the live migration of a VM away from this host fares, as far as that can be told.
    fn moving(&self, _uuid: Uuid, _deadline: Instant) -> Moving {
        Moving::default()
    }

    /// Why a VM cannot be moved alive, as far as that is known before it is tried; or why that cannot be told.
    fn immovable(&self, _uuid: Uuid, _deadline: Instant) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    /// Whether the hypervisor is set up as the cluster needs it.
    fn checkup(&self, _deadline: Instant) -> Checkup {
        Checkup::default()
    }
}

/// How a hypervisor is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkup {
    /// What was seen to work.
    pub works: Vec<String>,
    /// What is not as it should be.
    pub flaws: Vec<Flaw>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaw {
    /// How bad it is.
    pub gravity: Gravity,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// VMs may be lost, or run twice.
    Bad,
    /// It works, and could do better.
    Weak,
}

/// How the live migration of a VM away from a host fares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moving {
    /// How far it is, if one is under way.
    pub progress: Option<MoveProgress>,
    /// Why the last one came to nothing, if it did.
    pub failed: Option<String>,
}

/// How far a live migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveProgress {
    /// All that the guest's memory may come to.
    pub total_bytes: u64,
    /// What is still to be sent. It grows again where the guest writes faster than the network carries.
    pub remaining_bytes: u64,
}

/// What a host and its VMs have used since each began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When it was taken, by the host's own clock.
    pub at_nanoseconds: u64,
    /// The host.
    pub host: HostUse,
    /// The VMs that have a process.
    pub vms: Vec<VmUse>,
    /// Why the hypervisor's daemon said nothing, if so: what only it knows is missing then.
    pub silent: Option<String>,
}

/// What a host has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUse {
    /// Its processors.
    pub cores: u32,
    /// The time that all its processors together have had.
    pub cpu_total_nanoseconds: u64,
    /// How much of it they were busy.
    pub cpu_used_nanoseconds: u64,
    /// Its memory.
    pub memory_kib: u64,
    /// How much of that is to be had without swapping.
    pub available_kib: u64,
}

/// What a VM has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmUse {
    /// Which.
    pub uuid: Uuid,
    /// The processor time of its process, with all that this does for the guest.
    pub cpu_nanoseconds: u64,
    /// What its process has in the host's memory.
    pub resident_kib: u64,
    /// Its virtual processors, if the daemon has said.
    pub vcpus: Option<u32>,
    /// The memory that the guest has now, if the daemon has said.
    pub memory_kib: Option<u64>,
}

impl Reading {
    /// How much of the host's processors was busy since an earlier reading, in thousandths of a core; nothing: no time
    /// has passed.
    pub fn host_busy(&self, before: &Reading) -> Option<u64> {
        let (now, then) = (&self.host, &before.host);
        let total = now.cpu_total_nanoseconds.saturating_sub(then.cpu_total_nanoseconds);
        let used = now.cpu_used_nanoseconds.saturating_sub(then.cpu_used_nanoseconds);
        // Of what its processors had: the clock and the kernel's count of ticks may differ a little.
        millicores(used.min(total), total / u64::from(now.cores.max(1)))
    }

    /// The same of a VM that is in this reading; nothing: its process has come up in between.
    pub fn vm_busy(&self, vm: &VmUse, before: &Reading) -> Option<u64> {
        let span = self.at_nanoseconds.saturating_sub(before.at_nanoseconds);
        let before = before.vms.iter().find(|before| before.uuid == vm.uuid)?;
        // Less than before: it is another process.
        millicores(vm.cpu_nanoseconds.checked_sub(before.cpu_nanoseconds)?, span)
    }
}

/// So many nanoseconds of a processor in so many, in thousandths.
fn millicores(used: u64, span: u64) -> Option<u64> {
    u64::try_from(u128::from(used) * 1_000 / u128::from(Some(span).filter(|span| *span > 0)?)).ok()
}

/// What is known of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The agent in it.
    pub agent: GuestAgent,
    /// Its operating system: by the word of the agent, else by the VM's definition.
    pub system: Option<String>,
}

/// An agent in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestAgent {
    /// The VM has no way to one.
    None,
    /// There is a way, and nobody answers on it.
    Silent,
    /// It answers.
    Answers,
}

/// A host without a hypervisor.
pub(super) struct HostAlone;

impl Live for HostAlone {
    fn reading(&self, _deadline: Instant) -> Result<Reading, String> {
        reading(Vec::new(), None)
    }

    fn guest(&self, _uuid: Uuid, _deadline: Instant) -> Result<Guest, String> {
        Err("there is no hypervisor on this host".to_owned())
    }
}

/// The reading of this host with these VMs.
pub(crate) fn reading(vms: Vec<VmUse>, silent: Option<String>) -> Result<Reading, String> {
    let at_nanoseconds = crate::clock::boottime().as_micros().saturating_mul(1_000);
    let host = usage::host().map_err(|error| format!("what the host uses cannot be read: {error}; mount /proc"))?;
    Ok(Reading { at_nanoseconds, host, vms, silent })
}
