//! Questions to the true world, for scenarios, checkers and people who watch.

use crate::core::action::ProcessState;
use crate::core::ids::{BootId, Epoch, HostId, LogIndex, VmId};
use crate::core::reason::Wait;
use crate::sim::world::machine::{Machine, Power};
use crate::sim::world::state::World;
use crate::sim::world::{Brain, Simulation};
use std::time::Duration;

/// How things are, whatever any node believes.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    world: &'a World,
}

/// A process of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// On which host.
    pub host: HostId,
    /// Whether that is a second machine that uses the host's UUID.
    pub on_twin: bool,
    /// In what state.
    pub state: ProcessState,
    /// Under which epoch; none: it was let in as a stranger.
    pub epoch: Option<Epoch>,
    /// Since when in this state.
    pub since: Duration,
}

/// How a host's own machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineState {
    /// It has no power.
    Off,
    /// It has power, and its agent was not started yet.
    Booting,
    /// It runs.
    Up,
    /// It has power and stands still, frozen or suspended.
    Still,
}

/// How a VM stands at the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalState {
    /// Which VM.
    pub vm: VmId,
    /// Its processes, in truth.
    pub processes: Vec<Running>,
    /// What it waits for, if there is a master to say so.
    pub wait: Option<Wait>,
}

impl<'a> Truth<'a> {
    pub(super) fn new(world: &'a World) -> Truth<'a> {
        Truth { world }
    }

    /// Every process of a VM.
    pub fn processes(&self, vm: VmId) -> Vec<Running> {
        let seen = |machine: &Machine| {
            let process = machine.hypervisor.processes.get(&vm)?;
            let since = Duration::from_micros(process.since);
            let (host, on_twin) = (machine.host, machine.twin);
            Some(Running { host, on_twin, state: process.state, epoch: process.epoch, since })
        };
        self.world.machines.iter().filter_map(seen).collect()
    }

    /// The host on which a VM's processors run.
    pub fn executes_on(&self, vm: VmId) -> Option<HostId> {
        self.world.machines.iter().find(|machine| machine.executes(vm).is_some()).map(|machine| machine.host)
    }

    /// How a host's own machine is.
    pub fn machine(&self, host: HostId) -> Option<MachineState> {
        let machine = self.of(host)?;
        Some(match machine.power {
            Power::Off => MachineState::Off,
            Power::Booting => MachineState::Booting,
            Power::Up if machine.stands_still() => MachineState::Still,
            Power::Up => MachineState::Up,
        })
    }

    /// Whether a host's agent has a process, and it does not stand still.
    pub fn agent_moves(&self, host: HostId) -> bool {
        self.of(host).is_some_and(Machine::agent_moves)
    }

    /// A host's present boot, if it is up.
    pub fn boot(&self, host: HostId) -> Option<BootId> {
        self.of(host).filter(|machine| machine.is_up()).map(|machine| machine.boot)
    }

    /// Whether a host's watchdog counts.
    pub fn watchdog_counts(&self, host: HostId) -> bool {
        self.of(host).is_some_and(|machine| machine.watchdog.open)
    }

    /// Up to where a host's voter has the log on its disk, if it votes.
    pub fn image(&self, host: HostId) -> Option<&crate::election::StoreImage> {
        self.of(host)?.disk.image.as_ref()
    }
    /// How far a host's voter's disk holds the log.
    pub fn durable(&self, host: HostId) -> Option<LogIndex> {
        self.of(host)?.disk.image.as_ref().map(|image| image.last_index())
    }

    /// Whether a host is cut off from everything.
    pub fn is_isolated(&self, host: HostId) -> bool {
        self.world.place(host).is_some_and(|place| self.world.network.is_isolated(place, self.world.now))
    }

    /// Whether a person's requests are still on their way.
    pub fn requests_pending(&self) -> usize {
        self.world.errands.values().filter(|errand| !errand.concluded).count()
    }

    fn of(&self, host: HostId) -> Option<&'a Machine> {
        self.world.place(host).map(|place| &self.world.machines[place])
    }
}

impl<B: Brain> Simulation<B> {
    /// How each VM stands now: the end of a run's record.
    pub fn final_states(&self) -> Vec<FinalState> {
        let truth = self.truth();
        let state = |entry: &crate::sim::spec::VmSpec| {
            let vm = entry.definition.id;
            FinalState { vm, processes: truth.processes(vm), wait: self.master_wait(vm) }
        };
        self.world.spec.vms.iter().map(state).collect()
    }

    /// What the master knows a VM to wait for, if there is one.
    pub(super) fn master_wait(&self, vm: VmId) -> Option<Wait> {
        let place = self.master_place()?;
        let now = self.world.machines[place].local(self.world.now);
        self.brain(place)?.wait(now, vm)
    }
}
