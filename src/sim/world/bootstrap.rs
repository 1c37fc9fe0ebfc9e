//! The first moment of a world: machines, and a cluster that has been set up and not yet begun.

use crate::core::action::AgentStore;
use crate::core::command::Want;
use crate::core::ids::{Address, BootId, ConfigVersion, FenceId, Generation, HostId, LogIndex, VmId, VoterId};
use crate::core::message::{Known, Protection};
use crate::core::state::{Account, Armed, ClusterState, Host, Life, Response, Standing, Vm};
use crate::core::timing::Timing;
use crate::election::StoreImage;
use crate::node::format;
use crate::sim::dice::Dice;
use crate::sim::spec::{HostSpec, WorldSpec};
use crate::sim::world::datastore::Datastore;
use crate::sim::world::fence::FenceDevice;
use crate::sim::world::machine::{Agent, Hypervisor, IoQueue, Machine, Power, Timer, VoterDisk};
use crate::sim::world::network::Network;
use crate::sim::world::queue::{Occurrence, Queue};
use crate::sim::world::state::{Chance, Chronicle, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The version of what hosts must know with which a cluster begins.
const FIRST: ConfigVersion = ConfigVersion(1);

/// The world of a specification, before its first moment.
pub(super) fn world(spec: WorldSpec) -> World {
    let dice = Dice::new(spec.seed);
    let mut identities = dice.fork("identities");
    let datastore = |(id, spec): (&_, &_)| Datastore::new(*id, Clone::clone(spec));
    let datastores: Vec<Datastore> = spec.datastores.iter().map(datastore).collect();
    let new_machine = |(host, entry): (&HostId, &HostSpec)| {
        let uuid = (u128::from(identities.number()) << 64) | u128::from(identities.number());
        machine(*host, uuid, entry, datastores.len())
    };
    let mut machines: Vec<Machine> = spec.hosts.iter().map(new_machine).collect();
    let state = cluster(&spec, &machines);
    found(&mut machines, &state);
    World {
        timing: Arc::new(Timing::of(spec.profile)),
        now: 0,
        queue: Queue::default(),
        outbox: VecDeque::new(),
        facts: Vec::new(),
        places: spec.hosts.keys().enumerate().map(|(place, host)| (*host, place)).collect(),
        datastore_places: spec.datastores.keys().enumerate().map(|(place, id)| (*id, place)).collect(),
        fences: spec.fences.iter().map(|(id, entry)| (*id, FenceDevice::new(entry.clone()))).collect(),
        network: Network::default(),
        failing_starts: BTreeMap::new(),
        edits: 0,
        latest: BTreeMap::new(),
        guests: Default::default(),
        migrations: Vec::new(),
        hooks: BTreeMap::new(),
        errands: BTreeMap::new(),
        chance: Chance::new(spec.seed),
        next_number: 0,
        chronicle: Chronicle {
            recording: false,
            moments: Vec::new(),
            counts: Default::default(),
            violations: Vec::new(),
        },
        healing: false,
        out_for_good: BTreeSet::new(),
        machines,
        datastores,
        spec,
    }
}

/// A machine without power.
pub(super) fn machine(host: HostId, uuid: u128, spec: &HostSpec, datastores: usize) -> Machine {
    Machine {
        host,
        uuid,
        twin: false,
        power: Power::Off,
        given_up: false,
        should_be_on: spec.on,
        life: 0,
        boot: BootId(0),
        boot_at: 0,
        stands_until: 0,
        held: Vec::new(),
        watchdog: Timer::default(),
        agent: Agent { wake_at: u64::MAX, ..Agent::default() },
        disk: VoterDisk::default(),
        io: (0..datastores).map(|_| IoQueue::default()).collect(),
        hypervisor: Hypervisor::default(),
        spec: spec.clone(),
    }
}

impl World {
    /// Lets the world begin: whatever should be on has booted just now.
    pub(super) fn begin(&mut self) {
        for place in 0..self.machines.len() {
            self.state_durable(place);
            if self.machines[place].spec.on {
                self.machines[place].power = Power::Booting;
                let life = self.machines[place].life;
                self.queue.push(0, Occurrence::Booted { machine: place, life });
            }
        }
        self.queue.push(0, Occurrence::Copies);
        self.queue.push(0, Occurrence::Sample);
    }
}

/// The replicated state of a cluster that was set up just now.
fn cluster(spec: &WorldSpec, machines: &[Machine]) -> ClusterState {
    let hosts =
        machines.iter().enumerate().map(|(place, machine)| (machine.host, host(place, machine, spec))).collect();
    let voters: BTreeMap<VoterId, HostId> = (1..).map(VoterId).zip(voting(machines)).collect();
    let protected = spec.vms.iter().filter(|vm| vm.protected);
    ClusterState {
        armed: if spec.armed { Armed::Armed } else { Armed::Observe },
        config: FIRST,
        armed_since: FIRST,
        policy: spec.policy.clone(),
        hosts,
        vms: protected.map(|entry| (entry.definition.id, vm(entry))).collect(),
        next_voter: voters.len() as u64 + 1,
        voters,
        next_epoch: 1,
        ..ClusterState::default()
    }
}

fn voting(machines: &[Machine]) -> impl Iterator<Item = HostId> + '_ {
    machines.iter().filter(|machine| machine.spec.votes).map(|machine| machine.host)
}

fn host(place: usize, machine: &Machine, spec: &WorldSpec) -> Host {
    let devices = machine.spec.fences.iter().flatten();
    let drilled = |device: &&FenceId| spec.fences.get(device).is_some_and(|fence| fence.drilled);
    Host {
        name: machine.spec.name.clone(),
        uuid: machine.uuid,
        address: Address(place as u32),
        endpoints: Vec::new(),
        fingerprint: Default::default(),
        failure_domain: machine.spec.failure_domain.clone(),
        tags: machine.spec.tags.clone(),
        memory_mib: machine.spec.memory_mib,
        millicores: machine.spec.millicores,
        fences: machine.spec.fences.clone(),
        generation: Generation(0),
        life: Life::default(),
        standing: Standing::New,
        past_boots: Vec::new(),
        acknowledged: ConfigVersion(0),
        quarantined: false,
        accounted: true,
        leaving: false,
        drilled: devices.filter(|device| drilled(device)).map(|device| (*device, LogIndex(0))).collect(),
    }
}

fn vm(entry: &crate::sim::spec::VmSpec) -> Vm {
    let want = if entry.wanted { Want::Running } else { Want::Stopped };
    let account = Account { up: entry.up.clone(), ..Account::default() };
    Vm { config: FIRST, account, ..Vm::new(entry.definition.clone(), want) }
}

/// Gives every voter its store, and every agent what it must know before it hears a master.
fn found(machines: &mut [Machine], state: &ClusterState) {
    // A state of plain numbers, maps and words can always be serialised; an empty snapshot would be refused at once.
    let snapshot = format::write_state(state).unwrap_or_default();
    let voters: Vec<VoterId> = state.voters.keys().copied().collect();
    let known = |vm: &Vm| Known {
        uuid: vm.definition.uuid,
        protection: match vm.definition.response {
            Response::Restart => Protection::Lease,
            Response::RestartWithoutLease | Response::Leave => Protection::Permit,
        },
    };
    let protected: BTreeMap<VmId, Known> = state.vms.iter().map(|(id, vm)| (*id, known(vm))).collect();
    let addresses = state.voter_addresses();
    for machine in machines {
        machine.agent.store =
            AgentStore { protected: protected.clone(), voters: addresses.clone(), ..AgentStore::default() };
        let of_host = state.voters.iter().find(|(_, host)| **host == machine.host);
        machine.disk.image = of_host.map(|(voter, _)| StoreImage::bootstrap(*voter, &voters, snapshot.clone()));
    }
    debug_assert!(voters.iter().collect::<BTreeSet<_>>().len() == voters.len());
}
