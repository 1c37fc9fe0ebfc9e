//! What the master permits and orders, and what of it is refused (rules 9 and 12).

use super::Agent;
use super::local::LocalVm;
use crate::core::action::{Action, Outcome, PlatformCall};
use crate::core::command::Want;
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::{Exit, Message, Order, OrderKind, Permit, PermitKind};
use crate::core::reason::Refusal;
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::time::Instant;

impl Agent {
    pub(super) fn permitted(&mut self, now: Instant, permit: Permit, actions: &mut Vec<Action>) {
        if !self.accepts(permit.authority, permit.incarnation, actions) {
            return;
        }
        if let Err(refusal) = self.check_permit(now, &permit, actions) {
            return self.refuse(refusal, actions);
        }
        match self.vms.get(&permit.vm).filter(|local| !local.is_gone()) {
            Some(local) if local.epoch >= permit.epoch => {}
            Some(_) if matches!(permit.kind, PermitKind::Start) => self.retag(now, &permit, actions),
            Some(_) => self.refuse(Refusal::IdentityClash, actions),
            // It was given before this host was known to go down: the VM is to find another one at once.
            None if self.shutting_down && !matches!(permit.kind, PermitKind::Hook(_)) => {
                self.settle_gone(now, permit.vm, permit.epoch, Exit::HostShutdown, actions);
            }
            None => match self.kind_of(&permit) {
                PermitKind::Start => self.start_vm(now, &permit, actions),
                PermitKind::Receive => self.expect_arrival(now, &permit, actions),
                PermitKind::Hook(ticket) => self.permit_for_hook(now, &permit, ticket, actions),
            },
        }
    }

    /// What a permit allows. Where a start waits for one it is that start's, also if the master has sent it anew.
    fn kind_of(&self, permit: &Permit) -> PermitKind {
        match self.waiting_for(permit) {
            Some(ticket) => PermitKind::Hook(ticket),
            None => permit.kind,
        }
    }

    /// A permit is worth something only while the heartbeat that it answers is fresh: then it renews the lease too,
    /// and it is dead long before that lease could end.
    fn check_permit(&mut self, now: Instant, permit: &Permit, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let sent = self.heartbeats.sent(permit.sequence).filter(|_| permit.session == self.session);
        let is_fresh = sent.is_some_and(|sent| now.since(sent) <= self.timing.oldest_ack);
        if !is_fresh && !breaks(Sabotage::PermitNeverExpires) {
            return Err(Refusal::PermitExpired);
        }
        if permit.config > self.store.config {
            return Err(Refusal::ConfigBehind);
        }
        let refused = self.store.floors.get(&permit.vm).is_some_and(|floor| permit.epoch <= *floor);
        if refused && !breaks(Sabotage::EpochIgnored) {
            return Err(Refusal::OldEpoch);
        }
        if let Some(sent) = sent {
            self.renew(now, sent, actions);
        }
        if self.lease.holds() || breaks(Sabotage::PermitNeverExpires) { Ok(()) } else { Err(Refusal::LeaseEnded) }
    }

    pub(super) fn ordered(&mut self, now: Instant, order: Order, actions: &mut Vec<Action>) {
        if !self.accepts(order.authority, order.incarnation, actions) {
            return;
        }
        let Order { vm, epoch, .. } = order;
        let local = self.vms.get(&vm).filter(|local| !local.is_gone());
        match order.kind {
            OrderKind::Release => self.release(now, vm, epoch, actions),
            OrderKind::KillClash if local.is_some_and(|local| local.epoch < epoch) => {
                self.kill(now, vm, Exit::Ordered, actions);
            }
            OrderKind::Stop(want) => self.stop(now, vm, epoch, want, actions),
            OrderKind::MoveTo(to) if local.is_some_and(|local| local.epoch == epoch) => {
                self.move_away(vm, to, actions);
            }
            OrderKind::Forget => self.forget(now, vm, epoch, actions),
            OrderKind::CallOff => self.call_off(now, vm, epoch, actions),
            OrderKind::ProbeLock => {
                let ticket = self.call(PlatformCall::ProbeLock { vm }, actions);
                self.probes.insert(ticket, (vm, epoch));
            }
            OrderKind::Account if local.is_some() => self.touch(now, vm),
            OrderKind::Account => {
                self.vms.remove(&vm);
                self.account_for(now, vm, actions);
            }
            OrderKind::KillClash | OrderKind::MoveTo(_) => {}
        }
    }

    fn stop(&mut self, now: Instant, vm: VmId, epoch: Epoch, want: Want, actions: &mut Vec<Action>) {
        match self.vms.get(&vm).filter(|local| !local.is_gone()).map(|local: &LocalVm| local.epoch) {
            Some(local) if local > epoch => self.refuse(Refusal::OldEpoch, actions),
            Some(_) if want == Want::Killed => self.kill(now, vm, Exit::Ordered, actions),
            Some(_) => self.stop_gently(now, vm, actions),
            None => self.release(now, vm, epoch, actions),
        }
    }

    /// Whether this was the answer of a probe of a lock; if the lock is held, the master learns it.
    pub(super) fn lock_probed(&mut self, ticket: Ticket, outcome: Outcome, actions: &mut Vec<Action>) -> bool {
        let Some((vm, epoch)) = self.probes.remove(&ticket) else { return false };
        if let (Outcome::Locked, Some(master)) = (outcome, self.master) {
            let message = Message::LockSeen { incarnation: self.incarnation(), vm, epoch };
            actions.push(Action::Send { to: master, message });
        }
        true
    }
}
