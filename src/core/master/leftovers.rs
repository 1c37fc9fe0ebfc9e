//! What VMs have left behind where they ran before: their old definitions.
//!
//! A person who starts a VM where it ran last week would boot what it was last week, and the log would take that for what
//! it is. So a living host that a VM has left is told to forget its definition, once for each time that the VM left. What
//! is defined there later is somebody's wish. Hosts that were away are told the same in their welcome.

use super::{Context, Master, Output};
use crate::core::ids::{Epoch, HostId, VmId};
use crate::core::message::OrderKind;
use crate::core::state::{Holder, Role, Vm};
use crate::core::time::Instant;
use std::collections::BTreeMap;

/// So many hosts are told in one scan.
const AT_ONCE: usize = 16;

/// Which hosts are to forget which VMs.
#[derive(Debug, Default)]
pub(super) struct Leftovers(BTreeMap<(HostId, VmId), Leftover>);

#[derive(Debug)]
struct Leftover {
    /// The newest right under which the VM was there.
    epoch: Epoch,
    /// Not before: where the VM is now, its definition is to be known first.
    due: Instant,
}

impl Leftovers {
    /// A host has forgotten what it had under this right.
    pub(super) fn forgotten(&mut self, host: HostId, vm: VmId, epoch: Epoch) {
        if self.0.get(&(host, vm)).is_some_and(|leftover| leftover.epoch <= epoch) {
            self.0.remove(&(host, vm));
        }
    }
}

impl Master {
    /// A VM has come to rest where it runs now: where it was before, nothing of it is to be left.
    pub(super) fn note_leftovers(&mut self, cx: &Context<'_>, id: VmId, vm: &Vm) {
        for proof in &vm.proofs {
            let is_former = !vm.holders.contains_key(&proof.host) && proof.epoch < vm.epoch;
            let lives = cx.state.incarnation(proof.host).is_some_and(|life| cx.state.is_admitted(life));
            if is_former && lives {
                let due = cx.now + self.timing.agent_patience;
                let leftover = self.leftovers.0.entry((proof.host, id)).or_insert(Leftover { epoch: proof.epoch, due });
                leftover.epoch = leftover.epoch.max(proof.epoch);
            }
        }
    }

    /// Tells whom it is time to tell.
    pub(super) fn tend_leftovers(&mut self, cx: &Context<'_>, out: &mut Output) {
        let state = cx.state;
        self.leftovers.0.retain(|(host, vm), _| {
            let lives = state.incarnation(*host).is_some_and(|life| state.is_admitted(life));
            lives && state.vms.get(vm).is_some_and(|entry| entry.protected && !entry.holders.contains_key(host))
        });
        let is_settled = |vm: &VmId| state.vms.get(vm).is_some_and(is_settled);
        let due = self.leftovers.0.iter_mut().filter(|((_, vm), leftover)| cx.now >= leftover.due && is_settled(vm));
        let mut told = Vec::new();
        for ((host, vm), leftover) in due.take(AT_ONCE) {
            leftover.due = cx.now + self.timing.call_deadline;
            told.push((*host, *vm, leftover.epoch));
        }
        for (host, vm, epoch) in told {
            self.send_order(cx, vm, host, epoch, OrderKind::Forget, out);
        }
    }
}

/// Whether a VM runs where it is defined. Whoever moved it without its definition wants to find that where it was.
fn is_settled(vm: &Vm) -> bool {
    let runs = |holder: &Holder| holder.role == Role::Running;
    !vm.definition.is_transient && vm.holders.len() == 1 && vm.holders.values().all(runs)
}
