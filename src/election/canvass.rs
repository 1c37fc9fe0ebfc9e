//! A candidate's requests for votes, asked again and again until it is answered or no candidate any more.
//!
//! The library asks once, and then waits for its next time-out. On a network that loses packets a few lost requests in
//! a row would outlast the leases that a new leader must extend. Nor does a voter answer that may not elect anybody yet:
//! its silence, too, is over sooner than the candidate's time-out.

use super::Message;
use crate::core::ids::VoterId;
use raft::eraftpb::{self, MessageType};
use std::collections::BTreeMap;

/// Asked again after so many ticks.
const PATIENCE: u32 = 2;

/// The requests of the present candidacy, by voter.
#[derive(Default)]
pub(super) struct Canvass {
    requests: BTreeMap<u64, eraftpb::Message>,
    ticks: u32,
}

impl Canvass {
    /// A candidacy has begun or ended: what was asked before is asked no more.
    pub(super) fn end(&mut self) {
        self.requests.clear();
        self.ticks = 0;
    }

    /// Notes a message that leaves, if it asks for a vote.
    pub(super) fn note(&mut self, message: &eraftpb::Message) {
        if matches!(message.msg_type, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote) {
            self.requests.insert(message.to, message.clone());
            self.ticks = 0;
        }
    }

    /// A tick has passed: what is to be asked again now.
    pub(super) fn tick(&mut self) -> Vec<(VoterId, Message)> {
        self.ticks += 1;
        if self.ticks < PATIENCE || self.requests.is_empty() {
            return Vec::new();
        }
        self.ticks = 0;
        self.requests.iter().map(|(to, message)| (VoterId(*to), Message(message.clone()))).collect()
    }
}
