//! What an [`Election`] is told.

use super::disk::Synced;
use super::guard::{self, Verdict};
use super::pace::Beat;
use super::{ChangeError, Election, MemberChange, Message, NotLeader};
use crate::core::ids::{LogIndex, Ticket, VoterId};
use crate::core::time::Instant;
use raft::eraftpb::{ConfChangeV2, MessageType};
use raft::{ProgressState, SnapshotStatus, StateRole};

/// A snapshot that was not answered for this many election time-outs is taken for lost.
const SNAPSHOT_PATIENCE: usize = 4;

impl Election {
    /// Takes a message that came from that voter.
    pub fn step(&mut self, now: Instant, from: VoterId, message: Message) {
        let message = message.0;
        if self.behind.is_some() || message.from != from.0 {
            return;
        }
        match guard::judge(&self.raw.raft, &message, self.is_settled()) {
            Verdict::Take => {}
            Verdict::Drop => return,
            Verdict::Behind(behind) => {
                self.behind = Some(behind);
                self.outbox.behind = Some(behind);
                self.disk.gather_disqualification();
                return;
            }
        }
        let asks = matches!(message.msg_type, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        if asks && self.pace.must_not_elect(now) {
            return;
        }
        let leads =
            matches!(message.msg_type, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot);
        let term = message.term;
        // What the library refuses changes nothing, and a peer's mistake is not ours to report.
        let _ = self.raw.step(message);
        if leads && self.raw.raft.term == term && self.raw.raft.leader_id == from.0 {
            self.pace.heard_leader(now);
        }
        self.settle(now);
    }

    /// Time has passed. Inputs that wait are to be given first, lest a voter that was frozen takes for silence what
    /// it has not yet read.
    pub fn wake(&mut self, now: Instant) {
        if self.behind.is_some() {
            return;
        }
        match self.pace.wake(now) {
            Beat::None => {}
            Beat::Tick => self.tick(now),
            Beat::TickAfterGap => {
                if self.raw.raft.state != StateRole::Leader {
                    self.raw.raft.election_elapsed = 0;
                }
                self.tick(now);
            }
        }
        if self.raw.raft.state == StateRole::Leader && now >= self.rounds.next() {
            self.start_round(now);
        }
    }

    fn tick(&mut self, now: Instant) {
        let raft = &self.raw.raft;
        let stands = raft.state != StateRole::Leader
            && raft.promotable()
            && raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        if stands {
            // A lone voter wins in the same call, and the library panics if part of its log is not on disk by then.
            if self.pace.must_not_elect(now) || !self.is_settled() {
                return;
            }
            self.pace.redraw(raft.term);
        }
        self.raw.tick();
        self.settle(now);
        // A candidate's vote for itself is on disk by then, or the first request has not left either.
        if self.is_settled() {
            self.outbox.messages.extend(self.canvass.tick());
        }
        if self.raw.raft.state == StateRole::Leader {
            self.resend_snapshots();
            self.leave_joint();
        }
    }

    /// The library sends a snapshot once, and waits for ever unless it is told that the snapshot was lost.
    fn resend_snapshots(&mut self) {
        let raft = &self.raw.raft;
        let waits = |id: u64| raft.prs().get(id).is_some_and(|progress| progress.state == ProgressState::Snapshot);
        self.snapshots.retain(|id, _| waits(*id));
        for (id, progress) in raft.prs().iter() {
            if progress.state == ProgressState::Snapshot {
                *self.snapshots.entry(*id).or_insert(0) += 1;
            }
        }
        let patience = u32::try_from(self.settings.ticks_max() * SNAPSHOT_PATIENCE).unwrap_or(u32::MAX);
        while let Some(id) = self.snapshots.iter().find(|(_, ticks)| **ticks >= patience).map(|(id, _)| *id) {
            self.snapshots.remove(&id);
            self.raw.report_snapshot(id, SnapshotStatus::Failure);
        }
    }

    /// The library proposes the end of a replacement when it applies its beginning, but may miss that moment if the
    /// leader changes in between. A replacement that never ended would need the dead voter's majority for ever.
    fn leave_joint(&mut self) {
        let due = self.members().is_joint() && self.members().auto_leave && !self.raw.raft.has_pending_conf();
        if due {
            // Refused only if another change came first, which then ends the replacement itself.
            let _ = self.raw.propose_conf_change(Vec::new(), ConfChangeV2::default());
        }
    }

    /// Starts a quorum round. Before its own first entry is committed a leader proves nothing; its heartbeats then
    /// only make up for lost appends.
    pub(super) fn start_round(&mut self, now: Instant) {
        self.rounds.postpone(now, self.settings.round_interval);
        if !self.raw.raft.commit_to_current_term() || guard::too_many_rounds(&self.raw.raft) {
            self.raw.ping();
            return;
        }
        let mark = self.rounds.open(now);
        self.raw.read_index(mark);
    }

    /// Proposes a command, which must not be empty. It is accepted only when it comes back committed; a leader that
    /// is deposed may lose it.
    pub fn propose(&mut self, data: Vec<u8>) -> Result<(), NotLeader> {
        // A follower would forward the proposal; the node does that itself, where it can be answered.
        if self.behind.is_some() || self.raw.raft.state != StateRole::Leader {
            return Err(NotLeader);
        }
        self.raw.propose(Vec::new(), data).map_err(|_| NotLeader)
    }

    /// Begins a change of members. It has happened when an output says so.
    pub fn change_members(&mut self, change: MemberChange) -> Result<(), ChangeError> {
        if self.behind.is_some() || self.raw.raft.state != StateRole::Leader {
            return Err(ChangeError::NotLeader);
        }
        if self.raw.raft.has_pending_conf() {
            return Err(ChangeError::Pending);
        }
        self.members().check(change, self.id())?;
        let proposed = self.raw.propose_conf_change(change.to_bytes(), change.to_raft());
        proposed.map_err(|_| ChangeError::NotLeader)
    }

    /// Gives up leading, for another voter to lead. The others find out by themselves, as if this one had died: to be
    /// asked to hurry would break the promise that lies in the rounds they have answered.
    pub fn stand_down(&mut self, now: Instant) {
        if self.raw.raft.state != StateRole::Leader {
            return;
        }
        let raft = &mut self.raw.raft;
        raft.become_follower(raft.term, raft::INVALID_ID);
        self.pace.be_silent(now + self.settings.election_max * 2);
        self.settle(now);
    }

    /// The batch of that ticket is on disk.
    pub fn persisted(&mut self, now: Instant, ticket: Ticket) {
        let Some(synced) = self.disk.synced(ticket, &self.state()) else { return };
        if self.behind.is_some() {
            return;
        }
        let Synced { number, messages, install } = synced;
        self.outbox.messages.extend(messages);
        self.raw.on_persist_ready(number);
        if let Some(install) = install {
            self.raw.advance_apply_to(install.index.0);
            self.outbox.install = Some(install);
        }
        self.settle(now);
    }

    /// Replaces the log up to `applied` by the node's state at that point. Some entries before it are kept for slow
    /// followers. A state older than the present snapshot is ignored.
    pub fn compact(&mut self, applied: LogIndex, snapshot_data: Vec<u8>) {
        let raft = &self.raw.raft;
        if self.behind.is_some() || raft.snap().is_some() || applied.0 > raft.raft_log.applied {
            return;
        }
        if let Some(write) = self.raw.mut_store().compact(applied.0, snapshot_data) {
            self.disk.gather_compaction(write);
        }
    }

    fn is_settled(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        log.persisted == log.last_index() && self.disk.is_settled(&self.raw.raft.hard_state())
    }
}
