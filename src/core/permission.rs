//! What a host may and shall do with a VM: the master's permits and orders, and the wishes of operators.

use crate::core::command::Want;
use crate::core::ids::{Authority, ConfigVersion, Epoch, HostId, Incarnation, LogIndex, Ticket, VmId};
use crate::core::message::Known;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The right to start a VM once (rule 12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// To which life of which host.
    pub incarnation: Incarnation,
    /// By whose authority.
    pub authority: Authority,
    /// The entry of the log that gives the right.
    pub index: LogIndex,
    /// Which run of the agent, and which of its heartbeats it answers.
    pub session: u64,
    /// Which heartbeat it answers: it dies before the lease that the heartbeat renews.
    pub sequence: u64,
    /// Which VM.
    pub vm: VmId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// What the host must know first.
    pub config: ConfigVersion,
    /// What the host must know of the VM.
    pub known: Known,
    /// Whether to start it, or let in what is being started or moved in by others.
    pub kind: PermitKind,
    /// What the hypervisor needs to know of it.
    pub payload: Arc<[u8]>,
}

/// What a permit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PermitKind {
    /// Start it.
    Start,
    /// Let in a live migration.
    Receive,
    /// Let the start pass that an operator ordered, by the ticket of the wish.
    Hook(Ticket),
}

/// What a host is to do with a VM that it holds, or held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// To which life of which host.
    pub incarnation: Incarnation,
    /// By whose authority.
    pub authority: Authority,
    /// Which VM.
    pub vm: VmId,
    /// Up to which epoch.
    pub epoch: Epoch,
    /// What.
    pub kind: OrderKind,
}

/// Kinds of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    /// Stop it.
    Stop(Want),
    /// Let go of it: refuse every epoch up to this one, once no process and no call is left.
    Release,
    /// Kill it: the log holds that another host lives with a newer epoch of it.
    KillClash,
    /// Move it alive to this host.
    MoveTo(HostId),
    /// Look whether its lock is held from here.
    ProbeLock,
    /// Say how it fares here.
    Account,
    /// Expect its live migration no longer, if nothing of it has come.
    CallOff,
    /// It runs elsewhere, wholly defined, since it was here under this epoch: forget its definition, once.
    Forget,
}

/// An operator's start through the hypervisor's own tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Which life of which host.
    pub incarnation: Incarnation,
    /// Pairs the answer.
    pub ticket: Ticket,
    /// Which VM.
    pub vm: VmId,
    /// How it comes up.
    pub coming: Coming,
}

/// How a VM comes up on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coming {
    /// It is started.
    Started,
    /// It goes on from where it was saved on this host.
    Restored,
    /// It is being moved in alive.
    Moved,
}
