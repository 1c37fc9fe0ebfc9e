//! Live migrations that do not end as they should (rule 14).
//!
//! The two ends of one agree by messages, and any of them may be lost: a daemon that dies in between, or a network that
//! breaks, can leave the source standing still for ever, or have it run on while the target runs too. The log knows better
//! than both: once the target is seen to run, the VM is there, and what is left at the source is not the VM.

use super::{Context, Master, Output};
use crate::core::ids::{Epoch, HostId, Incarnation, VmId};
use crate::core::message::{Exit, OrderKind, Presence};
use crate::core::reason::{Alert, HostState};
use crate::core::state::{Holder, Role, Vm};
use std::time::Duration;

impl Master {
    /// A source could not move a VM, which runs on there: whoever expects it is told that it does not come.
    pub(super) fn call_off_move(
        &mut self,
        cx: &Context<'_>,
        source: Incarnation,
        (id, epoch): (VmId, Epoch),
        out: &mut Output,
    ) {
        let Some(vm) = cx.state.vms.get(&id).filter(|_| cx.state.is_admitted(source)) else { return };
        let is_source = |holder: &Holder| holder.role == Role::Outgoing && holder.epoch == epoch;
        if !vm.holders.get(&source.host).is_some_and(is_source) {
            return;
        }
        for (host, holder) in vm.holders.iter().filter(|(_, holder)| holder.role == Role::Incoming) {
            self.send_order(cx, id, *host, holder.epoch, OrderKind::CallOff, out);
        }
    }

    /// Whether what is expected by live migration will not come any more. If its source said that it was moved, it is there,
    /// and only its host's hypervisor does not say so.
    pub(super) fn has_waited_alone(&self, cx: &Context<'_>, id: VmId, vm: &Vm) -> bool {
        let source = vm.proofs.last().and_then(|proof| self.told(proof.host, id));
        let was_moved = matches!(source, Some(Presence::Gone { exit: Exit::Moved, .. }));
        let since = self.recovery.chases.get(&id).and_then(|chase| chase.sourceless);
        !was_moved && since.is_some_and(|since| cx.now.since(since) > self.timing.call_deadline)
    }

    /// Has what a live migration left behind killed, when its ends have had time to do so themselves.
    pub(super) fn settle_move(&mut self, cx: &Context<'_>, id: VmId, vm: &Vm, out: &mut Output) {
        let is_left = |(host, holder): &(&HostId, &Holder)| self.is_left_behind(id, vm, **host, holder);
        let left: Vec<(HostId, Holder)> =
            vm.holders.iter().filter(is_left).map(|(host, holder)| (*host, *holder)).collect();
        // Where nothing else is left of the VM, its ends have nothing to agree on any more.
        let is_all = matches!(left[..], [(_, Holder { role: Role::Outgoing, .. })] if vm.holders.len() == 1);
        let patience = if is_all { Duration::ZERO } else { self.timing.hook_deadline };
        let Some(chase) = self.recovery.chases.get_mut(&id) else { return };
        if left.is_empty() {
            chase.left_behind = None;
            return;
        }
        if cx.now.since(*chase.left_behind.get_or_insert(cx.now)) < patience {
            return;
        }
        for (host, holder) in left {
            if self.host_state(host) == HostState::Alive && self.told(host, id) == Some(Presence::Running) {
                self.alert(Alert::Clash { vm: id, host }, out);
            }
            self.send_order(cx, id, host, holder.epoch, OrderKind::Release, out);
        }
    }

    /// Whether a host has no more of a VM than what a live migration left behind.
    fn is_left_behind(&self, id: VmId, vm: &Vm, host: HostId, holder: &Holder) -> bool {
        let mut others = vm.holders.iter().filter(|(other, _)| **other != host);
        match holder.role {
            // Nothing of what it was sent to is left, or the VM runs there by that host's own word.
            Role::Outgoing => others.all(|(other, newer)| {
                let runs =
                    self.host_state(*other) == HostState::Alive && self.told(*other, id) == Some(Presence::Running);
                newer.role == Role::Running && newer.epoch > holder.epoch && runs
            }),
            // It has sent away all that the VM was, and nobody waits for it.
            Role::Running | Role::Unaccounted => {
                let waits = |(other, holder): (&HostId, &Holder)| {
                    holder.role == Role::Incoming || self.told(*other, id) == Some(Presence::Incoming)
                };
                self.told(host, id) == Some(Presence::Departed) && !others.any(waits)
            }
            Role::Starting | Role::Incoming => false,
        }
    }

    /// How a VM fares on a host, by that host's last word.
    pub(super) fn told(&self, host: HostId, vm: VmId) -> Option<Presence> {
        self.watched(host).and_then(|watched| watched.reports.condition(vm))
    }
}
