//! The hypervisor's hook: every start of a protected VM asks here first, whoever ordered it (rule 11).

use super::Agent;
use super::local::LocalVm;
use crate::core::action::{Action, Ended};
use crate::core::ids::{ConfigVersion, Epoch, Ticket, VmId};
use crate::core::message::{Coming, Exit, Message, Permit, PermitKind, Wish};
use crate::core::reason::Refusal;
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::Armed;
use crate::core::time::Instant;

/// So many starts may wait for a permit at once.
const WAITING_LIMIT: usize = 64;

/// A start that waits for a permit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) vm: VmId,
    pub(super) deadline: Instant,
    coming: Coming,
    /// Whether the master was asked: not before the log knows that nothing of the VM is left here.
    asked: bool,
}

impl Agent {
    pub(super) fn hook_asks(
        &mut self,
        now: Instant,
        ticket: Ticket,
        (vm, coming, ended): (VmId, Coming, Option<Ended>),
        actions: &mut Vec<Action>,
    ) {
        let known = if coming == Coming::Moved { self.take_expected(now, vm) } else { self.started_under(vm) };
        if let Some(epoch) = known {
            return actions.push(Action::Hook { ticket, answer: Ok(epoch) });
        }
        // Who was never told anything, or has forgotten it with a store that was restored, can not know who is protected.
        if self.store.config == ConfigVersion(0) && self.generation.0 == 0 && !breaks(Sabotage::HookOpen) {
            return self.answer_no(ticket, Refusal::NotAdmitted, actions);
        }
        // Before its first admission in this boot it can not know whether the cluster was armed meanwhile.
        let acts = self.store.armed == Armed::Armed || self.generation.0 == 0;
        let is_protected = self.store.protected.contains_key(&vm) && acts;
        if !is_protected || breaks(Sabotage::HookOpen) {
            self.let_pass(now, vm, actions);
            return actions.push(Action::Hook { ticket, answer: Ok(Epoch::NONE) });
        }
        if let Some(ended) = ended {
            self.hypervisor_has_none(now, vm, ended, actions);
        }
        let here = self.vms.get(&vm).filter(|vm| !vm.is_gone());
        let hears = self.admitted && self.master.is_some();
        let refusal = match here {
            None if hears && self.hooks.len() < WAITING_LIMIT => {
                let deadline = now + self.timing.hook_deadline;
                self.hooks.insert(ticket, Waiting { vm, deadline, coming, asked: false });
                return self.send_wishes(actions);
            }
            None => Refusal::NotAdmitted,
            Some(vm) if vm.is_coming_up() => Refusal::PermitExpired,
            Some(_) => Refusal::IdentityClash,
        };
        self.answer_no(ticket, refusal, actions);
    }

    /// What a former master was asked may have been lost with it.
    pub(super) fn ask_anew(&mut self) {
        for waiting in self.hooks.values_mut() {
            waiting.asked = false;
        }
    }

    /// Asks for permits. As long as the log takes a VM for one that is here, it would refuse another start of it.
    pub(super) fn send_wishes(&mut self, actions: &mut Vec<Action>) {
        let Some(master) = self.master else { return };
        let incarnation = self.incarnation();
        let is_let_go = |vm: &VmId| self.vms.get(vm).is_none_or(|local| self.reports.has_let_go(local));
        for (ticket, waiting) in self.hooks.iter_mut().filter(|(_, waiting)| !waiting.asked) {
            if is_let_go(&waiting.vm) {
                waiting.asked = true;
                let wish = Wish { incarnation, ticket: *ticket, vm: waiting.vm, coming: waiting.coming };
                actions.push(Action::Send { to: master, message: Message::Wish(wish) });
            }
        }
    }

    /// Where the cluster only observes, people start what they want; but what is on its way up must be known by the
    /// time that it acts again.
    fn let_pass(&mut self, now: Instant, vm: VmId, actions: &mut Vec<Action>) {
        if !self.store.protected.contains_key(&vm) {
            return;
        }
        let epoch = self.store.floors.get(&vm).copied().unwrap_or_default();
        let looked = self.looks.begun;
        match self.vms.get_mut(&vm).filter(|local| !local.is_gone()) {
            Some(local) => local.let_another_in(looked),
            None => {
                self.store.journal.insert(vm, epoch);
                self.save(actions);
                self.vms.insert(vm, LocalVm::let_in(epoch, now, looked));
            }
        }
        self.touch(now, vm);
        self.look(now, actions);
    }

    fn answer_no(&self, ticket: Ticket, refusal: Refusal, actions: &mut Vec<Action>) {
        self.refuse(refusal, actions);
        actions.push(Action::Hook { ticket, answer: Err(refusal) });
    }

    pub(super) fn wish_refused(&mut self, ticket: Ticket, refusal: Refusal, actions: &mut Vec<Action>) {
        if self.hooks.remove(&ticket).is_some() {
            self.answer_no(ticket, refusal, actions);
        }
    }

    pub(super) fn give_up_hooks(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let late: Vec<Ticket> =
            self.hooks.iter().filter(|(_, waiting)| now >= waiting.deadline).map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            self.wish_refused(ticket, Refusal::NoPermit, actions);
        }
    }

    /// The start that waits for such a permit, if one does and its question is with the master.
    pub(super) fn waiting_for(&self, permit: &Permit) -> Option<Ticket> {
        // Only the master knows whether a saved state is still good, so what goes on from one waits for its own permit.
        let coming = match permit.kind {
            PermitKind::Start => Coming::Started,
            PermitKind::Receive => Coming::Moved,
            PermitKind::Hook(_) => return None,
        };
        let fits = |waiting: &Waiting| waiting.asked && waiting.vm == permit.vm && waiting.coming == coming;
        self.hooks.iter().find(|(_, waiting)| fits(waiting)).map(|(ticket, _)| *ticket)
    }

    /// A permit that answers the hook's question. If nobody waits any more, the epoch is refused for ever, so that
    /// the master learns that nothing came of it.
    pub(super) fn permit_for_hook(&mut self, now: Instant, permit: &Permit, ticket: Ticket, actions: &mut Vec<Action>) {
        match self.hooks.get(&ticket).filter(|waiting| waiting.vm == permit.vm).copied() {
            Some(_) => {
                self.hooks.remove(&ticket);
                self.take_on(permit, LocalVm::let_in(permit.epoch, now, self.looks.begun), actions);
                self.touch(now, permit.vm);
                actions.push(Action::Hook { ticket, answer: Ok(permit.epoch) });
            }
            _ if self.vms.get(&permit.vm).is_some_and(|vm| !vm.is_gone() && vm.epoch >= permit.epoch) => {}
            _ => self.settle_gone(now, permit.vm, permit.epoch, Exit::NeverStarted, actions),
        }
    }

    /// A permit to let in a live migration, which asks the hook when it arrives.
    pub(super) fn expect_arrival(&mut self, now: Instant, permit: &Permit, actions: &mut Vec<Action>) {
        debug_assert_eq!(permit.kind, PermitKind::Receive);
        let deadline = now + self.timing.hook_deadline * 2;
        self.take_on(permit, LocalVm::expected(permit.epoch, deadline), actions);
        self.touch(now, permit.vm);
    }

    /// The epoch of a start that this agent has ordered, and that is still its to order. One that comes up late, after
    /// its lease ended or after the call was given up, is let pass no more.
    fn started_under(&self, vm: VmId) -> Option<Epoch> {
        let may_start = self.admitted && self.lease.holds();
        self.vms.get(&vm).filter(|_| may_start)?.started_under()
    }

    fn take_expected(&mut self, now: Instant, vm: VmId) -> Option<Epoch> {
        let looked = self.looks.begun;
        let epoch = self.vms.get_mut(&vm)?.arrive(now, looked)?;
        self.touch(now, vm);
        Some(epoch)
    }
}
