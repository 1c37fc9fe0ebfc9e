//! What a voter keeps on disk, and what is added to it.
//!
//! These types are plain, so that the disk, the simulator and a backup see the same thing. [`StoreImage::apply`]
//! is the meaning of a [`StoreBatch`]; whatever stores it otherwise (in tables, say) must give the same result, and
//! must store a batch as a whole or not at all: entries without the commit index beside them could let a voter stand
//! for election under a membership that is two steps old.

use crate::core::ids::{LogIndex, Ticket, VoterId};
use crate::election::members::{MemberChange, Members};
use serde::{Deserialize, Serialize};

/// What a voter must not forget about elections, and how far it knew the log to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// The latest term it has seen.
    pub term: u64,
    /// Whom it voted for in that term.
    pub vote: Option<VoterId>,
    /// A lower bound of what is committed. It may lag behind: the leader tells it again.
    pub commit: LogIndex,
}

/// What an entry of the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// A command of the node; empty for the entry with which each leader begins its term.
    Data(Vec<u8>),
    /// A change of who votes.
    Change(MemberChange),
    /// The end of a change that went through two majorities.
    LeaveJoint,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Its place.
    pub index: LogIndex,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// What it holds.
    pub payload: Payload,
}

/// The state that the entries up to `index` lead to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredSnapshot {
    /// The last entry that is contained; zero for the empty store of a new learner.
    pub index: LogIndex,
    /// That entry's term.
    pub term: u64,
    /// Who voted at that point. Later changes are in the log.
    pub members: Members,
    /// The node's own state.
    pub data: Vec<u8>,
}

/// A whole store of one voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreImage {
    /// Whose store it is.
    pub voter: VoterId,
    /// The store was restored from a backup, or has proved to lack what this voter once acknowledged. Its voter may
    /// have promised and voted what it no longer knows, so the number is dead: see [`super::ElectionError`].
    pub restored_from_backup: bool,
    /// Term, vote and commit.
    pub ballot: Ballot,
    /// The latest snapshot.
    pub snapshot: StoredSnapshot,
    /// The entry before the first one kept, at or before the snapshot: slow followers need a tail of the log.
    pub base_index: LogIndex,
    /// That entry's term.
    pub base_term: u64,
    /// The log after `base_index`, without holes.
    pub entries: Vec<StoredEntry>,
}

/// A snapshot to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotWrite {
    /// A leader's snapshot: it replaces the snapshot and the whole log.
    Install(StoredSnapshot),
    /// The node's own snapshot: it replaces the snapshot, and the log up to and with `base_index` goes.
    Compact {
        /// The snapshot.
        snapshot: StoredSnapshot,
        /// The last entry that is dropped.
        base_index: LogIndex,
        /// Its term.
        base_term: u64,
    },
}

/// What must be on disk before the messages that depend on it leave. It is stored as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreBatch {
    /// Whose store it is for: added to another one's it would forge that voter's promises.
    pub voter: VoterId,
    /// Names the batch in the call that says it is synced. No two voters' batches have the same.
    pub ticket: Ticket,
    /// First: the snapshots, in this order.
    pub snapshots: Vec<SnapshotWrite>,
    /// Then the entries: all from the first one's index on are dropped, then these are appended.
    pub entries: Vec<StoredEntry>,
    /// Then the ballot.
    pub ballot: Option<Ballot>,
    /// The store has proved to be behind and must never again be started as this voter.
    pub disqualified: bool,
}

impl StoreImage {
    /// The store of one of a new cluster's first voters. All share an identical snapshot, at index 1 of term 1, so
    /// that they agree on who votes before any of them has spoken.
    pub fn bootstrap(voter: VoterId, voters: &[VoterId], snapshot_data: Vec<u8>) -> Self {
        let members = Members::of_voters(voters);
        let snapshot = StoredSnapshot { index: LogIndex(1), term: 1, members, data: snapshot_data };
        StoreImage {
            voter,
            restored_from_backup: false,
            ballot: Ballot { term: 1, vote: None, commit: LogIndex(1) },
            snapshot,
            base_index: LogIndex(1),
            base_term: 1,
            entries: Vec::new(),
        }
    }

    /// The empty store of a new learner. The leader will bring it up to date with a snapshot.
    pub fn learner(voter: VoterId) -> Self {
        StoreImage {
            voter,
            restored_from_backup: false,
            ballot: Ballot::default(),
            snapshot: StoredSnapshot::default(),
            base_index: LogIndex(0),
            base_term: 0,
            entries: Vec::new(),
        }
    }

    /// Adds a batch.
    pub fn apply(&mut self, batch: &StoreBatch) {
        for write in &batch.snapshots {
            match write {
                SnapshotWrite::Install(snapshot) => {
                    self.base_index = snapshot.index;
                    self.base_term = snapshot.term;
                    self.entries.clear();
                    self.snapshot = snapshot.clone();
                }
                SnapshotWrite::Compact { snapshot, base_index, base_term } => {
                    self.entries.retain(|entry| entry.index > *base_index);
                    self.base_index = *base_index;
                    self.base_term = *base_term;
                    self.snapshot = snapshot.clone();
                }
            }
        }
        if let Some(first) = batch.entries.first() {
            let kept = first.index.0.saturating_sub(self.base_index.0 + 1);
            self.entries.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            self.entries.extend(batch.entries.iter().cloned());
        }
        if let Some(ballot) = batch.ballot {
            self.ballot = ballot;
        }
        self.restored_from_backup |= batch.disqualified;
    }

    /// The last entry's place.
    pub fn last_index(&self) -> LogIndex {
        self.entries.last().map_or(self.base_index, |entry| entry.index)
    }

    /// The last entry's term.
    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.base_term, |entry| entry.term)
    }

    /// The latest term that this store knows.
    pub fn term(&self) -> u64 {
        self.ballot.term
    }

    /// Names what is wrong with a store that cannot be one that this program wrote.
    ///
    /// The Raft library answers such a store with a panic, so it is looked for here.
    pub fn damage(&self) -> Option<&'static str> {
        let mut previous = (self.base_index.0, self.base_term);
        let mut at_snapshot = (self.base_index == self.snapshot.index).then_some(self.base_term);
        for entry in &self.entries {
            if entry.index.0 != previous.0 + 1 {
                return Some("the log has a hole");
            }
            if entry.term < previous.1 || entry.term == 0 {
                return Some("terms go backwards in the log");
            }
            previous = (entry.index.0, entry.term);
            if entry.index == self.snapshot.index {
                at_snapshot = Some(entry.term);
            }
        }
        let checks = [
            (self.voter == VoterId(0), "it names no voter"),
            (at_snapshot != Some(self.snapshot.term), "the snapshot is not at an entry of the log"),
            (self.ballot.term < self.last_term(), "its term is older than its log"),
            (self.ballot.commit < self.snapshot.index, "the snapshot holds what was not committed"),
            (self.ballot.commit > self.last_index(), "entries that were committed are missing"),
            (!self.snapshot.members.is_sound(), "the list of voters contradicts itself"),
            (self.snapshot.index.0 > 0 && self.snapshot.members.voters.is_empty(), "nobody votes"),
        ];
        checks.into_iter().find_map(|(wrong, what)| wrong.then_some(what))
    }
}
