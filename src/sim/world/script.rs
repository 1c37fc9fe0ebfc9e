//! A script in the place of each node, and worlds for it: what the tests of the world share.

use super::*;
pub(super) use crate::core::action::Request;
pub(super) use crate::core::action::{
    Action, AgentStore, Outcome, PlatformCall, PlatformEvent, ProcessState, WatchdogOp,
};
pub(super) use crate::core::command::Want;
pub(super) use crate::core::ids::{Address, DatastoreId, Epoch, FenceId, Incarnation, Ticket, VmId, VoterId};
pub(super) use crate::core::message::{FenceOp, FenceResult, Known, Message, Protection, Watchdog};
pub(super) use crate::core::reason::Refusal;
pub(super) use crate::core::record::{DatastoreCall, DatastoreOp, DatastoreResult, Record, Slot};
pub(super) use crate::core::state::{Policy, Response, VmDefinition};
pub(super) use crate::core::time::Instant;
pub(super) use crate::core::timing::Profile;
pub(super) use crate::election::StoreBatch;
pub(super) use crate::node::{Packet, Setup};
pub(super) use crate::sim::fault::{DatastoreFault, FenceFault, LinkFault};
pub(super) use crate::sim::spec::{DatastoreSpec, FenceSpec, HostSpec, Nature, VmSpec};
pub(super) use std::collections::BTreeSet;

/// Notes what happens to it, and does what a test puts on its list.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) seen: Vec<NodeEvent>,
    pub(super) list: Vec<NodeAction>,
    pub(super) deadline: Instant,
}

impl Brain for Script {
    fn start(_now: Instant, _setup: Setup, _actions: &mut Vec<NodeAction>) -> Self {
        Script { seen: Vec::new(), list: Vec::new(), deadline: Instant::NEVER }
    }
    fn step(&mut self, _now: Instant, event: NodeEvent, actions: &mut Vec<NodeAction>) {
        if matches!(event, NodeEvent::Core(Event::Wake)) {
            self.deadline = Instant::NEVER;
        }
        self.seen.push(event);
        actions.append(&mut self.list);
    }
    fn next_deadline(&self) -> Instant {
        self.deadline
    }
}

pub(super) const VM: VmId = VmId(1);
pub(super) const STORE: DatastoreId = DatastoreId(0);

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn host(votes: bool, number: u32) -> HostSpec {
    HostSpec {
        name: format!("h{number}"),
        memory_mib: 65_536,
        millicores: 16_000,
        datastores: BTreeSet::from([STORE]),
        networks: BTreeSet::new(),
        tags: BTreeSet::new(),
        failure_domain: String::new(),
        watchdog: Watchdog::Hardware { timeout: s(4) },
        fences: vec![vec![FenceId(number)]],
        votes,
        on: true,
        drift_ppm: 0,
        boot_time: s(10),
    }
}

pub(super) fn spec() -> WorldSpec {
    let definition = VmDefinition {
        id: VM,
        name: "v1".into(),
        uuid: 1,
        memory_mib: 1024,
        millicores: 1000,
        datastores: BTreeSet::from([STORE]),
        networks: BTreeSet::new(),
        response: Response::Restart,
        priority: 0,
        home: Some(HostId(1)),
        locked: false,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: Default::default(),
    };
    let fence = |number| FenceSpec {
        name: "f".into(),
        controls: HostId(number),
        latency: s(1),
        nameless: false,
        drilled: false,
    };
    WorldSpec {
        seed: 1,
        profile: Profile::Lan,
        policy: Policy::default(),
        armed: true,
        hosts: (1..=3).map(|number| (HostId(number), host(true, number))).collect(),
        datastores: BTreeMap::from([(STORE, DatastoreSpec { name: "d".into(), heartbeat: true, locks: false })]),
        networks: BTreeMap::new(),
        fences: (1..=3).map(|number| (FenceId(number), fence(number))).collect(),
        vms: vec![VmSpec { definition, wanted: true, protected: true, up: Default::default() }],
        nature: Nature::default(),
    }
}

pub(super) fn world() -> Simulation<Script> {
    let mut simulation = Simulation::with_brains(spec());
    simulation.record(true);
    simulation.run_until(s(1));
    simulation
}

/// Has the node on a machine do something now.
pub(super) fn act(simulation: &mut Simulation<Script>, machine: usize, actions: Vec<NodeAction>) {
    script(simulation, machine).list.extend(actions);
    simulation.step_node(machine, NodeEvent::Core(Event::Wake), Woken::Otherwise);
    simulation.settle();
}

pub(super) fn core(action: Action) -> NodeAction {
    NodeAction::Core(action)
}

pub(super) fn platform(call: PlatformCall) -> NodeAction {
    core(Action::Platform { ticket: Ticket(7), call })
}

pub(super) fn start(number: u64) -> NodeAction {
    let epoch = Epoch { number, ..Epoch::NONE };
    platform(PlatformCall::Start { vm: VM, epoch })
}

/// Has the node on a machine start the VM, and its hook let it pass.
pub(super) fn begin(simulation: &mut Simulation<Script>, machine: usize, number: u64) {
    act(simulation, machine, vec![start(number)]);
    simulation.run_until(simulation.now() + Duration::from_millis(10));
    pass(simulation, machine, number);
}

/// Answers the hook's question, if there is one.
pub(super) fn pass(simulation: &mut Simulation<Script>, machine: usize, number: u64) {
    if let Some(ticket) = hook_ticket(simulation, machine) {
        let answer = Ok(Epoch { number, ..Epoch::NONE });
        act(simulation, machine, vec![core(Action::Hook { ticket, answer })]);
    }
}

pub(super) fn script(simulation: &mut Simulation<Script>, machine: usize) -> &mut Script {
    simulation.brains[machine].as_mut().expect("its agent runs")
}

pub(super) fn record(sequence: u64) -> NodeAction {
    let incarnation = Incarnation { host: HostId(1), ..Incarnation::default() };
    let record =
        Record { incarnation, sequence, config: Default::default(), report: 0, held: [].into(), released: [].into() };
    let call = DatastoreCall { datastore: STORE, op: DatastoreOp::WriteRecord(record) };
    core(Action::Datastore { ticket: Ticket(sequence), call })
}

/// What the record of the first host reads as.
pub(super) fn slot(simulation: &mut Simulation<Script>) -> Slot<Record> {
    let call = DatastoreCall { datastore: STORE, op: DatastoreOp::ReadRecords };
    act(simulation, 1, vec![core(Action::Datastore { ticket: Ticket(99), call })]);
    simulation.run_until(simulation.now() + s(1));
    let seen = script(simulation, 1).seen.iter().rev();
    let answers = seen.filter_map(|event| match event {
        NodeEvent::Core(Event::Datastore { result: DatastoreResult::Records(records), .. }) => Some(records.clone()),
        _ => None,
    });
    let records = answers.into_iter().next().expect("an answer");
    records.into_iter().find(|(host, _)| *host == HostId(1)).map_or(Slot::Empty, |(_, slot)| slot)
}

pub(super) fn invariants(simulation: &Simulation<Script>) -> Vec<&'static str> {
    simulation.violations().iter().map(|violation| violation.invariant).collect()
}

pub(super) fn outcomes(simulation: &mut Simulation<Script>, machine: usize) -> Vec<Outcome> {
    let outcome = |event: &NodeEvent| match event {
        NodeEvent::Core(Event::Platform(PlatformEvent::Returned { outcome, .. })) => Some(*outcome),
        _ => None,
    };
    script(simulation, machine).seen.iter().filter_map(outcome).collect()
}

/// Lets the VM run on the first host, and every host's hook ask for it.
pub(super) fn running() -> Simulation<Script> {
    let mut simulation = world();
    let known = Known { uuid: 1, protection: Protection::Lease };
    let store = AgentStore { protected: BTreeMap::from([(VM, known)]), ..AgentStore::default() };
    act(&mut simulation, 0, vec![core(Action::Save(Box::new(store)))]);
    begin(&mut simulation, 0, 1);
    simulation.run_until(s(2));
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::Done]);
    simulation
}

pub(super) fn hook_ticket(simulation: &mut Simulation<Script>, machine: usize) -> Option<Ticket> {
    script(simulation, machine).seen.iter().find_map(|event| match event {
        NodeEvent::Core(Event::Platform(PlatformEvent::Asks { ticket, .. })) => Some(*ticket),
        _ => None,
    })
}

pub(super) fn fence(op: FenceOp) -> NodeAction {
    let index = crate::core::ids::LogIndex(9);
    let warrant =
        crate::core::action::Warrant { index, authority: Default::default(), set_up: crate::core::ids::LogIndex(0) };
    core(Action::Fence { ticket: Ticket(3), warrant, device: FenceId(1), op })
}

pub(super) fn fenced(simulation: &mut Simulation<Script>) -> Vec<FenceResult> {
    let result = |event: &NodeEvent| match event {
        NodeEvent::Core(Event::Fence { result, .. }) => Some(*result),
        _ => None,
    };
    script(simulation, 1).seen.iter().filter_map(result).collect()
}

/// A batch that changes nothing.
pub(super) fn batch(number: u64) -> StoreBatch {
    StoreBatch {
        voter: VoterId(1),
        ticket: Ticket(number),
        snapshots: Vec::new(),
        entries: Vec::new(),
        ballot: None,
        disqualified: false,
    }
}
