//! The voting half of a node: it joins the election, the replicated state and, on the leader, the master's mind.
//!
//! One loop, [`Node::pump`], carries out what the election wants: persist, then send, then apply, then act. Nothing
//! the master proposes has any effect before it comes back through here as committed.

use super::format;
use super::members::Tending;
use super::packet::{NodeAction, Packet};
use super::{Node, whole_milliseconds};
use crate::core::action::{Action, Event, Note};
use crate::core::command::{Command, LogEntry, Proposal};
use crate::core::ears::Ears;
use crate::core::ids::{Address, Authority, LogIndex, Ticket, VoterId};
use crate::core::master::{Context, Master, Output};
use crate::core::message::Message;
use crate::core::reason::Alert;
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{Change, ClusterState};
use crate::core::time::Instant;
use crate::election::{self, Election, ElectionError, Role, Settings, StoreImage};
use crate::ledger::{self, Scribe};
use std::collections::BTreeMap;
use std::time::Duration;

/// The log is cut back when it has grown by so many entries since the last snapshot.
const COMPACT_AFTER: u64 = 512;

/// The voting half of a node.
pub(super) struct Voter {
    pub(super) election: Election,
    pub(super) state: ClusterState,
    pub(super) scribe: Scribe,
    pub(super) ears: Ears,
    pub(super) master: Option<Master>,
    /// Where the other voters are.
    pub(super) peers: BTreeMap<VoterId, Address>,
    pub(super) tending: Tending,
    /// Until then every host is asked whether it knows a newer cluster generation: this store may be out.
    asks_until: Instant,
    /// Since when no leader was known, and whether that was said.
    leaderless: Option<(Instant, bool)>,
    pub(super) wall_at_zero: i64,
    /// When this node last knew a master, and for how long it had known none by then.
    led: (Instant, Duration),
}

impl Voter {
    pub(super) fn context(&self, now: Instant) -> Context<'_> {
        Context { now, state: &self.state, ears: &self.ears, quorum: self.election.quorum_at() }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let master = self.master.as_ref().map_or(Instant::NEVER, Master::next_deadline);
        self.election.next_deadline().min(master)
    }

    /// Lets the master do something, and puts what it proposes into the log.
    pub(super) fn with_master(
        &mut self,
        now: Instant,
        actions: &mut Vec<Action>,
        act: impl FnOnce(&mut Master, &Context<'_>, &mut Output),
    ) {
        let Some(mut master) = self.master.take() else { return };
        let mut out = Output { actions: std::mem::take(actions), proposals: Vec::new() };
        let said_before = out.actions.len();
        act(&mut master, &self.context(now), &mut out);
        out.proposals.extend(out.actions.iter().skip(said_before).filter_map(loud));
        *actions = out.actions;
        for proposal in out.proposals {
            self.propose(now, proposal);
        }
        self.master = Some(master);
    }

    pub(super) fn propose(&mut self, now: Instant, proposal: Proposal) {
        let at_milliseconds = self.wall_at_zero.saturating_add(whole_milliseconds(now));
        if let Some(data) = format::write_entry(&LogEntry { at_milliseconds, proposal }) {
            // A leader that was deposed meanwhile is told so by the election; its successor decides anew.
            let _ = self.election.propose(data);
        }
    }

    fn note_leader(&mut self, now: Instant, limit: Duration, actions: &mut Vec<Action>) {
        let known = match self.election.role() {
            // Before that it is no master, and how long there was none is still to be told.
            Role::Leader { .. } => self.master.is_some(),
            Role::Follower { leader, .. } | Role::Learner { leader, .. } => leader.is_some(),
            Role::Candidate { .. } => false,
        };
        if self.knows_master() {
            self.led = (now, Duration::ZERO);
        }
        match self.leaderless {
            _ if known => self.leaderless = None,
            None => self.leaderless = Some((now, false)),
            Some((since, false)) if now.since(since) > limit => {
                self.leaderless = Some((since, true));
                actions.push(Action::Note(Note::Alert(Alert::NoMajority)));
            }
            Some(_) => {}
        }
    }

    /// Takes over what this node knows beside its log: whom it heard a moment ago, who is not to be taken for silent; and
    /// since when there is no leader.
    pub(super) fn take_over(&mut self, old: Voter) {
        self.ears = old.ears;
        self.leaderless = old.leaderless;
        self.led = old.led;
    }

    /// Whether there is a master, who decides. Somebody who was elected and heard of no more is none.
    pub(super) fn knows_master(&self) -> bool {
        self.election.is_led() && (self.master.is_some() || !self.election.is_leader())
    }

    /// For how long no leader was known.
    pub(super) fn leaderless_for(&self, now: Instant) -> Duration {
        self.leaderless.map_or_else(Default::default, |(since, _)| now.since(since))
    }
}

impl Node {
    /// Begins to take part with this store, or gives it up for good.
    pub(super) fn start_voter(&mut self, now: Instant, mut image: StoreImage, actions: &mut Vec<NodeAction>) {
        if breaks(Sabotage::BackupVotes) {
            image.restored_from_backup = false;
        }
        let id = image.voter;
        let state = format::read_state(&image.snapshot.data);
        let index = image.snapshot.index;
        let started = Election::start(now, image, Settings::new(&self.timing, self.seed ^ id.0));
        match (started, state) {
            (Ok(election), Some(mut state)) => {
                state.applied = index;
                let peers = BTreeMap::new();
                let tending = Tending::default();
                let asks_until = now + self.timing.election_min;
                let ears = Ears::default();
                let mut voter = Voter {
                    election,
                    scribe: Scribe::new(&state),
                    state,
                    ears,
                    master: None,
                    peers,
                    tending,
                    asks_until,
                    leaderless: None,
                    wall_at_zero: self.wall_at_zero,
                    led: (now, self.blind_before),
                };
                voter.learn_peers();
                self.beginnings += 1;
                self.voter = Some(voter);
                self.lost = None;
                self.next_loss_report = Instant::NEVER;
            }
            (Err(ElectionError::RestoredFromBackup { voter }), _) => self.lose_store(now, voter, actions),
            _ => self.lose_store(now, id, actions),
        }
    }

    pub(super) fn tell_master(&mut self, now: Instant, event: Event) {
        if let Some(voter) = &mut self.voter {
            voter.with_master(now, &mut self.buffer, |master, cx, out| master.step(cx, event, out));
        }
    }

    pub(super) fn wake_voter(&mut self, now: Instant) {
        let limit = self.timing.election_max * 4;
        let Some(voter) = &mut self.voter else { return };
        if now < voter.asks_until {
            let authority = voter.state.authority(voter.election.term());
            for host in voter.state.hosts.values() {
                self.buffer.push(Action::Send { to: host.address, message: Message::Hello(authority) });
            }
        }
        voter.election.wake(now);
        voter.note_leader(now, limit, &mut self.buffer);
        let is_due = voter.master.as_ref().is_some_and(|master| now >= master.next_deadline());
        if is_due {
            self.tell_master(now, Event::Wake);
            self.tend_members(now);
        }
    }

    pub(super) fn stored(&mut self, now: Instant, ticket: Ticket, done: bool, actions: &mut Vec<NodeAction>) {
        let Some(voter) = self.voter.as_mut().filter(|voter| voter.election.awaits(ticket)) else { return };
        if done {
            voter.election.persisted(now, ticket);
            return;
        }
        // What could not be written must not be believed: out of the election until the disk takes writes again.
        self.voter = None;
        actions.push(NodeAction::Core(Action::Note(Note::Alert(Alert::StoreLost))));
        actions.push(NodeAction::ReloadStore);
    }

    pub(super) fn election_message(
        &mut self,
        now: Instant,
        from: Address,
        (authority, sender, to): (Authority, VoterId, VoterId),
        message: election::Message,
        actions: &mut Vec<NodeAction>,
    ) {
        let Some(voter) = &mut self.voter else { return };
        if voter.state.retired.contains(&sender) {
            let authority = voter.state.authority(voter.election.term());
            let packet = Packet::Cluster(Message::Retired { authority, voter: sender });
            return actions.push(NodeAction::Send { to: from, packet });
        }
        let is_new = voter.state.applied.0 == 0;
        let same = authority.generation == voter.state.generation || is_new;
        if to == voter.election.id() && same {
            if is_new {
                voter.state.generation = authority.generation;
            }
            voter.peers.insert(sender, from);
            voter.election.step(now, sender, message);
        }
    }

    /// Carries out what the election wants until it wants nothing more.
    pub(super) fn pump(&mut self, now: Instant, actions: &mut Vec<NodeAction>) {
        while let Some(voter) = &mut self.voter {
            let output = voter.election.drain(now);
            let idle = output.is_empty();
            if let Some(batch) = output.persist {
                if breaks(Sabotage::StoreNotSynced) {
                    voter.election.persisted(now, batch.ticket);
                }
                actions.push(NodeAction::Store(batch));
            }
            let authority = voter.state.authority(voter.election.term());
            let me = voter.election.id();
            for (to, message) in output.messages {
                if let Some(address) = voter.peers.get(&to) {
                    let packet = Packet::Election { authority, from: me, to, message: Box::new(message) };
                    actions.push(NodeAction::Send { to: *address, packet });
                }
            }
            if let Some(install) = output.install
                && let Some(state) = format::read_state(&install.data)
            {
                voter.state = ClusterState { applied: install.index, ..state };
                voter.scribe = Scribe::new(&voter.state);
                self.beginnings += 1;
                voter.learn_peers();
            }
            for entry in output.committed {
                match voter.apply(now, entry.index, &entry.data, &mut self.buffer) {
                    Some(facts) if facts.is_empty() => {}
                    Some(facts) => actions.push(NodeAction::Ledger(facts)),
                    None => {
                        let id = voter.election.id();
                        return self.lose_store(now, id, actions);
                    }
                }
            }
            voter.compact_if_due(output.snapshot_wanted);
            if output.behind.is_some() {
                let id = voter.election.id();
                self.lose_store(now, id, actions);
                break;
            }
            let led = self.follow_leadership(now);
            self.pass_on(actions);
            if idle && !led {
                break;
            }
        }
    }

    /// A leader that has applied all that came before is the master; one that leads no more is none.
    fn follow_leadership(&mut self, now: Instant) -> bool {
        let me = self.agent.host();
        let Some(voter) = &mut self.voter else { return false };
        let leads = voter.election.ready_to_lead()
            && voter.election.lead_from().is_some_and(|index| voter.state.applied >= index);
        match (leads, &voter.master) {
            (true, None) => {
                let (term, column) = (voter.election.term(), voter.election.id());
                let mut out = Output { actions: std::mem::take(&mut self.buffer), proposals: Vec::new() };
                let master = Master::start(&voter.context(now), self.timing.clone(), me, column, term, &mut out);
                self.buffer = out.actions;
                let (led_at, before) = voter.led;
                let blind = blind(now.since(led_at), before);
                let command = Command::Begin { host: me, blind_milliseconds: blind };
                voter.propose(now, Proposal { answers: None, said: None, command });
                for proposal in out.proposals {
                    voter.propose(now, proposal);
                }
                voter.master = Some(master);
                voter.tending = Tending::default();
                true
            }
            (false, Some(master))
                if !voter.election.is_leader() || master.authority().term != voter.election.term() =>
            {
                self.buffer.push(Action::Note(Note::Deposed(master.authority())));
                voter.master = None;
                true
            }
            _ => false,
        }
    }
}

impl Voter {
    /// Applies a committed entry, and returns what happened by it. `None`: it can not be read, so that nothing of what
    /// follows may be believed either.
    fn apply(
        &mut self,
        now: Instant,
        index: LogIndex,
        data: &[u8],
        actions: &mut Vec<Action>,
    ) -> Option<Vec<ledger::Entry>> {
        if data.is_empty() {
            self.state.applied = index;
            return Some(Vec::new());
        }
        let entry = format::read_entry(data)?;
        let applied = self.state.apply(index, &entry.proposal.command);
        let facts = self.scribe.note(&self.state, &entry, &applied);
        if applied.changes.iter().any(|change| matches!(change, Change::Voters | Change::Admitted(_))) {
            self.learn_peers();
        }
        self.with_master(now, actions, |master, cx, out| master.applied(cx, index, &entry.proposal, &applied, out));
        Some(facts)
    }

    pub(super) fn learn_peers(&mut self) {
        for (voter, host) in &self.state.voters {
            if let Some(host) = self.state.hosts.get(host) {
                self.peers.insert(*voter, host.address);
            }
        }
    }

    fn compact_if_due(&mut self, wanted: bool) {
        let applied = self.state.applied;
        let grown = applied.0.saturating_sub(self.election.snapshot_index().0);
        if (wanted || grown > COMPACT_AFTER)
            && let Some(data) = format::write_state(&self.state)
        {
            self.election.compact(applied, data);
        }
    }
}

/// For how long nobody saw what happened, in milliseconds.
fn blind(unled: Duration, before: Duration) -> u64 {
    u64::try_from(unled.saturating_add(before).as_millis()).unwrap_or(u64::MAX)
}

/// What a master says loudly goes into the log, so that it can be read afterwards.
fn loud(action: &Action) -> Option<Proposal> {
    match action {
        Action::Note(Note::Alert(alert)) => {
            Some(Proposal { answers: None, said: None, command: Command::Alert(Box::new(alert.clone())) })
        }
        _ => None,
    }
}
