//! What the log holds: the commands that change the replicated state.
//!
//! A command is a proposal. Whether it takes effect is decided when it is applied, by the same code on every voter and
//! from the replicated state alone, so two masters that propose the same recovery can not both succeed.

use crate::core::ids::{
    Address, BootId, ConfigVersion, Epoch, FactKey, FenceId, Generation, HostId, Incarnation, LogIndex, Ticket, VmId,
    VoterId,
};
use crate::core::message::{Inventory, VmCondition};
use crate::core::reason::{Alert, JudgeCause, Proof};
use crate::core::state::{AccountChange, GuestWord, Policy, Registration, Shape, Telling, VmDefinition};
use serde::{Deserialize, Serialize};

/// A command with the request of an operator that it answers, if any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The operator's request, to be answered when the command is applied; `None` for the master's own decisions.
    pub answers: Option<Ticket>,
    /// Who asked for it, and why: for the history.
    pub said: Option<Box<Said>>,
    /// What to do.
    pub command: Command,
}

/// A command as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When it was proposed, by its proposer's wall clock, in milliseconds since 1970: for people, never for decisions.
    pub at_milliseconds: i64,
    /// What was proposed.
    pub proposal: Proposal,
}

/// A person's word on what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who asked.
    pub who: String,
    /// Why.
    pub why: String,
}

/// One change of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Admits a host under a new generation, with what it runs.
    Admit(Box<Admission>),
    /// A generation gets no more acknowledgements or permits; tombstones, fences and proofs follow.
    Judge {
        /// Whom.
        target: Incarnation,
        /// Why.
        cause: JudgeCause,
        /// For how long, in milliseconds, there was no sign of it.
        silent_milliseconds: u64,
        /// Whether it had said that a person shuts it down.
        planned: bool,
    },
    /// The host no longer runs what it held in that incarnation.
    ProveHost {
        /// Whom.
        target: Incarnation,
        /// By what.
        proof: Proof,
    },
    /// The host may power up again after it was fenced, or not.
    Quarantine {
        /// Whom.
        host: HostId,
        /// Whether it is kept out.
        on: bool,
    },
    /// Two machines use the host's UUID.
    Conflict {
        /// Whose.
        host: HostId,
        /// The boot that was admitted.
        old: BootId,
        /// The other one.
        new: BootId,
    },
    /// A person says that only one machine with this UUID is left.
    ResolveConflict {
        /// Whose.
        host: HostId,
    },
    /// The host knows this version of what it must know.
    Acknowledge {
        /// Which host.
        target: Incarnation,
        /// What it knows.
        config: ConfigVersion,
    },
    /// A live host says how a VM fares on it.
    Observe {
        /// Which host.
        source: Incarnation,
        /// Which VM, and how.
        seen: VmCondition,
        /// What the host knew of what it must know when it said so.
        config: ConfigVersion,
    },
    /// Places a VM on a host: makes the host its holder under a new epoch.
    Place {
        /// Which VM.
        vm: VmId,
        /// The version of the VM that the plan saw; another one voids the plan.
        version: u64,
        /// Where.
        target: Incarnation,
        /// Whether a person ordered it on that host through the hypervisor's own tools.
        by_hook: Option<Ticket>,
    },
    /// Moves a VM alive: makes the target a second holder.
    Move {
        /// Which VM.
        vm: VmId,
        /// The version of the VM that the plan saw.
        version: u64,
        /// From.
        from: Incarnation,
        /// To.
        to: Incarnation,
        /// Whether a person ordered it through the hypervisor's own tools.
        by_hook: Option<Ticket>,
    },
    /// A person's will.
    Intend {
        /// Which VM.
        vm: VmId,
        /// Whether it should run.
        want: Want,
        /// The request that said so.
        request: Ticket,
    },
    /// Puts a VM under protection.
    Protect {
        /// Which, as what.
        definition: Box<VmDefinition>,
        /// Whether it is known to run, somewhere: then it should.
        runs: bool,
    },
    /// The hypervisor of a host says what a VM is by now.
    Redefine {
        /// Which VM.
        vm: VmId,
        /// Which host.
        source: Incarnation,
        /// What it is.
        shape: Box<Shape>,
    },
    /// Ends a VM's protection; it runs on.
    Unprotect {
        /// Which VM.
        vm: VmId,
    },
    /// Forgets an unprotected VM.
    Remove {
        /// Which VM.
        vm: VmId,
    },
    /// From observing to acting.
    Arm,
    /// From acting to observing.
    Disarm,
    /// A cluster that only observes acts again when this many milliseconds are over; none: not by itself. It is said
    /// again now and then with what is left, so that a new master goes on from there.
    RearmAfter(Option<u64>),
    /// A host asks that its guards stop counting, so that it may close its watchdog.
    DisarmGuards {
        /// Which host.
        target: Incarnation,
    },
    /// Sets the cluster's policy.
    SetPolicy(Box<Policy>),
    /// A VM's lock was seen held from another host, under this epoch.
    LockSeen {
        /// Which VM.
        vm: VmId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// A VM failed everywhere, too often.
    GiveUp {
        /// Which VM.
        vm: VmId,
    },
    /// A host becomes the home of a new voter's store.
    NewVoter {
        /// The store.
        voter: VoterId,
        /// Its home.
        host: HostId,
    },
    /// A voter's store is out for ever.
    RetireVoter {
        /// The store.
        voter: VoterId,
    },
    /// A change of what people have named, and of who may speak.
    Register(Box<Registration>),
    /// A master begins. It changes nothing: it stands in the log for the history's sake.
    Begin {
        /// Whose node it is.
        host: HostId,
        /// For how long, in milliseconds, this voter knew no master before.
        blind_milliseconds: u64,
    },
    /// A master says something loudly. It changes nothing: it stands in the log for the history's sake.
    Alert(Box<Alert>),
    /// A forced recovery begins a new cluster generation.
    Recover {
        /// The voters that a person named dead.
        dead: Vec<VoterId>,
    },
    /// A person has a host switched off, which stays off and gets no VMs until a person says otherwise.
    SwitchOff {
        /// Whom.
        target: Incarnation,
        /// Whether what it holds may be killed with it, to be restarted elsewhere.
        force: bool,
    },
    /// Devices that cannot say which machine they control were seen to control this one.
    Drilled {
        /// Which host.
        host: HostId,
        /// Which devices, each as it was set up when it was seen.
        devices: Vec<(FenceId, LogIndex)>,
    },
    /// A person has a host switched on that was fenced; it may have VMs again.
    SwitchOn {
        /// Whom.
        host: HostId,
    },
    /// A person says by what a VM's time is accounted for.
    Account {
        /// Which VM.
        vm: VmId,
        /// What changes.
        change: Box<AccountChange>,
    },
    /// A live host says something of the guest of a VM that it runs.
    HearGuest {
        /// Which host.
        source: Incarnation,
        /// Which VM.
        vm: VmId,
        /// Under which epoch it runs there.
        epoch: Epoch,
        /// What.
        word: GuestWord,
    },
    /// A channel was told all facts up to this one, or they were not for it.
    Notified {
        /// Which channel.
        channel: String,
        /// Up to which fact.
        upto: FactKey,
        /// What became of the last one, or of all.
        telling: Telling,
    },
}

/// What a person wants of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// It should run.
    Running,
    /// It should be stopped, by asking the guest.
    Stopped,
    /// It should be stopped at once.
    Killed,
}

/// The admission of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Which host, and boot, and under which generation.
    pub incarnation: Incarnation,
    /// Which run of the agent.
    pub session: u64,
    /// The generation before, which this one follows: another one voids the admission.
    pub follows: Generation,
    /// Where its agent is reached.
    pub address: Address,
    /// For how long, in milliseconds, the last run of its agent had not been heard by then; zero: it is that one.
    pub unheard_milliseconds: u64,
    /// What it said of itself.
    pub inventory: Inventory,
}
