//! What a whole node makes of packets that a member's program could send, if it were broken or taken over, and of
//! records that lie on storage: whatever it makes of them, it goes on.

use crate::core::action::{Action, AgentStore, Event};
use crate::core::agent::Machine;
use crate::core::ids::{Address, BootId, HostId, Ticket, VoterId};
use crate::core::message::Watchdog;
use crate::core::record::{DatastoreOp, DatastoreResult};
use crate::core::remote::FenceResult;
use crate::core::time::Instant;
use crate::core::timing::{Profile, Timing};
use crate::election::StoreImage;
use crate::node::{Node, NodeAction, NodeEvent, Packet, Setup, format};
use crate::sim::bench::{Heartbeats, rack_example};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// So much befalls a node at the most, and so much waits for an answer.
const MOST: usize = 64;

/// What befalls it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Happening {
    /// A packet of one of the hosts, or of a stranger.
    Packet {
        /// Whose.
        from: u8,
        /// What it says.
        packet: Box<Packet>,
    },
    /// Time passes until the node wants to be woken.
    Wake,
    /// Time passes.
    Later(u16),
    /// The oldest batch is on disk, or could not be written.
    Stored(bool),
    /// The oldest call to a datastore ends so.
    Datastore(DatastoreResult),
    /// The oldest call to a fence device ends so.
    Fence(FenceResult),
}

/// A node that leads three hosts, or one that votes with two others.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Story {
    /// Which.
    pub(super) leads: bool,
    /// What befalls it.
    pub(super) happenings: Vec<Happening>,
}

/// Lets the story befall the node.
pub(super) fn node(bytes: &[u8]) -> bool {
    let Ok(story) = postcard::from_bytes::<Story>(bytes) else { return false };
    let (node, now) = if story.leads { Heartbeats::of(3).into_node() } else { follower() };
    let mut world = World { node, now, stores: VecDeque::new(), calls: VecDeque::new(), fences: VecDeque::new() };
    for happening in story.happenings.into_iter().take(MOST) {
        world.befall(happening);
    }
    true
}

fn follower() -> (Node, Instant) {
    let mut state = rack_example(3, 6, 40).state;
    state.voters = (0..3).map(|number| (VoterId(number + 1), HostId(number as u32))).collect();
    let voters: Vec<VoterId> = state.voters.keys().copied().collect();
    let snapshot = format::write_state(&state).expect("a state can be written");
    let host = &state.hosts[&HostId(0)];
    let machine = Machine {
        host: HostId(0),
        address: host.address,
        boot: BootId(1),
        hardware: 1,
        watchdog: Watchdog::None,
        heartbeat_datastores: host.life.renewal_set.clone(),
        datastores: host.life.datastores.clone(),
        formattings: Default::default(),
        networks: host.life.networks.clone(),
    };
    let setup = Setup {
        machine,
        session: 1,
        agent: AgentStore::default(),
        store: Some(StoreImage::bootstrap(VoterId(1), &voters, snapshot)),
        timing: Arc::new(Timing::of(Profile::Lan)),
        blind: Duration::ZERO,
        seed: 1,
    };
    let now = Instant::from_micros(1);
    let mut actions = Vec::new();
    let mut node = Node::start(now, setup, &mut actions);
    // It takes up its store when it has read its mail.
    for action in actions {
        if let NodeAction::Core(Action::Datastore { ticket, .. }) = action {
            let result = DatastoreResult::Mail(Vec::new());
            node.step(now, NodeEvent::Core(Event::Datastore { ticket, result }), &mut Vec::new());
        }
    }
    (node, now)
}

struct World {
    node: Node,
    now: Instant,
    stores: VecDeque<Ticket>,
    calls: VecDeque<(Ticket, DatastoreOp)>,
    fences: VecDeque<Ticket>,
}

impl World {
    fn befall(&mut self, happening: Happening) {
        let event = match happening {
            Happening::Packet { from, packet } => NodeEvent::Packet { from: Address(u32::from(from)), packet: *packet },
            Happening::Wake => {
                let deadline = self.node.next_deadline();
                if deadline < Instant::NEVER {
                    self.now = self.now.max(deadline);
                }
                NodeEvent::Core(Event::Wake)
            }
            Happening::Later(milliseconds) => {
                self.now += Duration::from_millis(u64::from(milliseconds));
                NodeEvent::Core(Event::Wake)
            }
            Happening::Stored(done) => match self.stores.pop_front() {
                Some(ticket) => NodeEvent::Stored { ticket, done },
                None => return,
            },
            Happening::Datastore(result) => match self.calls.pop_front() {
                Some((ticket, op)) if answers(&op, &result) => NodeEvent::Core(Event::Datastore { ticket, result }),
                _ => return,
            },
            Happening::Fence(result) => match self.fences.pop_front() {
                Some(ticket) => NodeEvent::Core(Event::Fence { ticket, result }),
                None => return,
            },
        };
        self.step(event);
    }

    fn step(&mut self, event: NodeEvent) {
        let mut actions = Vec::new();
        self.node.step(self.now, event, &mut actions);
        for action in actions {
            match action {
                NodeAction::Store(batch) => self.stores.push_back(batch.ticket),
                NodeAction::Core(Action::Datastore { ticket, call }) => self.calls.push_back((ticket, call.op)),
                NodeAction::Core(Action::Fence { ticket, .. }) => self.fences.push_back(ticket),
                _ => {}
            }
        }
        self.stores.truncate(MOST);
        self.calls.truncate(MOST);
        self.fences.truncate(MOST);
    }
}

/// A thread that reads records answers with records, each of the host in whose slot it lay.
fn answers(op: &DatastoreOp, result: &DatastoreResult) -> bool {
    use crate::core::record::Slot;
    match (op, result) {
        (_, DatastoreResult::Failed) => true,
        (DatastoreOp::WriteRecord(_) | DatastoreOp::WriteMail { .. }, DatastoreResult::Written) => true,
        (DatastoreOp::ReadMail { .. }, DatastoreResult::Mail(_)) => true,
        (DatastoreOp::ReadRecords, DatastoreResult::Records(records)) => {
            records.iter().all(|(host, slot)| match slot {
                Slot::Whole(record) => record.incarnation.host == *host,
                Slot::Empty | Slot::Torn => true,
            })
        }
        _ => false,
    }
}
