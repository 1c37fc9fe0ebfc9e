//! Live migrations.
//!
//! ```text
//! asked ──▶ hook at the destination ──▶ process Incoming there ──▶ copy ──▶ switch: the source's process is gone,
//!                  │ refused                                        │       the destination's executes
//!                  ▼                                                ▼ an end dies, or the way is cut
//!                failed                                           failed; the source goes on if it lives
//! ```
//!
//! Of one that ends in doubt the source does not hear that it is over, and its process stands still for ever.

use crate::core::action::{Ended, Outcome, ProcessState};
use crate::core::ids::{Epoch, HostId, Ticket, VmId};
use crate::sim::timeline::Happening;
use crate::sim::world::fact::Cause;
use crate::sim::world::machine::{CallKind, Daemon};
use crate::sim::world::people::Asker;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::World;

/// A switch that can not take place yet is tried again after this.
const SWITCH_POLL: u64 = 200_000;

/// A migration under way.
#[derive(Debug, Clone)]
pub(super) struct Migration {
    pub(super) id: u64,
    vm: VmId,
    from: usize,
    to: usize,
    /// Whether the destination has let it in.
    arriving: bool,
    answer: Option<(u64, Ticket)>,
    end: End,
}

/// How a migration ends, if nothing goes wrong before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Agreed,
    /// The source does not hear that it is over.
    InDoubt,
}

impl World {
    /// A migration is asked for, at its source. `answer` is the agent's call; none: a person asks.
    pub(super) fn begin_move(&mut self, from: usize, vm: VmId, to: HostId, end: End, answer: Option<(u64, Ticket)>) {
        let destination = self.place(to).filter(|to| *to != from && self.machines[*to].is_up());
        let source = self.machines[from].executes(vm).is_some();
        let moving = self.migrations.iter().any(|migration| migration.vm == vm);
        let id = self.number();
        let Some(to) = destination.filter(|to| source && !moving && self.network.passes(from, *to, self.now)) else {
            self.begin_call(from, vm, CallKind::Answer(Outcome::Failed), answer);
            return;
        };
        self.migrations.push(Migration { id, vm, from, to, arriving: false, answer, end });
        self.begin_call(from, vm, CallKind::Move(id), answer);
        self.ask_hook(to, vm, Asker::Arrival(id));
    }

    /// The destination's hook has answered: the process comes up there, and waits.
    pub(super) fn let_in(&mut self, id: u64, epoch: Option<Epoch>) {
        let Some(place) = self.migrations.iter().position(|migration| migration.id == id) else { return };
        let Migration { vm, to, .. } = self.migrations[place];
        let reaches = self.datastores_of(vm).is_subset(&self.machines[to].spec.datastores);
        if self.machines[to].hypervisor.processes.contains_key(&vm) || !reaches {
            self.abort_migration(id);
            return;
        }
        self.migrations[place].arriving = true;
        self.begin_process(to, vm, epoch, ProcessState::Incoming);
        let takes = self.chance.hypervisor.micros_between(self.spec.nature.migration);
        self.after(takes, Occurrence::Switch(id));
    }

    /// Everything is copied: the destination's processors run on where the source's stop, at one moment.
    pub(super) fn switch(&mut self, id: u64) {
        let Some(place) = self.migrations.iter().position(|migration| migration.id == id) else { return };
        let Migration { vm, from, to, answer, end, .. } = self.migrations[place].clone();
        let hangs = |machine: usize| matches!(self.machines[machine].hypervisor.daemon, Daemon::Hangs(_));
        let stands = |machine: usize| self.machines[machine].stands_still();
        if stands(from) || stands(to) || hangs(from) || hangs(to) {
            self.after(SWITCH_POLL, Occurrence::Switch(id));
            return;
        }
        let executes = self.machines[from].executes(vm).is_some();
        let passes = self.network.passes(from, to, self.now) && self.network.passes(to, from, self.now);
        let waits = |process: &super::machine::Process| process.state == ProcessState::Incoming;
        let incoming = self.machines[to].hypervisor.processes.get(&vm).is_some_and(waits);
        if !executes || !passes || !incoming {
            self.abort_migration(id);
            return;
        }
        self.migrations.remove(place);
        self.forget_move(from, id);
        self.definition_moves(vm, from, to);
        match end {
            End::Agreed => self.end_process(from, vm, Ended::Moved, "moved"),
            End::InDoubt => self.depart(from, vm),
        }
        let mut epoch = None;
        if let Some(process) = self.machines[to].hypervisor.processes.get_mut(&vm) {
            process.state = ProcessState::Executing;
            process.since = self.now;
            epoch = process.epoch;
        }
        self.process_changed(to, vm, Some(ProcessState::Executing), epoch, Cause::Migrated);
        let host = self.machines[to].host;
        self.tell(Happening::VmUp(vm, host, epoch));
        self.say_changed(to, vm);
        let outcome = if end == End::Agreed { Outcome::Done } else { Outcome::ConnectionLost };
        self.answer_call(from, answer, outcome);
    }

    /// The processors of the source stop for good, but its process stays.
    fn depart(&mut self, machine: usize, vm: VmId) {
        let Some(process) = self.machines[machine].hypervisor.processes.get_mut(&vm) else { return };
        process.state = ProcessState::Departed;
        process.since = self.now;
        let epoch = process.epoch;
        self.process_changed(machine, vm, Some(ProcessState::Departed), epoch, Cause::Migrated);
        let host = self.machines[machine].host;
        self.tell(Happening::VmDown(vm, host, "moved"));
        self.say_changed(machine, vm);
    }

    /// A migration fails: what waits at its destination goes, and its source runs on if it lives.
    pub(super) fn abort_migration(&mut self, id: u64) {
        let Some(place) = self.migrations.iter().position(|migration| migration.id == id) else { return };
        let Migration { vm, from, to, arriving, answer, .. } = self.migrations.remove(place);
        let waits = |process: &super::machine::Process| process.state == ProcessState::Incoming;
        if arriving && self.machines[to].hypervisor.processes.get(&vm).is_some_and(waits) {
            self.end_process(to, vm, Ended::Unknown, "migration-failed");
        }
        self.forget_move(from, id);
        self.answer_call(from, answer, Outcome::Failed);
    }

    /// A process is gone: the migrations that it was an end of fail.
    pub(super) fn end_migrations_of(&mut self, machine: usize, vm: VmId) {
        let concerns = |migration: &&Migration| {
            let arrives = migration.to == machine && migration.arriving;
            migration.vm == vm && (migration.from == machine || arrives)
        };
        if let Some(id) = self.migrations.iter().find(concerns).map(|migration| migration.id) {
            self.abort_migration(id);
        }
    }

    /// A machine is gone: what was on its way there fails, also what its hook had not let in yet.
    pub(super) fn end_arrivals(&mut self, machine: usize) {
        let to_here = self.migrations.iter().filter(|migration| migration.to == machine);
        for id in to_here.map(|migration| migration.id).collect::<Vec<_>>() {
            self.abort_migration(id);
        }
    }

    fn forget_move(&mut self, from: usize, id: u64) {
        self.machines[from].hypervisor.calls.retain(|call| call.kind != CallKind::Move(id));
    }
}
