//! What nodes say to each other.

use crate::core::ids::{
    Address, Authority, BootId, ConfigVersion, DatastoreId, Epoch, FeatureId, HostId, Incarnation, NetworkId, Ticket,
    VmId, VoterId,
};
pub use crate::core::permission::{Coming, Order, OrderKind, Permit, PermitKind, Wish};
use crate::core::reason::Refusal;
pub use crate::core::remote::{FenceOp, FenceResult, RemoteOp, RemoteResult};
use crate::core::state::{Armed, GuestWord, Shape, UpMeans};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Any message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A host to every voter: I live.
    Heartbeat(Heartbeat),
    /// The master to a host: this heartbeat extends your lease.
    Ack(Ack),
    /// The master to a host that it does not know in this life: who are you?
    Challenge(Challenge),
    /// The host's answer.
    Register(Box<Register>),
    /// The master to a host: you are admitted.
    Welcome(Welcome),
    /// The master to a host: what you must know has changed.
    Config(ConfigUpdate),
    /// A node that does not vote to a host that takes it for a voter: these do.
    Voters(Vec<Address>),
    /// A master to a host that it does not hear: is there a newer cluster generation than mine?
    Hello(Authority),
    /// There is: this is the highest authority that was seen here.
    Outranked(Authority),
    /// A host to the master: how my VMs fare.
    Report(Report),
    /// A host to the master: from here, this VM's lock is held.
    LockSeen {
        /// By which host.
        incarnation: Incarnation,
        /// Whose lock.
        vm: VmId,
        /// Under which epoch it was to be probed.
        epoch: Epoch,
    },
    /// A host to the master: my hypervisor says that this VM is this.
    Definition(Definition),
    /// The master to a host: the log has it, or has no use for it.
    DefinitionNoted {
        /// Which.
        ticket: Ticket,
    },
    /// The master to a host: start this VM.
    Permit(Permit),
    /// The master to a host: do this with a VM that you hold.
    Order(Order),
    /// A host to the master: an operator starts a VM here, through the hypervisor's own tools.
    Wish(Wish),
    /// The master to a host: no, or wait.
    WishRefused {
        /// Which wish.
        ticket: Ticket,
        /// Why.
        refusal: Refusal,
    },
    /// A host to the master: my guards should stop counting, for I shall close my watchdog.
    DisarmGuards(Incarnation),
    /// The master to a host: they no longer count.
    GuardsDisarmed(Incarnation),
    /// The master to a host: do this for me, for I can not reach it.
    Remote {
        /// Pairs the answer.
        ticket: Ticket,
        /// By whose order.
        authority: Authority,
        /// What.
        op: RemoteOp,
    },
    /// The answer.
    RemoteDone {
        /// Pairs the answer.
        ticket: Ticket,
        /// How it ended.
        result: RemoteResult,
    },
    /// The master to a host: be the home of this voter.
    BecomeVoter {
        /// By whose order.
        authority: Authority,
        /// The store.
        voter: VoterId,
        /// The addresses of all voters, by store.
        voters: Vec<(VoterId, Address)>,
    },
    /// Any voter to one that is no longer one.
    Retired {
        /// By whose word.
        authority: Authority,
        /// The store.
        voter: VoterId,
    },
    /// A node whose store can not be used to the master: give me a new one.
    StoreLost {
        /// Its home.
        host: HostId,
        /// The store that is gone.
        voter: VoterId,
    },
    /// A host to the master: the move of this VM away from here has failed, and it runs on.
    MoveFailed {
        /// From which host.
        incarnation: Incarnation,
        /// Which VM.
        vm: VmId,
        /// Under which epoch it runs there.
        epoch: Epoch,
    },
    /// A host to the master: it knows that the VM has left, and that its definition there is to be forgotten.
    Forgotten {
        /// Which host.
        incarnation: Incarnation,
        /// Which VM.
        vm: VmId,
        /// The newest epoch under which the VM was there.
        epoch: Epoch,
    },
    /// The master to a host: ask these guests whether they answer, and no others.
    AskGuests(Asking),
    /// The host has heard it.
    AskingHeard {
        /// Which host.
        incarnation: Incarnation,
        /// Pairs the two.
        ticket: Ticket,
    },
    /// A host to the master: this is new of a guest.
    Guest(GuestReport),
    /// The master to a host: the log has it, or has no use for it.
    GuestNoted {
        /// Which.
        ticket: Ticket,
    },
}

/// A host's sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Which life of which host: the last generation given in this boot, zero before the first.
    pub incarnation: Incarnation,
    /// Whether that generation still holds for the host.
    pub admitted: bool,
    /// Which run of the agent.
    pub session: u64,
    /// Grows with each heartbeat of this run.
    pub sequence: u64,
    /// The version of its newest report.
    pub report: u64,
    /// Whether its machine is being shut down by a person.
    pub leaving: bool,
    /// What it knows of what it must know.
    pub config: ConfigVersion,
}

/// The answer to a heartbeat, which extends the lease from when that heartbeat was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// To which life of which host.
    pub incarnation: Incarnation,
    /// By whose authority.
    pub authority: Authority,
    /// Which run of the agent.
    pub session: u64,
    /// Which heartbeat.
    pub sequence: u64,
    /// The newest report of this run that the log has.
    pub report: u64,
}

/// A question that only a live session can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// By whose authority.
    pub authority: Authority,
    /// To which boot.
    pub boot: BootId,
    /// To which run of the agent.
    pub session: u64,
    /// To be sent back.
    pub nonce: u64,
}

/// A host's answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Which host.
    pub host: HostId,
    /// In which boot.
    pub boot: BootId,
    /// In which run of the agent.
    pub session: u64,
    /// What was asked.
    pub nonce: u64,
    /// What it is and runs.
    pub inventory: Inventory,
}

/// What a host is and runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Its guards.
    pub guards: Guards,
    /// A print of its parts.
    pub hardware: u64,
    /// The datastores on which it keeps a record.
    pub renewal_set: BTreeSet<DatastoreId>,
    /// The datastores that its guests can reach.
    pub datastores: BTreeSet<DatastoreId>,
    /// Which formatting each of its datastores is.
    pub formattings: BTreeMap<DatastoreId, u128>,
    /// The networks that its guests can reach.
    pub networks: BTreeSet<NetworkId>,
    /// What it knows of what it must know.
    pub config: ConfigVersion,
    /// The VMs that run on it or have left word, each with its condition. What is not named is not there, and
    /// was not refused.
    pub vms: Vec<VmCondition>,
}

/// What ends a host's VMs where the agent can not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guards {
    /// Its watchdog.
    pub watchdog: Watchdog,
}

/// A host's watchdog, as opened and read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Watchdog {
    /// None, or not open.
    #[default]
    None,
    /// A timer in hardware, which counts on while the host stands still.
    Hardware {
        /// Its time-out, as it was read back.
        timeout: Duration,
    },
    /// A timer in the kernel or the virtual machine, which stands still with it.
    Software {
        /// Its time-out, as it was read back.
        timeout: Duration,
    },
}

/// A VM's condition on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmCondition {
    /// Which VM.
    pub vm: VmId,
    /// Under which epoch it was last held there.
    pub epoch: Epoch,
    /// How it fares.
    pub presence: Presence,
    /// For how long it has been gone, in milliseconds, where it is gone and that is known: for the history.
    pub gone_milliseconds: u64,
}

/// How a VM fares on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// A start was ordered and has not ended.
    Starting,
    /// Its process runs.
    Running,
    /// Its process waits for a live migration to arrive.
    Incoming,
    /// Its process is being stopped, or the stop could not be finished.
    Stopping,
    /// What became of it is not known: the platform does not answer.
    Unknown,
    /// No process, no call under way, and every epoch up to this one is refused for ever.
    Gone {
        /// Up to which epoch.
        refuses: Epoch,
        /// How it ended.
        exit: Exit,
    },
    /// Its process stands still since all that it was has gone to another host by live migration.
    Departed,
}

/// How a VM ended on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// It was never started, or its start was withdrawn.
    NeverStarted,
    /// The start failed.
    StartFailed,
    /// The start was refused by a lock.
    Locked,
    /// The guest powered itself off, or a person stopped it with the hypervisor's own tools.
    ByPerson,
    /// The guest or its process crashed.
    Crashed,
    /// It was stopped by order of the master.
    Ordered,
    /// The host was being shut down.
    HostShutdown,
    /// The lease ended.
    LeaseEnded,
    /// It was moved away alive.
    Moved,
    /// The host, or its agent, was started anew and it was not there.
    NotFound,
    /// The guest or its process crashed so soon after its start that the start counts as failed.
    CrashedSoon,
}

/// The word of admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The new life.
    pub incarnation: Incarnation,
    /// By whose authority.
    pub authority: Authority,
    /// Which run of the agent.
    pub session: u64,
    /// The datastores whose records renew the lease.
    pub renewal_set: BTreeSet<DatastoreId>,
    /// All that the host must know.
    pub config: ConfigUpdate,
    /// VMs that this host does not hold, with their newest epochs: it refuses these.
    pub not_yours: Vec<crate::core::record::VmEpoch>,
    /// Of these, those that last ran elsewhere, or are being started there: a definition that is left here is stale.
    pub stale: Vec<VmId>,
}

/// What a host must know, or what has changed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigUpdate {
    /// To which life of which host.
    pub incarnation: Incarnation,
    /// By whose authority.
    pub authority: Authority,
    /// It applies to a host that knows this version or a later one; zero: it is the whole.
    pub base: ConfigVersion,
    /// The version that the host knows afterwards.
    pub version: ConfigVersion,
    /// Whether the cluster acts.
    pub armed: Armed,
    /// Whether policy lets software guards count.
    pub software_guards: bool,
    /// VMs whose protection changed.
    pub vms: Vec<(VmId, Known)>,
    /// Where heartbeats go.
    pub voters: Vec<Address>,
}

/// What every host knows of a protected VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Known {
    /// By this the hypervisor knows it.
    pub uuid: u128,
    /// How it is treated.
    pub protection: Protection,
}

/// How a host treats a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protection {
    /// It is a stranger: started and stopped without us.
    None,
    /// It starts by permit only, and runs on when the lease ends.
    Permit,
    /// It starts by permit only, and is killed when the lease ends.
    Lease,
}

/// How a host's VMs fare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which life of which host.
    pub incarnation: Incarnation,
    /// Which run of the agent.
    pub session: u64,
    /// Grows with each change.
    pub version: u64,
    /// What the host knows of what it must know.
    pub config: ConfigVersion,
    /// The VMs whose conditions the master may not know yet.
    pub vms: Vec<VmCondition>,
    /// VMs that are not protected, and run.
    pub strangers: Vec<VmId>,
    /// Whether the hypervisor's daemon answers.
    pub hypervisor: bool,
    /// What the host has that VMs may need.
    pub features: BTreeSet<FeatureId>,
}

/// What a hypervisor says that a protected VM is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// On which life of which host.
    pub incarnation: Incarnation,
    /// Pairs the answer.
    pub ticket: Ticket,
    /// Which VM.
    pub vm: VmId,
    /// What it is.
    pub shape: Arc<Shape>,
}

/// Whose guests a host is to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// Which life of which host.
    pub incarnation: Incarnation,
    /// By whose authority.
    pub authority: Authority,
    /// Pairs the answer.
    pub ticket: Ticket,
    /// The VMs, all of them, and what is asked.
    pub vms: Vec<(VmId, UpMeans)>,
}

/// What is new of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestReport {
    /// On which life of which host.
    pub incarnation: Incarnation,
    /// Pairs the answer.
    pub ticket: Ticket,
    /// Of which VM.
    pub vm: VmId,
    /// Under which epoch it runs there.
    pub epoch: Epoch,
    /// What.
    pub word: GuestWord,
}
