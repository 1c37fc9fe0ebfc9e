//! Messages between voters.
//!
//! Inside one process a [`Message`] is the Raft library's own struct, so that the simulator copies nothing. On the
//! wire it is [`Wire`], in our own encoding: the library's protobuf decoder never sees what came from outside.
//! Whether a message may be believed is for [`super::guard`] to say, however it arrived.

use crate::core::ids::{LogIndex, VoterId};
use crate::election::members::{MemberChange, Members};
use crate::election::store::{Payload, StoredEntry, StoredSnapshot};
use raft::eraftpb::{self, EntryType, MessageType, SnapshotMetadata};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What one voter says to another. Opaque: it is carried and handed to [`super::Election::step`].
#[derive(Clone, PartialEq)]
pub struct Message(pub(super) eraftpb::Message);

impl Eq for Message {}

impl Message {
    /// Who sent it, by its own word.
    pub fn from(&self) -> VoterId {
        VoterId(self.0.from)
    }

    /// Whom it is for.
    pub fn to(&self) -> VoterId {
        VoterId(self.0.to)
    }

    /// Whether it carries a whole snapshot, which the transport may want to keep out of the way of the others.
    pub fn is_snapshot(&self) -> bool {
        self.0.msg_type == MessageType::MsgSnapshot
    }

    /// Whether it says nothing that it would not say again, so that the transport may drop it under pressure.
    pub fn is_heartbeat(&self) -> bool {
        matches!(self.0.msg_type, MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.0;
        write!(f, "{:?} {}→{} term {} ", m.msg_type, m.from, m.to, m.term)?;
        write!(f, "at {}.{} commit {} entries {}", m.log_term, m.index, m.commit, m.entries.len())?;
        if m.reject { write!(f, " reject, try {}", m.reject_hint) } else { Ok(()) }
    }
}

/// The kinds that voters exchange. Transfers of leadership, forwarded proposals and reads are not among them: the
/// first get round the lease, the others are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Append,
    AppendResponse,
    Vote,
    VoteResponse,
    PreVote,
    PreVoteResponse,
    Heartbeat,
    HeartbeatResponse,
    Snapshot,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Append,
        Kind::AppendResponse,
        Kind::Vote,
        Kind::VoteResponse,
        Kind::PreVote,
        Kind::PreVoteResponse,
        Kind::Heartbeat,
        Kind::HeartbeatResponse,
        Kind::Snapshot,
    ];

    fn to_raft(self) -> MessageType {
        match self {
            Kind::Append => MessageType::MsgAppend,
            Kind::AppendResponse => MessageType::MsgAppendResponse,
            Kind::Vote => MessageType::MsgRequestVote,
            Kind::VoteResponse => MessageType::MsgRequestVoteResponse,
            Kind::PreVote => MessageType::MsgRequestPreVote,
            Kind::PreVoteResponse => MessageType::MsgRequestPreVoteResponse,
            Kind::Heartbeat => MessageType::MsgHeartbeat,
            Kind::HeartbeatResponse => MessageType::MsgHeartbeatResponse,
            Kind::Snapshot => MessageType::MsgSnapshot,
        }
    }
}

/// A message as it travels.
#[derive(Serialize, Deserialize)]
struct Wire {
    kind: Kind,
    to: u64,
    from: u64,
    term: u64,
    log_term: u64,
    index: u64,
    entries: Vec<StoredEntry>,
    commit: u64,
    commit_term: u64,
    snapshot: Option<StoredSnapshot>,
    reject: bool,
    reject_hint: u64,
    context: Vec<u8>,
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let m = &self.0;
        let kind = Kind::ALL.into_iter().find(|kind| kind.to_raft() == m.msg_type);
        let kind = kind.ok_or_else(|| serde::ser::Error::custom("this kind of message is never sent"))?;
        let wire = Wire {
            kind,
            to: m.to,
            from: m.from,
            term: m.term,
            log_term: m.log_term,
            index: m.index,
            entries: m.entries.iter().map(stored_entry).collect(),
            commit: m.commit,
            commit_term: m.commit_term,
            snapshot: m.snapshot.as_ref().map(stored_snapshot),
            reject: m.reject,
            reject_hint: m.reject_hint,
            context: m.context.to_vec(),
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        if wire.snapshot.as_ref().is_some_and(|snapshot| !snapshot.members.is_sound()) {
            return Err(serde::de::Error::custom("the members in a snapshot cannot stand together"));
        }
        let entries: Vec<_> = wire.entries.into_iter().map(raft_entry).collect();
        Ok(Message(eraftpb::Message {
            msg_type: wire.kind.to_raft(),
            to: wire.to,
            from: wire.from,
            term: wire.term,
            log_term: wire.log_term,
            index: wire.index,
            entries: entries.into(),
            commit: wire.commit,
            commit_term: wire.commit_term,
            snapshot: wire.snapshot.map(raft_snapshot).into(),
            reject: wire.reject,
            reject_hint: wire.reject_hint,
            context: wire.context.into(),
            ..eraftpb::Message::default()
        }))
    }
}

/// What an entry of the library holds. Entries come from our own proposals, from the library's two empty ones, and
/// from [`raft_entry`]; so a change that cannot be read does not occur, and would be taken by all voters alike as
/// holding nothing.
pub(super) fn payload(entry: &eraftpb::Entry) -> Payload {
    match entry.entry_type {
        EntryType::EntryNormal => Payload::Data(entry.data.to_vec()),
        _ if entry.context.is_empty() => Payload::LeaveJoint,
        _ => match MemberChange::from_bytes(&entry.context) {
            Some(change) => Payload::Change(change),
            None => Payload::Data(Vec::new()),
        },
    }
}

pub(super) fn stored_entry(entry: &eraftpb::Entry) -> StoredEntry {
    StoredEntry { index: LogIndex(entry.index), term: entry.term, payload: payload(entry) }
}

/// A change travels in the entry's context, in our encoding; the library's own encoding, in the data, is read only
/// by the library of the proposer, from the proposer's own hand.
pub(super) fn raft_entry(entry: StoredEntry) -> eraftpb::Entry {
    let mut raw = eraftpb::Entry { index: entry.index.0, term: entry.term, ..eraftpb::Entry::default() };
    match entry.payload {
        Payload::Data(data) => raw.data = data.into(),
        Payload::Change(change) => {
            raw.entry_type = EntryType::EntryConfChangeV2;
            raw.context = change.to_bytes().into();
        }
        Payload::LeaveJoint => raw.entry_type = EntryType::EntryConfChangeV2,
    }
    raw
}

pub(super) fn stored_snapshot(snapshot: &eraftpb::Snapshot) -> StoredSnapshot {
    let metadata = snapshot.get_metadata();
    StoredSnapshot {
        index: LogIndex(metadata.index),
        term: metadata.term,
        members: Members::from_raft(metadata.get_conf_state()),
        data: snapshot.data.to_vec(),
    }
}

pub(super) fn raft_snapshot(snapshot: StoredSnapshot) -> eraftpb::Snapshot {
    let metadata = SnapshotMetadata {
        conf_state: Some(snapshot.members.to_raft()).into(),
        index: snapshot.index.0,
        term: snapshot.term,
        ..SnapshotMetadata::default()
    };
    eraftpb::Snapshot { data: snapshot.data.into(), metadata: Some(metadata).into(), ..eraftpb::Snapshot::default() }
}
