//! One node: the agent of its host, and where it votes, the election, the replicated state and the master's mind.
//!
//! A node is as pure as its parts. Its calling contract:
//!
//! - [`Node::step`] is called with a time that never goes back, for one event at a time, and its actions are carried
//!   out in order before it is called again: what must be on disk first stands first.
//! - Inputs that are already there are delivered before [`Event::Wake`]: silence is judged on a wake only.
//! - [`Event::Wake`] may come early or without need; it must come no later than [`Node::next_deadline`], or the node
//!   takes the delay for a gap in its own life.

pub use crate::core::agent::Machine;

use crate::core::action::{Action, AgentStore, Event};
use crate::core::ids::{Address, Authority, HostId, Ticket, VmId, VoterId};
use crate::core::message::Message;
use crate::core::reason::{HostState, Wait};
use crate::core::state::ClusterState;
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::election::{self, StoreBatch, StoreImage};
use std::sync::Arc;

/// All that two nodes say to each other.
#[derive(Debug, Clone)]
pub enum Packet {
    /// Of the cluster.
    Cluster(Message),
    /// Of the election and the log.
    Election {
        /// The sender's authority; another cluster generation than the receiver's is not for it.
        authority: Authority,
        /// The sending store.
        from: VoterId,
        /// The receiving store.
        to: VoterId,
        /// What it says.
        message: Box<election::Message>,
    },
}

/// What happens to a node.
#[derive(Debug, Clone)]
pub enum NodeEvent {
    /// Anything but what is below. Never [`Event::Message`].
    Core(Event),
    /// A packet came.
    Packet {
        /// From where.
        from: Address,
        /// What it says.
        packet: Packet,
    },
    /// A batch is on the voter's disk, or could not be written: then the store is lost to this run of the node.
    Stored {
        /// Which batch.
        ticket: Ticket,
        /// Whether it is.
        done: bool,
    },
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum NodeAction {
    /// Anything but what is below. Never [`Action::Send`].
    Core(Action),
    /// Send a packet.
    Send {
        /// Where to.
        to: Address,
        /// What.
        packet: Packet,
    },
    /// Write a batch to the voter's disk and sync it, then say [`NodeEvent::Stored`].
    Store(StoreBatch),
    /// Make this the voter's store, in place of any other, on stable storage at once.
    NewStore(Box<StoreImage>),
    /// The voter's store is not needed any more.
    DropStore,
}

/// What a node starts from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The machine.
    pub machine: Machine,
    /// The run of the agent: greater than any before on this machine.
    pub session: u64,
    /// What the agent kept.
    pub agent: AgentStore,
    /// The voter's store, if this node votes.
    pub store: Option<StoreImage>,
    /// The time limits.
    pub timing: Arc<Timing>,
    /// Where this node's choices of chance come from: the times at which it stands for election.
    pub seed: u64,
}

/// One node.
#[derive(Debug)]
pub struct Node {}

impl Node {
    /// Starts a node.
    pub fn start(_now: Instant, _setup: Setup, _actions: &mut Vec<NodeAction>) -> Node {
        Node {}
    }
    /// Lets one thing happen.
    pub fn step(&mut self, _now: Instant, _event: NodeEvent, _actions: &mut Vec<NodeAction>) {}
    /// When it wants to be woken.
    pub fn next_deadline(&self) -> Instant {
        Instant::NEVER
    }
    /// The replicated state as this node has it, if it votes.
    pub fn state(&self) -> Option<&ClusterState> {
        None
    }
    /// Its authority, if it is the master and has applied all that its predecessors decided.
    pub fn master(&self) -> Option<Authority> {
        None
    }
    /// How the master sees a host; `None` if this is not the master.
    pub fn host_state(&self, _now: Instant, _host: HostId) -> Option<HostState> {
        None
    }
    /// What the master knows a VM to wait for; `None` if this is not the master.
    pub fn wait(&self, _now: Instant, _vm: VmId) -> Option<Wait> {
        None
    }
}
