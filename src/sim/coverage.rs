//! What occurred how often over many worlds, and what never did: a soak that never saw a thing proves nothing about it.

use std::collections::BTreeMap;

/// How often each thing occurred, as `group/kind`, with a zero for what did not.
pub type Counts = BTreeMap<String, u64>;

/// The groups in which every kind must occur in a soak.
const NEEDED: [&str; 4] = ["fault", "proof", "refusal", "host"];

/// Adds all counts of another world.
pub fn merge(sum: &mut Counts, other: &Counts) {
    for (key, times) in other {
        let count = sum.entry(key.clone()).or_default();
        *count = count.saturating_add(*times);
    }
}

/// What should have occurred and did not.
pub fn never_occurred(counts: &Counts) -> Vec<&str> {
    let never = counts.iter().filter(|(_, times)| **times == 0).map(|(key, _)| key.as_str());
    never.filter(|key| key.split_once('/').is_some_and(|(group, _)| NEEDED.contains(&group))).collect()
}

/// The counts by their groups, each with its kinds.
pub fn grouped(counts: &Counts) -> BTreeMap<&str, Vec<(&str, u64)>> {
    let mut groups: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (key, times) in counts {
        let (group, kind) = key.split_once('/').unwrap_or(("other", key));
        groups.entry(group).or_default().push((kind, *times));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(key, times)| ((*key).to_owned(), *times)).collect()
    }

    #[test]
    fn what_never_occurred_is_named() {
        let mut sum = counts(&[("fault/power-off", 1), ("fault/twin", 0), ("alert/brake", 0)]);
        assert_eq!(never_occurred(&sum), ["fault/twin"]);
        merge(&mut sum, &counts(&[("fault/twin", 2), ("proof/fenced", 0)]));
        assert_eq!(never_occurred(&sum), ["proof/fenced"]);
        merge(&mut sum, &counts(&[("proof/fenced", 1)]));
        assert!(never_occurred(&sum).is_empty());
    }

    #[test]
    fn counts_are_grouped() {
        let sum = counts(&[("fault/power-off", 1), ("fault/twin", 0), ("vm/up", 3)]);
        let groups = grouped(&sum);
        assert_eq!(groups["fault"], [("power-off", 1), ("twin", 0)]);
        assert_eq!(groups["vm"], [("up", 3)]);
    }
}
