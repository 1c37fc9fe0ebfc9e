//! What is on its way to the disk, and what waits for it.
//!
//! The library hands out work in numbered portions; the log in memory takes each at once. On the way to the disk there
//! is one [`StoreBatch`] at a time; what is handed out meanwhile gathers for the next one. A message that could
//! be belied by the loss of unsynced data waits for the batch that holds this data; the others leave at once, so that
//! a slow disk of the leader, or of a follower with nothing new to promise, does not stop the quorum rounds.

use crate::core::ids::{LogIndex, Ticket, VoterId};
use crate::election::log::ballot;
use crate::election::message::{Message, stored_entry};
use crate::election::store::{SnapshotWrite, StoreBatch};
use raft::eraftpb::{self, Entry, HardState, MessageType};

/// A snapshot of the leader that takes the place of the node's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The last entry that it contains.
    pub index: LogIndex,
    /// That entry's term.
    pub term: u64,
    /// The node's state.
    pub data: Vec<u8>,
}

/// What a synced batch sets free.
pub(super) struct Synced {
    /// The last portion whose work is now on disk, and that of all before it.
    pub(super) number: u64,
    pub(super) messages: Vec<(VoterId, Message)>,
    pub(super) install: Option<Install>,
}

#[derive(Default)]
struct Gathered {
    snapshots: Vec<SnapshotWrite>,
    entries: Vec<Entry>,
    disqualified: bool,
    messages: Vec<(VoterId, Message)>,
    install: Option<Install>,
}

struct InFlight {
    ticket: Ticket,
    number: u64,
    state: HardState,
    /// It holds log or ballot, without which this voter must not win an election.
    essential: bool,
    messages: Vec<(VoterId, Message)>,
    install: Option<Install>,
}

pub(super) struct Disk {
    voter: VoterId,
    tickets: u64,
    /// The last portion that was handed out.
    number: u64,
    /// What is on disk.
    durable: HardState,
    /// What is on disk or on its way.
    told: HardState,
    gathered: Gathered,
    in_flight: Option<InFlight>,
}

fn same_vote(left: &HardState, right: &HardState) -> bool {
    left.term == right.term && left.vote == right.vote
}

impl Disk {
    pub(super) fn new(voter: VoterId, state: HardState) -> Self {
        Disk {
            voter,
            tickets: voter.0 << 32,
            number: 0,
            durable: state.clone(),
            told: state,
            gathered: Gathered::default(),
            in_flight: None,
        }
    }

    /// Whether there is something to be written that no batch holds yet. The commit index alone is not: it goes
    /// along with the next batch, for after a restart the leader tells it again.
    fn is_due(&self, state: &HardState) -> bool {
        let gathered = &self.gathered;
        let writes = !gathered.snapshots.is_empty() || !gathered.entries.is_empty() || gathered.disqualified;
        writes || !same_vote(state, &self.told)
    }

    /// Whether the whole log and ballot are on disk.
    pub(super) fn is_settled(&self, state: &HardState) -> bool {
        let gathered = &self.gathered;
        let in_flight = self.in_flight.as_ref().is_some_and(|batch| batch.essential);
        let installs = gathered.snapshots.iter().any(|write| matches!(write, SnapshotWrite::Install(_)));
        same_vote(state, &self.durable) && gathered.entries.is_empty() && !installs && !in_flight
    }

    /// Takes the entries of a portion: they replace what was gathered from the first one's index on.
    pub(super) fn gather_entries(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let gathered = &mut self.gathered.entries;
        let start = gathered.first().map_or(first.index, |entry| entry.index);
        let kept = usize::try_from(first.index.saturating_sub(start)).unwrap_or(0);
        gathered.truncate(kept);
        gathered.extend_from_slice(entries);
    }

    /// A leader's snapshot replaces all that was gathered before it.
    pub(super) fn gather_install(&mut self, install: Install, write: SnapshotWrite) {
        self.gathered.entries.clear();
        self.gathered.snapshots.clear();
        self.gathered.snapshots.push(write);
        self.gathered.install = Some(install);
    }

    pub(super) fn gather_compaction(&mut self, write: SnapshotWrite) {
        if matches!(self.gathered.snapshots.last(), Some(SnapshotWrite::Compact { .. })) {
            self.gathered.snapshots.pop();
        }
        self.gathered.snapshots.push(write);
    }

    pub(super) fn gather_disqualification(&mut self) {
        self.gathered.disqualified = true;
    }

    /// Notes a portion, and returns the number up to which all is on disk if nothing is on its way.
    pub(super) fn portion(&mut self, number: u64, state: &HardState) -> Option<u64> {
        self.number = number;
        (self.in_flight.is_none() && !self.is_due(state)).then_some(number)
    }

    /// Returns the message if it may leave at once, or keeps it until what it depends on is synced.
    ///
    /// A leader's messages promise nothing about its own disk, except that its term exists: a lone voter elects itself
    /// before it has written the term down, and must not let learners hear of it until then. The answer to a
    /// heartbeat promises no more than its term.
    pub(super) fn sort_out(
        &mut self,
        message: eraftpb::Message,
        leads: bool,
        state: &HardState,
    ) -> Option<(VoterId, Message)> {
        let answer = message.msg_type == MessageType::MsgHeartbeatResponse && message.term == self.durable.term;
        let free = (leads && same_vote(state, &self.durable)) || answer;
        let due = self.is_due(state);
        let message = (VoterId(message.to), Message(message));
        if free {
            return Some(message);
        }
        if due {
            self.gathered.messages.push(message);
            return None;
        }
        match &mut self.in_flight {
            Some(batch) => batch.messages.push(message),
            None => return Some(message),
        }
        None
    }

    /// Makes the next batch, if one is due and none is under way.
    pub(super) fn release(&mut self, state: HardState) -> Option<StoreBatch> {
        if self.in_flight.is_some() || !self.is_due(&state) {
            return None;
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let batch = StoreBatch {
            voter: self.voter,
            ticket,
            entries: gathered.entries.iter().map(stored_entry).collect(),
            ballot: (state != self.told).then(|| ballot(&state)),
            disqualified: gathered.disqualified,
            snapshots: gathered.snapshots,
        };
        self.in_flight = Some(InFlight {
            ticket,
            number: self.number,
            essential: !batch.entries.is_empty() || gathered.install.is_some() || !same_vote(&state, &self.durable),
            state: state.clone(),
            messages: gathered.messages,
            install: gathered.install,
        });
        self.told = state;
        Some(batch)
    }

    /// Whether the batch of that ticket is on its way.
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.in_flight.as_ref().is_some_and(|batch| batch.ticket == ticket)
    }

    /// The batch of that ticket is synced.
    pub(super) fn synced(&mut self, ticket: Ticket, state: &HardState) -> Option<Synced> {
        let batch = self.in_flight.take_if(|batch| batch.ticket == ticket)?;
        self.durable = batch.state;
        // Portions after the batch that had nothing to write are done as well.
        let number = if self.is_due(state) { batch.number } else { self.number };
        Some(Synced { number, messages: batch.messages, install: batch.install })
    }
}
