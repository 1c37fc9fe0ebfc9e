use super::*;
use crate::core::action::Note;
use crate::core::ids::{Authority, Epoch, FenceId, HostId, VmId};
use crate::core::reason::{Alert, HostState, JudgeCause, NoProof, Proof, Refusal, Wait};
use crate::core::state::HolderProof;
use crate::sim::fault::Fault;
use crate::sim::scenario::expect::EndState;
use crate::sim::timeline::Happening;
use crate::sim::{explain, facts};
use serde_json::json;
use std::path::Path;

const WORLD: &str = "duration = \"30s\"\n[cluster]\nhosts = 3\nvms = 2\n";
const ONE: HostId = HostId(1);
const TWO: HostId = HostId(2);
const VM: VmId = VmId(1);

fn scenario(expect: &str) -> Scenario {
    let text = format!("{WORLD}[[expect]]\n{expect}");
    Scenario::parse("test", Path::new("scenario.toml"), &text).unwrap_or_else(|problem| panic!("{problem}"))
}

fn at(millis: u64, what: Happening) -> Moment {
    Moment { at_micros: millis * 1_000, what }
}

fn note(millis: u64, note: Note) -> Moment {
    at(millis, Happening::Note(TWO, note))
}

/// vm-1 runs on host-1, whose power goes at 10 s; host-1 is fenced, and vm-1 runs on host-2 at 13 s.
fn story() -> Vec<Moment> {
    let proof = Proof::Fenced { device: FenceId(1) };
    let proofs = vec![HolderProof { host: ONE, boot: Default::default(), epoch: Epoch::NONE, proof }];
    let closed = Wait::Proof(vec![(ONE, vec![NoProof::Fencing(FenceId(1)), NoProof::NotLeased])]);
    vec![
        note(500, Note::Master(Authority::default())),
        at(1_000, Happening::VmUp(VM, ONE, Some(Epoch::NONE))),
        at(10_000, Happening::Fault(Fault::PowerOff(ONE))),
        at(10_000, Happening::VmDown(VM, ONE, "power-lost")),
        note(11_600, Note::Judged(ONE, JudgeCause::Silent)),
        note(11_600, Note::Host(ONE, HostState::Judged)),
        note(11_700, Note::Waits(VM, closed)),
        at(12_600, Happening::Power(ONE, "fenced")),
        note(12_650, Note::Proof(ONE, proof)),
        note(12_650, Note::Host(ONE, HostState::Dead)),
        note(12_660, Note::Placed { vm: VM, host: TWO, epoch: Epoch::NONE, proofs }),
        note(12_700, Note::Refused(Refusal::OldEpoch)),
        note(12_800, Note::Alert(Alert::FenceFailed { device: FenceId(1) })),
        at(13_000, Happening::VmUp(VM, TWO, Some(Epoch::NONE))),
    ]
}

fn finals() -> FinalStates {
    let vm = |state, host, wait| FinalVm { state, host, wait };
    FinalStates {
        vms: [
            (VM, vm(EndState::Running, Some(TWO), Some(Wait::Nothing))),
            (VmId(2), vm(EndState::Stopped, None, Some(Wait::Stopped))),
        ]
        .into(),
        hosts: [(ONE, Some(HostState::Dead)), (TWO, None)].into(),
    }
}

fn unmet(expect: &str) -> Vec<String> {
    let scenario = scenario(expect);
    let names = scenario.world.names();
    demands::unmet(&scenario, &story(), &finals(), &names).into_iter().map(|failure| failure.what).collect()
}

#[test]
fn what_came_true_is_met() {
    let met = [
        "vm = \"vm-1\"\non = [\"host-2\", \"host-3\"]\nproof = \"fenced\"\nafter = \"10s\"\nby = \"4s\"",
        "vm = \"vm-1\"\non = \"host-1\"\nby = \"2s\"",
        "vm = \"vm-1\"\non = \"host-1\"\nat = \"9s\"",
        "vm = \"vm-1\"\non = \"host-2\"\nafter = \"10s\"\nnot_before = \"2.9s\"",
        "vm = \"vm-1\"\nnever_on = \"host-3\"",
        "vm = \"vm-1\"\nnever_on = \"host-1\"\nafter = \"10s\"",
        "vm = \"vm-1\"\nstate = \"running\"",
        "vm = \"vm-2\"\nstate = \"stopped\"",
        "vm = \"vm-1\"\nwaits = \"proof\"\nbecause = \"fencing\"\nby = \"12s\"",
        "vm = \"vm-1\"\nwaits = \"proof\"\nbecause = \"brake\"\nnever = true",
        "restarts = 1",
        "restarts = 0\nby = \"12s\"",
        "vm = \"vm-2\"\nrestarts = 0",
        "host = \"host-1\"\nstate = \"dead\"\nafter = \"10s\"\nby = \"3s\"",
        "host = \"host-1\"\nstate = \"dead\"\nat = \"20s\"",
        "host = \"host-1\"\nstate = \"conflicted\"\nnever = true",
        "refusal = \"old-epoch\"\nhost = \"host-2\"",
        "alert = \"fence-failed\"",
        "alert = \"brake\"\nnever = true",
        "proof = \"fenced\"\nhost = \"host-1\"\nby = \"12.7s\"",
        "proof = \"lease-expired\"\nnever = true",
        "note = \"judged\"\nhost = \"host-1\"",
        "power = \"fenced\"\nhost = \"host-1\"\nafter = \"10s\"\nby = \"3s\"",
        "power = \"watchdog\"\nnever = true",
        "note = \"master\"\nhost = \"host-2\"",
    ];
    for expect in met {
        assert_eq!(unmet(expect), Vec::<String>::new(), "{expect}");
    }
}

#[test]
fn what_did_not_come_true_is_told() {
    let cases = [
        ("vm = \"vm-1\"\non = \"host-3\"\nby = \"20s\"", "never came; it ran on host-1 from 1s to 10s and on host-2"),
        ("vm = \"vm-1\"\non = \"host-2\"\nby = \"12s\"", "vm-1 running on host-2 by 12s, but it came at 13s"),
        ("vm = \"vm-1\"\non = \"host-2\"\nnot_before = \"14s\"", "not before 14s, but it came at 13s"),
        ("vm = \"vm-1\"\non = \"host-2\"\nproof = \"released\"", "by the proof released, but was by fenced"),
        ("vm = \"vm-1\"\nnever_on = \"host-2\"", "must not come to run on host-2, but did at 13s"),
        ("vm = \"vm-1\"\nstate = \"stopped\"", "vm-1 must be stopped at the end, but is running"),
        ("vm = \"vm-1\"\nwaits = \"no-room\"", "vm-1 waiting: no-room by 30s, but it never came"),
        ("restarts = 0", "expected 0 restarts, not 1: vm-1 at 13s"),
        ("host = \"host-1\"\nstate = \"dead\"\nby = \"12s\"", "host-1 dead by 12s, but it came at 12.65s"),
        ("host = \"host-1\"\nstate = \"dead\"\nnever = true", "never host-1 dead, but it came at 12.65s"),
        ("refusal = \"old-epoch\"\nhost = \"host-1\"", "the refusal old-epoch about host-1 by 30s"),
        ("power = \"fenced\"\nhost = \"host-2\"", "the machine's power fenced about host-2 by 30s"),
        ("alert = \"fence-failed\"\nnever = true", "never the alert fence-failed, but it came at 12.8s"),
    ];
    for (expect, what) in cases {
        let failures = unmet(expect);
        assert!(failures.len() == 1 && failures[0].contains(what), "{expect}: {failures:?}");
    }
}

#[test]
fn every_moment_is_a_line_for_people() {
    let names = scenario("restarts = 0").world.names();
    let lines: Vec<String> = story().iter().map(|moment| explain::line(moment, &names)).collect();
    assert_eq!(lines[2], "   10.000 s  event: host-1 power-off");
    assert_eq!(lines[4].trim(), "11.600 s  host-1 judged: silent");
    assert!(lines[6].ends_with(
        "vm-1: waits for a proof from host-1 (fence-1 is being asked; no lease that counts covers the VM there)"
    ));
    assert!(lines[10].ends_with("as proven for host-1: fence-1 switched it off, and it reads as off"));
    assert!(lines[12].contains("ALERT: the fence device fence-1 failed: "));
}

#[test]
fn every_moment_is_an_object_for_machines() {
    let names = scenario("restarts = 0").world.names();
    let events: Vec<_> = story().iter().map(|moment| facts::event(moment, &names)).collect();
    assert_eq!(events[2], json!({ "t_ms": 10_000, "kind": "fault", "do": "power-off", "host": "host-1" }));
    assert_eq!(
        events[8],
        json!({ "t_ms": 12_650, "kind": "proof", "proof": "fenced", "host": "host-1", "fence": "fence-1" })
    );
    assert_eq!(events[10]["proofs"][0]["proof"], "fenced");
    assert_eq!(events[6]["needed"][0]["closed"][0], json!({ "reason": "fencing", "fence": "fence-1" }));
    assert!(facts::is_about(&events[10], "host-1") && facts::is_about(&events[10], "vm-1"));
    assert!(!facts::is_about(&events[10], "host-3"));
}

#[test]
fn an_outcome_has_its_shape() {
    let outcome = run(&scenario("vm = \"vm-1\"\non = \"host-3\"\nby = \"2s\""));
    let json = output::json(&outcome);
    let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["differences", "events", "failures", "final", "name", "passed", "seed", "violations"]);
    assert_eq!((&json["name"], &json["seed"], &json["passed"]), (&json!("test"), &json!(1), &json!(false)));
    assert_eq!(json["failures"][0]["line"], 5);
    let end = output::finals(&finals(), &outcome.names);
    assert_eq!(end["vms"]["vm-1"], json!({ "host": "host-2", "state": "running", "reason": null }));
    assert_eq!(end["vms"]["vm-2"]["reason"]["wait"], "stopped");
    assert_eq!(end["hosts"], json!({ "host-1": { "state": "dead" }, "host-2": { "state": "unknown" } }));
}

#[test]
fn the_record_holds_decisions_and_how_it_ended() {
    let names = scenario("restarts = 0").world.names();
    let record = record::of(&story(), &finals(), &names);
    let expected = [
        "     500 ms  host-2 master",
        "    1000 ms  vm-1 running on host-1",
        "   10000 ms  event: host-1 power-off",
        "   10000 ms  vm-1 ended on host-1: power-lost",
        "   11600 ms  host-1 judged: silent",
        "   11600 ms  host-1 judged",
        "   11700 ms  vm-1 waits: proof for host-1 [fencing, not-leased]",
        "   12650 ms  host-1 proof: fenced fence-1",
        "   12650 ms  host-1 dead",
        "   12660 ms  vm-1 placed on host-2, after host-1 fenced",
        "   12700 ms  host-2 refused: old-epoch",
        "   12800 ms  alert: fence-failed fence-1",
        "   13000 ms  vm-1 running on host-2",
        "     end     vm-1 running on host-2",
        "     end     vm-2 stopped (stopped)",
        "     end     host-1 dead",
        "     end     host-2 unknown",
    ];
    assert_eq!(record, expected);
}

#[test]
fn another_decision_is_a_difference() {
    let mut outcome = run(&scenario("restarts = 0"));
    let text = outcome.record.join("\n");
    outcome.compare(&text);
    assert!(outcome.is_good());
    outcome.compare(&text.replace("vm-1 running", "vm-1 waiting"));
    assert!(!outcome.is_good() && outcome.differences.iter().any(|line| line.starts_with("- ")));
}
