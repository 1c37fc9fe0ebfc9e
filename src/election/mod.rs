//! Who leads, and the log that the voters agree on: the Raft library behind a small interface of our own.
//!
//! ```text
//!   message ── step ──┐                          ┌── messages, at once or when synced
//!      time ── wake ──┤   guard → Raft → disk    ├── persist: a batch for the disk
//!   command ─ propose ┤     pace      rounds     ├── committed entries, an installed snapshot
//!    synced ─ persisted                          └── behind: this store lost what it acknowledged
//! ```
//!
//! An [`Election`] has no clock, thread, file, socket or randomness of its own; the same calls give the same outputs.
//! The contract: time never goes backwards; inputs that wait are given before [`Election::wake`]; after each input
//! [`Election::drain`] is called and its output carried out: the batch is stored and, once synced, reported
//! with [`Election::persisted`]; messages may be lost, repeated and reordered. Calls too many do no harm.
//!
//! The safety of leases rests on one promise that a voter makes by answering a quorum round: to help elect nobody
//! within E1 from then on. `Pace::must_not_elect` keeps it, across restarts too.

mod canvass;
mod disk;
mod guard;
mod input;
mod log;
mod members;
mod message;
mod pace;
mod rounds;
mod store;
#[cfg(test)]
mod tests;
mod view;

pub use disk::Install;
pub use guard::Behind;
pub use members::{ChangeError, MemberChange, Members};
pub use message::Message;
pub use pace::Settings;
pub use store::{Ballot, Payload, SnapshotWrite, StoreBatch, StoreImage, StoredEntry, StoredSnapshot};
pub use view::{Progress, Role};

use crate::core::ids::{LogIndex, Ticket, VoterId};
use crate::core::time::Instant;
use canvass::Canvass;
use disk::Disk;
use log::Log;
use pace::Pace;
use raft::eraftpb::{Entry, EntryType, HardState, MessageType};
use raft::{Config, RawNode, StateRole};
use rounds::Rounds;
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a voter was not started.
#[derive(Debug, Error)]
pub enum ElectionError {
    /// The voter's number is dead; its host must join anew.
    #[error("the store of {voter} was restored from a backup or is behind its peers; join again as a new voter")]
    RestoredFromBackup {
        /// Whose store it is.
        voter: VoterId,
    },
    /// The store contradicts itself.
    #[error("the store of {voter} is damaged: {what}; remove it and join again as a new voter")]
    Damaged {
        /// Whose store it is.
        voter: VoterId,
        /// What is wrong.
        what: &'static str,
    },
    /// The Raft library refused the settings or the store.
    #[error("the election cannot start: {0}; check the time table and the store")]
    Refused(#[source] Box<raft::Error>),
}

/// Only the leader takes proposals.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("this voter does not lead")]
pub struct NotLeader;

/// A committed entry. All are reported, in order and without holes, so that the last one is what has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub index: LogIndex,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// The node's command; empty where the entry holds none, as the first of each term and changes of members.
    pub data: Vec<u8>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Messages that may leave now.
    pub messages: Vec<(VoterId, Message)>,
    /// A batch to be stored as a whole and synced.
    pub persist: Option<StoreBatch>,
    /// A snapshot that replaces the node's state, before the committed entries are applied.
    pub install: Option<Install>,
    /// Entries to be applied.
    pub committed: Vec<Committed>,
    /// Who takes part has changed.
    pub members_changed: bool,
    /// A follower needs a snapshot newer than there is: [`Election::compact`] should be called soon.
    pub snapshot_wanted: bool,
    /// This store is behind what peers have seen. It takes part in nothing any more; see [`Behind`].
    pub behind: Option<Behind>,
}

impl Output {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Output::default()
    }
}

/// One voter, or learner.
pub struct Election {
    raw: RawNode<Log>,
    settings: Settings,
    pace: Pace,
    rounds: Rounds,
    disk: Disk,
    canvass: Canvass,
    outbox: Output,
    /// Role and term as of the last look, to notice a change.
    seen: (StateRole, u64),
    /// The first entry of this voter's own term as leader.
    lead_from: u64,
    /// For each follower that was sent a snapshot, for how many ticks it has not answered.
    snapshots: BTreeMap<u64, u32>,
    behind: Option<Behind>,
}

/// A store that was restored from a backup has forgotten votes and promises of its voter; as its old self it could
/// vote twice in one term. This is the one place where it is stopped.
fn refuse_old_self(image: &StoreImage) -> Result<(), ElectionError> {
    match image.restored_from_backup {
        true => Err(ElectionError::RestoredFromBackup { voter: image.voter }),
        false => Ok(()),
    }
}

fn config(image: &StoreImage, settings: &Settings) -> Config {
    let election_tick = settings.ticks_min();
    Config {
        id: image.voter.0,
        election_tick,
        min_election_tick: election_tick,
        // The library excludes the upper end.
        max_election_tick: settings.ticks_max() + 1,
        // Quorum rounds do the work of heartbeats, so the library's own are as rare as it allows.
        heartbeat_tick: election_tick - 1,
        applied: image.snapshot.index.0,
        max_size_per_msg: 256 * 1024,
        max_inflight_msgs: 128,
        check_quorum: true,
        pre_vote: true,
        ..Config::default()
    }
}

impl Election {
    /// Starts a voter from its store. It is silent for E1 (see [`Settings::silence`]).
    ///
    /// The node begins with the state in the image's snapshot; entries after it that are known to be committed come
    /// with the first outputs.
    pub fn start(now: Instant, image: StoreImage, settings: Settings) -> Result<Self, ElectionError> {
        refuse_old_self(&image)?;
        if let Some(what) = image.damage() {
            return Err(ElectionError::Damaged { voter: image.voter, what });
        }
        let config = config(&image, &settings);
        let pace = Pace::new(now, image.voter, settings.clone());
        let disk = Disk::new(image.voter, log::hard_state(image.ballot));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw =
            RawNode::new(&config, Log::new(image), &logger).map_err(|error| ElectionError::Refused(Box::new(error)))?;
        let mut election = Election {
            seen: (raw.raft.state, raw.raft.term),
            raw,
            settings,
            pace,
            rounds: Rounds::default(),
            disk,
            canvass: Canvass::default(),
            outbox: Output::default(),
            lead_from: 0,
            snapshots: BTreeMap::new(),
            behind: None,
        };
        election.raw.raft.set_randomized_election_timeout(election.pace.timeout());
        Ok(election)
    }

    /// Takes what is to be done. One call suffices after each input; it is cheap when there is nothing.
    pub fn drain(&mut self, now: Instant) -> Output {
        if self.behind.is_none() {
            while self.raw.has_ready() {
                self.take_portion();
                self.settle(now);
                if self.ready_to_lead() && !self.rounds.has_begun() {
                    // A new master may not act before a round is answered, so the first one does not wait its turn.
                    self.start_round(now);
                }
            }
            self.outbox.snapshot_wanted = self.raw.store().take_wanted();
        }
        if let Some(batch) = self.disk.release(self.state()) {
            self.outbox.persist = Some(batch);
        }
        std::mem::take(&mut self.outbox)
    }

    /// Whether this voter waits for that batch to be synced; an earlier voter of the same node may have asked for it.
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.disk.awaits(ticket)
    }

    fn state(&self) -> HardState {
        self.raw.raft.hard_state()
    }

    /// Takes one portion of work from the library. The log in memory has it at once, so the library may go on; what
    /// depends on the disk is kept back here instead.
    fn take_portion(&mut self) {
        let mut ready = self.raw.ready();
        let number = ready.number();
        for answered in ready.take_read_states() {
            self.rounds.answered(&answered.request_ctx);
        }
        let mut messages = ready.take_messages();
        messages.append(&mut ready.take_persisted_messages());
        let committed = ready.take_committed_entries();
        if !ready.snapshot().is_empty() {
            let snapshot = message::stored_snapshot(ready.snapshot());
            let install = Install { index: snapshot.index, term: snapshot.term, data: snapshot.data.clone() };
            self.raw.mut_store().install(ready.snapshot().clone());
            self.disk.gather_install(install, SnapshotWrite::Install(snapshot));
            self.outbox.members_changed = true;
        }
        self.raw.mut_store().append(ready.entries());
        self.disk.gather_entries(ready.entries());
        self.raw.advance_append_async(ready);

        let state = self.state();
        let leads = self.raw.raft.state == StateRole::Leader;
        // The library walks over hashed maps; sorted by receiver, nothing depends on their order.
        messages.sort_by_key(|message| message.to);
        for mut message in messages {
            self.tell_acknowledged(&mut message);
            self.canvass.note(&message);
            self.outbox.messages.extend(self.disk.sort_out(message, leads, &state));
        }
        if let Some(number) = self.disk.portion(number, &state) {
            self.raw.on_persist_ready(number);
        }
        self.apply(committed);
    }

    /// Tells a follower with each heartbeat how far it has acknowledged the log in this term, so that it notices if
    /// its store was rolled back since. The library does not use the index of a heartbeat.
    fn tell_acknowledged(&self, message: &mut raft::eraftpb::Message) {
        let raft = &self.raw.raft;
        let current = raft.state == StateRole::Leader && message.term == raft.term;
        if current && message.msg_type == MessageType::MsgHeartbeat {
            message.index = raft.prs().get(message.to).map_or(0, |progress| progress.matched);
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        for entry in entries {
            let (index, term) = (LogIndex(entry.index), entry.term);
            let data = match entry.entry_type {
                EntryType::EntryNormal => entry.data.into(),
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                    self.apply_change(&entry);
                    Vec::new()
                }
            };
            self.outbox.committed.push(Committed { index, term, data });
        }
        self.raw.advance_apply_to(last);
    }

    /// Carries out a change of members. One that cannot be carried out changes nothing, on all voters alike.
    ///
    /// A leader that is no longer a voter steps down before anything else happens: the library would go on leading
    /// and panic at the next commit.
    fn apply_change(&mut self, entry: &Entry) {
        let change = match message::payload(entry) {
            Payload::Change(change) => change.to_raft(),
            Payload::LeaveJoint => raft::eraftpb::ConfChangeV2::default(),
            Payload::Data(_) => return,
        };
        if let Ok(members) = self.raw.apply_conf_change(&change) {
            self.raw.mut_store().note_members(entry.index, Members::from_raft(&members));
            self.outbox.members_changed = true;
        }
        let raft = &mut self.raw.raft;
        if !raft.promotable() && raft.state != StateRole::Follower {
            raft.become_follower(raft.term, raft::INVALID_ID);
        }
    }

    /// Called after the library has run: notes what has changed, and puts our own time-out in place of the one that
    /// it has drawn from the thread's randomness.
    fn settle(&mut self, now: Instant) {
        let seen = (self.raw.raft.state, self.raw.raft.term);
        if seen != self.seen {
            self.seen = seen;
            self.pace.redraw(seen.1);
            self.snapshots.clear();
            self.canvass.end();
            self.rounds.begin(seen.1, now);
            if seen.0 == StateRole::Leader {
                // A new leader writes one entry of its own within the very call that made it leader.
                self.lead_from = self.raw.raft.raft_log.last_index();
            }
        }
        if self.raw.raft.randomized_election_timeout() != self.pace.timeout() {
            self.raw.raft.set_randomized_election_timeout(self.pace.timeout());
        }
    }
}
