//! Each checker with inputs made by hand: it is silent where all is well, and speaks where it is not.

mod guards;

use super::*;
use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::{BootId, ClusterGeneration, Epoch, Generation, HostId, LogIndex, VoterId};
use crate::core::message::Watchdog;
use crate::core::reason::{Alert, JudgeCause, Proof};
use crate::core::record::Tombstone;
use crate::core::state::{Armed, Holder, HolderProof, Host, Intent, Life, Policy, Role, Standing, Vm, VmDefinition};
use crate::core::timing::Profile;
use crate::sim::spec::{HostSpec, Nature, WorldSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const VM: VmId = VmId(1);
const SECOND: u64 = 1_000_000;

fn checks() -> Checks {
    Checks::new(&WorldSpec {
        seed: 1,
        profile: Profile::Lan,
        policy: Policy::default(),
        armed: true,
        hosts: BTreeMap::from([(HostId(1), guarded_host())]),
        datastores: BTreeMap::new(),
        networks: BTreeMap::new(),
        fences: BTreeMap::new(),
        vms: Vec::new(),
        nature: Nature::default(),
    })
}

fn guarded_host() -> HostSpec {
    HostSpec {
        name: String::new(),
        memory_mib: 1,
        millicores: 1,
        datastores: BTreeSet::new(),
        networks: BTreeSet::new(),
        tags: BTreeSet::new(),
        failure_domain: String::new(),
        watchdog: Watchdog::Hardware { timeout: Duration::from_secs(4) },
        fences: Vec::new(),
        votes: true,
        on: true,
        drift_ppm: 0,
        boot_time: Duration::ZERO,
    }
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, ..Epoch::NONE }
}

fn holder(number: u64) -> Holder {
    let (boot, generation) = (BootId(number), Generation(1));
    Holder { boot, generation, epoch: epoch(number), role: Role::Starting, config: Default::default() }
}

fn vm() -> Vm {
    Vm::new(VmDefinition::plain(VM), Want::Running)
}

fn host(generation: u64, standing: Standing) -> Host {
    Host {
        name: String::new(),
        uuid: 0,
        address: Default::default(),
        endpoints: Vec::new(),
        fingerprint: Default::default(),
        failure_domain: String::new(),
        tags: BTreeSet::new(),
        memory_mib: 1,
        millicores: 1,
        fences: Vec::new(),
        generation: Generation(generation),
        life: Life::default(),
        standing,
        past_boots: Vec::new(),
        acknowledged: Default::default(),
        quarantined: false,
        accounted: true,
        leaving: false,
        drilled: BTreeMap::new(),
    }
}

/// A state after so many entries, in which these hosts hold the VM under epochs of the same numbers.
fn state(applied: u64, holders: &[u32]) -> ClusterState {
    let held = holders.iter().map(|number| (HostId(*number), holder(u64::from(*number)))).collect();
    let vm = Vm { holders: held, version: applied, ..vm() };
    ClusterState {
        applied: LogIndex(applied),
        armed: Armed::Armed,
        vms: BTreeMap::from([(VM, vm)]),
        ..ClusterState::default()
    }
}

fn process(host: u32, state: Option<ProcessState>, epoch: Option<Epoch>) -> Fact {
    Fact::Process { vm: VM, machine: host as usize, host: HostId(host), state, epoch, by: Cause::Started }
}

fn found(checks: &mut Checks) -> Vec<&'static str> {
    let found = checks.findings().map(|Findings(found)| found).unwrap_or_default();
    found.iter().map(|violation| violation.invariant).collect()
}

const EXECUTING: Option<ProcessState> = Some(ProcessState::Executing);
const NOTHING: [&str; 0] = [];
/// A right by the log: what starts without one is a person's own doing.
const UNDER: Option<Epoch> = Some(Epoch { generation: ClusterGeneration(0), number: 1 });

#[test]
fn two_executing_processes_violate_the_first() {
    let mut checks = checks();
    checks.fact(0, &process(1, EXECUTING, UNDER));
    assert_eq!(found(&mut checks), NOTHING);
    checks.fact(0, &process(2, EXECUTING, UNDER));
    assert_eq!(found(&mut checks), ["I1"]);
}

#[test]
fn a_dying_process_still_counts_and_an_incoming_one_not_yet() {
    let mut checks = checks();
    checks.fact(0, &process(1, EXECUTING, UNDER));
    checks.fact(0, &process(2, Some(ProcessState::Incoming), None));
    checks.fact(0, &process(1, Some(ProcessState::Dying), None));
    assert_eq!(found(&mut checks), NOTHING);
    checks.fact(0, &process(2, EXECUTING, UNDER));
    assert_eq!(found(&mut checks), ["I1"]);
    checks.fact(0, &process(1, None, None));
    checks.fact(0, &process(2, None, None));
    checks.fact(0, &process(1, EXECUTING, UNDER));
    assert_eq!(found(&mut checks), NOTHING);
}

#[test]
fn what_follows_an_excuse_is_excused() {
    let mut checks = checks();
    checks.fact(0, &process(1, EXECUTING, UNDER));
    checks.fact(0, &Fact::Excused);
    checks.fact(0, &process(2, EXECUTING, UNDER));
    let Findings(found) = checks.findings().expect("a violation");
    assert!(found[0].excused);
}

#[test]
fn a_holder_leaves_with_a_proof_only() {
    let mut checks = checks();
    checks.node_stepped(0, 0, Some(&state(1, &[1])), None);
    checks.node_stepped(0, 0, Some(&state(2, &[1, 2])), None);
    assert_eq!(found(&mut checks), NOTHING);
    let mut proven = state(3, &[2]);
    let proof = Proof::Operator;
    let named = HolderProof { host: HostId(1), boot: BootId(1), epoch: epoch(1), proof };
    proven.vms.get_mut(&VM).expect("the VM").proofs.push(named);
    checks.node_stepped(0, 0, Some(&proven), None);
    assert_eq!(found(&mut checks), NOTHING);
    checks.node_stepped(0, 0, Some(&state(4, &[])), None);
    assert_eq!(found(&mut checks), ["I2"]);
}

#[test]
fn a_start_needs_a_holder_under_that_epoch() {
    let mut checks = checks();
    checks.node_stepped(0, 0, Some(&state(1, &[1])), None);
    checks.fact(0, &process(1, EXECUTING, Some(epoch(1))));
    assert_eq!(found(&mut checks), NOTHING);
    checks.fact(0, &process(1, None, None));
    checks.fact(0, &process(1, EXECUTING, Some(epoch(9))));
    assert_eq!(found(&mut checks), ["I2"]);
    checks.fact(0, &process(1, None, None));
    checks.fact(0, &process(3, EXECUTING, None));
    assert_eq!(found(&mut checks), ["I2"]);
}

#[test]
fn different_states_after_the_same_entries_are_seen() {
    let mut checks = checks();
    checks.node_stepped(0, 0, Some(&state(1, &[1])), None);
    checks.node_stepped(0, 1, Some(&state(1, &[1])), None);
    assert_eq!(found(&mut checks), NOTHING);
    checks.node_stepped(0, 2, Some(&state(1, &[2])), None);
    assert_eq!(found(&mut checks), ["I3"]);
}

#[test]
fn two_masters_of_one_term_are_seen() {
    let mut checks = checks();
    let term = |term| Some(Authority { term, ..Authority::default() });
    checks.node_stepped(0, 0, None, term(1));
    checks.node_stepped(0, 1, None, term(2));
    checks.node_stepped(0, 0, None, None);
    checks.node_stepped(0, 0, None, term(3));
    assert_eq!(found(&mut checks), NOTHING);
    checks.node_stepped(0, 1, None, term(3));
    assert_eq!(found(&mut checks), ["I4"]);
}

#[test]
fn power_goes_off_by_a_majority_s_word_only() {
    let mut checks = checks();
    let durable = |voter, index| Fact::Durable { voter: VoterId(voter), index: LogIndex(index) };
    for fact in [durable(1, 1), durable(2, 1), durable(3, 1), durable(1, 7), durable(2, 5)] {
        checks.fact(0, &fact);
    }
    checks.fact(0, &Fact::PowerOffOrdered { index: LogIndex(5), machine: 0 });
    assert_eq!(found(&mut checks), NOTHING);
    checks.fact(0, &Fact::PowerOffOrdered { index: LogIndex(6), machine: 0 });
    checks.fact(0, &Fact::PowerOffOrdered { index: LogIndex(0), machine: 0 });
    assert_eq!(found(&mut checks), ["I4", "I4"]);
}

#[test]
fn epochs_of_starts_grow() {
    let mut checks = checks();
    let start =
        |number, floor| Fact::StartCalled { vm: VM, host: HostId(1), epoch: epoch(number), floor: epoch(floor) };
    checks.fact(0, &start(1, 0));
    checks.fact(0, &start(3, 1));
    assert_eq!(found(&mut checks), NOTHING);
    checks.fact(0, &start(3, 1));
    assert_eq!(found(&mut checks), ["I4"]);
    checks.fact(0, &start(5, 5));
    assert_eq!(found(&mut checks), ["I4"]);
}

#[test]
fn a_tombstone_follows_a_judgement() {
    let mut checks = checks();
    let tombstone = Tombstone { authority: Authority::default(), generation: Generation(2) };
    let fact = Fact::TombstoneOrdered { to: HostId(1), tombstone };
    let judged = Standing::Judged { cause: JudgeCause::Silent };
    for (applied, generation, standing, expected) in
        [(1, 2, Standing::Admitted, 1), (2, 2, judged, 0), (3, 3, Standing::Admitted, 0), (4, 1, judged, 1)]
    {
        let mut state = state(applied, &[]);
        state.hosts.insert(HostId(1), host(generation, standing));
        checks.node_stepped(0, 0, Some(&state), None);
        checks.fact(0, &fact);
        assert_eq!(found(&mut checks).len(), expected, "{generation} {standing:?}");
    }
}

fn intends(applied: u64, want: Want, version: u64) -> ClusterState {
    let mut state = state(applied, &[1, 5]);
    state.vms.get_mut(&VM).expect("the VM").intent = Intent { want, version };
    state.vms.get_mut(&VM).expect("the VM").epoch = epoch(applied);
    state
}

#[test]
fn what_a_person_stopped_stays_stopped() {
    let mut checks = checks();
    checks.node_stepped(0, 0, Some(&intends(1, Want::Running, 1)), None);
    checks.node_stepped(0, 0, Some(&intends(4, Want::Stopped, 2)), None);
    checks.fact(0, &process(1, EXECUTING, Some(epoch(1))));
    assert_eq!(found(&mut checks), NOTHING);
    checks.fact(0, &process(1, None, None));
    checks.fact(0, &process(5, EXECUTING, Some(epoch(5))));
    assert_eq!(found(&mut checks), ["I5"]);
    checks.fact(0, &process(5, None, None));
    checks.node_stepped(0, 0, Some(&intends(6, Want::Running, 3)), None);
    checks.fact(0, &process(5, EXECUTING, Some(epoch(5))));
    assert_eq!(found(&mut checks), NOTHING);
}

#[test]
fn what_was_accepted_is_not_forgotten() {
    let mut checks = checks();
    let master = |term| Some(Authority { term, ..Authority::default() });
    checks.node_stepped(0, 0, Some(&intends(4, Want::Stopped, 2)), master(1));
    checks.fact(0, &Fact::Accepted(Request::Intend { vm: VM, want: Want::Stopped }));
    checks.node_stepped(0, 1, Some(&intends(5, Want::Stopped, 2)), master(2));
    assert_eq!(found(&mut checks), NOTHING);
    checks.node_stepped(0, 2, Some(&intends(3, Want::Running, 1)), master(3));
    assert_eq!(found(&mut checks), ["I3"]);
    checks.fact(0, &Fact::Accepted(Request::Intend { vm: VM, want: Want::Running }));
    assert_eq!(found(&mut checks), ["I3"]);
}

#[test]
fn silence_about_a_vm_that_is_down_is_seen() {
    let sampled = |wait: Option<Wait>, alert: Option<Alert>| {
        let mut checks = checks();
        checks.node_stepped(0, 0, Some(&state(1, &[])), None);
        for second in 0..30 {
            if let Some(alert) = alert.as_ref().filter(|_| second == 12) {
                checks.fact(second * SECOND, &Fact::Alert(alert.clone()));
            }
            checks.sample(second * SECOND, Some(Authority::default()), |_| wait.clone());
        }
        found(&mut checks)
    };
    let alert = || Some(Alert::Waiting { vm: VM, wait: Wait::Locked, milliseconds: 0 });
    assert_eq!(sampled(Some(Wait::Locked), alert()), NOTHING);
    assert_eq!(sampled(Some(Wait::Locked), None), ["I6"]);
    assert_eq!(sampled(Some(Wait::Nothing), alert()), ["I6"]);
}

#[test]
fn what_should_run_and_can_is_missed() {
    let stand = |want, condition, possible| Stand { vm: VM, want, condition, possible, wait: Some(Wait::Locked) };
    assert_eq!(stand(Want::Running, Condition::Executes, true).lack(), None);
    assert_eq!(stand(Want::Running, Condition::DoesNot, false).lack(), None);
    assert!(stand(Want::Running, Condition::DoesNot, true).lack().is_some());
    assert!(stand(Want::Killed, Condition::Executes, true).lack().is_some());
    assert_eq!(stand(Want::Stopped, Condition::DoesNot, true).lack(), None);
}
