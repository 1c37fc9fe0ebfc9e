//! Calls to a hypervisor's daemon: how long each takes, and how it ends.

use crate::core::action::{Ended, Event, Outcome, PlatformCall, PlatformEvent, ProcessState};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::node::NodeEvent;
use crate::sim::world::fact::Fact;
use crate::sim::world::machine::{Call, CallKind, Daemon};
use crate::sim::world::migration::End;
use crate::sim::world::people::Asker;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::time::Duration;

/// A call that can not go on looks this often whether it can.
const STUCK_POLL: u64 = 200_000;
/// Looking, and trying a lock, take this long.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));
/// A start that was reported as timed out happens so much later.
const LATE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));
/// Of a hundred guests that are asked to stop, so many do not heed it.
const DEAF_GUESTS: u32 = 5;

impl World {
    /// An agent calls its hypervisor.
    pub(super) fn call_hypervisor(&mut self, machine: usize, ticket: Ticket, call: PlatformCall) {
        let target = &self.machines[machine];
        if let PlatformCall::Start { vm, epoch } = call {
            let floor = target.agent.store.floors.get(&vm).copied().unwrap_or(Epoch::NONE);
            self.facts.push(Fact::StartCalled { vm, host: target.host, epoch, floor });
        }
        let answer = Some((target.agent.session, ticket));
        if matches!(target.hypervisor.daemon, Daemon::Restarts(_)) && call != PlatformCall::Look {
            self.answer_call(machine, answer, Outcome::ConnectionLost);
            return;
        }
        match (call, CallKind::of(&call)) {
            (_, Some((vm, kind))) => self.begin_call(machine, vm, kind, answer),
            (PlatformCall::Move { vm, to }, None) => self.begin_move(machine, vm, to, End::Agreed, answer),
            _ => {}
        }
    }

    /// Puts a call under way.
    pub(super) fn begin_call(&mut self, machine: usize, vm: VmId, kind: CallKind, answer: Option<(u64, Ticket)>) {
        let kind = match kind {
            CallKind::StopGraceful if self.chance.hypervisor.chance(DEAF_GUESTS) => CallKind::StopIgnored,
            kind => kind,
        };
        let nature = &self.spec.nature;
        let bounds = match kind {
            CallKind::Start(_) => nature.start,
            CallKind::LateQueued(_) | CallKind::LateStart(_) => LATE,
            CallKind::StopGraceful => nature.stop,
            CallKind::StopIgnored => (self.timing.call_deadline, self.timing.call_deadline),
            CallKind::StopKilled | CallKind::Destroy => nature.kill,
            _ => LOOK,
        };
        let mut takes = self.chance.hypervisor.micros_between(bounds);
        let target = &mut self.machines[machine];
        let (slowness, until) = target.hypervisor.slow_starts;
        if matches!(kind, CallKind::Start(_)) && until > self.now {
            takes = micros(slowness);
        }
        let life = target.life;
        let id = self.number();
        // What is seen may be as old as the look, or as young as its end.
        let at_once = kind == CallKind::Look && self.chance.hypervisor.chance(50);
        let seen = at_once.then(|| self.view(machine));
        self.machines[machine].hypervisor.calls.push(Call { id, vm, kind, answer, seen });
        if !matches!(kind, CallKind::Move(_)) {
            self.after(takes, Occurrence::Call { machine, life, call: id });
        }
    }

    /// A call has taken its time.
    pub(super) fn call_due(&mut self, machine: usize, life: u32, id: u64) {
        let again = Occurrence::Call { machine, life, call: id };
        if self.is_void_or_held(machine, life, again.clone()) {
            return;
        }
        let hypervisor = &mut self.machines[machine].hypervisor;
        let Some(place) = hypervisor.calls.iter().position(|call| call.id == id) else { return };
        let kind = hypervisor.calls[place].kind;
        if matches!(hypervisor.daemon, Daemon::Hangs(_)) && !matches!(kind, CallKind::Look | CallKind::Answer(_)) {
            self.after(STUCK_POLL, again);
            return;
        }
        let vm = hypervisor.calls[place].vm;
        if matches!(kind, CallKind::Start(_) | CallKind::LateStart(_)) && self.start_is_stuck(machine, vm) {
            self.after(STUCK_POLL, again);
            return;
        }
        let call = self.machines[machine].hypervisor.calls.remove(place);
        if let Some(outcome) = self.finish_call(machine, &call) {
            self.answer_call(machine, call.answer, outcome);
        }
    }

    /// A start that touches a hanging datastore fails, or hangs with it.
    fn start_is_stuck(&mut self, machine: usize, vm: VmId) -> bool {
        self.hanging_datastore(machine, vm).is_some() && self.chance.hypervisor.chance(90)
    }

    fn finish_call(&mut self, machine: usize, call: &Call) -> Option<Outcome> {
        let vm = call.vm;
        match call.kind {
            CallKind::Queued(epoch) => {
                if self.chance.hypervisor.chance(50) && self.times_out(machine) {
                    self.begin_call(machine, vm, CallKind::LateQueued(epoch), None);
                    return Some(Outcome::TimedOut);
                }
                self.ask_hook(machine, vm, Asker::Own { epoch, answer: call.answer });
                None
            }
            CallKind::LateQueued(epoch) => {
                self.ask_hook(machine, vm, Asker::Own { epoch, answer: None });
                None
            }
            CallKind::Start(epoch) if call.answer.is_some() && self.times_out(machine) => {
                self.begin_call(machine, vm, CallKind::LateStart(epoch), None);
                Some(Outcome::TimedOut)
            }
            CallKind::Start(epoch) => Some(self.finish_start(machine, vm, epoch)),
            CallKind::LateStart(epoch) => {
                self.finish_start(machine, vm, epoch);
                None
            }
            CallKind::StopGraceful => Some(self.finish_stop(machine, vm, Ended::GuestPoweroff, "stopped")),
            CallKind::StopIgnored => Some(Outcome::TimedOut),
            CallKind::StopKilled => Some(self.finish_kill(machine, vm)),
            CallKind::Destroy => Some(self.finish_stop(machine, vm, Ended::Destroyed, "stopped-by-person")),
            CallKind::Undefine => {
                let hypervisor = &mut self.machines[machine].hypervisor;
                if hypervisor.processes.contains_key(&vm) {
                    return Some(Outcome::Failed);
                }
                hypervisor.definitions.remove(&vm);
                self.machines[machine].agent.described.remove(&vm);
                Some(Outcome::Done)
            }
            CallKind::ProbeLock => Some(match self.is_locked_elsewhere(machine, vm) {
                true => Outcome::Locked,
                false => Outcome::Done,
            }),
            CallKind::Look => {
                let (session, ticket) = call.answer?;
                let view = call.seen.clone().unwrap_or_else(|| self.view(machine));
                let event = Event::Platform(PlatformEvent::Looked { ticket, view });
                self.deliver_to(machine, session, NodeEvent::Core(event));
                None
            }
            CallKind::Answer(outcome) => Some(outcome),
            CallKind::Move(_) => None,
        }
    }

    /// Whether a start is to be reported as timed out, which counts as one that was.
    fn times_out(&mut self, machine: usize) -> bool {
        let left = &mut self.machines[machine].hypervisor.timed_out_starts;
        let does = *left > 0;
        *left = left.saturating_sub(1);
        does
    }

    fn finish_start(&mut self, machine: usize, vm: VmId, epoch: Option<Epoch>) -> Outcome {
        if let Some(left) = self.failing_starts.get_mut(&vm).filter(|left| **left > 0) {
            *left -= 1;
            return Outcome::Failed;
        }
        if let Err(outcome) = self.may_start(machine, vm) {
            return outcome;
        }
        self.begin_process(machine, vm, epoch, ProcessState::Executing);
        Outcome::Done
    }

    /// Whether a process of the VM can come up here, by what the hypervisor and storage check by themselves.
    pub(super) fn may_start(&self, machine: usize, vm: VmId) -> Result<(), Outcome> {
        let target = &self.machines[machine];
        let all = self.datastores_of(vm);
        let errs =
            |id| self.datastore_places.get(id).is_none_or(|place| self.datastores[*place].errs(machine, self.now));
        let missing = !all.is_subset(&target.spec.datastores) || all.iter().any(errs);
        let present = target.hypervisor.processes.contains_key(&vm);
        if missing || present || self.hanging_datastore(machine, vm).is_some() {
            return Err(Outcome::Failed);
        }
        match self.is_locked_elsewhere(machine, vm) {
            true => Err(Outcome::Locked),
            false => Ok(()),
        }
    }

    fn finish_stop(&mut self, machine: usize, vm: VmId, ended: Ended, why: &'static str) -> Outcome {
        let process = self.machines[machine].hypervisor.processes.get(&vm);
        if process.is_none_or(|process| process.state == ProcessState::Dying) {
            return Outcome::Failed;
        }
        self.end_process(machine, vm, ended, why);
        Outcome::Done
    }

    /// A kill through the daemon gets no further than one past it: a hanging datastore holds the process.
    fn finish_kill(&mut self, machine: usize, vm: VmId) -> Outcome {
        if self.hanging_datastore(machine, vm).is_some() {
            self.kill(machine, vm);
            return Outcome::TimedOut;
        }
        self.finish_stop(machine, vm, Ended::Destroyed, "stopped-at-once")
    }

    /// Answers a call, if it was an agent's that still runs.
    pub(super) fn answer_call(&mut self, machine: usize, answer: Option<(u64, Ticket)>, outcome: Outcome) {
        if let Some((session, ticket)) = answer {
            let event = Event::Platform(PlatformEvent::Returned { ticket, outcome });
            self.deliver_to(machine, session, NodeEvent::Core(event));
        }
    }
}
