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
#[derive(Debug)]
pub(super) struct Leftovers {
    all: BTreeMap<(HostId, VmId), Leftover>,
    /// No host is told before.
    next: Instant,
}

impl Default for Leftovers {
    fn default() -> Leftovers {
        Leftovers { all: BTreeMap::new(), next: Instant::NEVER }
    }
}

#[derive(Debug, Clone, Copy)]
struct Leftover {
    /// The newest right under which the VM was there.
    epoch: Epoch,
    /// When the host is told; never: it knows. Where the VM is now, its definition is to be known first.
    due: Instant,
}

impl Leftovers {
    /// A host has forgotten what it had under this right.
    pub(super) fn forgotten(&mut self, host: HostId, vm: VmId, epoch: Epoch) {
        if let Some(leftover) = self.all.get_mut(&(host, vm)).filter(|leftover| leftover.epoch <= epoch) {
            leftover.due = Instant::NEVER;
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
                let fresh = Leftover { epoch: proof.epoch, due };
                let known = self.leftovers.all.entry((proof.host, id)).or_insert(fresh);
                if known.epoch < proof.epoch {
                    *known = fresh;
                }
                self.leftovers.next = self.leftovers.next.min(known.due);
            }
        }
    }

    /// Tells whom it is time to tell.
    pub(super) fn tend_leftovers(&mut self, cx: &Context<'_>, out: &mut Output) {
        if cx.now < self.leftovers.next {
            return;
        }
        let (state, later, again) = (cx.state, self.timing.agent_patience, self.timing.call_deadline);
        let mut told = Vec::new();
        self.leftovers.all.retain(|(host, vm), leftover| {
            let lives = state.incarnation(*host).is_some_and(|life| state.is_admitted(life));
            let entry = state.vms.get(vm).filter(|entry| entry.protected && !entry.holders.contains_key(host));
            let Some(entry) = entry.filter(|_| lives) else { return false };
            if cx.now >= leftover.due && told.len() < AT_ONCE {
                leftover.due = cx.now + if is_settled(entry) { again } else { later };
                told.extend(is_settled(entry).then_some((*host, *vm, leftover.epoch)));
            }
            true
        });
        self.leftovers.next = self.leftovers.all.values().map(|leftover| leftover.due).min().unwrap_or(Instant::NEVER);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::Action;
    use crate::core::master::tests::{VM, master, state};
    use crate::core::message::{Message, Order};
    use crate::core::state::ClusterState;
    use std::time::Duration;

    const FORMER: HostId = HostId(1);

    /// Whether the former host is told to forget, so long after the VM came to rest elsewhere.
    fn is_told(master: &mut Master, state: &ClusterState, seconds: u64) -> bool {
        let (ears, mut out) = (Default::default(), Output::default());
        let now = Instant::ZERO + Duration::from_secs(seconds);
        master.tend_leftovers(&Context { now, state, ears: &ears, quorum: None }, &mut out);
        let forgets = |action: &Action| {
            let Action::Send { message: Message::Order(Order { incarnation, vm, kind, .. }), .. } = action else {
                return false;
            };
            (incarnation.host, *vm, *kind) == (FORMER, VM, OrderKind::Forget)
        };
        out.actions.iter().any(forgets)
    }

    fn noted(state: &ClusterState) -> Master {
        let ears = Default::default();
        let cx = Context { now: Instant::ZERO, state, ears: &ears, quorum: None };
        let mut master = master(&cx);
        master.note_leftovers(&cx, VM, &state.vms[&VM]);
        master
    }

    #[test]
    fn a_host_that_a_vm_has_left_is_told_until_it_knows() {
        let state = state();
        let mut master = noted(&state);
        assert!(!is_told(&mut master, &state, 1), "its definition is to be known first");
        assert!(
            is_told(&mut master, &state, 11) && !is_told(&mut master, &state, 12) && is_told(&mut master, &state, 30)
        );
        master.leftovers.forgotten(FORMER, VM, state.vms[&VM].proofs[0].epoch);
        assert!(!is_told(&mut master, &state, 99));
    }

    #[test]
    fn who_has_the_only_definition_keeps_it() {
        let mut state = state();
        state.vms.get_mut(&VM).unwrap().definition.is_transient = true;
        let mut master = noted(&state);
        assert!(!is_told(&mut master, &state, 11));
        state.vms.get_mut(&VM).unwrap().definition.is_transient = false;
        assert!(is_told(&mut master, &state, 30));
    }
}
