//! What a simulated world is made of at its start, whoever wrote it: a scenario file or a seed.

use crate::core::ids::{DatastoreId, FenceId, HostId, NetworkId};
use crate::core::message::Watchdog;
use crate::core::state::{Policy, UpMeans, VmDefinition};
use crate::core::timing::Profile;
use crate::explain::NameList;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A world before its first moment.
#[derive(Debug, Clone)]
pub struct WorldSpec {
    /// The seed of every choice of chance.
    pub seed: u64,
    /// The time table.
    pub profile: Profile,
    /// The cluster's rules.
    pub policy: Policy,
    /// Whether the cluster is armed from the start.
    pub armed: bool,
    /// The hosts, witnesses too.
    pub hosts: BTreeMap<HostId, HostSpec>,
    /// The datastores.
    pub datastores: BTreeMap<DatastoreId, DatastoreSpec>,
    /// The networks for guests.
    pub networks: BTreeMap<NetworkId, String>,
    /// The fence devices, each with the machine that it controls.
    pub fences: BTreeMap<FenceId, FenceSpec>,
    /// The VMs.
    pub vms: Vec<VmSpec>,
    /// How things behave when nothing is wrong.
    pub nature: Nature,
}

/// A host.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Its name.
    pub name: String,
    /// Memory for VMs, in MiB; none: a witness.
    pub memory_mib: u64,
    /// CPU for VMs, in thousandths of a core.
    pub millicores: u64,
    /// The datastores that it reaches.
    pub datastores: BTreeSet<DatastoreId>,
    /// The networks that it has.
    pub networks: BTreeSet<NetworkId>,
    /// Free words.
    pub tags: BTreeSet<String>,
    /// What fails together with it.
    pub failure_domain: String,
    /// Its watchdog.
    pub watchdog: Watchdog,
    /// Its fence devices: levels in order, all devices of a level together.
    pub fences: Vec<Vec<FenceId>>,
    /// Whether it votes from the start.
    pub votes: bool,
    /// Whether it has power at the start.
    pub on: bool,
    /// How much faster than true time its clock runs, in parts of a million; negative: slower.
    pub drift_ppm: i32,
    /// How long it takes from power to the agent's start.
    pub boot_time: Duration,
}

/// A datastore.
#[derive(Debug, Clone)]
pub struct DatastoreSpec {
    /// Its name.
    pub name: String,
    /// Whether hosts keep their records on it.
    pub heartbeat: bool,
    /// Whether it refuses a second writer for as long as the first one's process, or its host's power, lives.
    pub locks: bool,
}

/// A fence device.
#[derive(Debug, Clone)]
pub struct FenceSpec {
    /// Its name.
    pub name: String,
    /// The machine that it controls.
    pub controls: HostId,
    /// How long each operation takes.
    pub latency: Duration,
    /// Whether it cannot say which machine it controls.
    pub nameless: bool,
    /// Whether a drill has shown before that it controls that machine.
    pub drilled: bool,
}

/// A VM.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// What the cluster knows of it.
    pub definition: VmDefinition,
    /// Whether it should run.
    pub wanted: bool,
    /// Whether it is protected from the start. If not, and it is wanted, it runs at its home from the start, as a
    /// stranger.
    pub protected: bool,
    /// When it counts as up.
    pub up: UpMeans,
}

/// How things behave when nothing is wrong.
#[derive(Debug, Clone)]
pub struct Nature {
    /// The time that a packet takes, at least and at most.
    pub network: (Duration, Duration),
    /// The time that an operation on a datastore takes, at least and at most.
    pub datastore: (Duration, Duration),
    /// The time that a voter's disk takes to sync.
    pub sync: (Duration, Duration),
    /// The time that a start takes.
    pub start: (Duration, Duration),
    /// The time that a graceful stop takes.
    pub stop: (Duration, Duration),
    /// The time that a kill takes.
    pub kill: (Duration, Duration),
    /// The time that a live migration takes.
    pub migration: (Duration, Duration),
}

impl WorldSpec {
    /// The names in this world.
    pub fn names(&self) -> NameList {
        NameList {
            hosts: self.hosts.iter().map(|(id, host)| (*id, host.name.clone())).collect(),
            vms: self.vms.iter().map(|vm| (vm.definition.id, vm.definition.name.clone())).collect(),
            datastores: self.datastores.iter().map(|(id, datastore)| (*id, datastore.name.clone())).collect(),
            networks: self.networks.clone(),
            fences: self.fences.iter().map(|(id, fence)| (*id, fence.name.clone())).collect(),
            uuids: BTreeMap::new(),
        }
    }
}

impl Default for Nature {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Nature {
            network: (Duration::from_micros(100), Duration::from_micros(600)),
            datastore: (Duration::from_micros(500), ms(4)),
            sync: (Duration::from_micros(300), ms(3)),
            start: (ms(150), ms(600)),
            stop: (ms(500), ms(3_000)),
            kill: (ms(2), ms(30)),
            migration: (ms(1_000), ms(6_000)),
        }
    }
}
