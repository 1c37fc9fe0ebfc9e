//! Guests, hypervisors, migrations and hooks.

use super::script::*;
use super::*;

#[test]
fn a_migration_switches_at_one_moment() {
    let mut simulation = running();
    act(&mut simulation, 0, vec![platform(PlatformCall::Move { vm: VM, to: HostId(2) })]);
    pass(&mut simulation, 1, 2);
    let states = |simulation: &Simulation<Script>| {
        simulation.truth().processes(VM).iter().map(|process| process.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&simulation), [ProcessState::Executing, ProcessState::Incoming]);
    simulation.run_until(s(12));
    assert_eq!(simulation.truth().executes_on(VM), Some(HostId(2)));
    assert_eq!(states(&simulation), [ProcessState::Executing]);
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::Done, Outcome::Done]);
    assert!(!invariants(&simulation).contains(&"I1"));
}

#[test]
fn a_migration_whose_destination_dies_leaves_the_source_running() {
    let mut simulation = running();
    act(&mut simulation, 0, vec![platform(PlatformCall::Move { vm: VM, to: HostId(2) })]);
    pass(&mut simulation, 1, 2);
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
    begin(&mut simulation, 1, 2);
    simulation.run_until(s(4));
    assert!(invariants(&simulation).contains(&"I1"), "{:?}", simulation.violations());
}

#[test]
fn a_lock_refuses_the_second_start() {
    let mut spec = spec();
    spec.datastores.get_mut(&STORE).expect("a datastore").locks = true;
    let mut simulation = Simulation::<Script>::with_brains(spec);
    simulation.run_until(s(1));
    begin(&mut simulation, 0, 1);
    simulation.run_until(s(2));
    begin(&mut simulation, 1, 2);
    act(&mut simulation, 1, vec![platform(PlatformCall::ProbeLock { vm: VM })]);
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
    begin(&mut simulation, 0, 1);
    simulation.run_until(s(2));
    assert_eq!(outcomes(&mut simulation, 0), [Outcome::TimedOut]);
    assert_eq!(simulation.world.view(0).busy, [VM]);
    for second in 3..=24 {
        simulation.run_until(s(second));
        // It may not have come as far as to its hook before.
        pass(&mut simulation, 0, 1);
    }
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
