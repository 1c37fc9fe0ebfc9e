//! A machine: its power, clock, watchdog, agent process, voter disk and hypervisor, as plain data.

use crate::core::action::{AgentStore, Outcome, PlatformCall, ProcessState, View};
use crate::core::ids::{BootId, Epoch, HostId, Ticket, VmId};
use crate::core::record::DatastoreOp;
use crate::core::time::Instant;
use crate::election::{StoreBatch, StoreImage};
use crate::node::NodeEvent;
use crate::sim::spec::HostSpec;
use crate::sim::world::definitions::Domain;
use crate::sim::world::queue::Occurrence;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Packets that wait for an agent that stands still; what comes beyond is lost, as in a socket's buffer.
pub(super) const INBOX: usize = 1000;

/// A machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) host: HostId,
    pub(super) uuid: u128,
    pub(super) spec: HostSpec,
    pub(super) twin: bool,
    pub(super) power: Power,
    /// Whether the world wants it on in the end.
    pub(super) should_be_on: bool,
    /// A person gave it up and keeps it off.
    pub(super) given_up: bool,
    /// Counts its lives: what was under way in an earlier one is void.
    pub(super) life: u32,
    pub(super) boot: BootId,
    /// The moment of true time at which its clock read zero.
    pub(super) boot_at: u64,
    /// It stands still, frozen or suspended, until then.
    pub(super) stands_until: u64,
    /// What came due while it stood still.
    pub(super) held: Vec<Occurrence>,
    pub(super) watchdog: Timer,
    pub(super) agent: Agent,
    pub(super) disk: VoterDisk,
    /// By the datastore's place in the world.
    pub(super) io: Vec<IoQueue>,
    pub(super) hypervisor: Hypervisor,
}

/// Whether a machine has power, and has booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Off,
    Booting,
    Up,
}

/// A watchdog.
#[derive(Debug, Default)]
pub(super) struct Timer {
    pub(super) open: bool,
    pub(super) fires_at: u64,
    /// Whether the queue holds an occurrence for it.
    pub(super) queued: bool,
}

/// An agent: its process, and what it keeps on disk.
#[derive(Debug, Default)]
pub(super) struct Agent {
    pub(super) running: bool,
    /// Counts its runs.
    pub(super) session: u64,
    /// Its process stands still until then.
    pub(super) hangs_until: u64,
    /// The moment for which the queue holds its next wake.
    pub(super) wake_at: u64,
    /// The wake came while it stood still.
    pub(super) wake_missed: bool,
    pub(super) inbox: VecDeque<NodeEvent>,
    /// When a run of it last knew a master, as it keeps in mind.
    pub(super) led_at: Option<u64>,
    pub(super) store: AgentStore,
    pub(super) upgrading: Option<Option<u64>>,
    /// What this run was told of definitions: the edit of each VM's.
    pub(super) described: BTreeMap<VmId, u64>,
    /// What it has brought itself, and was told of nothing else since.
    pub(super) brought: BTreeMap<VmId, u64>,
}

/// A voter's disk.
#[derive(Debug, Default)]
pub(super) struct VoterDisk {
    /// What is durable.
    pub(super) image: Option<StoreImage>,
    /// What is being written, with the run of the agent that wrote it.
    pub(super) pending: VecDeque<(u64, StoreBatch)>,
    /// The sync under way.
    pub(super) sync: u64,
    /// A run of the agent for which a write failed: nothing later of it is written either.
    pub(super) failed_session: u64,
    pub(super) full_until: u64,
    pub(super) slow: (Duration, u64),
    pub(super) backups: VecDeque<(u64, StoreImage)>,
}

/// What one machine has asked of one datastore.
#[derive(Debug, Default)]
pub(super) struct IoQueue {
    pub(super) waiting: VecDeque<Io>,
    /// Whether the first one is under way.
    pub(super) busy: bool,
    /// The next write of a record takes this long.
    pub(super) stall_next: Option<Duration>,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) session: u64,
    pub(super) ticket: Ticket,
    pub(super) op: DatastoreOp,
}

/// A hypervisor: its daemon, the processes and the definitions.
#[derive(Debug, Default)]
pub(super) struct Hypervisor {
    pub(super) daemon: Daemon,
    pub(super) calls: Vec<Call>,
    pub(super) processes: BTreeMap<VmId, Process>,
    /// The VMs that are defined here.
    pub(super) definitions: BTreeMap<VmId, Domain>,
    pub(super) slow_starts: (Duration, u64),
    pub(super) timed_out_starts: u32,
    pub(super) shutting_down: bool,
}

/// A hypervisor's daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Daemon {
    #[default]
    Up,
    /// It answers nothing until then.
    Hangs(u64),
    /// It refuses connections until then.
    Restarts(u64),
}

/// A call to the hypervisor that is under way.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) vm: VmId,
    pub(super) kind: CallKind,
    /// Whom to answer: a run of the agent, by ticket. None: a person's, or one that was answered already.
    pub(super) answer: Option<(u64, Ticket)>,
    /// Of a look: what was seen, if that was at once.
    pub(super) seen: Option<View>,
}

/// What was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    /// An agent's start, for which the hook is asked next.
    Queued(Epoch),
    /// The same, reported as timed out.
    LateQueued(Epoch),
    /// A start that the hook has let pass.
    Start(Option<Epoch>),
    /// The same, reported as timed out: it happens yet.
    LateStart(Option<Epoch>),
    StopGraceful,
    /// The guest does not heed it; only the time-out comes back.
    StopIgnored,
    StopKilled,
    /// A person's stop.
    Destroy,
    Undefine,
    ProbeLock,
    Look,
    /// It is waited for elsewhere: by the migration of this number.
    Move(u64),
    /// The answer is known, and on its way.
    Answer(Outcome),
}

/// A VM's process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) state: ProcessState,
    pub(super) epoch: Option<Epoch>,
    /// Names it among all processes ever.
    pub(super) serial: u64,
    /// Since when it is in this state, in true time.
    pub(super) since: u64,
}

impl Machine {
    /// What its clock reads at a moment of true time.
    pub(super) fn local(&self, now: u64) -> Instant {
        let elapsed = now.saturating_sub(self.boot_at);
        let drifted = u128::from(elapsed) * u128::from(self.spec.drift_ppm.unsigned_abs()) / 1_000_000;
        let drifted = u64::try_from(drifted).unwrap_or(u64::MAX);
        Instant::from_micros(match self.spec.drift_ppm < 0 {
            true => elapsed - drifted,
            false => elapsed.saturating_add(drifted),
        })
    }

    /// The first moment of true time at which its clock reads no less than this.
    pub(super) fn true_time(&self, local: Instant) -> u64 {
        if local == Instant::NEVER {
            return u64::MAX;
        }
        let rate = (1_000_000 + i128::from(self.spec.drift_ppm)).max(1) as u128;
        let elapsed = u128::from(local.as_micros()) * 1_000_000 / rate;
        let mut at = self.boot_at.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX));
        // The division may be off by one or two either way, as both directions round down.
        at = at.saturating_sub(2).max(self.boot_at);
        while at < u64::MAX && self.local(at) < local {
            at += 1;
        }
        at
    }

    /// Whether it has booted and has power; it may stand still.
    pub(super) fn is_up(&self) -> bool {
        self.power == Power::Up
    }

    /// Whether it stands still: frozen or suspended.
    pub(super) fn stands_still(&self) -> bool {
        self.stands_until > 0
    }

    /// Whether its agent's process can take a step.
    pub(super) fn agent_moves(&self) -> bool {
        self.is_up() && self.agent.running && !self.stands_still() && self.agent.hangs_until == 0
    }

    /// The VM's process here that its processors run in, if it is here.
    pub(super) fn executes(&self, vm: VmId) -> Option<&Process> {
        self.hypervisor.processes.get(&vm).filter(|process| process.state == ProcessState::Executing)
    }
}

impl CallKind {
    /// Whether the daemon counts as busy with the VM while this is under way.
    pub(super) fn keeps_busy(&self) -> bool {
        !matches!(self, CallKind::Look | CallKind::ProbeLock | CallKind::Answer(_))
    }

    /// The kind of an agent's call that can be carried out as it stands.
    pub(super) fn of(call: &PlatformCall) -> Option<(VmId, CallKind)> {
        use crate::core::command::Want;
        match *call {
            PlatformCall::Start { vm, epoch } => Some((vm, CallKind::Queued(epoch))),
            PlatformCall::Stop { vm, want: Want::Killed } => Some((vm, CallKind::StopKilled)),
            PlatformCall::Stop { vm, .. } => Some((vm, CallKind::StopGraceful)),
            PlatformCall::Undefine { vm } => Some((vm, CallKind::Undefine)),
            PlatformCall::Look => Some((VmId(0), CallKind::Look)),
            PlatformCall::ProbeLock { vm } => Some((vm, CallKind::ProbeLock)),
            PlatformCall::Move { .. } => None,
        }
    }
}

impl Hypervisor {
    /// Lets a daemon that hangs or is being restarted answer from now on.
    pub(super) fn heal(&mut self, now: u64) {
        self.daemon = match self.daemon {
            Daemon::Hangs(_) => Daemon::Hangs(now),
            Daemon::Restarts(_) => Daemon::Restarts(now),
            Daemon::Up => Daemon::Up,
        };
    }
}
