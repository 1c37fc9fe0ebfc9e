//! What runs on the host, as far as the agent knows, and how it comes to know.
//!
//! Only a look settles anything: it reads the process table, which does not lie, and asks the daemon what it has
//! under way. "Gone" is said when the call that could start the VM has returned, no such work is left, and a look that
//! began after that shows no process (rules 6, 12 and 13).

use super::Agent;
use super::local::{LocalPresence, LocalVm};
use crate::core::action::{Action, Ended, Outcome, PlatformCall, ProcessState, View};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::{Exit, Permit};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// The looks of this run: one at a time.
#[derive(Debug)]
pub(super) struct Looks {
    /// The number of the last one begun.
    pub(super) begun: u64,
    under_way: Option<(Ticket, Instant)>,
    /// Whether another is wanted as soon as this one returns.
    again: bool,
    next: Instant,
    seen: bool,
    /// When the last one was begun that has returned.
    as_of: Instant,
}

impl Looks {
    pub(super) fn starting(now: Instant) -> Looks {
        Looks { begun: 0, under_way: None, again: false, next: now, seen: false, as_of: now }
    }

    /// Whether one is under way that began when a VM was still here, which is gone by now.
    pub(super) fn may_show_what_was(&self, local: &LocalVm) -> bool {
        self.under_way.is_some() && self.begun <= local.settle_after
    }

    /// Since when what is noticed to be gone is gone: at once, unless nobody could look for a while. Then, since it was last
    /// looked for.
    fn noticed(&self, now: Instant, interval: Duration) -> Instant {
        if now.since(self.as_of) > interval * 3 / 2 { self.as_of } else { now }
    }

    /// Whether one has returned in this run.
    pub(super) fn has_seen(&self) -> bool {
        self.seen
    }
}

impl Agent {
    /// What an earlier run of the agent held, or had ordered, is unknown until it is looked at.
    pub(super) fn remember_journal(&mut self, now: Instant) {
        for (vm, epoch) in self.store.journal.clone() {
            let local = LocalVm { in_flight: true, ..LocalVm::new(epoch, LocalPresence::Unknown, now) };
            self.vms.insert(vm, local);
            // That it does not know is news, too: as long as the daemon hangs, nobody will.
            self.touch(now, vm);
        }
    }

    /// A VM has come under protection: the master waits to hear whether it is here.
    pub(super) fn account_for(&mut self, now: Instant, vm: VmId, actions: &mut Vec<Action>) {
        let before = self.vms.get(&vm).map(|local| local.presence);
        let exit = match before {
            // It may have been started since by somebody who had not to ask.
            Some(LocalPresence::Gone { exit, .. }) => Some(exit),
            Some(_) => return,
            None => None,
        };
        let known = self.store.journal.get(&vm).max(self.store.floors.get(&vm));
        let epoch = known.copied().unwrap_or_default();
        let local = LocalVm {
            in_flight: true,
            accounting: true,
            exit,
            settle_after: self.looks.begun,
            ..LocalVm::new(epoch, LocalPresence::Unknown, now)
        };
        // Nothing is reported before it is known; what is known by now is not told as known until then either.
        self.vms.insert(vm, local);
        self.look(now, actions);
    }

    pub(super) fn account_for_all(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for vm in self.store.protected.keys().copied().collect::<Vec<_>>() {
            self.account_for(now, vm, actions);
        }
    }

    /// Whether it is known of every protected VM if it is here.
    pub(super) fn has_accounted(&self) -> bool {
        !self.vms.values().any(|local| local.accounting)
    }

    pub(super) fn look(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let hangs = self.looks.under_way.is_some_and(|(_, began)| now.since(began) > self.timing.call_deadline);
        if self.looks.under_way.is_some() && !hangs {
            self.looks.again = true;
            return;
        }
        self.looks.begun += 1;
        self.looks.again = false;
        self.looks.next = now + self.timing.look_interval;
        let ticket = self.call(PlatformCall::Look, actions);
        self.looks.under_way = Some((ticket, now));
    }

    pub(super) fn look_if_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if now >= self.looks.next {
            self.looks.next = now + self.timing.look_interval;
            self.look(now, actions);
        }
    }

    pub(super) fn next_look(&self) -> Instant {
        self.looks.next
    }

    pub(super) fn looked(&mut self, now: Instant, ticket: Ticket, view: View, actions: &mut Vec<Action>) {
        let Some((_, began)) = self.looks.under_way.take_if(|(expected, _)| *expected == ticket) else { return };
        self.looks.seen = true;
        let number = self.looks.begun;
        self.note_platform(now, &view);
        for process in &view.processes {
            if self.vms.get(&process.vm).is_some_and(|local| local.is_gone() && number <= local.settle_after) {
                continue;
            }
            self.process_seen(now, process.vm, process.state, actions);
        }
        let absent: Vec<VmId> = self
            .vms
            .iter()
            .filter(|(vm, local)| !local.is_gone() && !view.processes.iter().any(|process| process.vm == **vm))
            .map(|(vm, _)| *vm)
            .collect();
        for vm in absent {
            self.not_seen(now, vm, number, &view, actions);
        }
        self.looks.as_of = began;
        if view.daemon {
            self.remove_stale(&view, actions);
        }
        if self.looks.again {
            self.look(now, actions);
        } else if self.vms.values().any(LocalVm::is_unsettled) {
            self.looks.next = self.looks.next.min(now + self.timing.look_again);
        }
    }

    /// Keeps what the master places by: strangers, and whether the daemon answers.
    fn note_platform(&mut self, now: Instant, view: &View) {
        let seen = view.processes.iter().map(|process| process.vm);
        let strangers: Vec<VmId> = seen.filter(|vm| !self.store.protected.contains_key(vm)).collect();
        if strangers != self.reports.strangers || view.daemon != self.reports.hypervisor {
            self.reports.strangers = strangers;
            self.reports.hypervisor = view.daemon;
            self.next_report(now);
        }
    }

    fn process_seen(&mut self, now: Instant, vm: VmId, state: ProcessState, actions: &mut Vec<Action>) {
        if !self.store.protected.contains_key(&vm) {
            return;
        }
        let floor = self.store.floors.get(&vm).copied().unwrap_or_default();
        let known = self.vms.contains_key(&vm);
        let local = self.vms.entry(vm).or_insert_with(|| LocalVm::new(floor, LocalPresence::Unknown, now));
        if std::mem::take(&mut local.accounting) {
            // It is kept for what is not here: how an earlier one ended is not how this one will.
            local.exit = None;
        }
        local.absent_since = None;
        let presence = match state {
            ProcessState::Dying => LocalPresence::Stopping,
            _ if local.killing => LocalPresence::Stopping,
            ProcessState::Incoming => LocalPresence::Incoming,
            ProcessState::Departed if !breaks(Sabotage::DepartedRuns) => LocalPresence::Departed,
            ProcessState::Departed | ProcessState::Executing => LocalPresence::Running,
        };
        if local.killing && state != ProcessState::Dying {
            actions.push(Action::Kill(vm));
        }
        let epoch = local.epoch;
        if let std::collections::btree_map::Entry::Vacant(entry) = self.store.journal.entry(vm) {
            // It is held from now on, however it came here: a later run of the agent must know.
            entry.insert(epoch);
            actions.push(Action::Save(Box::new(self.store.clone())));
        }
        let Some(local) = self.vms.get_mut(&vm) else { return };
        if state == ProcessState::Executing {
            local.note_running(now);
        }
        if state == ProcessState::Executing && local.call.is_none() {
            local.in_flight = false;
            // A start of ours that came to nothing, because somebody else's was quicker, is not how this one will end.
            local.exit = local.exit.filter(|exit| !matches!(exit, Exit::StartFailed | Exit::Locked));
        }
        if local.presence != presence || !known {
            local.presence = presence;
            self.touch(now, vm);
        }
    }

    fn not_seen(&mut self, now: Instant, vm: VmId, number: u64, view: &View, actions: &mut Vec<Action>) {
        let deadline = self.timing.call_deadline;
        let Some(local) = self.vms.get_mut(&vm) else { return };
        if !local.is_settled_by(number, view, vm, now) {
            let late = local.presence == LocalPresence::Starting && now.since(local.since) > deadline;
            if late && !local.accounting {
                local.presence = LocalPresence::Unknown;
                self.touch(now, vm);
            }
            return;
        }
        // The hypervisor is not done with its end, and only it knows whether that was a person's wish: on a loaded host
        // that takes seconds. It is in doubt soon, and a VM that crashed does not wait for a daemon for ever.
        let is_told = local.exit.is_some() || local.killing || self.shutting_down;
        if !is_told && view.daemon && view.busy.contains(&vm) {
            let waited = now.since(*local.absent_since.get_or_insert(now));
            if waited < deadline {
                self.looks.next = self.looks.next.min(now + self.timing.look_again);
                if waited >= self.timing.hook_deadline && local.presence != LocalPresence::Unknown {
                    local.presence = LocalPresence::Unknown;
                    self.touch(now, vm);
                }
                return;
            }
        }
        let ended = view.inactive.iter().find(|(id, _)| *id == vm).map_or(Ended::Unknown, |(_, ended)| *ended);
        self.has_ended(now, vm, ended, actions);
    }

    /// The hypervisor is about to bring up another process of a VM, and nothing is left of the one before. What was
    /// looked for before this moment may still show that one.
    pub(super) fn hypervisor_has_none(&mut self, now: Instant, vm: VmId, ended: Ended, actions: &mut Vec<Action>) {
        if self.vms.get(&vm).is_some_and(LocalVm::is_only_a_process) {
            self.has_ended(now, vm, ended, actions);
            if let Some(local) = self.vms.get_mut(&vm) {
                local.settle_after = self.looks.begun;
            }
        }
    }

    /// Nothing of a VM is left here, and the hypervisor says how it ended.
    fn has_ended(&mut self, now: Instant, vm: VmId, ended: Ended, actions: &mut Vec<Action>) {
        let Some(local) = self.vms.get(&vm) else { return };
        let failed_start = local.in_flight && !local.accounting;
        let asked_lately = local.killing || now.since(local.asked) <= self.timing.resend * 8;
        let told = local.exit.filter(|exit| match exit {
            // A stop that was taken back is no order any more.
            Exit::Ordered => asked_lately,
            _ => !self.shutting_down,
        });
        let exit = told.unwrap_or(match ended {
            _ if self.shutting_down => Exit::HostShutdown,
            Ended::GuestPoweroff | Ended::Destroyed => Exit::ByPerson,
            Ended::Crashed | Ended::Unknown if local.has_just_come_up(now, self.timing.steady) => Exit::CrashedSoon,
            Ended::Crashed => Exit::Crashed,
            Ended::Moved => Exit::Moved,
            Ended::Unknown if failed_start => Exit::StartFailed,
            Ended::Unknown => Exit::NotFound,
        });
        let epoch = local.epoch;
        self.settle_gone(now, vm, epoch, exit, actions);
    }

    /// Refuses every epoch up to this one for ever, and says so.
    pub(super) fn settle_gone(&mut self, now: Instant, vm: VmId, epoch: Epoch, exit: Exit, actions: &mut Vec<Action>) {
        let floor = self.store.floors.entry(vm).or_default();
        *floor = (*floor).max(epoch);
        let refuses = *floor;
        self.store.journal.remove(&vm);
        self.save(actions);
        let since = self.looks.noticed(now, self.timing.look_interval);
        let local = LocalVm::new(refuses, LocalPresence::Gone { refuses, exit }, since);
        self.vms.insert(vm, local);
        self.touch(now, vm);
    }

    /// Writes down that a VM may run here from now on, and how it is treated, before anything is done about it.
    pub(super) fn take_on(&mut self, permit: &Permit, local: LocalVm, actions: &mut Vec<Action>) {
        self.store.journal.insert(permit.vm, permit.epoch);
        self.store.protected.insert(permit.vm, permit.known);
        self.save(actions);
        self.vms.insert(permit.vm, local);
    }

    /// Starts a VM under a permit that was found good.
    pub(super) fn start_vm(&mut self, now: Instant, permit: &Permit, actions: &mut Vec<Action>) {
        let (vm, epoch) = (permit.vm, permit.epoch);
        let mut local = LocalVm { in_flight: true, ..LocalVm::new(epoch, LocalPresence::Starting, now) };
        let call = PlatformCall::Start { vm, epoch };
        let ticket = self.ticket();
        local.call = Some((ticket, call));
        self.take_on(permit, local, actions);
        if !permit.payload.is_empty() {
            self.definitions.forget(vm);
            actions.push(Action::Define { vm, payload: Arc::clone(&permit.payload) });
        }
        actions.push(Action::Platform { ticket, call });
        self.touch(now, vm);
    }

    pub(super) fn call_returned(&mut self, now: Instant, ticket: Ticket, outcome: Outcome, actions: &mut Vec<Action>) {
        if self.lock_probed(ticket, outcome, actions) {
            return;
        }
        let found = self.vms.iter_mut().find(|(_, local)| local.call.is_some_and(|(call, _)| call == ticket));
        let Some((vm, local)) = found else { return };
        let vm = *vm;
        let call = local.call.take().map(|(_, call)| call);
        local.settle_after = self.looks.begun;
        match call {
            Some(PlatformCall::Start { .. }) => self.start_returned(now, vm, outcome, actions),
            Some(PlatformCall::Move { .. }) => self.move_returned(vm, outcome, actions),
            _ => {}
        }
        self.look(now, actions);
    }

    fn start_returned(&mut self, now: Instant, vm: VmId, outcome: Outcome, actions: &mut Vec<Action>) {
        let Some(local) = self.vms.get_mut(&vm) else { return };
        match outcome {
            Outcome::Done if local.killing => actions.push(Action::Kill(vm)),
            Outcome::Done => {
                local.note_running(now);
                local.in_flight = false;
                local.presence = LocalPresence::Running;
                self.touch(now, vm);
            }
            Outcome::Failed | Outcome::Refused => local.exit = local.exit.or(Some(Exit::StartFailed)),
            Outcome::Locked => local.exit = local.exit.or(Some(Exit::Locked)),
            Outcome::TimedOut | Outcome::ConnectionLost if breaks(Sabotage::TimeoutIsFailure) => {
                let epoch = local.epoch;
                self.settle_gone(now, vm, epoch, Exit::StartFailed, actions);
            }
            Outcome::TimedOut | Outcome::ConnectionLost => {
                local.presence = LocalPresence::Unknown;
                self.touch(now, vm);
            }
        }
    }

    /// The log gives this host a newer right to a VM that already runs here: it runs under that one from now on.
    pub(super) fn retag(&mut self, now: Instant, permit: &Permit, actions: &mut Vec<Action>) {
        self.store.journal.insert(permit.vm, permit.epoch);
        self.save(actions);
        if let Some(local) = self.vms.get_mut(&permit.vm) {
            local.epoch = permit.epoch;
        }
        self.touch(now, permit.vm);
    }

    /// A VM's condition has changed: there is something to report.
    pub(super) fn touch(&mut self, now: Instant, vm: VmId) {
        let version = self.next_report(now);
        if let Some(local) = self.vms.get_mut(&vm) {
            local.changed = version;
            if local.presence == LocalPresence::Running {
                self.is_to_be_described(vm);
            }
        }
    }
}

#[cfg(test)]
mod tests;
