//! Who votes, and how that changes.

use crate::core::ids::VoterId;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Who takes part in the log. All lists are in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Members {
    /// Those whose majority decides.
    pub voters: Vec<VoterId>,
    /// During a replacement, those whose majority must agree as well.
    pub voters_outgoing: Vec<VoterId>,
    /// Those who receive the log and do not vote.
    pub learners: Vec<VoterId>,
    /// Outgoing voters who stay as learners.
    pub learners_next: Vec<VoterId>,
    /// The replacement ends by itself.
    pub auto_leave: bool,
}

/// A change of who votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// A new store receives the log from now on.
    AddLearner(VoterId),
    /// A learner becomes a voter.
    Promote(VoterId),
    /// A learner takes a voter's place in one step, so that at no time a failure more is fatal than before.
    Replace {
        /// The learner that becomes a voter.
        promote: VoterId,
        /// The voter that leaves.
        remove: VoterId,
    },
    /// A voter or learner leaves for good.
    Remove(VoterId),
}

/// Why a change of members was not begun.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ChangeError {
    /// Only the leader changes members.
    #[error("this voter does not lead; ask the leader")]
    NotLeader,
    /// One change at a time.
    #[error("an earlier change of members is still under way; try again when it is committed")]
    Pending,
    /// A leader cannot remove itself.
    #[error("{0} leads and cannot remove itself; let another voter lead first")]
    RemovesLeader(VoterId),
    /// The voter or learner is unknown, or is not what the change takes it for.
    #[error("{0} is not in the part that this change needs")]
    Unfit(VoterId),
    /// Nobody would vote.
    #[error("{0} is the last voter and cannot be removed")]
    LastVoter(VoterId),
}

impl Members {
    pub(super) fn of_voters(voters: &[VoterId]) -> Self {
        let mut voters = voters.to_vec();
        voters.sort_unstable();
        voters.dedup();
        Members { voters, ..Members::default() }
    }

    /// Whether that voter votes, now or in the majority that is being left.
    pub fn is_voter(&self, id: VoterId) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Whether that voter receives the log without voting.
    pub fn is_learner(&self, id: VoterId) -> bool {
        self.learners.contains(&id)
    }

    /// Whether two majorities are needed at the moment.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether the lists can stand together; the Raft library panics over some that cannot.
    pub(super) fn is_sound(&self) -> bool {
        let ascending = |list: &[VoterId]| {
            list.first().is_none_or(|first| first.0 > 0) && list.windows(2).all(|pair| pair[0] < pair[1])
        };
        let lists = [&self.voters, &self.voters_outgoing, &self.learners, &self.learners_next];
        lists.iter().all(|list| ascending(list))
            && self.learners.iter().all(|id| !self.is_voter(*id))
            && self.learners_next.iter().all(|id| self.voters_outgoing.contains(id) && !self.voters.contains(id))
            && (self.is_joint() || !self.auto_leave)
            && (!self.voters.is_empty() || (!self.is_joint() && self.learners.is_empty()))
    }

    /// Refuses a change that could not be carried out, before it costs an entry of the log.
    pub(super) fn check(&self, change: MemberChange, leader: VoterId) -> Result<(), ChangeError> {
        if self.is_joint() {
            return Err(ChangeError::Pending);
        }
        let promotes = |id: VoterId| match self.is_learner(id) {
            true => Ok(()),
            false => Err(ChangeError::Unfit(id)),
        };
        match change {
            MemberChange::AddLearner(id) if id.0 == 0 || self.is_voter(id) || self.is_learner(id) => {
                Err(ChangeError::Unfit(id))
            }
            MemberChange::AddLearner(_) => Ok(()),
            MemberChange::Promote(id) => promotes(id),
            MemberChange::Replace { remove, .. } | MemberChange::Remove(remove) if remove == leader => {
                Err(ChangeError::RemovesLeader(remove))
            }
            MemberChange::Replace { promote, remove } if self.voters.contains(&remove) => promotes(promote),
            MemberChange::Replace { remove, .. } => Err(ChangeError::Unfit(remove)),
            MemberChange::Remove(id) if self.is_learner(id) => Ok(()),
            MemberChange::Remove(id) if !self.voters.contains(&id) => Err(ChangeError::Unfit(id)),
            MemberChange::Remove(id) if self.voters.len() == 1 => Err(ChangeError::LastVoter(id)),
            MemberChange::Remove(_) => Ok(()),
        }
    }

    pub(super) fn to_raft(&self) -> ConfState {
        let raw = |list: &[VoterId]| list.iter().map(|id| id.0).collect();
        ConfState {
            voters: raw(&self.voters),
            voters_outgoing: raw(&self.voters_outgoing),
            learners: raw(&self.learners),
            learners_next: raw(&self.learners_next),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }

    /// Sorts what the library keeps in hashed sets, so that no order of theirs is ever seen or stored.
    pub(super) fn from_raft(state: &ConfState) -> Self {
        let typed = |list: &[u64]| {
            let mut list: Vec<VoterId> = list.iter().map(|id| VoterId(*id)).collect();
            list.sort_unstable();
            list
        };
        Members {
            voters: typed(&state.voters),
            voters_outgoing: typed(&state.voters_outgoing),
            learners: typed(&state.learners),
            learners_next: typed(&state.learners_next),
            auto_leave: state.auto_leave,
        }
    }
}

impl MemberChange {
    /// The library's form. Two changes at once make it go through both majorities and end that by itself.
    pub(super) fn to_raft(self) -> ConfChangeV2 {
        let single =
            |change_type, id: VoterId| ConfChangeSingle { change_type, node_id: id.0, ..ConfChangeSingle::default() };
        let changes = match self {
            MemberChange::AddLearner(id) => vec![single(ConfChangeType::AddLearnerNode, id)],
            MemberChange::Promote(id) => vec![single(ConfChangeType::AddNode, id)],
            MemberChange::Replace { promote, remove } => {
                vec![single(ConfChangeType::AddNode, promote), single(ConfChangeType::RemoveNode, remove)]
            }
            MemberChange::Remove(id) => vec![single(ConfChangeType::RemoveNode, id)],
        };
        ConfChangeV2 { changes: changes.into(), ..ConfChangeV2::default() }
    }

    /// The form in which a change travels through the library, beside the library's own: a tag and two numbers.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (tag, first, second) = match self {
            MemberChange::AddLearner(id) => (0, id, VoterId(0)),
            MemberChange::Promote(id) => (1, id, VoterId(0)),
            MemberChange::Replace { promote, remove } => (2, promote, remove),
            MemberChange::Remove(id) => (3, id, VoterId(0)),
        };
        let mut bytes = vec![tag];
        bytes.extend(first.0.to_le_bytes());
        bytes.extend(second.0.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, numbers) = bytes.split_first()?;
        let number =
            |range| Some(VoterId(u64::from_le_bytes(numbers.get::<std::ops::Range<usize>>(range)?.try_into().ok()?)));
        let (first, second) = (number(0..8)?, number(8..16)?);
        match tag {
            0 => Some(MemberChange::AddLearner(first)),
            1 => Some(MemberChange::Promote(first)),
            2 => Some(MemberChange::Replace { promote: first, remove: second }),
            3 => Some(MemberChange::Remove(first)),
            _ => None,
        }
    }
}
