//! How each fault befalls the world.

use crate::core::action::{Ended, Event, Request};
use crate::core::ids::{HostId, VmId};
use crate::node::NodeEvent;
use crate::sim::fault::{Fault, LinkFault};
use crate::sim::timeline::Happening;
use crate::sim::world::machine::{CallKind, Power};
use crate::sim::world::migration::End;
use crate::sim::world::people::Asker;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::time::Duration;

/// Guests get so long to stop when their host is shut down.
const SHUTDOWN_PATIENCE: u64 = 10_000_000;
/// A host that is being shut down looks this often whether its guests are gone.
const SHUTDOWN_POLL: u64 = 100_000;

/// That a fault can not befall the world as it is.
struct Skipped;

impl World {
    /// Lets a fault befall the world, if it can.
    pub(super) fn befall(&mut self, fault: Fault) {
        self.healing = false;
        let place = self.chronicle.moments.len();
        let outcome = self
            .befall_machine(&fault)
            .or_else(|| self.befall_guests(&fault))
            .or_else(|| self.befall_storage(&fault))
            .or_else(|| self.befall_network(&fault))
            .unwrap_or(Err(Skipped));
        let what = match outcome {
            Ok(()) => Happening::Fault(fault),
            Err(Skipped) => Happening::FaultSkipped(fault),
        };
        self.chronicle.tell_before(place, self.now, what);
    }

    /// The machine of a host, if it has power and has booted.
    fn up(&self, host: HostId) -> Result<usize, Skipped> {
        self.place(host).filter(|place| self.machines[*place].is_up()).ok_or(Skipped)
    }

    /// The same, if its agent runs too.
    fn with_agent(&self, host: HostId) -> Result<usize, Skipped> {
        self.up(host).and_then(|place| if self.machines[place].agent.running { Ok(place) } else { Err(Skipped) })
    }

    fn powered(&self, host: HostId, on: bool) -> Result<usize, Skipped> {
        self.place(host).filter(|place| (self.machines[*place].power != Power::Off) == on).ok_or(Skipped)
    }

    fn befall_machine(&mut self, fault: &Fault) -> Option<Result<(), Skipped>> {
        Some(match *fault {
            Fault::PowerOff(host) => self.powered(host, true).map(|place| self.power_off(place, "power-lost")),
            Fault::PowerOn(host) => self.powered(host, false).map(|place| {
                self.machines[place].should_be_on = true;
                self.power_on(place);
            }),
            Fault::PowerBlip(host, lasts) => self.powered(host, true).map(|place| {
                self.power_off(place, "power-lost");
                self.after(micros(lasts), Occurrence::PowerReturns(place));
            }),
            Fault::Reboot(host) => self.up(host).map(|place| self.reset(place, "kernel-crashed")),
            Fault::Shutdown(host, again) => self.up(host).and_then(|place| self.shut_down(place, again)),
            Fault::Freeze(host, lasts) | Fault::Suspend(host, lasts) => {
                self.up(host).map(|place| self.freeze(place, lasts))
            }
            Fault::AgentCrash(host, after) => {
                self.with_agent(host).map(|place| self.restart_agent(place, micros(after)))
            }
            Fault::AgentHang(host, lasts) => self.with_agent(host).map(|place| self.hang_agent(place, lasts)),
            Fault::AgentUpgrade(host, takes) => self.with_agent(host).map(|place| self.upgrade_agent(place, takes)),
            Fault::VoterDiskFull(host, lasts) => self.place(host).ok_or(Skipped).map(|place| {
                self.machines[place].disk.full_until = self.later(lasts);
            }),
            Fault::VoterDiskSlow(host, by, lasts) => self.place(host).ok_or(Skipped).map(|place| {
                self.machines[place].disk.slow = (by, self.later(lasts));
            }),
            Fault::RestoreBackup(host, age) => self.with_agent(host).and_then(|place| self.restore(place, age)),
            Fault::Twin(host, lasts) => self.add_twin(host, lasts),
            Fault::ConfirmDead(host) => self.confirm_dead(host),
            Fault::Recover => self.recover_majority(),
            Fault::Heal => {
                self.heal();
                Ok(())
            }
            _ => return None,
        })
    }

    fn befall_guests(&mut self, fault: &Fault) -> Option<Result<(), Skipped>> {
        Some(match fault {
            Fault::DaemonHang(host, lasts) => self.up(*host).map(|place| self.hang_daemon(place, *lasts)),
            Fault::DaemonRestart(host) => self.up(*host).map(|place| self.restart_daemon(place)),
            Fault::FailStarts(vm, times) => {
                self.failing_starts.insert(*vm, *times);
                Ok(())
            }
            Fault::SlowStarts(host, by, lasts) => self.up(*host).map(|place| {
                self.machines[place].hypervisor.slow_starts = (*by, self.later(*lasts));
            }),
            Fault::TimedOutStarts(host, times) => self.up(*host).map(|place| {
                self.machines[place].hypervisor.timed_out_starts = *times;
            }),
            Fault::GuestCrash(vm) => self.guest_ends(*vm, Ended::Crashed, "guest-crashed").map_err(|_| Skipped),
            Fault::GuestPoweroff(vm) => {
                self.guest_ends(*vm, Ended::GuestPoweroff, "guest-powered-off").map_err(|_| Skipped)
            }
            Fault::GuestHush(vm, lasts) => self.executor(*vm).ok_or(Skipped).map(|_| self.hush_guest(*vm, *lasts)),
            Fault::HypervisorStart(vm, host) => self.up(*host).and_then(|place| {
                let known = self.spec.vms.iter().any(|entry| entry.definition.id == *vm);
                if !known || self.machines[place].hypervisor.processes.contains_key(vm) {
                    return Err(Skipped);
                }
                self.ask_hook(place, *vm, Asker::Start);
                Ok(())
            }),
            Fault::HypervisorStop(vm) => self.executor(*vm).ok_or(Skipped).map(|place| {
                self.begin_call(place, *vm, CallKind::Destroy, None);
            }),
            Fault::Edit(vm) => self.edit(*vm).map_err(|_| Skipped),
            Fault::HypervisorMove(vm, to) => self.hypervisor_move(*vm, *to, End::Agreed),
            Fault::MoveInDoubt(vm, to) => self.hypervisor_move(*vm, *to, End::InDoubt),
            Fault::Request(request) => {
                self.ask_cluster(request.clone());
                Ok(())
            }
            _ => return None,
        })
    }

    fn hypervisor_move(&mut self, vm: VmId, to: HostId, end: End) -> Result<(), Skipped> {
        let from = self.executor(vm).ok_or(Skipped)?;
        if self.up(to)? == from {
            return Err(Skipped);
        }
        self.begin_move(from, vm, to, end, None);
        Ok(())
    }

    fn befall_storage(&mut self, fault: &Fault) -> Option<Result<(), Skipped>> {
        let place_of = |id| self.datastore_places.get(id).copied().ok_or(Skipped);
        Some(match fault {
            Fault::Datastore(host, id, fault, lasts) => place_of(id).and_then(|place| {
                let whom = match host {
                    Some(host) => Some(self.place(*host).ok_or(Skipped)?),
                    None => None,
                };
                let until = self.later(*lasts);
                self.datastores[place].faults.push((whom, *fault, until));
                Ok(())
            }),
            Fault::TearRecord(id, host) => place_of(id).map(|place| self.datastores[place].tear_record(*host)),
            Fault::TearMail(id, host) => place_of(id).and_then(|place| {
                let torn = self.datastores[place].tear_mail(*host);
                if torn { Ok(()) } else { Err(Skipped) }
            }),
            Fault::StallWrite(host, id, lasts) => place_of(id).and_then(|store| {
                let machine = self.up(*host)?;
                self.machines[machine].io[store].stall_next = Some(*lasts);
                Ok(())
            }),
            Fault::RollBack(id, age) => place_of(id).and_then(|place| {
                let to = self.now.saturating_sub(micros(*age));
                if self.datastores[place].roll_back(to) { Ok(()) } else { Err(Skipped) }
            }),
            Fault::Fence(device, fault, lasts) => {
                let until = self.later(*lasts);
                let found = self.fences.get_mut(device).ok_or(Skipped);
                found.map(|device| device.faults.push((*fault, until)))
            }
            Fault::SwapFences(one, other, lasts) => {
                let until = self.later(*lasts);
                if one == other || !self.fences.contains_key(one) || !self.fences.contains_key(other) {
                    return Some(Err(Skipped));
                }
                for (device, with) in [(one, other), (other, one)] {
                    if let Some(device) = self.fences.get_mut(device) {
                        device.swapped = Some((*with, until));
                    }
                }
                Ok(())
            }
            _ => return None,
        })
    }

    fn befall_network(&mut self, fault: &Fault) -> Option<Result<(), Skipped>> {
        self.network.tidy(self.now);
        Some(match fault {
            Fault::Link(from, to, fault, lasts) => match (self.place(*from), self.place(*to)) {
                (Some(from), Some(to)) if from != to => {
                    match fault {
                        LinkFault::Replay(age) => self.replay(from, to, *age, *lasts),
                        fault => self.network.impair(from, to, *fault, self.later(*lasts)),
                    }
                    Ok(())
                }
                _ => Err(Skipped),
            },
            Fault::Isolate(host, lasts) => self.place(*host).ok_or(Skipped).map(|place| {
                let until = self.later(*lasts);
                self.network.isolate(place, until);
            }),
            Fault::Partition(side, lasts) => {
                let side: Vec<usize> = side.iter().filter_map(|host| self.place(*host)).collect();
                if side.is_empty() || side.len() >= self.places.len() {
                    return Some(Err(Skipped));
                }
                let until = self.later(*lasts);
                self.network.part(side, until);
                Ok(())
            }
            _ => return None,
        })
    }

    fn restore(&mut self, place: usize, age: Duration) -> Result<(), Skipped> {
        let too_young = micros(age) > self.now;
        if too_young || self.machines[place].disk.image.is_none() {
            return Err(Skipped);
        }
        let has_backup = self.machines[place].disk.backups.front().is_some_and(|(at, _)| *at + micros(age) <= self.now);
        if !has_backup {
            return Err(Skipped);
        }
        self.restart_agent(place, 200_000);
        if self.restore_backup(place, micros(age)) { Ok(()) } else { Err(Skipped) }
    }

    /// A person shuts the machine down: the agent learns it first, then the guests are asked to stop.
    fn shut_down(&mut self, place: usize, again: Option<Duration>) -> Result<(), Skipped> {
        if self.machines[place].hypervisor.shutting_down || self.machines[place].stands_still() {
            return Err(Skipped);
        }
        self.machines[place].hypervisor.shutting_down = true;
        self.deliver(place, NodeEvent::Core(Event::ShuttingDown));
        let life = self.machines[place].life;
        let give_up = self.now + SHUTDOWN_PATIENCE;
        let again = again.map(micros);
        self.after(SHUTDOWN_POLL, Occurrence::ShuttingDown { machine: place, life, give_up, again });
        Ok(())
    }

    /// A machine that is being shut down stops a guest, or goes down when none is left.
    pub(super) fn shutdown_due(&mut self, machine: usize, life: u32, give_up: u64, again: Option<u64>) {
        let next = Occurrence::ShuttingDown { machine, life, give_up, again };
        if self.is_void_or_held(machine, life, next.clone()) {
            return;
        }
        let executing = self.machines[machine].hypervisor.processes.keys().copied().collect::<Vec<VmId>>();
        if !executing.is_empty() && self.now < give_up {
            // One of them goes in each round; their order is chance.
            if let Some(vm) = self.chance.power.pick(&executing).copied().filter(|_| self.chance.power.chance(40)) {
                self.end_process(machine, vm, Ended::GuestPoweroff, "host-shut-down");
            }
            self.after(SHUTDOWN_POLL, next);
            return;
        }
        self.power_off(machine, "shut-down");
        match again {
            _ if self.healing => self.power_on(machine),
            Some(after) => self.after(after, Occurrence::PowerReturns(machine)),
            None => {}
        }
    }

    /// A person who can see the machine says what is true.
    fn confirm_dead(&mut self, host: HostId) -> Result<(), Skipped> {
        let off = |machine: &&super::machine::Machine| machine.power == Power::Off;
        let all = self.machines.iter().filter(|machine| machine.host == host);
        if all.clone().count() == 0 || !all.clone().all(|machine| off(&machine)) {
            return Err(Skipped);
        }
        self.ask_cluster(Request::ConfirmDead(host));
        Ok(())
    }

    /// A person gives up the voters whose machines are off, and sees to it that these stay off.
    fn recover_majority(&mut self) -> Result<(), Skipped> {
        let is_dead = |machine: &super::machine::Machine| machine.power == Power::Off && !machine.twin;
        let mut dead = Vec::new();
        for machine in self.machines.iter_mut().filter(|machine| is_dead(machine)) {
            if let Some(image) = &machine.disk.image {
                dead.push(image.voter);
                machine.given_up = true;
            }
        }
        if dead.is_empty() {
            return Err(Skipped);
        }
        self.ask_cluster(Request::Recover { dead });
        Ok(())
    }

    fn add_twin(&mut self, host: HostId, lasts: Duration) -> Result<(), Skipped> {
        let place = self.place(host).ok_or(Skipped)?;
        let alive = |machine: &super::machine::Machine| machine.twin && machine.power != Power::Off;
        if self.machines.iter().any(|machine| machine.host == host && alive(machine)) {
            return Err(Skipped);
        }
        let twin = self.machines.len();
        let original = &self.machines[place];
        let machine = super::bootstrap::machine(original.host, original.uuid, &original.spec, self.datastores.len());
        self.machines.push(machine);
        self.machines[twin].twin = true;
        // It leaves for good with whatever it keeps: a voter's store there would be lost without a word.
        self.machines[twin].disk.full_until = u64::MAX;
        self.machines[twin].agent.store = self.machines[place].agent.store.clone();
        self.power_on(twin);
        self.after(micros(lasts), Occurrence::TwinLeaves(twin));
        Ok(())
    }

    /// Everything is mended: every fault ends, and every machine that should be on gets power.
    pub(super) fn heal(&mut self) {
        self.healing = true;
        let outlived = self.machines.iter().any(|m| m.agent_moves() && m.agent.store.authority.generation.0 > 0);
        for machine in self.machines.iter_mut().filter(|machine| machine.given_up) {
            machine.given_up = false;
            let out = machine.disk.image.as_ref().is_some_and(|image| self.out_for_good.contains(&image.voter));
            if out && !outlived {
                // Nobody is there to tell it that it was given up for good, so it does not come back as it was.
                machine.disk.image = None;
            }
        }
        self.network.mend();
        self.failing_starts.clear();
        self.guests.heal();
        for datastore in &mut self.datastores {
            datastore.faults.clear();
        }
        for device in self.fences.values_mut() {
            device.faults.clear();
            device.swapped = None;
        }
        for place in 0..self.machines.len() {
            self.heal_machine(place);
        }
    }

    fn heal_machine(&mut self, place: usize) {
        let now = self.now;
        let machine = &mut self.machines[place];
        machine.disk.full_until = 0;
        machine.disk.slow = (Duration::ZERO, 0);
        machine.hypervisor.slow_starts = (Duration::ZERO, 0);
        machine.hypervisor.timed_out_starts = 0;
        machine.io.iter_mut().for_each(|queue| queue.stall_next = None);
        machine.hypervisor.heal(now);
        let life = machine.life;
        if machine.twin {
            self.power_off(place, "twin-left");
            return;
        }
        if machine.stands_still() {
            machine.stands_until = now;
            self.thaw(place);
        }
        let agent = &mut self.machines[place].agent;
        agent.hangs_until = agent.hangs_until.min(now);
        self.unhang(place);
        self.daemon_due(place, life);
        self.start_agent(place);
        if self.machines[place].should_be_on {
            self.power_on(place);
        }
    }
}
