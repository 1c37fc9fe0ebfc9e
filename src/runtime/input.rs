//! What reaches the loop of a node.

use super::gate::Barrier;
use super::shutdown::Leave;
use crate::core::action::Request;
use crate::core::command::Said;
use crate::core::ids::Ticket;
use crate::core::reason::Refusal;
use crate::core::time::Instant;
use crate::election::StoreImage;
use crate::node::{Node, NodeEvent};
use crate::store::{LedgerRow, WriteError};
use tokio::sync::oneshot;

/// What was asked for has ended. There are never more of these than the loop has asked for.
pub(super) enum Answer {
    /// Something that the node itself must hear.
    Event(NodeEvent),
    /// A write that others wait for was done, or failed.
    Written(Barrier, Result<(), WriteError>),
    /// A batch of the voter was written, or failed.
    Batch(Ticket, Result<(), String>),
    /// New facts are in the ledger, or were refused, and why.
    Ledger(Result<(), (String, Vec<LedgerRow>)>),
    /// The voter's store was read anew.
    Reloaded(Result<Option<StoreImage>, WriteError>),
    /// A datastore is there that was left out.
    StorageFound(String),
    /// It is time to read the voter's store anew, or to try these writes again.
    Retry(Retry),
}

/// What is tried again after a while.
pub(super) enum Retry {
    /// A write that others wait for.
    Write(Barrier),
    /// The reading of the voter's store.
    Reload,
    /// Facts for the ledger.
    Ledger,
}

/// A look at a node between two of its steps.
pub(crate) type Look = Box<dyn FnOnce(&Node, Instant) + Send>;

/// What others want of the node.
pub(crate) enum Call {
    /// To look at it.
    Look(Look),
    /// Something that an operator asks for.
    Request {
        /// Names the request for good.
        ticket: Ticket,
        /// What.
        request: Request,
        /// Who asks, and why.
        said: Option<Box<Said>>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// These facts are in the master's ledger, and may be missing in this one.
    Facts(Vec<LedgerRow>),
    /// To be told when all facts so far are in the ledger on disk, or were refused by it; and whether none was.
    Recorded(oneshot::Sender<bool>),
    /// The agent is to end, and ends no VM.
    Stop(Leave),
}
