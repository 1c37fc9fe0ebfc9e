//! Machines, their network and their fences.

use super::script::*;
use super::*;

#[test]
fn a_hardware_watchdog_fires_through_a_freeze() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![core(Action::Watchdog(WatchdogOp::Open))]);
    begin(&mut simulation, 0, 1);
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
    act(&mut simulation, 1, vec![fence(FenceOp::Power)]);
    begin(&mut simulation, 1, 2);
    simulation.run_until(s(4));
    assert_eq!(fenced(&mut simulation), [FenceResult::Off]);
    begin(&mut simulation, 2, 3);
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
        begin(&mut simulation, 0, 1);
        act(&mut simulation, 0, vec![record(1)]);
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

#[test]
fn a_client_goes_from_node_to_node_and_gives_up() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Request(Request::Arm));
    for _ in 0..300 {
        for machine in 0..3 {
            let asked = std::mem::take(&mut script(&mut simulation, machine).seen);
            let ticket = asked.iter().find_map(|event| match event {
                NodeEvent::Core(Event::Request { ticket, .. }) => Some(*ticket),
                _ => None,
            });
            if let Some(ticket) = ticket {
                let reply = Err(Refusal::NoMajority);
                act(&mut simulation, machine, vec![core(Action::Reply { ticket, reply })]);
            }
        }
        simulation.run_until(simulation.now() + Duration::from_millis(100));
    }
    assert_eq!(simulation.counts()["request/unanswered"], 1);
    assert_eq!(simulation.truth().requests_pending(), 0);
}

#[test]
fn a_ping_is_answered_without_an_agent_but_not_by_a_frozen_machine() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::AgentCrash(HostId(1), s(60)));
    simulation.schedule(s(1), Fault::Freeze(HostId(3), s(60)));
    simulation.run_until(s(1));
    act(&mut simulation, 1, vec![core(Action::Ping { to: Address(0) }), core(Action::Ping { to: Address(2) })]);
    simulation.run_until(s(2));
    let pong = |event: &NodeEvent| match event {
        NodeEvent::Core(Event::Pong { from }) => Some(*from),
        _ => None,
    };
    let pongs: Vec<_> = script(&mut simulation, 1).seen.iter().filter_map(pong).collect();
    assert_eq!(pongs, [Address(0)]);
}
