//! Random worlds, each from its seed and a shape alone.

use crate::core::ids::{DatastoreId, FenceId, HostId, NetworkId, VmId};
use crate::core::message::Watchdog;
use crate::core::state::{Policy, Response, VmDefinition};
use crate::core::timing::{Profile, Timing};
use crate::sim::fault::Fault;
use crate::sim::spec::{DatastoreSpec, FenceSpec, HostSpec, Nature, VmSpec, WorldSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What all worlds of a soak have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// How many hosts there are.
    pub hosts: u32,
    /// How many VMs there are.
    pub vms: u32,
    /// The time table.
    pub profile: Profile,
    /// For how long faults befall the world. Then all is mended, and the VMs must come back.
    pub duration: Duration,
}

/// A world, what befalls it and when, and the moment at which all is mended.
pub fn world(seed: u64, shape: &Shape) -> (WorldSpec, Vec<(Duration, Fault)>, Duration) {
    let timeout = Timing::of(shape.profile).hard_deadline;
    let hosts = (1..=shape.hosts).map(|number| (HostId(number), host(number, timeout)));
    let fences = (1..=shape.hosts).map(|number| {
        let latency = Duration::from_secs(1);
        (FenceId(number), FenceSpec { name: format!("fence-{number}"), controls: HostId(number), latency })
    });
    let datastore = DatastoreSpec { name: "datastore-1".to_owned(), heartbeat: true, locks: false };
    let spec = WorldSpec {
        seed,
        profile: shape.profile,
        policy: Policy::default(),
        armed: true,
        hosts: hosts.collect(),
        datastores: BTreeMap::from([(DatastoreId(1), datastore)]),
        networks: BTreeMap::from([(NetworkId(1), "network-1".to_owned())]),
        fences: fences.collect(),
        vms: (1..=shape.vms).map(|number| vm(number, shape.hosts)).collect(),
        nature: Nature::default(),
    };
    (spec, Vec::new(), shape.duration)
}

fn host(number: u32, timeout: Duration) -> HostSpec {
    HostSpec {
        name: format!("host-{number}"),
        memory_mib: 65_536,
        millicores: 16_000,
        datastores: BTreeSet::from([DatastoreId(1)]),
        networks: BTreeSet::from([NetworkId(1)]),
        tags: BTreeSet::new(),
        failure_domain: format!("host-{number}"),
        watchdog: Watchdog::Hardware { timeout },
        fences: vec![vec![FenceId(number)]],
        votes: number <= 3,
        on: true,
        drift_ppm: 0,
        boot_time: Duration::from_secs(30),
    }
}

fn vm(number: u32, hosts: u32) -> VmSpec {
    let definition = VmDefinition {
        id: VmId(number),
        name: format!("vm-{number}"),
        uuid: u128::from(number),
        memory_mib: 2_048,
        millicores: 1_000,
        datastores: BTreeSet::from([DatastoreId(1)]),
        networks: BTreeSet::from([NetworkId(1)]),
        response: Response::Restart,
        priority: 100,
        home: Some(HostId((number - 1) % hosts.max(1) + 1)),
        locked: false,
    };
    VmSpec { definition, wanted: true, protected: true }
}
