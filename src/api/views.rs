//! What the operators' interface shows: plain values with names instead of numbers, made from one look at a node.

use super::accounts::Percent;
use crate::core::command::Want;
use crate::core::state::{Armed, Health, Response, Role, Tag, UpMeans};
use crate::core::timing::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The cluster at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Which time limits hold in it.
    pub profile: Profile,
    /// Whether it acts, or only observes.
    pub armed: Armed,
    /// The hosts that have not said yet that they know whether it acts: until then its change is not complete.
    #[serde(default)]
    pub unaware: Vec<String>,
    /// In how many seconds it acts again by itself.
    pub rearms_in_seconds: Option<u64>,
    /// The host of the master; none while there is no majority.
    pub master: Option<String>,
    /// The term of its election.
    pub term: Option<u64>,
    /// How often a majority was lost and a person went on without it.
    pub generation: u32,
    /// The place in the log up to which this was known.
    pub index: u64,
    /// The hosts whose voters take part in elections.
    pub voters: Vec<String>,
    /// How many hosts there are, and how many of them live.
    pub hosts: Share,
    /// How many VMs should run, and how many of them do.
    pub vms: Share,
}

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// How many there are.
    pub all: usize,
    /// How many of them are as they should be.
    pub good: usize,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// Its name.
    pub name: String,
    /// Its machine's UUID.
    pub uuid: Uuid,
    /// How the master sees it.
    pub state: String,
    /// Whether a voter lives there.
    pub votes: bool,
    /// Whether the master lives there.
    pub is_master: bool,
    /// Whether it only votes.
    pub is_witness: bool,
    /// Whether it gets no VMs.
    pub quarantined: bool,
    /// What fails together with it.
    pub failure_domain: String,
    /// Where its agent is reached.
    pub endpoints: Vec<String>,
    /// What it has for VMs.
    pub memory_mib: u64,
    /// CPU in thousandths of a core.
    pub millicores: u64,
    /// The VMs that it holds.
    pub vms: Vec<String>,
    /// Its fence devices, in levels.
    pub fences: Vec<Vec<String>>,
    /// Its watchdog, as it was acknowledged.
    pub watchdog: String,
    /// The datastores on which it keeps its liveness record.
    pub records_on: Vec<String>,
    /// For how many milliseconds no heartbeat was heard.
    pub silent_milliseconds: Option<u64>,
    /// For how many milliseconds its record has not changed.
    pub record_milliseconds: Option<u64>,
    /// Why it stands as it does, in sentences.
    pub explanation: Vec<String>,
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmView {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Whether it is protected.
    pub protected: bool,
    /// What a person wants of it.
    pub want: Want,
    /// How it fares: `running`, `starting`, `stopped`, `waiting` or `unprotected`.
    pub state: String,
    /// The host that runs it, or is to run it.
    pub host: Option<String>,
    /// The epoch of its right to run.
    pub epoch: String,
    /// What is done when its host dies.
    pub response: Response,
    /// Greater goes first.
    pub priority: u8,
    /// Its memory.
    pub memory_mib: u64,
    /// CPU in thousandths of a core.
    pub millicores: u64,
    /// Why no other host could run it.
    pub bonds: Vec<String>,
    /// All that may run it, with what each is to it.
    pub holders: Vec<HolderView>,
    /// What it waits for, in words; nothing if it runs, or is not wanted to.
    pub waits: Option<String>,
    /// The name of that, for programs.
    pub waits_for: String,
    /// What proved its last holders gone, the youngest last.
    pub proofs: Vec<ProofView>,
    /// Words by which VMs are summed up.
    pub tags: BTreeSet<Tag>,
    /// When it counts as up.
    pub up: UpMeans,
    /// How much of its time it is to be up, if it has a target of its own.
    pub target: Option<Percent>,
    /// Whether its guest answers, where that is asked.
    pub health: Health,
    /// Its guest's operating system, if that is known.
    pub system: Option<String>,
}

/// A host that may run a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderView {
    /// Which.
    pub host: String,
    /// As what.
    pub role: Role,
    /// Under which epoch.
    pub epoch: String,
}

/// Why a host no longer counted as running a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// Which host.
    pub host: String,
    /// The epoch that it held.
    pub epoch: String,
    /// The kind of the proof.
    pub proof: String,
    /// In words.
    pub text: String,
}

/// What would become of a VM if hosts died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastView {
    /// Which.
    pub vm: String,
    /// Where it is.
    pub from: String,
    /// Where it would go.
    pub to: Option<String>,
    /// What would prove its host dead.
    pub proof: Option<String>,
    /// From the failure to the order to start it, in milliseconds, without what a fence device takes.
    pub after_milliseconds: Option<u64>,
    /// What would become of it, in words.
    pub text: String,
}
