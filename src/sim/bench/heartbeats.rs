//! A master and its hosts, of which only the master is real: what each heartbeat costs it.

use super::rack_example;
use crate::core::action::{Action, AgentStore, Event};
use crate::core::agent::Machine;
use crate::core::ids::{Address, HostId, Ticket, VoterId};
use crate::core::message::{Heartbeat, Message, Watchdog};
use crate::core::record::{DatastoreOp, DatastoreResult, Record, Slot};
use crate::core::state::{Armed, ClusterState, Policy};
use crate::core::time::Instant;
use crate::core::timing::{Profile, Timing};
use crate::election::StoreImage;
use crate::node::format;
use crate::node::{Node, NodeAction, NodeEvent, Packet, Setup};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The VMs on each host.
const VMS: u32 = 20;
/// The master's host, and only voter.
const MASTER: HostId = HostId(0);

/// A node that leads so many hosts, all of which are well: each sends its heartbeats, writes its records and wants its
/// acknowledgements in time.
///
/// The order of calls: [`beats`](Heartbeats::beats), [`wake`](Heartbeats::wake), [`look`](Heartbeats::look) and
/// [`answers`](Heartbeats::answers), again and again. All but `look` are the node's own work.
pub struct Heartbeats {
    node: Node,
    state: ClusterState,
    now: Instant,
    /// How many heartbeats were sent by all hosts together.
    sent: u64,
    every: Duration,
    /// How often the records were read.
    reads: u64,
    actions: Vec<NodeAction>,
    answers: Vec<NodeEvent>,
    acknowledged: u64,
}

impl Heartbeats {
    /// The cluster at its first quiet moment: the node has become the master and knows its hosts.
    pub fn of(hosts: u32) -> Heartbeats {
        let timing = Arc::new(Timing::of(Profile::Lan));
        let hosts = hosts.max(1);
        let state = ClusterState {
            armed: Armed::Armed,
            voters: [(VoterId(1), MASTER)].into(),
            next_voter: 2,
            next_epoch: u64::from(hosts * VMS) + 1,
            policy: Policy { voters: 1, ..Policy::default() },
            ..rack_example(hosts, hosts * VMS, 40).state
        };
        let snapshot = format::write_state(&state).unwrap_or_default();
        let setup = Setup {
            machine: machine(&state),
            session: 1,
            agent: AgentStore::default(),
            store: Some(StoreImage::bootstrap(VoterId(1), &[VoterId(1)], snapshot)),
            timing: Arc::clone(&timing),
            blind: Default::default(),
            seed: 1,
        };
        let now = Instant::from_micros(1);
        let mut actions = Vec::new();
        let node = Node::start(now, setup, &mut actions);
        let every = timing.heartbeat / hosts;
        let (answers, sent, reads, acknowledged) = (Vec::new(), 0, 0, 0);
        let mut example = Heartbeats { node, state, now, sent, every, reads, actions, answers, acknowledged };
        example.look();
        let quiet = now + timing.election_max * 6;
        while example.now < quiet {
            example.answers();
            example.beats();
            example.wake();
            example.look();
        }
        example
    }

    /// Delivers heartbeats, each host's in its turn, until the node wants to be woken. Returns how many there were.
    pub fn beats(&mut self) -> u64 {
        let before = self.sent;
        while self.node.next_deadline() > self.now + self.every {
            self.now += self.every;
            let (from, heartbeat) = self.heartbeat();
            let packet = Packet::Cluster(Message::Heartbeat(heartbeat));
            self.node.step(self.now, NodeEvent::Packet { from, packet }, &mut self.actions);
            self.sent += 1;
        }
        self.sent - before
    }

    fn heartbeat(&self) -> (Address, Heartbeat) {
        // Hosts of the example are numbered from zero, without gaps, and so are their addresses and boots.
        let hosts = self.state.hosts.len() as u64;
        let number = self.sent % hosts;
        let host = &self.state.hosts[&HostId(number as u32)];
        let heartbeat = Heartbeat {
            incarnation: host.incarnation(HostId(number as u32)),
            admitted: true,
            session: host.life.session,
            sequence: self.sent / hosts + 1,
            report: 0,
            leaving: false,
            config: host.acknowledged,
        };
        (host.address, heartbeat)
    }

    /// Wakes the node at its time: scans, quorum rounds and whatever else is periodic.
    pub fn wake(&mut self) {
        self.now = self.now.max(self.node.next_deadline());
        self.node.step(self.now, NodeEvent::Core(Event::Wake), &mut self.actions);
    }

    /// Looks at what the node wants done, and makes the answers of disk and datastores ready.
    pub fn look(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                NodeAction::Send { packet: Packet::Cluster(Message::Ack(_)), .. } => self.acknowledged += 1,
                NodeAction::Store(batch) => self.answers.push(NodeEvent::Stored { ticket: batch.ticket, done: true }),
                NodeAction::Core(Action::Datastore { ticket, call }) if call.op == DatastoreOp::ReadRecords => {
                    let answer = self.records(ticket);
                    self.answers.push(answer);
                }
                _ => {}
            }
        }
    }

    fn records(&mut self, ticket: Ticket) -> NodeEvent {
        self.reads += 1;
        let nothing: Arc<[_]> = Arc::new([]);
        let record = |host: &HostId| Record {
            incarnation: self.state.hosts[host].incarnation(*host),
            sequence: self.reads,
            config: Default::default(),
            report: 0,
            held: Arc::clone(&nothing),
            released: Arc::new([]),
        };
        let records = self.state.hosts.keys().map(|host| (*host, Slot::Whole(record(host)))).collect();
        NodeEvent::Core(Event::Datastore { ticket, result: DatastoreResult::Records(records) })
    }

    /// Delivers those answers.
    pub fn answers(&mut self) {
        for answer in std::mem::take(&mut self.answers) {
            self.node.step(self.now, answer, &mut self.actions);
        }
    }

    /// How many heartbeats were sent and how many were acknowledged, since the beginning.
    pub fn sent_and_acknowledged(&self) -> (u64, u64) {
        (self.sent, self.acknowledged)
    }

    /// The node by itself, and the virtual time that it is at.
    pub fn into_node(self) -> (Node, Instant) {
        (self.node, self.now)
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }
}

fn machine(state: &ClusterState) -> Machine {
    let host = &state.hosts[&MASTER];
    Machine {
        host: MASTER,
        address: host.address,
        boot: host.life.boot,
        hardware: 1,
        watchdog: Watchdog::None,
        heartbeat_datastores: host.life.renewal_set.clone(),
        datastores: BTreeSet::new(),
        formattings: Default::default(),
        networks: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::Standing;

    #[test]
    fn every_heartbeat_is_acknowledged_and_nobody_is_judged() {
        let mut example = Heartbeats::of(50);
        let (sent, acknowledged) = example.sent_and_acknowledged();
        for _ in 0..1_000 {
            example.beats();
            example.wake();
            example.look();
            example.answers();
        }
        let (sent, acknowledged) = {
            let now = example.sent_and_acknowledged();
            (now.0 - sent, now.1 - acknowledged)
        };
        assert!(sent > 1_000 && sent == acknowledged, "{acknowledged} of {sent} were acknowledged");
        let node = example.node;
        assert!(node.state().is_some_and(|state| state.hosts.values().all(|host| host.standing == Standing::Admitted)));
    }
}
