//! One node: the agent of its host, and where it votes, the election, the replicated state and the master's mind.
//!
//! A node is as pure as its parts. Its calling contract:
//!
//! - [`Node::step`] is called with a time that never goes back, for one event at a time, and its actions are carried
//!   out in order before it is called again: what must be on disk first stands first.
//! - Inputs that are already there are delivered before [`Event::Wake`]: silence is judged on a wake only.
//! - [`Event::Wake`] may come early or without need; it must come no later than [`Node::next_deadline`], or the node
//!   takes the delay for a gap in its own life.

pub mod format;
mod look;
mod members;
mod packet;
mod recover;
mod voter;

pub use crate::core::agent::Machine;
pub use look::{ElectionStanding, Signs};
pub use packet::{NodeAction, NodeEvent, Packet, Setup};

use crate::core::action::{Action, Event, Note, Request};
use crate::core::agent::Agent;
use crate::core::command::Said;
use crate::core::ids::{Address, Ticket, VoterId};
use crate::core::master::MASTER_TICKETS;
use crate::core::message::Message;
use crate::core::reason::{Alert, Refusal};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::election::StoreImage;
use recover::Recovering;
use std::sync::Arc;
use std::time::Duration;
use voter::Voter;

/// One node.
pub struct Node {
    timing: Arc<Timing>,
    address: Address,
    seed: u64,
    agent: Agent,
    voter: Option<Voter>,
    /// A store of this node that does not count any more: the master is asked for a new one.
    lost: Option<VoterId>,
    next_loss_report: Instant,
    recovering: Option<Recovering>,
    /// What the wall clock showed when this machine's own clock read zero.
    wall_at_zero: i64,
    /// For how long there had been no master that this node knew of when it started.
    blind_before: Duration,
    /// How often its state began with one that it had not come to by itself.
    beginnings: u64,
    /// The voter's store at the start, until the mail was read that may say that it does not count any more.
    waiting_store: Option<Box<StoreImage>>,
    /// Actions of the parts, before they are passed on; kept to spare allocations.
    buffer: Vec<Action>,
}

impl Node {
    /// Starts a node.
    pub fn start(now: Instant, setup: Setup, actions: &mut Vec<NodeAction>) -> Node {
        let mut buffer = Vec::new();
        let address = setup.machine.address;
        let agent =
            Agent::start(now, setup.machine, setup.session, setup.agent, Arc::clone(&setup.timing), &mut buffer);
        let mut node = Node {
            timing: setup.timing,
            address,
            seed: setup.seed ^ (setup.session << 20),
            agent,
            voter: None,
            lost: None,
            next_loss_report: Instant::NEVER,
            recovering: None,
            wall_at_zero: 0,
            blind_before: setup.blind,
            beginnings: 0,
            waiting_store: None,
            buffer,
        };
        node.waiting_store = setup.store.map(Box::new);
        node.start_waiting_voter(now, actions);
        node.pass_on(actions);
        node.pump(now, actions);
        node
    }

    /// Lets one thing happen.
    pub fn step(&mut self, now: Instant, event: NodeEvent, actions: &mut Vec<NodeAction>) {
        match event {
            NodeEvent::Core(event) => self.core_event(now, event, actions),
            NodeEvent::Packet { from, packet: Packet::Cluster(message) } => {
                self.cluster_message(now, from, message, actions);
            }
            NodeEvent::Packet { from, packet: Packet::Election { authority, from: sender, to, message } } => {
                self.election_message(now, from, (authority, sender, to), *message, actions);
            }
            NodeEvent::WallClock { milliseconds } => self.tell_time(now, milliseconds),
            NodeEvent::Stored { ticket, done } => self.stored(now, ticket, done, actions),
            NodeEvent::Reloaded(image) => {
                if self.voter.is_none() && self.lost.is_none() {
                    self.start_voter(now, *image, actions);
                }
            }
        }
        self.start_waiting_voter(now, actions);
        self.yield_to_newer_generation(actions);
        self.pass_on(actions);
        self.pump(now, actions);
    }

    /// What people's clocks show now.
    pub fn tell_time(&mut self, now: Instant, milliseconds: i64) {
        self.wall_at_zero = milliseconds.saturating_sub(whole_milliseconds(now));
        if let Some(voter) = &mut self.voter {
            voter.wall_at_zero = self.wall_at_zero;
        }
    }

    fn start_waiting_voter(&mut self, now: Instant, actions: &mut Vec<NodeAction>) {
        if self.waiting_store.is_some()
            && self.agent.has_read_mail()
            && let Some(image) = self.waiting_store.take()
        {
            self.start_voter(now, *image, actions);
        }
    }

    /// A forced recovery has outranked the log that this node votes in: nothing of it counts any more (rule 15).
    fn yield_to_newer_generation(&mut self, actions: &mut Vec<NodeAction>) {
        let newest = self.agent.authority().generation;
        if self.voter.as_ref().is_some_and(|voter| voter.state.generation < newest) {
            self.voter = None;
            actions.push(NodeAction::DropStore);
        }
    }

    fn core_event(&mut self, now: Instant, event: Event, actions: &mut Vec<NodeAction>) {
        match event {
            Event::Wake => {
                self.agent.step(now, Event::Wake, &mut self.buffer);
                self.wake_voter(now);
                self.tend_recovering(now, actions);
                self.report_loss(now);
            }
            Event::Datastore { ticket, result } if self.is_recoverys(ticket) => {
                self.recovery_answered(now, ticket, result, actions);
            }
            Event::Datastore { ticket, .. } | Event::Fence { ticket, .. } if ticket.0 & MASTER_TICKETS != 0 => {
                self.tell_master(now, event);
            }
            Event::Pong { .. } => self.tell_master(now, event),
            Event::Request { ticket, request, said } => self.request(now, ticket, request, said, actions),
            event => self.agent.step(now, event, &mut self.buffer),
        }
    }

    fn request(
        &mut self,
        now: Instant,
        ticket: Ticket,
        request: Request,
        said: Option<Box<Said>>,
        actions: &mut Vec<NodeAction>,
    ) {
        match request {
            request if self.master().is_some() => self.tell_master(now, Event::Request { ticket, request, said }),
            Request::Recover { dead } => self.begin_recovering(now, (ticket, said), dead, actions),
            _ => self.buffer.push(Action::Reply { ticket, reply: Err(Refusal::NoMajority) }),
        }
    }

    fn cluster_message(&mut self, now: Instant, from: Address, message: Message, actions: &mut Vec<NodeAction>) {
        match message {
            Message::Heartbeat(heartbeat) => match &mut self.voter {
                Some(voter) => {
                    // Whom the log does not know is not remembered: a number can be as great as a peer likes.
                    let is_known = voter.state.hosts.contains_key(&heartbeat.incarnation.host);
                    let fresh = is_known && voter.ears.hear(now, from, heartbeat);
                    let behind = !heartbeat.admitted || heartbeat.config < voter.state.config;
                    if voter.master.is_none() && behind {
                        // It may look for the master where voters were long ago.
                        let voters = voter.state.voter_addresses();
                        self.buffer.push(Action::Send { to: from, message: Message::Voters(voters) });
                    } else if fresh {
                        self.tell_master(now, Event::Message { from, message });
                    }
                }
                None => self.name_voters(from),
            },
            Message::Register(_)
            | Message::Report(_)
            | Message::LockSeen { .. }
            | Message::MoveFailed { .. }
            | Message::Forgotten { .. }
            | Message::Definition(_)
            | Message::AskingHeard { .. }
            | Message::Guest(_)
            | Message::Wish(_)
            | Message::DisarmGuards(_)
            | Message::RemoteDone { .. } => self.tell_master(now, Event::Message { from, message }),
            Message::BecomeVoter { authority, voter, voters } => {
                self.become_voter(now, authority, voter, voters, actions);
            }
            Message::Retired { authority, voter } => self.retired(authority, voter, actions),
            Message::StoreLost { host, voter } => self.store_lost(host, voter),
            Message::Voters(voters) => {
                self.voters_called(from, &voters);
                let event = Event::Message { from, message: Message::Voters(voters) };
                self.agent.step(now, event, &mut self.buffer);
            }
            // Named one by one: a new message does not come here for want of a place.
            Message::Ack(_)
            | Message::Challenge(_)
            | Message::Welcome(_)
            | Message::Config(_)
            | Message::Hello(_)
            | Message::Outranked(_)
            | Message::DefinitionNoted { .. }
            | Message::AskGuests(_)
            | Message::GuestNoted { .. }
            | Message::Permit(_)
            | Message::Order(_)
            | Message::WishRefused { .. }
            | Message::GuardsDisarmed(_)
            | Message::Remote { .. } => self.agent.step(now, Event::Message { from, message }, &mut self.buffer),
        }
    }

    /// A host takes this node for a voter, and it is none: it is told who is.
    fn name_voters(&mut self, from: Address) {
        let voters = self.agent.voters();
        if !voters.contains(&self.address) && !voters.is_empty() {
            let message = Message::Voters(voters.to_vec());
            self.buffer.push(Action::Send { to: from, message });
        }
    }

    /// Passes on what the parts want done. A packet to itself goes the way of all packets.
    fn pass_on(&mut self, actions: &mut Vec<NodeAction>) {
        for action in self.buffer.drain(..) {
            actions.push(match action {
                Action::Send { to, message } => NodeAction::Send { to, packet: Packet::Cluster(message) },
                action => NodeAction::Core(action),
            });
        }
    }

    /// When it wants to be woken.
    pub fn next_deadline(&self) -> Instant {
        let voter = self.voter.as_ref().map_or(Instant::NEVER, Voter::next_deadline);
        let recovering = self.recovering.as_ref().map_or(Instant::NEVER, |recovering| recovering.next);
        self.agent.next_deadline().min(voter).min(recovering).min(self.next_loss_report)
    }

    fn report_loss(&mut self, now: Instant) {
        let Some(voter) = self.lost.filter(|_| now >= self.next_loss_report) else { return };
        self.next_loss_report = now + self.timing.suspect;
        let host = self.agent.host();
        for to in self.agent.voters() {
            self.buffer.push(Action::Send { to: *to, message: Message::StoreLost { host, voter } });
        }
    }

    /// This node's store does not count any more.
    fn lose_store(&mut self, now: Instant, voter: VoterId, actions: &mut Vec<NodeAction>) {
        self.voter = None;
        self.lost = Some(voter);
        self.next_loss_report = now;
        // The store stays where it is, marked as it is: so its loss is known after a restart too.
        actions.push(NodeAction::Core(Action::Note(Note::Alert(Alert::StoreLost))));
    }
}

/// An instant in whole milliseconds.
fn whole_milliseconds(now: Instant) -> i64 {
    i64::try_from(now.as_micros() / 1_000).unwrap_or(i64::MAX)
}
