use super::*;
use crate::core::action::{AgentStore, Event, PlatformEvent, ProcessSeen};
use crate::core::agent::Machine;
use crate::core::ids::{Address, BootId, ConfigVersion, HostId};
use crate::core::message::{Known, Protection, Watchdog};
use crate::core::timing::{Profile, Timing};
use std::time::Duration;

const VM: VmId = VmId(1);

fn agent() -> Agent {
    let machine = Machine {
        host: HostId(1),
        address: Address(1),
        boot: BootId(1),
        hardware: 1,
        watchdog: Watchdog::None,
        heartbeat_datastores: Default::default(),
        datastores: Default::default(),
        formattings: Default::default(),
        networks: Default::default(),
    };
    let store = AgentStore {
        config: ConfigVersion(1),
        told: ConfigVersion(1),
        protected: [(VM, Known { uuid: 7, protection: Protection::Permit })].into(),
        journal: [(VM, Epoch::NONE)].into(),
        ..AgentStore::default()
    };
    Agent::start(Instant::ZERO, machine, 1, store, Arc::new(Timing::of(Profile::Lan)), &mut Vec::new())
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, ..Epoch::NONE }
}

/// A look that is begun now returns.
fn look(agent: &mut Agent, now: Instant, view: View) -> LocalPresence {
    let mut actions = Vec::new();
    agent.look(now, &mut actions);
    let (ticket, _) = agent.looks.under_way.unwrap();
    let event = Event::Platform(PlatformEvent::Looked { ticket, view });
    agent.step(now, event, &mut actions);
    agent.vms[&VM].presence
}

fn runs() -> View {
    let processes = vec![ProcessSeen { vm: VM, state: ProcessState::Executing }];
    View { processes, daemon: true, ..View::default() }
}

fn gone(busy: &[VmId], inactive: &[(VmId, Ended)]) -> View {
    View { daemon: true, busy: busy.to_vec(), inactive: inactive.to_vec(), ..View::default() }
}

#[test]
fn a_stop_is_a_persons_if_the_daemon_says_so_a_little_later() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    assert_eq!(look(&mut agent, at(10), runs()), LocalPresence::Running);
    assert_eq!(look(&mut agent, at(20), gone(&[VM], &[])), LocalPresence::Running);
    let LocalPresence::Gone { exit, .. } = look(&mut agent, at(30), gone(&[], &[(VM, Ended::Destroyed)])) else {
        panic!("it is gone");
    };
    assert_eq!(exit, Exit::ByPerson);
}

#[test]
fn what_ended_is_gone_soon_whatever_the_daemon_is_at() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    let (doubt, end) = (agent.timing.hook_deadline, agent.timing.call_deadline);
    assert_eq!(look(&mut agent, at(10), runs()), LocalPresence::Running);
    assert_eq!(look(&mut agent, at(20), gone(&[VM], &[])), LocalPresence::Running);
    assert_eq!(look(&mut agent, at(20) + doubt, gone(&[VM], &[])), LocalPresence::Unknown);
    let late = look(&mut agent, at(20) + end, gone(&[VM], &[]));
    assert!(matches!(late, LocalPresence::Gone { exit: Exit::CrashedSoon, .. }), "{late:?}");
    // A daemon that does not answer holds up nothing.
    let mut agent = self::agent();
    assert_eq!(look(&mut agent, at(10), runs()), LocalPresence::Running);
    let silent = look(&mut agent, at(20), View::default());
    assert!(matches!(silent, LocalPresence::Gone { .. }), "{silent:?}");
}

#[test]
fn a_definition_is_found_stale_by_a_daemon_that_comes_up_late() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    agent.forget(at(1), VM, epoch(7), &mut Vec::new());
    assert_eq!(removed(&mut agent, at(2), View::default()), 0);
    let defined = || gone(&[], &[(VM, Ended::Unknown)]);
    assert_eq!(removed(&mut agent, at(3), defined()), 1);
    agent.forget(at(4), VM, epoch(7), &mut Vec::new());
    assert_eq!(removed(&mut agent, at(5), defined()), 0, "defined again, it is wanted, whoever repeats the order");
    agent.forget(at(6), VM, epoch(8), &mut Vec::new());
    assert_eq!(removed(&mut agent, at(7), defined()), 1, "it was here once more, and has left");
}

#[test]
fn what_has_come_back_is_not_stale() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    agent.forget(at(1), VM, epoch(7), &mut Vec::new());
    assert_eq!(removed(&mut agent, at(2), runs()), 0);
    assert_eq!(removed(&mut agent, at(3), gone(&[], &[(VM, Ended::Destroyed)])), 0);
}

/// How many definitions are removed after a look that shows this.
fn removed(agent: &mut Agent, now: Instant, view: View) -> usize {
    let mut actions = Vec::new();
    agent.looks.under_way = None;
    agent.look(now, &mut actions);
    let (ticket, _) = agent.looks.under_way.unwrap();
    agent.step(now, Event::Platform(PlatformEvent::Looked { ticket, view }), &mut actions);
    let undefine = PlatformCall::Undefine { vm: VM };
    actions.iter().filter(|action| matches!(action, Action::Platform { call, .. } if *call == undefine)).count()
}

#[test]
fn how_it_ended_before_it_was_protected_is_not_how_it_ends() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    // It was looked for before its UUID was known.
    let early = look(&mut agent, at(10), gone(&[], &[]));
    assert!(matches!(early, LocalPresence::Gone { .. }), "{early:?}");
    agent.account_for(at(20), VM, &mut Vec::new());
    agent.looks.under_way = None;
    assert_eq!(look(&mut agent, at(30), runs()), LocalPresence::Running);
    let late = look(&mut agent, at(40), gone(&[], &[(VM, Ended::Destroyed)]));
    assert!(matches!(late, LocalPresence::Gone { exit: Exit::ByPerson, .. }), "{late:?}");
}

#[test]
fn what_came_up_is_described_once_the_log_knows_that_it_runs() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    assert_eq!(look(&mut agent, at(10), runs()), LocalPresence::Running);
    let version = agent.report_version();
    let described = |agent: &mut Agent, version| {
        let mut actions = Vec::new();
        agent.describe_reported(version, &mut actions);
        actions.iter().filter(|action| matches!(action, Action::Describe { vm: VM, .. })).count()
    };
    assert_eq!(described(&mut agent, version - 1), 0, "until then nobody takes this host's word");
    assert_eq!(described(&mut agent, version), 1);
    assert_eq!(described(&mut agent, version), 0);
    // What is gone by then is described by nobody.
    assert_eq!(look(&mut agent, at(20), runs()), LocalPresence::Running);
    agent.touch(at(20), VM);
    let version = agent.report_version();
    look(&mut agent, at(30), gone(&[], &[(VM, Ended::Destroyed)]));
    assert_eq!(described(&mut agent, version + 1), 0);
}

#[test]
fn a_start_that_somebody_was_quicker_than_is_not_how_it_ends() {
    let mut agent = agent();
    let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
    assert_eq!(look(&mut agent, at(10), runs()), LocalPresence::Running);
    let ticket = agent.ticket();
    agent.vms.get_mut(&VM).unwrap().call = Some((ticket, PlatformCall::Start { vm: VM, epoch: Epoch::NONE }));
    agent.call_returned(at(20), ticket, Outcome::Failed, &mut Vec::new());
    assert_eq!(agent.vms[&VM].exit, Some(Exit::StartFailed));
    agent.looks.under_way = None;
    assert_eq!(look(&mut agent, at(30), runs()), LocalPresence::Running);
    let late = look(&mut agent, at(40), gone(&[], &[(VM, Ended::Destroyed)]));
    assert!(matches!(late, LocalPresence::Gone { exit: Exit::ByPerson, .. }), "{late:?}");
}
