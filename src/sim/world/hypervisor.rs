//! The hypervisors: processes, guests, and a daemon that may hang or be restarted while its guests run on.

use crate::core::action::{Ended, Event, PlatformEvent, ProcessSeen, ProcessState, View};
use crate::core::ids::{Epoch, VmId};
use crate::core::reason::Refusal;
use crate::node::NodeEvent;
use crate::sim::timeline::Happening;
use crate::sim::world::fact::{Cause, Fact};
use crate::sim::world::machine::{CallKind, Daemon, Process};
use crate::sim::world::people::Asker;
use crate::sim::world::queue::{Occurrence, may_write};
use crate::sim::world::state::World;
use std::time::Duration;

/// A killed process that a hanging datastore holds looks this often whether it may go.
const DYING_POLL: u64 = 50_000;

impl World {
    /// A process comes up on a machine.
    pub(super) fn begin_process(&mut self, machine: usize, vm: VmId, epoch: Option<Epoch>, state: ProcessState) {
        let serial = self.number();
        let since = self.now;
        self.domain(machine, vm);
        self.machines[machine].hypervisor.processes.insert(vm, Process { state, epoch, serial, since });
        self.process_changed(machine, vm, Some(state), epoch, Cause::Started);
        if state == ProcessState::Executing {
            self.guest_begins(vm);
            let host = self.machines[machine].host;
            self.tell(Happening::VmUp(vm, host, epoch));
        }
        self.say_changed(machine, vm);
        self.tell_definitions(machine);
    }

    /// A process is gone.
    pub(super) fn end_process(&mut self, machine: usize, vm: VmId, ended: Ended, why: &'static str) {
        let Some(process) = self.machines[machine].hypervisor.processes.remove(&vm) else { return };
        self.domain(machine, vm).ended = ended;
        let cause = if ended == Ended::Moved { Cause::Migrated } else { Cause::Other };
        self.process_changed(machine, vm, None, process.epoch, cause);
        if process.state == ProcessState::Executing {
            let host = self.machines[machine].host;
            self.tell(Happening::VmDown(vm, host, why));
        }
        self.say_changed(machine, vm);
        if ended != Ended::Moved {
            self.end_migrations_of(machine, vm);
        }
    }

    /// Every process of a machine is gone at once, as its memory is.
    pub(super) fn end_all_processes(&mut self, machine: usize, why: &'static str) {
        self.machines[machine].hypervisor.calls.clear();
        let vms: Vec<VmId> = self.machines[machine].hypervisor.processes.keys().copied().collect();
        for vm in vms {
            self.end_process(machine, vm, Ended::Unknown, why);
        }
        self.forget_hooks(machine);
        self.end_arrivals(machine);
    }

    /// Tells the checkers what became of a process.
    pub(super) fn process_changed(
        &mut self,
        machine: usize,
        vm: VmId,
        state: Option<ProcessState>,
        epoch: Option<Epoch>,
        by: Cause,
    ) {
        let host = self.machines[machine].host;
        self.facts.push(Fact::Process { vm, machine, host, state, epoch, by });
    }

    /// The daemon tells the agent that something changed, if it tells anything.
    pub(super) fn say_changed(&mut self, machine: usize, vm: VmId) {
        if self.machines[machine].hypervisor.daemon == Daemon::Up {
            self.deliver(machine, NodeEvent::Core(Event::Platform(PlatformEvent::Changed { vm })));
        }
    }

    /// Kills a VM's process past the daemon: its processors stop at once, its writes under way may not.
    pub(super) fn kill(&mut self, machine: usize, vm: VmId) {
        let Some(process) = self.machines[machine].hypervisor.processes.get_mut(&vm) else { return };
        let was = process.state;
        if was == ProcessState::Dying {
            return;
        }
        process.state = ProcessState::Dying;
        process.since = self.now;
        let (epoch, serial) = (process.epoch, process.serial);
        self.process_changed(machine, vm, Some(ProcessState::Dying), epoch, Cause::Other);
        if was == ProcessState::Executing {
            let host = self.machines[machine].host;
            self.tell(Happening::VmDown(vm, host, "killed"));
        }
        let takes = self.chance.hypervisor.micros_between(self.spec.nature.kill);
        let life = self.machines[machine].life;
        self.after(takes, Occurrence::Reaped { machine, life, vm, serial });
    }

    /// A killed process is gone, unless it sleeps in the kernel for a datastore that hangs.
    pub(super) fn reap(&mut self, machine: usize, life: u32, vm: VmId, serial: u64) {
        let again = Occurrence::Reaped { machine, life, vm, serial };
        if self.is_void_or_held(machine, life, again.clone()) {
            return;
        }
        let process = self.machines[machine].hypervisor.processes.get(&vm);
        if process.is_none_or(|process| process.serial != serial) {
            return;
        }
        if self.hanging_datastore(machine, vm).is_some() {
            self.after(DYING_POLL, again);
            return;
        }
        self.end_process(machine, vm, Ended::Crashed, "killed");
    }

    /// Until when a datastore of the VM hangs for a machine, if one does.
    pub(super) fn hanging_datastore(&self, machine: usize, vm: VmId) -> Option<u64> {
        let all = self.datastores_of(vm);
        let places = all.iter().filter_map(|id| self.datastore_places.get(id));
        places.filter_map(|place| self.datastores[*place].hangs_until(machine, self.now)).max()
    }

    /// Whether storage refuses the VM to a machine because a process elsewhere holds its lock.
    pub(super) fn is_locked_elsewhere(&self, machine: usize, vm: VmId) -> bool {
        let all = self.datastores_of(vm);
        let mut places = all.iter().filter_map(|id| self.datastore_places.get(id));
        let lockable = !all.is_empty() && places.all(|place| self.datastores[*place].spec.locks);
        let holds = |(other, held): (usize, &super::machine::Machine)| {
            other != machine && held.hypervisor.processes.get(&vm).is_some_and(|process| may_write(process.state))
        };
        lockable && self.machines.iter().enumerate().any(holds)
    }

    /// What is to be seen on a machine. The process table is the kernel's and always true.
    pub(super) fn view(&self, machine: usize) -> View {
        let hypervisor = &self.machines[machine].hypervisor;
        let seen = |(vm, process): (&VmId, &Process)| ProcessSeen { vm: *vm, state: process.state };
        let processes = hypervisor.processes.iter().map(seen).collect();
        if hypervisor.daemon != Daemon::Up {
            return View { processes, ..View::default() };
        }
        let mut busy: Vec<VmId> =
            hypervisor.calls.iter().filter(|call| call.kind.keeps_busy()).map(|call| call.vm).collect();
        busy.extend(self.hooks.values().filter(|hook| hook.machine == machine).map(|hook| hook.vm));
        busy.sort_unstable();
        busy.dedup();
        let inactive = hypervisor.definitions.iter().filter(|(vm, _)| !hypervisor.processes.contains_key(vm));
        View { processes, daemon: true, busy, inactive: inactive.map(|(vm, domain)| (*vm, domain.ended)).collect() }
    }

    /// The daemon answers nothing for so long.
    pub(super) fn hang_daemon(&mut self, machine: usize, lasts: Duration) {
        let until = self.later(lasts);
        let target = &mut self.machines[machine];
        target.hypervisor.daemon = Daemon::Hangs(until);
        let life = target.life;
        self.queue.push(until, Occurrence::Daemon { machine, life });
    }

    /// The daemon is restarted: what it was asked ends without an answer. Of the starts inside, each may just have
    /// become a process.
    pub(super) fn restart_daemon(&mut self, machine: usize) {
        let until = self.now + self.chance.hypervisor.range(1_000_000, 3_000_000);
        for call in std::mem::take(&mut self.machines[machine].hypervisor.calls) {
            if let CallKind::Look | CallKind::Answer(_) = call.kind {
                self.machines[machine].hypervisor.calls.push(call);
                continue;
            }
            let start = match call.kind {
                CallKind::Start(epoch) | CallKind::LateStart(epoch) => Some(epoch),
                _ => None,
            };
            let forked = self.chance.hypervisor.chance(50) && self.may_start(machine, call.vm).is_ok();
            if let Some(epoch) = start.filter(|_| forked) {
                self.begin_process(machine, call.vm, epoch, ProcessState::Executing);
            }
            if let CallKind::Move(migration) = call.kind {
                self.abort_migration(migration);
            }
            self.answer_call(machine, call.answer, crate::core::action::Outcome::ConnectionLost);
        }
        let target = &mut self.machines[machine];
        target.hypervisor.daemon = Daemon::Restarts(until);
        let life = target.life;
        self.queue.push(until, Occurrence::Daemon { machine, life });
    }

    /// The daemon may answer again.
    pub(super) fn daemon_due(&mut self, machine: usize, life: u32) {
        if self.is_void_or_held(machine, life, Occurrence::Daemon { machine, life }) {
            return;
        }
        let hypervisor = &mut self.machines[machine].hypervisor;
        match hypervisor.daemon {
            Daemon::Hangs(until) | Daemon::Restarts(until) if self.now >= until => hypervisor.daemon = Daemon::Up,
            _ => {}
        }
        self.tell_definitions(machine);
    }

    /// After a boot: strangers whose home this is start by themselves, as their definitions say; protected ones do
    /// not, as the agent turned that off.
    pub(super) fn autostart(&mut self, machine: usize) {
        if self.machines[machine].twin {
            return;
        }
        let host = self.machines[machine].host;
        let wanted = self.spec.vms.iter().filter(|vm| vm.wanted && !vm.protected && vm.definition.home == Some(host));
        for vm in wanted.map(|vm| vm.definition.id).collect::<Vec<_>>() {
            if !self.is_guarded(machine, vm) {
                self.ask_hook(machine, vm, Asker::Start);
            }
        }
    }

    /// The guest goes down by itself.
    pub(super) fn guest_ends(&mut self, vm: VmId, ended: Ended, why: &'static str) -> Result<(), Refusal> {
        let machine = self.executor(vm).ok_or(Refusal::NoSuchThing)?;
        self.end_process(machine, vm, ended, why);
        Ok(())
    }

    /// The machine on which a VM's processors run and move.
    pub(super) fn executor(&self, vm: VmId) -> Option<usize> {
        self.machines.iter().position(|machine| machine.executes(vm).is_some() && !machine.stands_still())
    }
}
