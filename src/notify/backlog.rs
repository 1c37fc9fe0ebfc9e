//! What a channel is still to be told.

use crate::core::ids::FactKey;
use crate::core::state::{ChannelSetup, Severity};
use crate::ledger::Entry;
use std::collections::VecDeque;

/// So much is counted; what comes behind is read when there is room.
const COUNTED: usize = 10_000;
/// A channel that is behind by more is told lesser facts in one.
const FAR_BEHIND: usize = 1_000;
/// So many in one at most.
const IN_ONE: usize = 500;
/// After so many facts that were not for the channel the log is told so, or a new master would read them all again.
const PASSED: usize = 500;

/// The facts that are for one channel, in the order of the ledger.
#[derive(Debug)]
pub(super) struct Backlog {
    setup: ChannelSetup,
    waiting: VecDeque<Pending>,
    /// Up to where the ledger was read.
    read: FactKey,
    /// How many facts were read since the last one that is for the channel.
    passed: usize,
}

/// A fact that is for the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) key: FactKey,
    pub(super) at_milliseconds: i64,
    severity: Severity,
}

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// This fact.
    One(FactKey),
    /// These, in one.
    Many(Vec<(FactKey, i64)>),
}

impl Backlog {
    /// What comes after the place up to which the channel was told.
    pub(super) fn new(setup: ChannelSetup, told: FactKey) -> Backlog {
        Backlog { setup, waiting: VecDeque::new(), read: told, passed: 0 }
    }

    /// Up to where the ledger was read.
    pub(super) fn read(&self) -> FactKey {
        self.read
    }

    /// Whether no more is to be read for now.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= COUNTED
    }

    /// Takes in what follows in the ledger.
    pub(super) fn extend(&mut self, entries: &[Entry]) {
        for entry in entries {
            let severity = entry.what.severity();
            self.read = entry.key;
            self.passed += 1;
            if severity >= self.setup.least && (self.setup.kinds.is_empty() || self.names(&entry.what.kind())) {
                self.waiting.push_back(Pending { key: entry.key, at_milliseconds: entry.at_milliseconds, severity });
                self.passed = 0;
            }
        }
    }

    fn names(&self, kind: &str) -> bool {
        self.setup.kinds.contains(kind)
    }

    /// How much there is.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Since when the first of it waits.
    pub(super) fn since(&self) -> Option<i64> {
        self.waiting.front().map(|first| first.at_milliseconds)
    }

    /// What is to be sent next. Which facts go in one follows from the ledger alone, so that a new master that sends them
    /// again sends the same.
    pub(super) fn next(&self) -> Option<Next> {
        let first = self.waiting.front()?;
        if self.waiting.len() > FAR_BEHIND {
            let lesser = self.waiting.iter().take(IN_ONE).take_while(|fact| fact.severity == Severity::Info);
            let lesser: Vec<(FactKey, i64)> = lesser.map(|fact| (fact.key, fact.at_milliseconds)).collect();
            if lesser.len() > 1 {
                return Some(Next::Many(lesser));
            }
        }
        Some(Next::One(first.key))
    }

    /// The log knows that the channel was told up to here.
    pub(super) fn told(&mut self, upto: FactKey) {
        while self.waiting.front().is_some_and(|first| first.key <= upto) {
            self.waiting.pop_front();
        }
        self.passed = 0;
    }

    /// Up to where nothing is for the channel, if that is worth the log's while.
    pub(super) fn passed(&self) -> Option<FactKey> {
        (self.waiting.is_empty() && self.passed >= PASSED).then_some(self.read)
    }
}

impl Next {
    /// The last fact of it.
    pub(super) fn upto(&self) -> Option<FactKey> {
        match self {
            Next::One(key) => Some(*key),
            Next::Many(facts) => facts.last().map(|last| last.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{HostId, LogIndex};
    use crate::core::reason::Alert;
    use crate::core::state::Secret;
    use crate::ledger::What;
    use std::sync::Arc;

    fn key(index: u64) -> FactKey {
        FactKey { generation: 0, index: LogIndex(index), part: 0 }
    }

    fn backlog(least: Severity, kinds: &[&str]) -> Backlog {
        let kinds = kinds.iter().map(ToString::to_string).collect();
        Backlog::new(ChannelSetup { least, kinds, target: Arc::new(Secret(Vec::new())) }, key(0))
    }

    fn fact(index: u64, what: What) -> Entry {
        Entry { key: key(index), at_milliseconds: i64::try_from(index).unwrap(), said: None, what }
    }

    fn lesser(index: u64) -> Entry {
        fact(index, What::HostLeft { host: HostId(1) })
    }

    fn grave(index: u64) -> Entry {
        fact(index, What::Alert { alert: Alert::NoMajority })
    }

    #[test]
    fn a_channel_gets_what_matters_enough_and_is_of_its_kinds() {
        let facts = [lesser(1), grave(2), lesser(3), fact(4, What::Recovered { dead: Vec::new() })];
        let gets = |least, kinds: &[&str]| {
            let mut backlog = backlog(least, kinds);
            backlog.extend(&facts);
            backlog.waiting.iter().map(|fact| fact.key.index.0).collect::<Vec<_>>()
        };
        assert_eq!(gets(Severity::Info, &[]), [1, 2, 3, 4]);
        assert_eq!(gets(Severity::Warning, &[]), [2, 4]);
        assert_eq!(gets(Severity::Critical, &[]), [2]);
        assert_eq!(gets(Severity::Info, &["host-left", "recovered"]), [1, 3, 4]);
        assert_eq!(gets(Severity::Warning, &["host-left", "recovered"]), [4]);
    }

    #[test]
    fn far_behind_lesser_facts_go_in_one_and_grave_ones_alone_in_their_order() {
        let mut backlog = backlog(Severity::Info, &[]);
        let facts: Vec<Entry> = (1..=2_000).map(|at| if at == 700 { grave(at) } else { lesser(at) }).collect();
        backlog.extend(&facts);
        let mut sent = Vec::new();
        while let Some(next) = backlog.next() {
            let upto = next.upto().unwrap();
            sent.push(match next {
                Next::One(_) => (1, upto.index.0),
                Next::Many(facts) => (facts.len(), upto.index.0),
            });
            backlog.told(upto);
        }
        assert_eq!(sent[..4], [(500, 500), (199, 699), (1, 700), (500, 1_200)]);
        assert_eq!(sent.len(), 4 + 800, "the last ones are told one by one");
        assert_eq!(sent.last(), Some(&(1, 2_000)));
    }

    #[test]
    fn a_new_master_puts_the_same_facts_in_one() {
        let mut first = backlog(Severity::Info, &[]);
        first.extend(&(1..=1_001).map(lesser).collect::<Vec<_>>());
        let mut second = backlog(Severity::Info, &[]);
        second.extend(&(1..=5_000).map(lesser).collect::<Vec<_>>());
        assert_eq!(first.next(), second.next());
    }

    #[test]
    fn what_is_not_for_it_is_passed_now_and_then() {
        let mut backlog = backlog(Severity::Critical, &[]);
        backlog.extend(&(1..=499).map(lesser).collect::<Vec<_>>());
        assert_eq!((backlog.len(), backlog.passed()), (0, None));
        backlog.extend(&[lesser(500)]);
        assert_eq!(backlog.passed(), Some(key(500)));
        backlog.extend(&[grave(501), lesser(502)]);
        assert_eq!((backlog.passed(), backlog.since()), (None, Some(501)));
    }

    #[test]
    fn it_is_bounded() {
        let mut backlog = backlog(Severity::Info, &[]);
        let mut at = 0;
        while !backlog.is_full() {
            backlog.extend(&(at + 1..=at + 500).map(grave).collect::<Vec<_>>());
            at += 500;
        }
        assert!(backlog.len() < COUNTED + 500);
    }
}
