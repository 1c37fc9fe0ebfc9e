//! Quorum rounds: the leader's proof that a majority still followed it at a certain time.

use crate::core::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// More unanswered rounds than this are not remembered; the leader has long lost its majority by then.
pub(super) const ROUNDS_MAX: usize = 64;

/// The rounds of one leadership.
#[derive(Default)]
pub(super) struct Rounds {
    term: u64,
    next: Instant,
    number: u64,
    begun: bool,
    open: VecDeque<(u64, Instant)>,
    proven: Option<Instant>,
}

impl Rounds {
    /// Forgets everything of earlier leaderships.
    pub(super) fn begin(&mut self, term: u64, now: Instant) {
        self.term = term;
        self.next = now;
        self.begun = false;
        self.open.clear();
        self.proven = None;
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether this leadership has had a round yet.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn postpone(&mut self, now: Instant, interval: Duration) {
        self.next = now + interval;
    }

    /// Opens a round and returns what marks its messages and their answers.
    ///
    /// The time is that of the decision to send. The messages leave no earlier, and voters answer later still, so
    /// the majority followed this leader at a time no older than that.
    pub(super) fn open(&mut self, now: Instant) -> Vec<u8> {
        self.number += 1;
        self.begun = true;
        if self.open.len() == ROUNDS_MAX {
            self.open.pop_front();
        }
        self.open.push_back((self.number, now));
        self.number.to_le_bytes().to_vec()
    }

    /// A majority has answered the round with that mark.
    pub(super) fn answered(&mut self, mark: &[u8]) {
        let Ok(bytes) = <[u8; 8]>::try_from(mark) else { return };
        let number = u64::from_le_bytes(bytes);
        while let Some((oldest, sent)) = self.open.front().copied() {
            if oldest > number {
                break;
            }
            self.open.pop_front();
            if oldest == number {
                self.proven = self.proven.max(Some(sent));
            }
        }
    }

    /// When the newest answered round of that term was sent.
    pub(super) fn proven(&self, term: u64) -> Option<Instant> {
        self.proven.filter(|_| self.term == term)
    }
}
