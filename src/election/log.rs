//! The log in memory, as the Raft library reads it.
//!
//! It is always at or ahead of the disk: the library wants to read back at once what it has handed out to be
//! stored, while what depends on the disk waits for the disk (see [`super::disk`]).

use crate::core::ids::{LogIndex, VoterId};
use crate::election::members::Members;
use crate::election::message::{raft_entry, raft_snapshot};
use crate::election::store::{Ballot, SnapshotWrite, StoreImage, StoredSnapshot};
use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use std::cell::Cell;

/// So many entries before a snapshot are kept for followers that are only a little behind.
const TAIL: u64 = 64;

pub(super) struct Log {
    start: RaftState,
    snapshot: Snapshot,
    base_index: u64,
    base_term: u64,
    entries: Vec<Entry>,
    /// Each change of members after the snapshot, with the entry that made it; the first is the snapshot's own.
    members: Vec<(u64, Members)>,
    /// Somebody needs a newer snapshot than there is. A cell, because the library asks through `&self`.
    wanted: Cell<bool>,
}

impl Log {
    pub(super) fn new(image: StoreImage) -> Self {
        let hard_state = hard_state(image.ballot);
        Log {
            start: RaftState { hard_state, conf_state: image.snapshot.members.to_raft() },
            members: vec![(image.snapshot.index.0, image.snapshot.members.clone())],
            snapshot: raft_snapshot(image.snapshot),
            base_index: image.base_index.0,
            base_term: image.base_term,
            entries: image.entries.into_iter().map(raft_entry).collect(),
            wanted: Cell::new(false),
        }
    }

    pub(super) fn snapshot_index(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.take()
    }

    /// Who takes part after the last change that was applied.
    pub(super) fn members(&self) -> &Members {
        // The list is never empty: it begins with the snapshot's own members and only what follows is dropped.
        static NOBODY: Members = Members {
            voters: Vec::new(),
            voters_outgoing: Vec::new(),
            learners: Vec::new(),
            learners_next: Vec::new(),
            auto_leave: false,
        };
        self.members.last().map_or(&NOBODY, |(_, members)| members)
    }

    pub(super) fn note_members(&mut self, index: u64, members: Members) {
        self.members.push((index, members));
    }

    pub(super) fn install(&mut self, snapshot: Snapshot) {
        let metadata = snapshot.get_metadata();
        self.base_index = metadata.index;
        self.base_term = metadata.term;
        self.members = vec![(metadata.index, Members::from_raft(metadata.get_conf_state()))];
        self.entries.clear();
        self.snapshot = snapshot;
    }

    /// Drops what the new entries replace, then appends them.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            self.entries.truncate(self.position(first.index));
            self.entries.extend_from_slice(entries);
        }
    }

    /// Makes a snapshot at `applied` and drops the log before it, except for a tail.
    pub(super) fn compact(&mut self, applied: u64, data: Vec<u8>) -> Option<SnapshotWrite> {
        if applied <= self.snapshot_index() {
            return None;
        }
        let term = self.term(applied).ok()?;
        let base_index = applied.saturating_sub(TAIL).max(self.base_index);
        let base_term = self.term(base_index).ok()?;
        let current = self.members.iter().rposition(|(index, _)| *index <= applied)?;
        self.members.drain(..current);
        let members = self.members.first()?.1.clone();
        let snapshot = StoredSnapshot { index: LogIndex(applied), term, members, data };
        self.entries.drain(..self.position(base_index + 1));
        self.base_index = base_index;
        self.base_term = base_term;
        self.snapshot = raft_snapshot(snapshot.clone());
        Some(SnapshotWrite::Compact { snapshot, base_index: LogIndex(base_index), base_term })
    }

    /// Where in `entries` the entry of that index stands, or would stand.
    fn position(&self, index: u64) -> usize {
        let position = index.saturating_sub(self.base_index + 1);
        usize::try_from(position).map_or(self.entries.len(), |position| position.min(self.entries.len()))
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.start.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0u64;
        let within = |entry: &&Entry| {
            let first = size == 0;
            size = size.saturating_add(entry.data.len() as u64 + 32);
            first || size <= limit
        };
        let range = self.entries.get(self.position(low)..self.position(high)).unwrap_or_default();
        Ok(range.iter().take_while(within).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base_index {
            return Ok(self.base_term);
        }
        if index < self.base_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get(self.position(index));
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.base_index + self.entries.len() as u64)
    }

    /// A snapshot in whose members the receiver does not occur would be thrown away there, for ever. So one that is
    /// older than the receiver's admission is not sent; the node is asked for a newer one.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let known = self
            .members
            .first()
            .is_some_and(|(_, members)| members.is_voter(VoterId(to)) || members.is_learner(VoterId(to)));
        if known && self.snapshot_index() >= request_index.max(1) {
            return Ok(self.snapshot.clone());
        }
        self.wanted.set(true);
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

pub(super) fn hard_state(ballot: Ballot) -> HardState {
    HardState {
        term: ballot.term,
        vote: ballot.vote.map_or(0, |voter| voter.0),
        commit: ballot.commit.0,
        ..HardState::default()
    }
}

pub(super) fn ballot(state: &HardState) -> Ballot {
    let vote = (state.vote != 0).then_some(VoterId(state.vote));
    Ballot { term: state.term, vote, commit: LogIndex(state.commit) }
}
