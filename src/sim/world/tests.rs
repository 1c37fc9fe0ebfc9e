//! Tests of the world, with a script in the place of each node.

use super::*;
use crate::core::action::{Action, AgentStore, Outcome, PlatformCall, PlatformEvent, ProcessState, WatchdogOp};
use crate::core::command::Want;
use crate::core::ids::{Address, DatastoreId, Epoch, FenceId, Incarnation, Ticket, VmId, VoterId};
use crate::core::message::{FenceOp, FenceResult, Message, Protection, Watchdog};
use crate::core::record::{DatastoreCall, DatastoreOp, DatastoreResult, Record, Slot};
use crate::core::state::{Policy, Response, VmDefinition};
use crate::core::time::Instant;
use crate::core::timing::Profile;
use crate::election::StoreBatch;
use crate::node::{Packet, Setup};
use crate::sim::fault::{DatastoreFault, FenceFault, LinkFault};
use crate::sim::spec::{DatastoreSpec, FenceSpec, HostSpec, Nature, VmSpec};
use std::collections::BTreeSet;

/// Notes what happens to it, and does what a test puts on its list.
#[derive(Debug)]
struct Script {
    seen: Vec<NodeEvent>,
    list: Vec<NodeAction>,
    deadline: Instant,
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

const VM: VmId = VmId(1);
const STORE: DatastoreId = DatastoreId(0);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn host(votes: bool, number: u32) -> HostSpec {
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

fn spec() -> WorldSpec {
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
    };
    let fence = |number| FenceSpec { name: "f".into(), controls: HostId(number), latency: s(1) };
    WorldSpec {
        seed: 1,
        profile: Profile::Lan,
        policy: Policy::default(),
        armed: true,
        hosts: (1..=3).map(|number| (HostId(number), host(true, number))).collect(),
        datastores: BTreeMap::from([(STORE, DatastoreSpec { name: "d".into(), heartbeat: true, locks: false })]),
        networks: BTreeMap::new(),
        fences: (1..=3).map(|number| (FenceId(number), fence(number))).collect(),
        vms: vec![VmSpec { definition, wanted: true, protected: true }],
        nature: Nature::default(),
    }
}

fn world() -> Simulation<Script> {
    let mut simulation = Simulation::with_brains(spec());
    simulation.record(true);
    simulation.run_until(s(1));
    simulation
}

/// Has the node on a machine do something now.
fn act(simulation: &mut Simulation<Script>, machine: usize, actions: Vec<NodeAction>) {
    script(simulation, machine).list.extend(actions);
    simulation.step_node(machine, NodeEvent::Core(Event::Wake), Woken::Otherwise);
    simulation.settle();
}

fn core(action: Action) -> NodeAction {
    NodeAction::Core(action)
}

fn platform(call: PlatformCall) -> NodeAction {
    core(Action::Platform { ticket: Ticket(7), call })
}

fn start(number: u64) -> NodeAction {
    let epoch = Epoch { number, ..Epoch::NONE };
    platform(PlatformCall::Start { vm: VM, epoch })
}

fn script(simulation: &mut Simulation<Script>, machine: usize) -> &mut Script {
    simulation.brains[machine].as_mut().expect("its agent runs")
}

fn record(sequence: u64) -> NodeAction {
    let incarnation = Incarnation { host: HostId(1), ..Incarnation::default() };
    let record = Record { incarnation, sequence, held: [].into(), released: [].into() };
    let call = DatastoreCall { datastore: STORE, op: DatastoreOp::WriteRecord(record) };
    core(Action::Datastore { ticket: Ticket(sequence), call })
}

/// What the record of the first host reads as.
fn slot(simulation: &mut Simulation<Script>) -> Slot<Record> {
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

fn invariants(simulation: &Simulation<Script>) -> Vec<&'static str> {
    simulation.violations().iter().map(|violation| violation.invariant).collect()
}

fn outcomes(simulation: &mut Simulation<Script>, machine: usize) -> Vec<Outcome> {
    let outcome = |event: &NodeEvent| match event {
        NodeEvent::Core(Event::Platform(PlatformEvent::Returned { outcome, .. })) => Some(*outcome),
        _ => None,
    };
    script(simulation, machine).seen.iter().filter_map(outcome).collect()
}

#[test]
fn a_hardware_watchdog_fires_through_a_freeze() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![core(Action::Watchdog(WatchdogOp::Open)), start(1)]);
    simulation.run_until(s(2));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(1)));
    simulation.schedule(s(2), Fault::Freeze(HostId(1), s(60)));
    simulation.run_until(s(4));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Still));
    simulation.run_until(s(6));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Booting));
    assert_eq!(simulation.truth().executes_on(VM), None);
    simulation.run_until(s(16));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Up));
    assert_eq!(simulation.counts()["down/watchdog"], 1);
}

#[test]
fn a_software_watchdog_stands_still_with_its_machine() {
    let mut spec = spec();
    spec.hosts.get_mut(&HostId(1)).expect("a host").watchdog = Watchdog::Software { timeout: s(4) };
    let mut simulation = Simulation::<Script>::with_brains(spec);
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![core(Action::Watchdog(WatchdogOp::Open))]);
    simulation.schedule(s(2), Fault::Suspend(HostId(1), s(60)));
    simulation.run_until(s(64));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Up));
    simulation.run_until(s(66));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Booting));
}

#[test]
fn an_agent_that_dies_leaves_its_watchdog_counting() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![core(Action::Watchdog(WatchdogOp::Open))]);
    simulation.schedule(s(2), Fault::AgentCrash(HostId(1), s(60)));
    simulation.run_until(s(6));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Booting));
}

#[test]
fn a_torn_record_stays_torn_until_it_is_written_again() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![record(1)]);
    simulation.run_until(s(2));
    assert!(matches!(slot(&mut simulation), Slot::Whole(_)));
    simulation.schedule(simulation.now(), Fault::TearRecord(STORE, HostId(1)));
    simulation.run_until(simulation.now());
    assert_eq!(slot(&mut simulation), Slot::Torn);
    act(&mut simulation, 0, vec![record(2)]);
    simulation.run_until(simulation.now() + s(1));
    assert!(matches!(slot(&mut simulation), Slot::Whole(record) if record.sequence == 2));
}

#[test]
fn a_stalled_write_lands_late_and_holds_up_what_is_behind_it() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::StallWrite(HostId(1), STORE, s(30)));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![record(1), record(2)]);
    simulation.run_until(s(20));
    assert_eq!(slot(&mut simulation), Slot::Empty);
    simulation.run_until(s(32));
    assert!(matches!(slot(&mut simulation), Slot::Whole(record) if record.sequence == 2));
}

#[test]
fn a_hanging_datastore_answers_when_its_hang_ends() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Datastore(Some(HostId(1)), STORE, DatastoreFault::Hang, s(30)));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![record(1)]);
    simulation.run_until(s(30));
    assert_eq!(slot(&mut simulation), Slot::Empty);
    simulation.run_until(s(32));
    assert!(matches!(slot(&mut simulation), Slot::Whole(_)));
}

#[test]
fn a_datastore_rolls_back() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![record(1)]);
    simulation.run_until(s(12));
    act(&mut simulation, 0, vec![record(2)]);
    simulation.run_until(s(13));
    simulation.schedule(s(13), Fault::RollBack(STORE, s(2)));
    simulation.run_until(s(14));
    assert!(matches!(slot(&mut simulation), Slot::Whole(record) if record.sequence == 1));
}

#[test]
fn a_batch_is_lost_with_its_machine_unless_it_was_synced() {
    let mut simulation = world();
    let batch = StoreBatch { ticket: Ticket(5), ..batch() };
    act(&mut simulation, 0, vec![NodeAction::Store(batch.clone())]);
    simulation.schedule(s(1), Fault::PowerBlip(HostId(1), s(1)));
    simulation.run_until(s(20));
    let stored = |event: &NodeEvent| matches!(event, NodeEvent::Stored { .. });
    assert!(!script(&mut simulation, 0).seen.iter().any(stored));
    assert!(simulation.world.machines[0].disk.pending.is_empty());
    act(&mut simulation, 0, vec![NodeAction::Store(batch)]);
    simulation.run_until(s(21));
    let done = |event: &NodeEvent| matches!(event, NodeEvent::Stored { ticket: Ticket(5), done: true });
    assert!(script(&mut simulation, 0).seen.iter().any(done));
}

#[test]
fn a_full_disk_fails_that_batch_and_all_after_it() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::VoterDiskFull(HostId(1), s(1)));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![NodeAction::Store(batch())]);
    simulation.run_until(s(5));
    act(&mut simulation, 0, vec![NodeAction::Store(batch())]);
    simulation.run_until(s(6));
    let failed = |event: &&NodeEvent| matches!(event, NodeEvent::Stored { done: false, .. });
    assert_eq!(script(&mut simulation, 0).seen.iter().filter(failed).count(), 2);
}

fn batch() -> StoreBatch {
    StoreBatch { ticket: Ticket(1) }
}

/// Lets the VM run on the first host, and every host's hook ask for it.
fn running() -> Simulation<Script> {
    let mut simulation = world();
    let store = AgentStore { protected: BTreeMap::from([(VM, Protection::Lease)]), ..AgentStore::default() };
    act(&mut simulation, 0, vec![core(Action::Save(Box::new(store))), start(1)]);
    simulation.run_until(s(2));
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::Done]);
    simulation
}

fn hook_ticket(simulation: &mut Simulation<Script>, machine: usize) -> Option<Ticket> {
    script(simulation, machine).seen.iter().find_map(|event| match event {
        NodeEvent::Core(Event::Hook { ticket, .. }) => Some(*ticket),
        _ => None,
    })
}

#[test]
fn a_migration_switches_at_one_moment() {
    let mut simulation = running();
    act(&mut simulation, 0, vec![platform(PlatformCall::Move { vm: VM, to: HostId(2) })]);
    let ticket = hook_ticket(&mut simulation, 1).expect("the destination is asked");
    act(&mut simulation, 1, vec![core(Action::Hook { ticket, answer: Ok(Epoch { number: 2, ..Epoch::NONE }) })]);
    let states = |simulation: &Simulation<Script>| {
        simulation.truth().processes(VM).iter().map(|process| process.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&simulation), [ProcessState::Executing, ProcessState::Incoming]);
    simulation.run_until(s(12));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(2)));
    assert_eq!(states(&simulation), [ProcessState::Executing]);
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::Done, Outcome::Done]);
    assert_eq!(invariants(&simulation), [""; 0]);
}

#[test]
fn a_migration_whose_destination_dies_leaves_the_source_running() {
    let mut simulation = running();
    act(&mut simulation, 0, vec![platform(PlatformCall::Move { vm: VM, to: HostId(2) })]);
    let ticket = hook_ticket(&mut simulation, 1).expect("the destination is asked");
    act(&mut simulation, 1, vec![core(Action::Hook { ticket, answer: Ok(Epoch { number: 2, ..Epoch::NONE }) })]);
    simulation.schedule(simulation.now(), Fault::PowerOff(HostId(2)));
    simulation.run_until(s(12));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(1)));
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::Done, Outcome::Failed]);
}

#[test]
fn a_hook_fails_closed_for_the_protected() {
    for fault in [Fault::AgentHang(HostId(1), s(60)), Fault::AgentCrash(HostId(1), s(60))] {
        let mut simulation = world();
        simulation.schedule(s(1), fault);
        simulation.schedule(s(2), Fault::HypervisorStart(VM, HostId(1)));
        simulation.run_until(s(20));
        assert!(simulation.truth().processes(VM).is_empty());
        assert_eq!(simulation.counts()["hook/failed-closed"], 1);
    }
}

#[test]
fn a_hook_lets_strangers_pass() {
    let mut spec = spec();
    spec.vms[0].protected = false;
    let mut simulation = Simulation::<Script>::with_brains(spec);
    simulation.run_until(s(2));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(1)));
    simulation.schedule(s(2), Fault::Reboot(HostId(1)));
    simulation.run_until(s(14));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(1)));
}

#[test]
fn a_double_start_is_seen() {
    let mut simulation = running();
    act(&mut simulation, 1, vec![start(2)]);
    simulation.run_until(s(4));
    assert!(invariants(&simulation).contains(&"I1"), "{:?}", simulation.violations());
}

#[test]
fn a_lock_refuses_the_second_start() {
    let mut spec = spec();
    spec.datastores.get_mut(&STORE).expect("a datastore").locks = true;
    let mut simulation = Simulation::<Script>::with_brains(spec);
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![start(1)]);
    simulation.run_until(s(2));
    act(&mut simulation, 1, vec![start(2), platform(PlatformCall::ProbeLock { vm: VM })]);
    simulation.run_until(s(4));
    assert_eq!(outcomes(&mut simulation, 1), [Outcome::Locked, Outcome::Locked]);
    assert!(!invariants(&simulation).contains(&"I1"));
}

#[test]
fn a_kill_does_not_end_a_process_that_a_datastore_holds() {
    let mut simulation = running();
    simulation.schedule(s(2), Fault::Datastore(None, STORE, DatastoreFault::Hang, s(30)));
    simulation.run_until(s(2));
    act(&mut simulation, 0, vec![core(Action::Kill(VM))]);
    simulation.run_until(s(20));
    assert_eq!(simulation.truth().processes(VM)[0].state, ProcessState::Dying);
    simulation.run_until(s(33));
    assert!(simulation.truth().processes(VM).is_empty());
}

#[test]
fn a_start_that_timed_out_happens_later() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::TimedOutStarts(HostId(1), 1));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![start(1)]);
    simulation.run_until(s(2));
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::TimedOut]);
    assert_eq!(simulation.world.view(0).busy, [VM]);
    simulation.run_until(s(23));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(1)));
}

#[test]
fn a_daemon_that_hangs_goes_on_with_what_was_asked() {
    let mut simulation = running();
    simulation.schedule(s(2), Fault::DaemonHang(HostId(1), s(20)));
    simulation.run_until(s(2));
    act(&mut simulation, 0, vec![platform(PlatformCall::Stop { vm: VM, want: Want::Killed })]);
    simulation.run_until(s(20));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(1)));
    assert!(!simulation.world.view(0).daemon);
    simulation.run_until(s(23));
    assert!(simulation.truth().processes(VM).is_empty());
}

#[test]
fn inputs_come_before_the_wake_when_a_machine_thaws() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Freeze(HostId(1), s(10)));
    simulation.run_until(s(2));
    script(&mut simulation, 0).seen.clear();
    let packet = Packet::Cluster(Message::GuardsDisarmed(Incarnation::default()));
    let packets = vec![NodeAction::Send { to: Address(0), packet }; 1500];
    act(&mut simulation, 1, packets);
    simulation.run_until(s(10));
    assert!(script(&mut simulation, 0).seen.is_empty());
    simulation.run_until(s(12));
    let seen = &script(&mut simulation, 0).seen;
    assert_eq!(seen.len(), machine::INBOX + 1);
    assert!(matches!(seen.last(), Some(NodeEvent::Core(Event::Wake))));
}

#[test]
fn a_wake_comes_when_the_machine_s_own_clock_says_so() {
    let mut simulation = world();
    simulation.world.machines[0].spec.drift_ppm = -500;
    let local = simulation.world.machines[0].local(simulation.world.now) + s(100);
    script(&mut simulation, 0).deadline = local;
    simulation.step_node(0, NodeEvent::Stored { ticket: Ticket(0), done: true }, Woken::Otherwise);
    let woken = simulation.world.machines[0].agent.wake_at;
    assert!(
        simulation.world.machines[0].local(woken) >= local && simulation.world.machines[0].local(woken - 1) < local
    );
    simulation.run_until(s(101));
    assert_eq!(script(&mut simulation, 0).seen.len(), 1);
    simulation.run_until(s(102));
    assert_eq!(script(&mut simulation, 0).seen.len(), 2);
}

#[test]
fn a_link_can_be_cut_in_one_direction() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Link(HostId(1), HostId(2), LinkFault::Cut, s(10)));
    simulation.run_until(s(1));
    let packet = || Packet::Cluster(Message::GuardsDisarmed(Incarnation::default()));
    act(&mut simulation, 0, vec![NodeAction::Send { to: Address(1), packet: packet() }]);
    act(&mut simulation, 1, vec![NodeAction::Send { to: Address(0), packet: packet() }]);
    simulation.run_until(s(2));
    let came = |event: &NodeEvent| matches!(event, NodeEvent::Packet { .. });
    assert!(script(&mut simulation, 0).seen.iter().any(came));
    assert!(!script(&mut simulation, 1).seen.iter().any(came));
}

fn fence(op: FenceOp) -> NodeAction {
    let warrant = crate::core::action::Warrant { index: crate::core::ids::LogIndex(1), authority: Default::default() };
    core(Action::Fence { ticket: Ticket(3), warrant, device: FenceId(1), op })
}

fn fenced(simulation: &mut Simulation<Script>) -> Vec<FenceResult> {
    let result = |event: &NodeEvent| match event {
        NodeEvent::Core(Event::Fence { result, .. }) => Some(*result),
        _ => None,
    };
    script(simulation, 1).seen.iter().filter_map(result).collect()
}

#[test]
fn a_fence_switches_off_and_an_order_without_a_majority_is_seen() {
    let mut simulation = world();
    act(&mut simulation, 1, vec![fence(FenceOp::PowerOff), fence(FenceOp::Power)]);
    simulation.run_until(s(4));
    assert_eq!(fenced(&mut simulation), [FenceResult::Taken, FenceResult::Off]);
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Off));
    assert_eq!(invariants(&simulation), ["I4"]);
}

#[test]
fn a_lying_fence_excuses_what_follows() {
    let mut simulation = running();
    simulation.schedule(s(2), Fault::Fence(FenceId(1), FenceFault::Lies, s(60)));
    simulation.run_until(s(2));
    act(&mut simulation, 1, vec![fence(FenceOp::Power), start(2)]);
    simulation.run_until(s(4));
    assert_eq!(fenced(&mut simulation), [FenceResult::Off]);
    act(&mut simulation, 2, vec![start(3)]);
    simulation.run_until(s(6));
    assert!(simulation.violations().iter().any(|violation| violation.invariant == "I1" && violation.excused));
}

#[test]
fn an_isolated_machine_reaches_no_fence() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Isolate(HostId(2), s(60)));
    simulation.run_until(s(1));
    act(&mut simulation, 1, vec![fence(FenceOp::Power)]);
    simulation.run_until(s(30));
    assert_eq!(fenced(&mut simulation), [FenceResult::Unreachable]);
}

#[test]
fn a_twin_comes_with_another_address_and_goes() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Twin(HostId(1), s(60)));
    simulation.run_until(s(20));
    let (original, twin) = (&simulation.world.machines[0], &simulation.world.machines[3]);
    assert_eq!((original.uuid, original.host), (twin.uuid, twin.host));
    assert_ne!(original.boot, twin.boot);
    assert!(twin.agent_moves());
    simulation.run_until(s(62));
    assert!(!simulation.world.machines[3].is_up());
}

#[test]
fn a_healed_world_has_all_its_machines_and_agents() {
    let mut simulation = world();
    let faults = [
        Fault::PowerOff(HostId(1)),
        Fault::Freeze(HostId(2), s(1000)),
        Fault::AgentCrash(HostId(3), s(1000)),
        Fault::Isolate(HostId(2), s(1000)),
        Fault::Twin(HostId(2), s(1000)),
    ];
    for fault in faults {
        simulation.schedule(s(2), fault);
    }
    simulation.run_until(s(5));
    simulation.heal();
    simulation.run_until(s(16));
    for host in [HostId(1), HostId(2), HostId(3)] {
        assert!(simulation.truth().agent_moves(host), "{host}");
    }
    assert!(!simulation.truth().is_isolated(HostId(2)));
    assert!(!simulation.world.machines[3].is_up());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut spec = spec();
        spec.seed = seed;
        let mut simulation = Simulation::<Script>::with_brains(spec);
        simulation.record(true);
        simulation.run_until(s(1));
        act(&mut simulation, 0, vec![start(1), record(1)]);
        simulation.schedule(s(3), Fault::Shutdown(HostId(1), Some(s(2))));
        simulation.schedule(s(4), Fault::Reboot(HostId(2)));
        simulation.run_until(s(60));
        (format!("{:?}", simulation.timeline()), simulation.world.machines[0].boot)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_host_that_is_shut_down_stops_its_guests_and_comes_back() {
    let mut simulation = running();
    simulation.schedule(s(3), Fault::Shutdown(HostId(1), Some(s(5))));
    simulation.run_until(s(14));
    assert!(simulation.truth().processes(VM).is_empty());
    assert!(simulation.counts()["power/shut-down"] == 1);
    simulation.run_until(s(30));
    assert_eq!(simulation.truth().machine(HostId(1)), Some(MachineState::Up));
}

#[test]
fn a_store_knows_its_voter() {
    let simulation = world();
    let voters: Vec<_> = simulation.world.machines.iter().map(|m| m.disk.image.as_ref().map(|i| i.voter)).collect();
    assert_eq!(voters, [Some(VoterId(1)), Some(VoterId(2)), Some(VoterId(3))]);
}
