//! What may be handed to the Raft library.
//!
//! The library trusts its peers: some messages that a correct peer never sends make it panic, forget its term, or get
//! round the lease. A peer may run another version, or a store may have been rolled back behind its voter's back, so
//! every message is judged here first. The list was made by following every panic of the library (0.7.0) back to the
//! messages that reach it.

use crate::core::ids::{LogIndex, VoterId};
use crate::election::members::Members;
use crate::election::rounds::ROUNDS_MAX;
use raft::eraftpb::{Message, MessageType};
use raft::{ProgressState, Raft, StateRole, Storage};

/// This store lacks what its voter acknowledged before. Its voter can no longer be trusted with a vote; the host
/// rejoins as a new learner, under a new number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Who knows better.
    pub peer: VoterId,
    /// How far this voter's store once reached, at least.
    pub expected: LogIndex,
    /// How far it reaches.
    pub last: LogIndex,
}

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    Drop,
    Behind(Behind),
}

/// Indices and terms above this are nonsense, and would overflow in sums.
const SANE: u64 = u64::MAX / 4;

/// Marks of rounds are eight bytes long.
const CONTEXT_MAX: usize = 8;

/// Judges a message that names its sender and this voter correctly.
///
/// `settled` says that nothing of this voter's log or ballot is still on its way to the disk.
pub(super) fn judge<S: Storage>(raft: &Raft<S>, message: &Message, settled: bool) -> Verdict {
    if !is_plausible(message) || message.from == raft.id || message.to != raft.id {
        return Verdict::Drop;
    }
    let take_if = |good| if good { Verdict::Take } else { Verdict::Drop };
    match message.msg_type {
        MessageType::MsgAppend => take_if(append_is_sound(message)),
        MessageType::MsgHeartbeat => judge_heartbeat(raft, message),
        MessageType::MsgSnapshot => take_if(snapshot_is_sound(message)),
        MessageType::MsgAppendResponse => judge_append_response(raft, message),
        MessageType::MsgHeartbeatResponse => judge_commit(raft, message),
        // The context would mark a transfer of leadership, which is granted in spite of the lease.
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => take_if(message.context.is_empty()),
        // A vote can be won only by a candidate whose log and ballot are on disk, for only then did it ask. An
        // answer before that was not asked for, and the library would panic over winning by it.
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => take_if(settled),
        // Transfers of leadership get round the lease. Proposals and reads are not forwarded; a read without an
        // entry panics. The rest is what the library says to itself.
        MessageType::MsgTransferLeader
        | MessageType::MsgTimeoutNow
        | MessageType::MsgPropose
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp
        | MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => Verdict::Drop,
    }
}

/// A term of zero would be taken for a message to itself, past all checks of terms.
fn is_plausible(message: &Message) -> bool {
    let numbers =
        [message.term, message.log_term, message.index, message.commit, message.commit_term, message.reject_hint];
    message.term > 0
        && message.from > 0
        && numbers.iter().all(|number| *number < SANE)
        && message.context.len() <= CONTEXT_MAX
        && message.request_snapshot == 0
        && message.priority == 0
        && message.deprecated_priority == 0
}

/// The entries follow each other without a hole, and no term is later than the sender's.
///
/// The library takes an entry that it does not have for one of term zero, so that "after entry 900 of term 0" would
/// match a log that ends at 5; only the very beginning has that term.
fn append_is_sound(message: &Message) -> bool {
    let mut previous = (message.index, message.log_term);
    for entry in &message.entries {
        if entry.index != previous.0 + 1 || entry.term < previous.1.max(1) {
            return false;
        }
        previous = (entry.index, entry.term);
    }
    (message.log_term == 0) == (message.index == 0) && previous.1 <= message.term
}

/// The leader tells each follower how far this follower had acknowledged its log, in this same term: in `commit`, by
/// the library, as far as that is committed, and in `index`, by us, in full. Both lie within the follower's log
/// unless its store was rolled back since; the library panics over the former.
fn judge_heartbeat<S: Storage>(raft: &Raft<S>, message: &Message) -> Verdict {
    let expected = message.commit.max(message.index);
    match message.term >= raft.term {
        true => reaches(raft, message, expected),
        false => Verdict::Take,
    }
}

fn reaches<S: Storage>(raft: &Raft<S>, message: &Message, expected: u64) -> Verdict {
    let last = raft.raft_log.last_index();
    if expected <= last {
        return Verdict::Take;
    }
    Verdict::Behind(Behind { peer: VoterId(message.from), expected: LogIndex(expected), last: LogIndex(last) })
}

fn snapshot_is_sound(message: &Message) -> bool {
    let metadata = message.get_snapshot().get_metadata();
    let members = Members::from_raft(metadata.get_conf_state());
    let numbers = metadata.index > 0 && metadata.index < SANE && metadata.term > 0;
    numbers && metadata.term <= message.term && members.is_sound() && !members.voters.is_empty()
}

/// A leader has everything that is committed, or it would not have been elected: a follower that knows of more
/// shows that this leader has lost some of it.
fn judge_commit<S: Storage>(raft: &Raft<S>, message: &Message) -> Verdict {
    match raft.state == StateRole::Leader && message.term == raft.term {
        true => reaches(raft, message, message.commit),
        false => Verdict::Take,
    }
}

/// An acceptance names what this leader sent in this term. A refusal below what the same follower had acknowledged
/// is either an old one that was overtaken, or comes from a store that was rolled back. In neither case may the
/// leader go back behind the acknowledgement, by which it may have committed; in the latter the follower learns from
/// the next heartbeat that it is behind.
fn judge_append_response<S: Storage>(raft: &Raft<S>, message: &Message) -> Verdict {
    if raft.state != StateRole::Leader || message.term != raft.term {
        return Verdict::Take;
    }
    let commit = judge_commit(raft, message);
    if commit != Verdict::Take {
        return commit;
    }
    if !message.reject {
        return reaches(raft, message, message.index);
    }
    let Some(progress) = raft.prs().get(message.from) else { return Verdict::Drop };
    let last = raft.raft_log.last_index();
    let consistent = message.reject_hint <= message.index && message.index <= last;
    let stale = message.reject_hint < progress.matched || progress.state == ProgressState::Snapshot;
    if consistent && !stale { Verdict::Take } else { Verdict::Drop }
}

/// More unanswered rounds than this would only fill the library's memory.
pub(super) fn too_many_rounds<S: Storage>(raft: &Raft<S>) -> bool {
    raft.pending_read_count() >= ROUNDS_MAX
}
