//! Why: every judgement, proof, wait and refusal as data.
//!
//! What Holdfast decides, and what it declines to do, is a value of one of these types. They are stored, counted by the
//! simulator and shown to the operator, so a new one belongs here and not in a log line.

use crate::core::ids::{BootId, DatastoreId, Epoch, FeatureId, FenceId, Generation, HostId, NetworkId, VmId};
use crate::core::message::Exit;
pub use crate::core::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// Why a host was judged to be out of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JudgeCause {
    /// No sign on any channel for the set time.
    Silent,
    /// Two machines use its UUID.
    Conflict,
    /// An operation on it was not answered, and policy says that it be fenced.
    Unanswered,
    /// A person said that it is dead.
    Operator,
    /// A person wants to see that its fence devices work.
    Drill,
    /// A person wants it off.
    SwitchedOff,
}

impl JudgeCause {
    /// Whether the host was judged although it lives: it is fenced all the same.
    pub fn is_meant(self) -> bool {
        matches!(self, JudgeCause::Unanswered | JudgeCause::Drill | JudgeCause::SwitchedOff)
    }
}

/// What proves that a host no longer runs a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Proof {
    /// The host says so, after it refused all epochs up to this one for ever.
    Released {
        /// Up to which epoch.
        refuses: Epoch,
    },
    /// Its power was ordered off, and read back as off.
    Fenced {
        /// By which device.
        device: FenceId,
    },
    /// Its power was off when read twice, without an order of ours.
    FoundOff {
        /// By which device.
        device: FenceId,
    },
    /// It lives in a newer boot.
    Rebooted {
        /// The newer boot.
        boot: BootId,
    },
    /// Its lease has run out, and its hardware watchdog with it.
    LeaseExpired {
        /// The lease's generation.
        generation: Generation,
    },
    /// Storage let another host take the VM's lock.
    DiskLocked,
    /// A person said that the host is dead.
    Operator,
}

/// The kinds of [`Proof`], to count them by.
pub const PROOF_KINDS: [&str; 7] =
    ["released", "fenced", "found-off", "rebooted", "lease-expired", "disk-locked", "operator"];

impl Proof {
    /// The name of its kind, one of [`PROOF_KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Proof::Released { .. } => "released",
            Proof::Fenced { .. } => "fenced",
            Proof::FoundOff { .. } => "found-off",
            Proof::Rebooted { .. } => "rebooted",
            Proof::LeaseExpired { .. } => "lease-expired",
            Proof::DiskLocked => "disk-locked",
            Proof::Operator => "operator",
        }
    }
}

/// Where a host stands, as the master sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It has not been heard of since the cluster began.
    Absent,
    /// It is heard, and its admission is under way.
    Joining,
    /// It is admitted and heard.
    Alive,
    /// It is silent on the network for longer than it should be.
    Suspect,
    /// It is silent on the network, but writes its records.
    Isolated,
    /// It is judged: it gets no acknowledgement, and proofs are sought.
    Judged,
    /// It is proven not to run what it held.
    Dead,
    /// Two machines use its UUID; neither counts until a person says which is right.
    Conflicted,
}

impl Wait {
    /// The name of its kind, for programs; one of [`WAIT_KINDS`](crate::core::kinds::WAIT_KINDS).
    pub fn kind(&self) -> &'static str {
        match self {
            Wait::Nothing => "nothing",
            Wait::Stopped => "stopped",
            Wait::LeftAlone => "left-alone",
            Wait::NotProtected => "not-protected",
            Wait::NotArmed => "not-armed",
            Wait::Proof(_) => "proof",
            Wait::Starting { .. } => "starting",
            Wait::Unknown { .. } => "unknown",
            Wait::Locked => "locked",
            Wait::Retry { .. } => "retry",
            Wait::NoRoom(_) => "no-room",
            Wait::GaveUp { .. } => "gave-up",
            Wait::Recovering(_) => "recovering",
            Wait::Moving { .. } => "moving",
        }
    }

    /// The same wait without what changes all the time, to tell a new reason from an old one that goes on.
    pub fn shape(&self) -> Wait {
        let timeless = |no: &NoProof| match no {
            NoProof::LeaseRuns { .. } => NoProof::LeaseRuns { milliseconds: 0 },
            no => no.clone(),
        };
        match self {
            Wait::Proof(hosts) => {
                Wait::Proof(hosts.iter().map(|(host, ways)| (*host, ways.iter().map(timeless).collect())).collect())
            }
            Wait::Retry { attempts, last, .. } => Wait::Retry { attempts: *attempts, milliseconds: 0, last: *last },
            wait => wait.clone(),
        }
    }
}

impl HostState {
    /// All of them, to count them by.
    pub const ALL: [HostState; 8] = [
        HostState::Absent,
        HostState::Joining,
        HostState::Alive,
        HostState::Suspect,
        HostState::Isolated,
        HostState::Judged,
        HostState::Dead,
        HostState::Conflicted,
    ];

    /// Its name in output and in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            HostState::Absent => "absent",
            HostState::Joining => "joining",
            HostState::Alive => "alive",
            HostState::Suspect => "suspect",
            HostState::Isolated => "isolated",
            HostState::Judged => "judged",
            HostState::Dead => "dead",
            HostState::Conflicted => "conflicted",
        }
    }
}

/// Why one way to a proof is closed for now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoProof {
    /// The host is alive and has not let the VM go yet: it was asked to.
    AskedToRelease,
    /// The host is not judged yet: it has been silent for too short a time.
    NotJudged,
    /// Too many hosts are silent at once: orders to power off are held, leases and locks do not count.
    Brake {
        /// How many hosts are silent.
        suspects: u32,
        /// Out of how many.
        hosts: u32,
    },
    /// A lease runs out in so many milliseconds, if no sign comes.
    LeaseRuns {
        /// How long still.
        milliseconds: u64,
    },
    /// The VM was not covered by a lease on that host: no watchdog acknowledged, not armed there, or policy says so.
    NotLeased,
    /// This datastore renews the host's lease and cannot be reached, by the master or through another host.
    DatastoreUnreachable(DatastoreId),
    /// The host has no fence device.
    NoFence,
    /// A fence device is being asked.
    Fencing(FenceId),
    /// The fence device does not answer.
    FenceUnreachable(FenceId),
    /// The fence device refuses the credentials.
    FenceRefused(FenceId),
    /// The fence device is another machine's.
    WrongMachine(FenceId),
    /// The power was ordered off and still reads as on.
    StillOn(FenceId),
    /// Two machines use the host's UUID, so no device can be trusted for it.
    Conflicted,
    /// The cluster acts on nothing until it is armed.
    NotArmed,
    /// The host has not yet said whether it runs the VM.
    Unaccounted,
    /// The fence device cannot say which machine it controls, and no drill has shown that it controls this one.
    NotDrilled(FenceId),
}

/// Why a VM that should run does not, and with that, what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Wait {
    /// It runs, or is not wanted to.
    Nothing,
    /// A person stopped it; a person starts it.
    Stopped,
    /// Its host died, and policy says that it be left alone; a person starts it.
    LeftAlone,
    /// It is not protected.
    NotProtected,
    /// The cluster only observes; `arm` releases it.
    NotArmed,
    /// A proof for each of these hosts is needed; any one open way per host releases it.
    Proof(Vec<(HostId, Vec<NoProof>)>),
    /// It was placed, and its start is under way.
    Starting {
        /// Where.
        host: HostId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Its start was not answered; the state is read until it is known.
    Unknown {
        /// Where.
        host: HostId,
    },
    /// Its lock is held by another; it is tried again when that one is gone.
    Locked,
    /// A start failed; the next try comes in so many milliseconds.
    Retry {
        /// How many starts failed.
        attempts: u32,
        /// When the next one comes.
        milliseconds: u64,
        /// Where the last one failed, and how.
        last: Option<(HostId, Exit)>,
    },
    /// It fits nowhere; any host that loses its reason releases it.
    NoRoom(Vec<(HostId, Unfit)>),
    /// It failed everywhere, too often; a person's start, or a host that joins, releases it.
    GaveUp {
        /// How many starts failed.
        attempts: u32,
        /// Where the last one failed, and how.
        last: Option<(HostId, Exit)>,
    },
    /// After a forced recovery each host must say first what it runs, or be proven dead.
    Recovering(Vec<HostId>),
    /// It is being moved.
    Moving {
        /// From.
        from: HostId,
        /// To.
        to: HostId,
    },
}

/// Why a host can not take a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unfit {
    /// It is not admitted and heard.
    NotAlive,
    /// It has no hypervisor.
    Witness,
    /// Not enough free memory.
    Memory {
        /// Free, in MiB.
        free_mib: u64,
        /// Needed, in MiB.
        needed_mib: u64,
    },
    /// Not enough free CPU.
    Cpu {
        /// Free, in thousandths of a core.
        free_millicores: u64,
        /// Needed, in thousandths of a core.
        needed_millicores: u64,
    },
    /// It does not reach this datastore.
    Datastore(DatastoreId),
    /// It does not have this network.
    Network(NetworkId),
    /// It does not have something else that the VM needs.
    Lacks(FeatureId),
    /// The VM is bound to another host.
    Bound,
    /// It was fenced too often of late; a person's word releases it.
    Quarantined,
    /// The host is about to be removed.
    Leaving,
    /// It starts as many VMs as it may at once.
    Busy,
    /// Its hypervisor does not answer.
    HypervisorDown,
}

/// What must be said loudly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Alert {
    /// A VM waits for longer than it should.
    Waiting {
        /// Which.
        vm: VmId,
        /// For what.
        wait: Wait,
        /// For how long by now.
        milliseconds: u64,
    },
    /// Two machines use one UUID.
    TwoMachines {
        /// Which host.
        host: HostId,
    },
    /// A fence device is another machine's.
    WrongMachine {
        /// Which device.
        device: FenceId,
    },
    /// A fence device failed.
    FenceFailed {
        /// Which device.
        device: FenceId,
    },
    /// The brake is on.
    Brake {
        /// How many hosts are silent.
        suspects: u32,
        /// Out of how many.
        hosts: u32,
    },
    /// A host is alive on storage only.
    Isolated {
        /// Which host.
        host: HostId,
    },
    /// An operation on a live host is not answered.
    Unanswered {
        /// Which host.
        host: HostId,
        /// For which VM.
        vm: VmId,
    },
    /// A host was fenced too often and gets no VMs until a person says so.
    Quarantined {
        /// Which host.
        host: HostId,
    },
    /// A VM was started too often without success.
    GaveUp {
        /// Which VM.
        vm: VmId,
    },
    /// A host that a person called dead shows life.
    DeadShowsLife {
        /// Which host.
        host: HostId,
    },
    /// A voter's store can not be used.
    StoreLost,
    /// Two hosts run the same VM, or a host runs one that it should not.
    Clash {
        /// Which VM.
        vm: VmId,
        /// Where.
        host: HostId,
    },
    /// There is no majority of voters; nothing is restarted.
    NoMajority,
    /// A heartbeat datastore is not as it should be.
    Storage {
        /// Which.
        datastore: DatastoreId,
        /// What is wrong with it.
        trouble: StorageTrouble,
    },
    /// The agent of a host ended in good order and does not come back, though its machine lives.
    AgentAway {
        /// Which host.
        host: HostId,
    },
}

impl Alert {
    /// Whether a node raises it that has no log to write it to, so that only the node itself can tell people.
    pub fn has_no_log(&self) -> bool {
        matches!(self, Alert::NoMajority | Alert::StoreLost)
    }
}

/// What is wrong with a heartbeat datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StorageTrouble {
    /// Neither the master nor any host that it asks can read it.
    Unread,
    /// It can be read, but hosts that live do not write there.
    Unwritten {
        /// One of them.
        host: HostId,
        /// How many they are.
        hosts: u32,
    },
}
