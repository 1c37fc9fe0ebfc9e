//! When somebody watched: a master, that is.

use super::HEARD_AT_ONCE;

/// While no master was there for less than this, agents and heartbeats bridged the gap.
const BLIND_FROM: i64 = 30_000;

/// The times without a master so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    /// As each new master told of them: what its own node did not see.
    dark: Vec<(i64, i64)>,
    /// Of these, what was long, and seen by no other master either. In their order, and apart from each other.
    unwatched: Vec<(i64, i64)>,
}

impl Watch {
    /// A master began at a moment, after its node had known none since another. Up to `known` somebody wrote facts down.
    pub(super) fn began(&mut self, since: i64, at: i64, known: i64) {
        self.dark.push((since, at));
        let since = since.max(known);
        if at.saturating_sub(since) >= BLIND_FROM {
            self.unwatched.push((since, at));
        }
    }

    /// When nobody watched, as far as it lies in this time.
    pub(super) fn unwatched(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let first = self.unwatched.partition_point(|(_, light)| *light <= from);
        let within = self.unwatched.iter().skip(first).take_while(move |(dark, _)| *dark < to);
        within.map(move |(dark, light)| ((*dark).max(from), (*light).min(to)))
    }

    /// When something gave its last sign that was not seen to live since `seen_at`. If a time without a master was over
    /// for no longer than `patience` by then, nobody knows of a sign since that began, nor of one just before: a
    /// master that was there no more would have noticed the silence a moment later. The same holds of the time before
    /// that, if there was no master then either.
    pub(super) fn last_sign(&self, sign: i64, seen_at: i64, patience: i64) -> i64 {
        let (mut found, mut patience) = (sign, patience);
        for (dark, light) in self.dark.iter().rev() {
            let is_within = *dark <= found && found <= light.saturating_add(patience);
            if is_within && seen_at <= *dark {
                found = dark.saturating_sub(HEARD_AT_ONCE).max(seen_at);
                patience = HEARD_AT_ONCE;
            }
        }
        found
    }
}
