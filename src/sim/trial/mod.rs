//! Worlds in which nothing is wrong with the VMs, but much with what watches them: not one of them may be restarted.
//!
//! A soak asks for safety and for recovery; a trial asks for patience. Each is a number of worlds, one to a seed, and
//! each world says what in it should not have happened.

mod calm;
mod successions;

pub use calm::calm;
pub use successions::successions;

use crate::core::action::Note;
use crate::core::ids::{DatastoreId, FenceId, HostId, VmId};
use crate::core::message::Watchdog;
use crate::core::state::{Policy, Response, VmDefinition};
use crate::core::timing::{Profile, Timing};
use crate::explain::NameList;
use crate::sim::dice::Dice;
use crate::sim::fault::{Fault, LinkFault};
use crate::sim::spec::{DatastoreSpec, FenceSpec, HostSpec, Nature, VmSpec, WorldSpec};
use crate::sim::timeline::{Happening, Moment};
use crate::sim::world::Simulation;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The hosts and VMs of a trial's world.
const HOSTS: u32 = 5;
const VMS: u32 = 20;
/// The cluster may start in peace for so long: all VMs run by then.
const SETTLED: Duration = Duration::from_secs(60);

/// How a trial's world fared.
#[derive(Debug, Default)]
pub struct Trial {
    /// For how long it was tried, in virtual time.
    pub lasted: Duration,
    /// What it was tried with, how often.
    pub trials: u64,
    /// How often a host was judged: for one that is well, that is harmless as long as its VMs run on.
    pub judged: u64,
    /// What should not have happened: the moments, in words.
    pub failures: Vec<String>,
    /// All that happened, if it was to be kept or something went wrong.
    pub timeline: Vec<Moment>,
    /// The names of all that is in it.
    pub names: NameList,
}

/// A datastore that carries records and disks, one to so many.
struct Storage(u16);

/// A world of hosts with hardware watchdogs and VMs with a lease, in which nothing is wrong.
fn world(seed: u64, Storage(datastores): Storage, fenced: bool) -> WorldSpec {
    let mut dice = Dice::new(seed).fork("trial");
    let stores: Vec<DatastoreId> = (1..=datastores).map(DatastoreId).collect();
    let datastore = |id: &DatastoreId| DatastoreSpec { name: id.to_string(), heartbeat: true, locks: false };
    let latency = Duration::from_millis(400);
    let fence = |number: u32| FenceSpec {
        name: FenceId(number).to_string(),
        controls: HostId(number),
        latency,
        nameless: false,
        drilled: false,
    };
    let timeout = Timing::of(Profile::Lan).hard_deadline;
    let mut host = |number: u32| HostSpec {
        name: HostId(number).to_string(),
        memory_mib: 65_536,
        millicores: 32_000,
        datastores: stores.iter().copied().collect(),
        networks: BTreeSet::new(),
        tags: BTreeSet::new(),
        failure_domain: format!("rack-{}", number % 3),
        watchdog: Watchdog::Hardware { timeout },
        fences: if fenced { vec![vec![FenceId(number)]] } else { Vec::new() },
        votes: number <= 3,
        on: true,
        drift_ppm: dice.range(0, 1_000) as i32 - 500,
        boot_time: Duration::from_secs(5),
    };
    WorldSpec {
        seed,
        profile: Profile::Lan,
        policy: Policy::default(),
        armed: true,
        hosts: (1..=HOSTS).map(|number| (HostId(number), host(number))).collect(),
        datastores: stores.iter().map(|id| (*id, datastore(id))).collect(),
        networks: BTreeMap::new(),
        fences: if fenced { (1..=HOSTS).map(|n| (FenceId(n), fence(n))).collect() } else { BTreeMap::new() },
        vms: (1..=VMS).map(|number| vm(VmId(number), &stores)).collect(),
        nature: Nature::default(),
    }
}

fn vm(id: VmId, stores: &[DatastoreId]) -> VmSpec {
    let disk = stores.get(id.0 as usize % stores.len().max(1)).copied();
    let definition = VmDefinition {
        id,
        name: id.to_string(),
        uuid: u128::from(id.0),
        memory_mib: 4_096,
        millicores: 1_000,
        datastores: disk.into_iter().collect(),
        networks: BTreeSet::new(),
        response: Response::Restart,
        priority: 100,
        home: None,
        locked: false,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: Default::default(),
    };
    VmSpec { definition, wanted: true, protected: true, up: Default::default() }
}

/// Makes every link misbehave, for so long.
fn impair(simulation: &mut Simulation, fault: LinkFault, lasts: Duration) {
    for from in (1..=HOSTS).map(HostId) {
        for to in (1..=HOSTS).map(HostId).filter(|to| *to != from) {
            simulation.schedule(simulation.now(), Fault::Link(from, to, fault, lasts));
        }
    }
}

impl Trial {
    /// Takes what happened from `begun` on; `is_wrong` says what of it should not have.
    fn conclude(
        mut self,
        simulation: &Simulation,
        names: NameList,
        begun: Duration,
        keep: bool,
        is_wrong: impl Fn(&Moment) -> bool,
    ) -> Trial {
        let since = |moment: &&Moment| Duration::from_micros(moment.at_micros) >= begun;
        let moments = || simulation.timeline().iter().filter(since);
        let wrong = |moment: &&Moment| matches!(moment.what, Happening::Violation(_)) || is_wrong(moment);
        self.lasted = simulation.now() - begun;
        self.judged = moments().filter(|moment| is_judgement(moment)).count() as u64;
        self.failures.extend(moments().filter(wrong).map(|moment| crate::sim::explain::line(moment, &names)));
        if keep || !self.failures.is_empty() {
            self.timeline = simulation.timeline().to_vec();
        }
        self.names = names;
        self
    }
}

fn is_judgement(moment: &Moment) -> bool {
    matches!(moment.what, Happening::Note(_, Note::Judged(..)))
}
