//! I2: a proof says the truth. What it says can no longer run is not there, and could not be, had its host stood still.

use super::Found;
use super::processes::Processes;
use super::shadow::Shadow;
use crate::core::ids::{BootId, Epoch, HostId, VmId};
use crate::core::reason::Proof;
use crate::core::state::HolderProof;
use crate::sim::spec::WorldSpec;
use std::collections::{BTreeMap, BTreeSet};

/// What proofs are held against.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Hosts whose watchdog fires in time, whatever becomes of their kernel.
    guarded: BTreeSet<HostId>,
    boots: BTreeMap<usize, BootId>,
    watchdogs: BTreeMap<usize, Option<u64>>,
    /// For how long a VM could have run in that boot if its host had stood still when the VM was last there.
    might_run_until: BTreeMap<(VmId, BootId), u64>,
}

impl Proofs {
    /// For the hosts of a world.
    pub(super) fn new(spec: &WorldSpec) -> Proofs {
        Proofs { guarded: super::lease::guarded(spec), ..Proofs::default() }
    }

    /// A machine has come up.
    pub(super) fn booted(&mut self, machine: usize, boot: BootId) {
        self.boots.insert(machine, boot);
        self.watchdogs.remove(&machine);
    }

    /// A watchdog was worked.
    pub(super) fn watchdog(&mut self, machine: usize, fires_at: Option<u64>) {
        self.watchdogs.insert(machine, fires_at);
    }

    /// A process is gone.
    pub(super) fn process_ended(&mut self, vm: VmId, machine: usize) {
        if let Some(boot) = self.boots.get(&machine) {
            let until = self.watchdogs.get(&machine).copied().flatten().unwrap_or(u64::MAX);
            self.might_run_until.insert((vm, *boot), until);
        }
    }

    /// A holder has just left the log with this proof.
    pub(super) fn given(
        &mut self,
        now: u64,
        vm: VmId,
        given: &HolderProof,
        (shadow, processes): (&Shadow, &Processes),
        found: &mut Found,
    ) {
        let HolderProof { host, boot, proof, .. } = *given;
        let up_to = match proof {
            Proof::Released { refuses } => Some(refuses),
            // Whoever said that is answerable for it.
            Proof::Operator => return,
            _ => None,
        };
        for (machine, process) in processes.of(vm) {
            // What people started before the host knew that it should not let them is theirs.
            let answers = process.epoch != Epoch::NONE || shadow.is_guarded(vm, host);
            let meant = self.boots.get(&machine) == Some(&boot) && up_to.is_none_or(|up_to| process.epoch <= up_to);
            if meant && answers {
                let state = process.state;
                found.add("I2", format!("{vm} was proven gone from {host} by {}, and is {state:?}", proof.kind()));
            }
        }
        let expired = matches!(proof, Proof::LeaseExpired { .. }) && self.guarded.contains(&host);
        // With this proof it is over: the same boot may run it again.
        if let Some(until) = self.might_run_until.remove(&(vm, boot)).filter(|until| expired && *until > now) {
            let more = match until {
                u64::MAX => "for ever".to_owned(),
                until => format!("for {} ms more", until.saturating_sub(now) / 1_000),
            };
            found.add("I2", format!("{vm} could have run on {host} {more} when its lease was called over"));
        }
    }
}
