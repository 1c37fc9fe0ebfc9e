//! What happens to a node, and what a node does: the border between deciding and doing.
//!
//! A node is stepped with one [`Event`] and answers with [`Action`]s. Whoever drives it (the runtime, or the
//! simulator) carries the actions out in the order given, and none before the [`Action::Save`]s ahead of it are on
//! stable storage.

use crate::core::command::{Said, Want};
use crate::core::ids::{Address, Authority, Epoch, FeatureId, FenceId, HostId, LogIndex, Ticket, VmId};
use crate::core::message::{Coming, FenceOp, FenceResult, Known, Message};
use crate::core::reason::{Alert, HostState, JudgeCause, Proof, Refusal, Wait};
use crate::core::record::{DatastoreCall, DatastoreResult};
pub use crate::core::request::Request;
use crate::core::state::{HolderProof, Shape, UpMeans};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What happens to a node.
#[derive(Debug, Clone)]
pub enum Event {
    /// A deadline may have come. Everything that was already waiting to be read is delivered before it.
    Wake,
    /// A message came. It is authentic: the transport saw to that.
    Message {
        /// From where.
        from: Address,
        /// What it says.
        message: Message,
    },
    /// An operation on a datastore ended.
    Datastore {
        /// Which.
        ticket: Ticket,
        /// How.
        result: DatastoreResult,
    },
    /// A fence device answered, or was given up.
    Fence {
        /// Which operation.
        ticket: Ticket,
        /// How.
        result: FenceResult,
    },
    /// The hypervisor says something.
    Platform(PlatformEvent),
    /// A machine answered a ping: its kernel lives, whatever its agent does.
    Pong {
        /// From where.
        from: Address,
    },
    /// An operator asks for something.
    Request {
        /// Pairs the answer, and names the request for good: a client that got no answer asks again under the same one,
        /// and a will that somebody else has changed since is not changed back.
        ticket: Ticket,
        /// What.
        request: Request,
        /// Who asks, and why.
        said: Option<Box<Said>>,
    },
    /// The agent is to end, so that a newer one may start: it asks for its guards to be disarmed first.
    Upgrade,
    /// A question to a guest has ended.
    GuestAnswered {
        /// Which.
        ticket: Ticket,
        /// How.
        answer: GuestAnswer,
    },
    /// The machine is being shut down by a person: what ends now ends because of that.
    ShuttingDown,
    /// The shutdown of the machine was called off.
    ShutdownCalledOff,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Keep this on stable storage before anything that follows.
    Save(Box<AgentStore>),
    /// Send a message.
    Send {
        /// Where to.
        to: Address,
        /// What.
        message: Message,
    },
    /// Ping a machine.
    Ping {
        /// Where.
        to: Address,
    },
    /// Do something on a heartbeat datastore; it may hang.
    Datastore {
        /// Pairs the answer.
        ticket: Ticket,
        /// What.
        call: DatastoreCall,
    },
    /// Ask a fence device.
    Fence {
        /// Pairs the answer.
        ticket: Ticket,
        /// By whose order, and by which entry of the log where there must be one.
        warrant: Warrant,
        /// Which device.
        device: FenceId,
        /// What.
        op: FenceOp,
    },
    /// Open, feed or close the watchdog.
    Watchdog(WatchdogOp),
    /// Kill a VM's process at once, past the hypervisor's daemon.
    Kill(VmId),
    /// Force this machine down and up again.
    Reboot,
    /// Bring a VM's definition to the hypervisor, before anything that follows is asked of it for this VM.
    Define {
        /// Which.
        vm: VmId,
        /// What the hypervisor needs to know of it.
        payload: Arc<[u8]>,
    },
    /// Tell what a VM is, even if that was told before.
    Describe {
        /// Which.
        vm: VmId,
        /// Whether also if it is as it was brought here.
        though_brought: bool,
    },
    /// Call the hypervisor.
    Platform {
        /// Pairs the answer.
        ticket: Ticket,
        /// What.
        call: PlatformCall,
    },
    /// Ask a guest. It says nothing about where the VM may run.
    AskGuest {
        /// Pairs the answer.
        ticket: Ticket,
        /// Of which VM.
        vm: VmId,
        /// By this the hypervisor knows it.
        uuid: u128,
        /// What.
        up: UpMeans,
        /// Who has not answered by then does not.
        within: Duration,
    },
    /// Answer the hypervisor's hook.
    Hook {
        /// Which question.
        ticket: Ticket,
        /// Whether the start may pass.
        answer: Result<Epoch, Refusal>,
    },
    /// Answer an operator.
    Reply {
        /// Which request.
        ticket: Ticket,
        /// Done, or why not.
        reply: Result<(), Refusal>,
    },
    /// The agent has closed its watchdog and may end.
    UpgradeReady,
    /// Something that people will want to know.
    Note(Note),
}

/// How a question to a guest ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestAnswer {
    /// Whether it answers; nothing: it could not be asked.
    pub answers: Option<bool>,
    /// Its operating system, if its agent was asked and that is known.
    pub system: Option<String>,
}

/// By whose order something irrevocable is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warrant {
    /// The master.
    pub authority: Authority,
    /// The entry of the log that a majority has; zero where none is needed.
    pub index: LogIndex,
    /// The entry that set the device up. Who knows other settings by now, or does not know these yet, does nothing.
    pub set_up: LogIndex,
}

/// What is done with a watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchdogOp {
    /// Start counting.
    Open,
    /// Start counting anew.
    Feed,
    /// Stop counting, in the way that the device calls intended.
    Close,
}

/// A call to the hypervisor. It may take long, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformCall {
    /// Start a VM.
    Start {
        /// Which.
        vm: VmId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Stop a VM, by asking the guest or at once.
    Stop {
        /// Which.
        vm: VmId,
        /// How.
        want: Want,
    },
    /// Move a VM alive.
    Move {
        /// Which.
        vm: VmId,
        /// To which host.
        to: HostId,
    },
    /// Forget the stale, inactive definition of a VM: never its disks, NVRAM, TPM state or managed save.
    Undefine {
        /// Which.
        vm: VmId,
    },
    /// See what runs.
    Look,
    /// Try a VM's lock, without taking it.
    ProbeLock {
        /// Which.
        vm: VmId,
    },
}

/// What the hypervisor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformEvent {
    /// A call other than a look has returned.
    Returned {
        /// Which.
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
    /// A look has returned.
    Looked {
        /// Which.
        ticket: Ticket,
        /// What was seen, some time between the call and now.
        view: View,
    },
    /// A process came up, or changed: worth a look.
    Changed {
        /// Which VM.
        vm: VmId,
    },
    /// A protected VM is defined on this host, as this; told again whenever that has changed.
    Defined {
        /// Which VM.
        vm: VmId,
        /// As what.
        shape: Arc<Shape>,
    },
    /// What this host has that VMs may need; told again whenever that has changed.
    Offers(BTreeSet<FeatureId>),
    /// Its hook asks whether a VM may come up, whoever wants it to.
    Asks {
        /// Pairs the answer.
        ticket: Ticket,
        /// Which VM.
        vm: VmId,
        /// How it comes up.
        coming: Coming,
        /// How its last process here ended, if nothing is left of it; nothing: something is, or nobody could see.
        ended: Option<Ended>,
    },
}

/// How a call to the hypervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Done.
    Done,
    /// Failed, and nothing was left behind.
    Failed,
    /// The VM's lock is held by another process. For a probe: it is held.
    Locked,
    /// The hypervisor gave up waiting: it may still happen.
    TimedOut,
    /// The daemon went away: it may have happened.
    ConnectionLost,
    /// The hook, ours, refused it.
    Refused,
}

/// What runs on a host, by the process table and, where it answers, by the hypervisor's daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Every VM process, whatever the daemon says.
    pub processes: Vec<ProcessSeen>,
    /// Whether the daemon answered.
    pub daemon: bool,
    /// VMs on which the daemon has work queued or under way.
    pub busy: Vec<VmId>,
    /// Inactive definitions, and how their last process ended.
    pub inactive: Vec<(VmId, Ended)>,
}

/// A process of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessSeen {
    /// Of which VM.
    pub vm: VmId,
    /// In what state.
    pub state: ProcessState,
}

/// The state of a VM's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessState {
    /// It exists and its processors may run.
    Executing,
    /// It waits for a live migration.
    Incoming,
    /// All that it was has gone to another host by live migration, or nobody knows that it has not. It stands still, and
    /// must never go on: its disks may have changed since.
    Departed,
    /// It was killed and is not gone yet: it may still have writes under way.
    Dying,
}

/// How a process ended, as far as the hypervisor knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ended {
    /// The guest powered itself off.
    GuestPoweroff,
    /// A person stopped it with the hypervisor's own tools.
    Destroyed,
    /// The guest or the process crashed, or was killed.
    Crashed,
    /// It was moved away alive.
    Moved,
    /// Not known, or it never ran here.
    Unknown,
}

/// What an agent keeps on its own disk, over restarts of itself and of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentStore {
    /// The highest authority seen.
    pub authority: Authority,
    /// The version of what it knows.
    pub config: crate::core::ids::ConfigVersion,
    /// The version of that which it has told: what is newer is not accounted for yet.
    pub told: crate::core::ids::ConfigVersion,
    /// The boot in which the watchdog was opened, until it is closed in good order.
    pub watchdog_opened: Option<crate::core::ids::BootId>,
    /// Whether the cluster is armed, as far as it knows.
    pub armed: crate::core::state::Armed,
    /// Whether policy lets software guards count, as far as it knows.
    pub software_guards: bool,
    /// The protected VMs, as far as it knows: so the hook can refuse one before any master is heard.
    pub protected: BTreeMap<VmId, Known>,
    /// Where the voters are.
    pub voters: Vec<Address>,
    /// The epochs that it refuses for ever.
    pub floors: BTreeMap<VmId, Epoch>,
    /// What it holds, or has ordered of the platform without knowing the end: written before the call is made.
    pub journal: BTreeMap<VmId, Epoch>,
}

/// Something that people will want to know, and that the simulator counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This node is the master, its predecessors' decisions applied.
    Master(Authority),
    /// This node is master no more.
    Deposed(Authority),
    /// The master sees a host so.
    Host(HostId, HostState),
    /// A host was judged.
    Judged(HostId, JudgeCause),
    /// A proof for a host stands.
    Proof(HostId, Proof),
    /// A VM was placed.
    Placed {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
        /// Under which epoch.
        epoch: Epoch,
        /// What proved its former holders gone.
        proofs: Vec<HolderProof>,
    },
    /// A VM waits.
    Waits(VmId, Wait),
    /// The agent or the log refused something.
    Refused(Refusal),
    /// A lease ended on this host, and its VMs were killed.
    LeaseEnded,
    /// This node stood still.
    Gap,
    /// Must be said loudly.
    Alert(Alert),
    /// The guest of a VM answers from now on, or does not.
    Guest {
        /// Of which VM.
        vm: VmId,
        /// Where it runs.
        host: HostId,
        /// Whether it answers.
        answers: bool,
    },
}
