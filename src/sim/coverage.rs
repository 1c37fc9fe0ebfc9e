//! What occurred how often over many worlds, and what never did: a soak that never saw a thing proves nothing about it.

use crate::core::action::Note;
use crate::core::reason::{HostState, PROOF_KINDS, Refusal};
use crate::sim::kinds::{kind_of, kinds_of};
use crate::sim::spelling::{FAULT_KINDS, fault_kind};
use crate::sim::timeline::Happening;
use std::collections::BTreeMap;

/// How often each thing occurred: by its group (`fault`, `proof`, `refusal`, `host-state` and others), then its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    groups: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The groups in which every kind must occur in a soak.
pub const NEEDED: [&str; 4] = ["fault", "proof", "refusal", "host-state"];

impl Counts {
    /// Adds to the count of a kind.
    pub fn add(&mut self, group: &str, kind: &str, times: u64) {
        let count = self.groups.entry(group.to_owned()).or_default().entry(kind.to_owned()).or_default();
        *count = count.saturating_add(times);
    }

    /// Counts what happened.
    pub fn see(&mut self, what: &Happening) {
        match what {
            Happening::Fault(fault) => self.add("fault", fault_kind(fault), 1),
            Happening::FaultSkipped(fault) => self.add("fault-skipped", fault_kind(fault), 1),
            Happening::Violation(violation) => self.add("violation", violation.invariant, 1),
            Happening::VmUp(..) => self.add("vm", "up", 1),
            Happening::VmDown(_, _, why) => self.add("vm-down", why, 1),
            Happening::Power(_, what) => self.add("power", what, 1),
            Happening::Note(_, note) => self.note(note),
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Master(_) => self.add("master", "elected", 1),
            Note::Deposed(_) => self.add("master", "deposed", 1),
            Note::Host(_, state) => self.add("host-state", state.name(), 1),
            Note::Judged(_, cause) => self.add("judged", &kind_of(cause), 1),
            Note::Proof(_, proof) => self.add("proof", proof.kind(), 1),
            Note::Placed { proofs, .. } => {
                self.add("placed", if proofs.is_empty() { "first" } else { "again" }, 1);
                for by in proofs {
                    self.add("placed-after", by.proof.kind(), 1);
                }
            }
            Note::Waits(_, wait) => self.add("wait", &kind_of(wait), 1),
            Note::Refused(refusal) => self.add("refusal", &kind_of(refusal), 1),
            Note::LeaseEnded => self.add("agent", "lease-ended", 1),
            Note::Gap => self.add("agent", "gap", 1),
            Note::Alert(alert) => self.add("alert", &kind_of(alert), 1),
        }
    }

    /// Adds all counts of another world.
    pub fn merge(&mut self, other: &Counts) {
        for (group, kinds) in &other.groups {
            for (kind, times) in kinds {
                self.add(group, kind, *times);
            }
        }
    }

    /// All groups with their kinds.
    pub fn groups(&self) -> &BTreeMap<String, BTreeMap<String, u64>> {
        &self.groups
    }

    /// How often a kind occurred.
    pub fn times(&self, group: &str, kind: &str) -> u64 {
        self.groups.get(group).and_then(|kinds| kinds.get(kind)).copied().unwrap_or(0)
    }

    /// What should have occurred and did not, as `group kind`.
    pub fn never_occurred(&self) -> Vec<String> {
        let refusals = kinds_of::<Refusal>();
        let proofs = PROOF_KINDS.iter().map(|kind| ("proof", *kind));
        let states = HostState::ALL.iter().map(|state| ("host-state", state.name()));
        let needed = FAULT_KINDS.iter().map(|kind| ("fault", *kind)).chain(proofs).chain(states);
        let needed = needed.chain(refusals.iter().map(|kind| ("refusal", kind.as_str())));
        let missing = needed.filter(|(group, kind)| !self.has(group, kind));
        missing.map(|(group, kind)| format!("{group} {kind}")).collect()
    }

    /// A lock opens one VM at a time, so its proof stands with the placement and not with a host.
    fn has(&self, group: &str, kind: &str) -> bool {
        self.times(group, kind) > 0 || (group == "proof" && self.times("placed-after", kind) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::HostId;
    use crate::sim::fault::Fault;

    #[test]
    fn what_never_occurred_is_named() {
        let mut counts = Counts::default();
        let all = counts.never_occurred();
        assert!(all.contains(&"fault power-off".to_owned()) && all.contains(&"refusal old-epoch".to_owned()));
        assert!(all.contains(&"proof disk-locked".to_owned()) && all.contains(&"host-state conflicted".to_owned()));
        counts.see(&Happening::Fault(Fault::PowerOff(HostId(1))));
        counts.see(&Happening::Note(HostId(1), Note::Refused(Refusal::OldEpoch)));
        counts.add("placed-after", "disk-locked", 1);
        let rest = counts.never_occurred();
        assert_eq!(rest.len(), all.len() - 3);
        assert!(!rest.contains(&"refusal old-epoch".to_owned()));
    }

    #[test]
    fn counts_of_many_worlds_add_up() {
        let mut one = Counts::default();
        one.add("proof", "fenced", 2);
        let mut other = Counts::default();
        other.add("proof", "fenced", 3);
        other.add("proof", "released", 1);
        one.merge(&other);
        assert_eq!((one.times("proof", "fenced"), one.times("proof", "released")), (5, 1));
    }
}
