//! How often each thing happened, with a zero for what never did: so that a soak can say what it did not try.

use crate::core::action::Note;
use crate::core::reason::{HostState, JudgeCause, PROOF_KINDS, Proof, Refusal};
use crate::core::state::HolderProof;
use crate::sim::spelling::{FAULT_KINDS, fault_kind};
use crate::sim::timeline::Happening;
use std::collections::BTreeMap;

/// Counters, by group and name.
#[derive(Debug, Clone)]
pub(super) struct Counts(BTreeMap<(&'static str, &'static str), u64>);

/// Why a VM's processors cease to run.
const DOWN: [&str; 15] = [
    "fenced",
    "forced-reboot",
    "guest-crashed",
    "guest-powered-off",
    "host-shut-down",
    "kernel-crashed",
    "killed",
    "moved",
    "power-lost",
    "shut-down",
    "stopped",
    "stopped-at-once",
    "stopped-by-person",
    "twin-left",
    "watchdog",
];
/// What becomes of a machine's power.
const POWER: [&str; 9] = [
    "booted",
    "fenced",
    "forced-reboot",
    "kernel-crashed",
    "power-lost",
    "powered-on",
    "shut-down",
    "twin-left",
    "watchdog",
];
const JUDGED: [&str; 4] = ["conflict", "operator", "silent", "unanswered"];
const NOTES: [&str; 8] =
    ["deposed", "gap", "guest-answers", "guest-silent", "lease-ended", "master", "placed", "placed-with-proof"];
const REQUESTS: [&str; 3] = ["accepted", "refused", "unanswered"];
const HOOKS: [&str; 3] = ["failed-closed", "passed", "refused"];
const VIOLATIONS: [&str; 6] = ["I1", "I2", "I3", "I4", "I5", "I6"];
const ALERTS: [&str; 14] = [
    "brake",
    "clash",
    "dead-shows-life",
    "fence-failed",
    "gave-up",
    "isolated",
    "no-majority",
    "quarantined",
    "storage",
    "store-lost",
    "two-machines",
    "unanswered",
    "waiting",
    "wrong-machine",
];
const WAITS: [&str; 14] = [
    "gave-up",
    "left-alone",
    "locked",
    "moving",
    "no-room",
    "not-armed",
    "not-protected",
    "nothing",
    "proof",
    "recovering",
    "retry",
    "starting",
    "stopped",
    "unknown",
];
const REFUSALS: [&str; 24] = [
    "busy",
    "config-behind",
    "datastore-unreachable",
    "held",
    "identity-clash",
    "lease-ended",
    "no-majority",
    "no-permit",
    "no-such-thing",
    "not-admitted",
    "not-armed",
    "not-wanted",
    "nothing-to-do",
    "old-authority",
    "old-epoch",
    "old-version",
    "other-incarnation",
    "permit-expired",
    "recovering",
    "signs-of-life",
    "stale",
    "target-gone",
    "tombstone",
    "unfit",
];

impl Default for Counts {
    fn default() -> Self {
        let states = HostState::ALL.map(HostState::name);
        let groups: [(&'static str, &[&'static str]); 13] = [
            ("fault", &FAULT_KINDS),
            ("skipped", &FAULT_KINDS),
            ("proof", &PROOF_KINDS),
            ("host", &states),
            ("judged", &JUDGED),
            ("note", &NOTES),
            ("alert", &ALERTS),
            ("wait", &WAITS),
            ("refusal", &REFUSALS),
            ("down", &DOWN),
            ("power", &POWER),
            ("request", &REQUESTS),
            ("hook", &HOOKS),
        ];
        let mut counts = Counts(BTreeMap::new());
        for (group, names) in groups.into_iter().chain([("violation", &VIOLATIONS[..]), ("excused", &VIOLATIONS[..])]) {
            for name in names {
                counts.0.insert((group, name), 0);
            }
        }
        counts.0.insert(("vm", "up"), 0);
        counts
    }
}

impl Counts {
    /// Counts one more.
    pub(super) fn add(&mut self, group: &'static str, name: &'static str) {
        *self.0.entry((group, name)).or_default() += 1;
    }

    /// Counts a refusal.
    pub(super) fn refusal(&mut self, refusal: &Refusal) {
        self.add("refusal", Refusal::kind(refusal));
    }

    /// All of them, as "group/name".
    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|((group, name), count)| (format!("{group}/{name}"), *count)).collect()
    }

    /// Counts what happened.
    pub(super) fn happening(&mut self, what: &Happening) {
        match what {
            Happening::Fault(fault) => self.add("fault", fault_kind(fault)),
            Happening::FaultSkipped(fault) => self.add("skipped", fault_kind(fault)),
            Happening::Note(_, note) => self.note(note),
            Happening::VmUp(..) => self.add("vm", "up"),
            Happening::VmDown(_, _, why) => self.add("down", why),
            Happening::Power(_, what) => self.add("power", what),
            Happening::Violation(violation) if violation.excused => self.add("excused", violation.invariant),
            Happening::Violation(violation) => self.add("violation", violation.invariant),
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Master(_) => self.add("note", "master"),
            Note::Deposed(_) => self.add("note", "deposed"),
            Note::Host(_, state) => self.add("host", state.name()),
            Note::Judged(_, cause) => self.add("judged", judged_name(*cause)),
            Note::Proof(_, proof) => self.add("proof", proof.kind()),
            Note::Placed { proofs, .. } => {
                self.add("note", if proofs.is_empty() { "placed" } else { "placed-with-proof" });
                // These two are proofs for one VM each, and are told with its placing only.
                let single = |proof: &&HolderProof| matches!(proof.proof, Proof::Released { .. } | Proof::DiskLocked);
                proofs.iter().filter(single).for_each(|proof| self.add("proof", proof.proof.kind()));
            }
            Note::Waits(_, wait) => self.add("wait", wait.kind()),
            Note::Refused(refusal) => self.refusal(refusal),
            Note::LeaseEnded => self.add("note", "lease-ended"),
            Note::Gap => self.add("note", "gap"),
            Note::Alert(alert) => self.add("alert", alert.kind()),
            Note::Guest { answers: true, .. } => self.add("note", "guest-answers"),
            Note::Guest { answers: false, .. } => self.add("note", "guest-silent"),
        }
    }
}

fn judged_name(cause: JudgeCause) -> &'static str {
    match cause {
        JudgeCause::Silent => "silent",
        JudgeCause::Conflict => "conflict",
        JudgeCause::Unanswered => "unanswered",
        JudgeCause::Operator => "operator",
        JudgeCause::Drill => "drill",
        JudgeCause::SwitchedOff => "switched-off",
    }
}
