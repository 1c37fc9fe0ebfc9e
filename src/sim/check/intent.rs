//! I5, and the part of I3 that operators feel: what was accepted is kept, and what a person stopped stays stopped.

use super::Found;
use super::shadow::Shadow;
use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::{Epoch, HostId, VmId};
use crate::core::state::ClusterState;
use std::collections::{BTreeMap, BTreeSet};

/// What people were promised.
#[derive(Debug, Default)]
pub(super) struct Intent {
    /// The version of a VM's intent when its change was accepted.
    accepted: BTreeMap<VmId, u64>,
    /// Whether people ever wanted it running, and ever stopped.
    wanted: BTreeSet<(VmId, bool)>,
    /// VMs that are to be stopped, with the newest epoch at the time when that was decided.
    stopped: BTreeMap<VmId, Epoch>,
}

impl Intent {
    /// A newer state is about to replace the shadow: some VMs may be wanted no more.
    pub(super) fn follow(&mut self, before: &Shadow, after: &ClusterState) {
        if after.generation > before.generation {
            // Of what only the voters that were given up for good had, nothing is promised.
            self.accepted.clear();
            self.stopped.clear();
            self.wanted.clear();
        }
        // What was removed is forgotten by a person's own will.
        self.accepted.retain(|vm, _| after.vms.contains_key(vm));
        for (id, vm) in &after.vms {
            self.wanted.insert((*id, vm.intent.want == Want::Running));
            let known = before.vms.get(id);
            if known.is_some_and(|known| vm.intent.version > known.intent.version + 1) {
                // Of several changes that came at once only the last is seen.
                self.wanted.extend([(*id, true), (*id, false)]);
            }
            if known.is_some_and(|known| known.intent == vm.intent) {
                continue;
            }
            match vm.intent.want {
                Want::Running => self.stopped.remove(id),
                // A start that was decided before the stop may still come through; one decided later may not.
                Want::Stopped | Want::Killed => self.stopped.insert(*id, vm.epoch),
            };
        }
    }

    /// An operator was told that it is done: the newest state must say so.
    pub(super) fn accepted(&mut self, shadow: &Shadow, request: &Request, found: &mut Found) {
        let Request::Intend { vm, want } = request else { return };
        let Some(known) = shadow.vms.get(vm) else { return };
        let runs = |want: Want| want == Want::Running;
        let version = known.intent.version;
        // A later change may have been applied by the time of the reply; but it must have been wanted so at some time.
        if runs(known.intent.want) != runs(*want) && !self.wanted.contains(&(*vm, runs(*want))) {
            found.add("I3", format!("{want:?} of {vm} was accepted, and the log has {:?}", known.intent.want));
        }
        self.accepted.insert(*vm, version);
    }

    /// A node became the master: it must know of all that was accepted.
    pub(super) fn new_master(&self, state: &ClusterState, found: &mut Found) {
        for (vm, accepted) in &self.accepted {
            if let Some(known) = state.vms.get(vm).filter(|known| known.intent.version < *accepted) {
                let has = known.intent.version;
                found.add("I3", format!("intent {accepted} of {vm} was accepted; the new master has {has}"));
            }
        }
    }

    /// A VM's processors began to run, by a start.
    pub(super) fn began(&self, shadow: &Shadow, vm: VmId, host: HostId, epoch: Option<Epoch>, found: &mut Found) {
        let protected = shadow.vms.get(&vm).is_some_and(|known| known.protected);
        let Some(last) = self.stopped.get(&vm).filter(|_| protected) else { return };
        if epoch.is_none_or(|epoch| epoch > *last) {
            found.add("I5", format!("{vm} was stopped by a person, and began to execute on {host}"));
        }
    }
}
