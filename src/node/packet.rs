//! What goes into a node and what comes out.

use crate::core::action::{Action, AgentStore, Event};
use crate::core::agent::Machine;
use crate::core::ids::{Address, Authority, Ticket, VoterId};
use crate::core::message::Message;
use crate::core::timing::Timing;
use crate::election::{self, StoreBatch, StoreImage};
use crate::ledger;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// All that two nodes say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A batch is on the voter's disk, or could not be written.
    Stored {
        /// Which batch.
        ticket: Ticket,
        /// Whether it is.
        done: bool,
    },
    /// What people's clocks show now: it goes into the history and decides nothing.
    WallClock {
        /// In milliseconds since 1970.
        milliseconds: i64,
    },
    /// The voter's store, read anew after a write to it failed.
    Reloaded(Box<StoreImage>),
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
    /// Write a batch to the voter's disk as a whole and sync it, then say [`NodeEvent::Stored`].
    Store(StoreBatch),
    /// Make this the voter's store, in place of any other, on stable storage at once.
    NewStore(Box<StoreImage>),
    /// A write failed: once the disk takes writes again, read the store and say [`NodeEvent::Reloaded`].
    ReloadStore,
    /// The voter's store is not needed any more.
    DropStore,
    /// Add these to the history, before any batch that follows is on disk.
    Ledger(Vec<ledger::Entry>),
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
    /// For how long there has been no master that this node knew of.
    pub blind: Duration,
    /// The time limits.
    pub timing: Arc<Timing>,
    /// Where this node's choices of chance come from: the times at which it stands for election.
    pub seed: u64,
}
