//! What can be asked of an [`Election`].

use super::{Behind, Election, Members};
use crate::core::ids::{LogIndex, VoterId};
use crate::core::time::Instant;
use raft::StateRole;

/// The part that this voter plays at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads. It may act as master only once [`Election::ready_to_lead`].
    Leader {
        /// Its term.
        term: u64,
    },
    /// It votes and follows.
    Follower {
        /// The latest term.
        term: u64,
        /// Whom it follows.
        leader: Option<VoterId>,
    },
    /// It stands for election.
    Candidate {
        /// The latest term.
        term: u64,
    },
    /// It follows without a vote: a learner, or a voter that was removed.
    Learner {
        /// The latest term.
        term: u64,
        /// Whom it follows.
        leader: Option<VoterId>,
    },
}

/// How far a follower is, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last entry that it has acknowledged.
    pub acknowledged: LogIndex,
    /// It has all that is committed, or lacks only what is on its way.
    pub caught_up: bool,
}

/// A follower that lacks no more than this is caught up: under load none is ever level.
const NEARLY: u64 = 32;

impl Election {
    /// Who this voter is.
    pub fn id(&self) -> VoterId {
        VoterId(self.raw.raft.id)
    }

    /// The moment of the next [`Election::wake`].
    pub fn next_deadline(&self) -> Instant {
        match (self.behind, self.raw.raft.state) {
            (Some(_), _) => Instant::NEVER,
            (None, StateRole::Leader) => self.pace.next_tick().min(self.rounds.next()),
            (None, _) => self.pace.next_tick(),
        }
    }

    /// The part that this voter plays.
    pub fn role(&self) -> Role {
        let raft = &self.raw.raft;
        let term = raft.term;
        let leader = (raft.leader_id != raft::INVALID_ID).then_some(VoterId(raft.leader_id));
        match raft.state {
            StateRole::Leader if self.behind.is_none() => Role::Leader { term },
            StateRole::Candidate | StateRole::PreCandidate if self.behind.is_none() => Role::Candidate { term },
            _ if raft.promotable() => Role::Follower { term, leader },
            _ => Role::Learner { term, leader },
        }
    }

    /// Whether this voter leads.
    pub fn is_leader(&self) -> bool {
        self.behind.is_none() && self.raw.raft.state == StateRole::Leader
    }

    /// The latest term.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// Whether somebody leads whom a majority follows: an entry of that term is known to be committed.
    pub fn is_led(&self) -> bool {
        let raft = &self.raw.raft;
        let newest = raft.raft_log.term(raft.raft_log.committed);
        raft.leader_id != raft::INVALID_ID && newest.is_ok_and(|term| term == raft.term)
    }

    /// The last entry of the log, whether on disk or not.
    pub fn last_index(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.last_index())
    }

    /// The last entry that is known to be committed.
    pub fn committed(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.committed)
    }

    /// The entry up to which the latest snapshot reaches, by which the node decides when to make another.
    pub fn snapshot_index(&self) -> LogIndex {
        LogIndex(self.raw.store().snapshot_index())
    }

    /// Who takes part.
    pub fn members(&self) -> &Members {
        self.raw.store().members()
    }

    /// Whether this voter takes part, as voter or learner. One that no longer does should still run for a while: the
    /// others may need its vote until they know that it has left.
    pub fn is_member(&self) -> bool {
        self.members().is_voter(self.id()) || self.members().is_learner(self.id())
    }

    /// How far that voter or learner is; known to the leader only.
    pub fn progress(&self, id: VoterId) -> Option<Progress> {
        let raft = &self.raw.raft;
        let progress = raft.prs().get(id.0).filter(|_| self.is_leader())?;
        let acknowledged = if id == self.id() { raft.raft_log.persisted } else { progress.matched };
        let caught_up = acknowledged > 0 && acknowledged + NEARLY >= raft.raft_log.committed;
        Some(Progress { acknowledged: LogIndex(acknowledged), caught_up })
    }

    /// When the newest quorum round that a majority has answered was sent; nothing if this voter does not lead.
    pub fn quorum_at(&self) -> Option<Instant> {
        if self.is_leader() { self.rounds.proven(self.raw.raft.term) } else { None }
    }

    /// The first entry of this leader's own term. What its predecessors committed lies before it.
    pub fn lead_from(&self) -> Option<LogIndex> {
        self.is_leader().then_some(LogIndex(self.lead_from))
    }

    /// Whether this voter leads and the first entry of its term is committed. The node may decide once it has also
    /// applied that entry.
    pub fn ready_to_lead(&self) -> bool {
        self.lead_from().is_some_and(|index| index <= self.committed())
    }

    /// Whether this store is behind what peers have seen.
    pub fn behind(&self) -> Option<Behind> {
        self.behind
    }
}
