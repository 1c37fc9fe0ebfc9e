//! The replicated state: what a majority of voters knows, and what every decision rests on.
//!
//! [`ClusterState`] changes by [`apply`](ClusterState::apply) alone. It holds no time: how long something lasts is the
//! master's own observation and begins anew with each master.

mod account;
mod apply;
mod channels;
mod former;
mod guest;
mod hosts;
mod newcomer;
mod registry;
mod shape;
mod veto;
mod vms;

pub use account::{Account, AccountChange, AccountError, Probe, TAGS_KEPT, Tag, Target, UpMeans};
pub use apply::{Applied, Change, Grant};
pub use channels::{Channel, ChannelChange, ChannelSetup, MOST_CHANNELS, Severity, Telling};
pub use former::Former;
pub use guest::{Guest, GuestWord, Health, Heard, SYSTEM_LENGTH};
pub use newcomer::Newcomer;
pub use registry::{Access, FenceEntry, Identity, Invitation, Named, Registration, Registry, Right, Secret};
pub use shape::Shape;

use crate::core::command::Want;
use crate::core::ids::{
    Address, Authority, BootId, ClusterGeneration, ConfigVersion, DatastoreId, Epoch, FenceId, Fingerprint, Generation,
    HostId, Incarnation, LogIndex, NetworkId, SocketAddr, Ticket, VmId, VoterId,
};
use crate::core::message::{Exit, Guards};
use crate::core::reason::{JudgeCause, Proof};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// So many proofs are kept with each VM.
pub const PROOFS_KEPT: usize = 8;

/// The whole of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterState {
    /// Counts the forced recoveries.
    pub generation: ClusterGeneration,
    /// The last log entry that was applied.
    pub applied: LogIndex,
    /// Whether the cluster acts.
    pub armed: Armed,
    /// In how many milliseconds it is to act again by itself.
    pub rearm_milliseconds: Option<u64>,
    /// The version of what hosts must know; each change that matters to them raises it.
    pub config: ConfigVersion,
    /// The version since which the cluster is armed or not, as it is.
    pub armed_since: ConfigVersion,
    /// The version in which the cluster was armed: until a host knows it, anyone may start anything there.
    pub armed_at: ConfigVersion,
    /// The rules of this cluster.
    pub policy: Policy,
    /// All hosts.
    pub hosts: BTreeMap<HostId, Host>,
    /// All VMs, protected or on their way out.
    pub vms: BTreeMap<VmId, Vm>,
    /// The stores that vote or are about to, and where they live.
    pub voters: BTreeMap<VoterId, HostId>,
    /// Stores that never count again.
    pub retired: BTreeSet<VoterId>,
    /// The number for the next new store.
    pub next_voter: u64,
    /// The number of the next epoch in this cluster generation.
    pub next_epoch: u64,
    /// What people have named, and who may speak.
    pub registry: Registry,
    /// The last requests that changed what people want, the youngest last, each with what it asked.
    pub heeded: VecDeque<(Ticket, VmId, Want)>,
}

/// So many requests are remembered.
const HEEDED_KEPT: usize = 256;

/// Whether the cluster acts on what it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Armed {
    /// It decides and shows, and acts on nothing.
    #[default]
    Observe,
    /// It acts.
    Armed,
}

/// The rules that an operator sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// More than this share of all hosts silent at once, in percent, puts the brake on.
    pub brake_percent: u32,
    /// So many VMs may start on one host at the same time.
    pub parallel_starts: u32,
    /// A VM is given up after so many failed starts.
    pub max_attempts: u32,
    /// Whether a lease counts that only software enforces: the operator accepts that a frozen host may thaw.
    pub accept_software_guards: bool,
    /// Whether an operation unanswered on a live host has that host fenced; otherwise it is only alerted about.
    pub fence_unanswered: bool,
    /// What becomes of VMs on a host that is alive on storage only.
    pub isolation: Isolation,
    /// Whether a fenced host is powered on again.
    pub power_on_after_fence: bool,
    /// A host fenced more often than this within the set window gets no VMs.
    pub max_fences: u32,
    /// How many voters there should be.
    pub voters: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            brake_percent: 40,
            parallel_starts: 8,
            max_attempts: 12,
            accept_software_guards: false,
            fence_unanswered: false,
            isolation: Isolation::Leave,
            power_on_after_fence: true,
            max_fences: 3,
            voters: 3,
        }
    }
}

/// What becomes of VMs on a host that is alive on storage only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// They run on.
    Leave,
    /// The host is told by mail to let them go, and they are started elsewhere.
    Release,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its machine's UUID, which its fence devices must show too.
    pub uuid: u128,
    /// Where its agent is reached.
    pub address: Address,
    /// What that is on each of its networks.
    pub endpoints: Vec<SocketAddr>,
    /// The print of the certificate that its agent shows.
    pub fingerprint: Fingerprint,
    /// What fails together with it: a rack, a room.
    pub failure_domain: String,
    /// Free words, for rules.
    pub tags: BTreeSet<String>,
    /// Memory for VMs, in MiB. None: a witness.
    pub memory_mib: u64,
    /// CPU for VMs, in thousandths of a core.
    pub millicores: u64,
    /// Its fence devices, in the order in which they are tried; all of one level are needed together.
    pub fences: Vec<Vec<FenceId>>,
    /// The last generation given.
    pub generation: Generation,
    /// Its present life, or the last one known.
    pub life: Life,
    /// Where it stands.
    pub standing: Standing,
    /// Boots that ended, the youngest last; one of them that comes back means two machines.
    pub past_boots: Vec<BootId>,
    /// What it knows of the versions of what it must know, in its present life.
    pub acknowledged: ConfigVersion,
    /// Kept out of placement until a person says otherwise.
    pub quarantined: bool,
    /// Whether, since the last forced recovery, it has said what it runs or been proven dead.
    pub accounted: bool,
    /// Whether it is about to go for good: no voter stays on it.
    pub leaving: bool,
    /// The devices that were seen to switch this very machine off and on, each as it was set up then: the only ones that
    /// prove anything although they cannot say which machine they control.
    pub drilled: BTreeMap<FenceId, LogIndex>,
}

/// What the log holds of a host's present life (rule 3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Life {
    /// Its boot.
    pub boot: BootId,
    /// The run of its agent.
    pub session: u64,
    /// Its guards, with their time-outs read back.
    pub guards: Guards,
    /// Its agent is about to end: from here on no guard counts, its own self-stop included.
    pub disarmed: bool,
    /// A print of its parts; zero: whatever comes next is the right machine, by a person's word.
    pub hardware: u64,
    /// The datastores whose records renew its lease.
    pub renewal_set: BTreeSet<DatastoreId>,
    /// The datastores that its guests can reach.
    pub datastores: BTreeSet<DatastoreId>,
    /// The networks that its guests can reach.
    pub networks: BTreeSet<NetworkId>,
}

/// Where a host stands, by the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Standing {
    /// Never admitted.
    #[default]
    New,
    /// Admitted: its heartbeats are acknowledged and it may be given VMs.
    Admitted,
    /// Judged; no proof yet.
    Judged {
        /// Why.
        cause: JudgeCause,
    },
    /// Judged, and proven not to run anything it held.
    Proven {
        /// By what.
        proof: Proof,
    },
    /// Two machines use its UUID.
    Conflicted,
}

impl Host {
    /// Its present life, by name.
    pub fn incarnation(&self, host: HostId) -> Incarnation {
        Incarnation { host, boot: self.life.boot, generation: self.generation }
    }

    /// Whether it can run VMs at all.
    pub fn is_witness(&self) -> bool {
        self.memory_mib == 0
    }
}

/// What a VM is, as far as placing it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmDefinition {
    /// Its number.
    pub id: VmId,
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: u128,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Its CPU, in thousandths of a core.
    pub millicores: u64,
    /// The datastores that hold its disks.
    pub datastores: BTreeSet<DatastoreId>,
    /// The networks that it needs.
    pub networks: BTreeSet<NetworkId>,
    /// What is done when its host dies.
    pub response: Response,
    /// Greater goes first.
    pub priority: u8,
    /// Where it is put at its very first start, if it fits there.
    pub home: Option<HostId>,
    /// Whether all its disks lie where a lock lives as long as the process that took it (proof 5).
    pub locked: bool,
    /// What a host must have for it besides, by name.
    pub needs: BTreeSet<String>,
    /// Why only the host that it last ran on can run it; empty: others can.
    pub bonds: Vec<String>,
    /// Whether its hypervisor has no definition of it that outlives its process.
    pub is_transient: bool,
    /// What the hypervisor needs to know of it, in its own words.
    pub payload: Arc<[u8]>,
}

/// What is done for a VM when its host dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It is restarted by whichever proof comes first; its lease ends it on a host that is cut off.
    Restart,
    /// It is restarted by proofs other than a lease; nothing ends it on a host that is cut off.
    RestartWithoutLease,
    /// It is left alone.
    Leave,
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// What it is.
    pub definition: VmDefinition,
    /// Whether it is protected.
    pub protected: bool,
    /// What a person wants.
    pub intent: Intent,
    /// Grows with each change of anything here: plans name it, and a plan that saw another one is void.
    pub version: u64,
    /// The newest epoch given.
    pub epoch: Epoch,
    /// The hosts that may run it.
    pub holders: BTreeMap<HostId, Holder>,
    /// Failed starts since it last ran.
    pub attempts: u32,
    /// Those that came before its present run, which count as long as it may crash soon after its start like these.
    pub attempts_before: u32,
    /// Where the last start failed, and how.
    pub failed_on: Option<(HostId, Exit)>,
    /// Whether it was given up.
    pub gave_up: bool,
    /// The version of what hosts must know in which its protection or response last changed.
    pub config: ConfigVersion,
    /// The epoch under which its lock was seen held from another host.
    pub lock_seen: Option<Epoch>,
    /// What proved its last holders gone, the youngest last, as many as [`PROOFS_KEPT`].
    pub proofs: Vec<HolderProof>,
    /// Where it last ran: the hypervisor's definition there is the one that counts.
    pub seat: Option<HostId>,
    /// Whether it was ever started under protection.
    pub started_before: bool,
    /// Whether nobody has said since its protection began if it should run: then it should if it does.
    pub unspoken: bool,
    /// By what its time is accounted for.
    pub account: Account,
    /// What is known of its guest.
    pub guest: Guest,
}

/// A person's will, and how often it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The will.
    pub want: Want,
    /// Grows with each change.
    pub version: u64,
}

/// A host that may run a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// In which boot.
    pub boot: BootId,
    /// Admitted under which generation when it became, or was last confirmed as, a holder.
    pub generation: Generation,
    /// Under which epoch.
    pub epoch: Epoch,
    /// As what.
    pub role: Role,
    /// The version of what it must know that its right presumed: it can not have started the VM without knowing it.
    pub config: ConfigVersion,
}

/// As what a host holds a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It may start it.
    Starting,
    /// It said that it runs it.
    Running,
    /// It receives it in a live migration.
    Incoming,
    /// It sends it away in a live migration.
    Outgoing,
    /// Nobody knows: the VM was put under protection before this host was told.
    Unaccounted,
}

/// What proved that a holder no longer runs a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderProof {
    /// Which host.
    pub host: HostId,
    /// In which boot.
    pub boot: BootId,
    /// Which epoch it held.
    pub epoch: Epoch,
    /// What proved it.
    pub proof: Proof,
}

impl ClusterState {
    /// The authority that a master of this term has.
    pub fn authority(&self, term: u64) -> Authority {
        Authority { generation: self.generation, term }
    }

    /// The host's present life, if there is such a host.
    pub fn incarnation(&self, host: HostId) -> Option<Incarnation> {
        self.hosts.get(&host).map(|entry| entry.incarnation(host))
    }

    /// Whether this is the present life of an admitted host.
    pub fn is_admitted(&self, incarnation: Incarnation) -> bool {
        self.hosts.get(&incarnation.host).is_some_and(|host| {
            host.standing == Standing::Admitted && host.accounted && host.incarnation(incarnation.host) == incarnation
        })
    }

    /// Where the agents find the voters.
    pub fn voter_addresses(&self) -> Vec<Address> {
        self.voters.values().filter_map(|host| Some(self.hosts.get(host)?.address)).collect()
    }
}

#[cfg(test)]
impl VmDefinition {
    /// A small one that needs nothing, for tests.
    pub fn plain(id: VmId) -> VmDefinition {
        VmDefinition {
            id,
            name: id.to_string(),
            uuid: u128::from(id.0),
            memory_mib: 1,
            millicores: 1,
            datastores: BTreeSet::new(),
            networks: BTreeSet::new(),
            response: Response::Restart,
            priority: 0,
            home: None,
            locked: false,
            needs: BTreeSet::new(),
            bonds: Vec::new(),
            is_transient: false,
            payload: Arc::default(),
        }
    }
}
