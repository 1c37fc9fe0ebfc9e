//! What the agent does to a VM that is here: kill it, let it go, stop it, move it.

use super::Agent;
use super::local::LocalPresence;
use crate::core::action::{Action, Outcome, PlatformCall};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::{Exit, Message};
use crate::core::reason::Refusal;
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::time::Instant;

impl Agent {
    /// Kills a VM, now and whenever a process of it still comes up.
    pub(super) fn kill(&mut self, now: Instant, vm: VmId, exit: Exit, actions: &mut Vec<Action>) {
        let Some(local) = self.vms.get_mut(&vm).filter(|local| !local.is_gone()) else { return };
        if local.killing {
            return;
        }
        local.killing = true;
        local.exit = Some(exit);
        local.expected_until = None;
        local.presence = LocalPresence::Stopping;
        local.settle_after = self.looks.begun;
        let epoch = local.epoch;
        actions.push(Action::Kill(vm));
        self.touch(now, vm);
        if breaks(Sabotage::KilledIsGone) {
            return self.settle_gone(now, vm, epoch, exit, actions);
        }
        self.look(now, actions);
    }

    /// Lets go of a VM up to an epoch. What waits in the daemon can not be called back, so that is waited for.
    pub(super) fn release(&mut self, now: Instant, vm: VmId, epoch: Epoch, actions: &mut Vec<Action>) {
        match self.vms.get(&vm).filter(|local| !local.is_gone()) {
            Some(local) if local.epoch > epoch => self.refuse(Refusal::OldEpoch, actions),
            Some(_) => self.kill(now, vm, Exit::Ordered, actions),
            None if self.store.floors.get(&vm).is_none_or(|floor| *floor < epoch) => {
                self.settle_gone(now, vm, epoch, Exit::NeverStarted, actions);
            }
            None => {}
        }
    }

    /// Stops a VM by asking the guest, and kills one that does not listen for too long.
    pub(super) fn stop_gently(&mut self, now: Instant, vm: VmId, actions: &mut Vec<Action>) {
        let patience = self.timing.stop_patience;
        let Some(local) = self.vms.get_mut(&vm) else { return };
        let asked = local.exit == Some(Exit::Ordered) && now.since(local.asked) <= self.timing.resend * 8;
        local.asked = now;
        if asked && now.since(local.since) > patience {
            self.kill(now, vm, Exit::Ordered, actions);
        } else if !asked && local.call.is_none_or(|(_, call)| !matches!(call, PlatformCall::Start { .. })) {
            local.exit = Some(Exit::Ordered);
            local.since = now;
            let call = PlatformCall::Stop { vm, want: crate::core::command::Want::Stopped };
            let ticket = self.call(call, actions);
            self.remember_call(vm, ticket, call);
        }
    }

    /// Moves a VM alive, once.
    pub(super) fn move_away(&mut self, vm: VmId, to: crate::core::ids::HostId, actions: &mut Vec<Action>) {
        let movable = self
            .vms
            .get(&vm)
            .is_some_and(|local| local.call.is_none() && local.presence == LocalPresence::Running && !local.killing);
        if movable {
            let call = PlatformCall::Move { vm, to };
            let ticket = self.call(call, actions);
            self.remember_call(vm, ticket, call);
        }
    }

    /// What was not moved is not to be expected at the other end any longer.
    pub(super) fn move_returned(&mut self, vm: VmId, outcome: Outcome, actions: &mut Vec<Action>) {
        let has_failed = matches!(outcome, Outcome::Failed | Outcome::Refused);
        let local = self.vms.get(&vm).filter(|local| has_failed && local.presence == LocalPresence::Running);
        if let (Some(local), Some(master)) = (local, self.master) {
            let message = Message::MoveFailed { incarnation: self.incarnation(), vm, epoch: local.epoch };
            actions.push(Action::Send { to: master, message });
        }
    }

    /// A live migration that has not begun to arrive does not come any more. One that has is seen to its end, and so is
    /// one that a person has begun and that waits at the hook: while it is under way, no other one can begin.
    pub(super) fn call_off(&mut self, now: Instant, vm: VmId, epoch: Epoch, actions: &mut Vec<Action>) {
        let expected = self.vms.get(&vm).is_some_and(|local| local.is_only_expected() && local.epoch == epoch);
        if expected && !self.hooks.values().any(|waiting| waiting.vm == vm) {
            self.settle_gone(now, vm, epoch, Exit::NeverStarted, actions);
        }
    }

    fn remember_call(&mut self, vm: VmId, ticket: Ticket, call: PlatformCall) {
        if let Some(local) = self.vms.get_mut(&vm) {
            local.call = Some((ticket, call));
        }
    }
}
