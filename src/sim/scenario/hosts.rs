//! The hosts of a scenario.

use crate::core::ids::{FenceId, HostId};
use crate::core::message::Watchdog;
use crate::core::timing::{Profile, Timing};
use crate::explain::NameList;
use crate::reader::Problem;
use crate::reader::{Found, Reader};
use crate::sim::scenario::cluster::{Template, find, name_of};
use crate::sim::spec::{HostSpec, WorldSpec};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a host is like that does not say otherwise. `[cluster]` may set it for all.
#[derive(Debug, Clone)]
pub struct Defaults {
    millicores: u64,
    memory_mib: u64,
    watchdog: Dog,
    watchdog_timeout: Duration,
    boot_time: Duration,
}

/// What kind of watchdog a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dog {
    Hardware,
    Software,
    None,
}

impl Defaults {
    /// Those of a profile: its time table says after how long a watchdog must fire.
    pub fn of(profile: Profile) -> Defaults {
        Defaults {
            millicores: 16_000,
            memory_mib: 65_536,
            watchdog: Dog::Hardware,
            watchdog_timeout: Timing::of(profile).hard_deadline,
            boot_time: Duration::from_secs(30),
        }
    }

    /// Reads what a table sets of them.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        self.millicores = reader.maybe("cpu", Found::cores)?.unwrap_or(self.millicores);
        self.memory_mib = reader.maybe("memory", Found::memory)?.unwrap_or(self.memory_mib);
        self.watchdog = reader.maybe("watchdog", dog)?.unwrap_or(self.watchdog);
        self.watchdog_timeout = reader.maybe("watchdog_timeout", Found::duration)?.unwrap_or(self.watchdog_timeout);
        self.boot_time = reader.maybe("boot_time", Found::duration)?.unwrap_or(self.boot_time);
        Ok(())
    }

    fn watchdog(&self) -> Watchdog {
        let timeout = self.watchdog_timeout;
        match self.watchdog {
            Dog::Hardware => Watchdog::Hardware { timeout },
            Dog::Software => Watchdog::Software { timeout },
            Dog::None => Watchdog::None,
        }
    }
}

fn dog(found: &Found<'_>) -> Result<Dog, Problem> {
    found.word(&[("hardware", Dog::Hardware), ("software", Dog::Software), ("none", Dog::None)])
}

/// The name of the fence device that a host has for its own, by the template: `fence-2` is that of `host-2`.
pub fn own_fence(host: &str) -> String {
    format!("fence-{}", host.strip_prefix("host-").unwrap_or(host))
}

/// Gives every host its number, so that fence devices can name it: the template's first, then the witness, then those
/// that entries add.
pub fn name_all(entries: &mut [Reader<'_>], template: &Template, world: &mut WorldSpec) -> Result<(), Problem> {
    for number in 1..=template.hosts {
        add(format!("host-{number}"), template, world);
    }
    if template.witness {
        let id = add("witness".to_owned(), template, world);
        make_witness(world, id);
    }
    let mut seen = BTreeSet::new();
    for entry in entries {
        let name = name_of(entry, "host")?;
        let known = find(&world.names().hosts, &name);
        let id = known.unwrap_or_else(|| add(name.clone(), template, world));
        if !seen.insert(id) {
            return Err(entry.problem(format!("host \"{name}\" has an entry already")));
        }
        if entry.maybe("witness", Found::boolean)?.unwrap_or(false) {
            make_witness(world, id);
        }
    }
    let mut free = template.voters;
    for host in world.hosts.values_mut() {
        host.votes = free > 0;
        free = free.saturating_sub(1);
    }
    Ok(())
}

fn make_witness(world: &mut WorldSpec, id: HostId) {
    if let Some(host) = world.hosts.get_mut(&id) {
        host.memory_mib = 0;
        host.millicores = 0;
        host.watchdog = Watchdog::None;
    }
}

fn add(name: String, template: &Template, world: &mut WorldSpec) -> HostId {
    let id = HostId(world.hosts.keys().last().map_or(1, |last| last.0 + 1));
    let host = HostSpec {
        failure_domain: name.clone(),
        name,
        memory_mib: template.host.memory_mib,
        millicores: template.host.millicores,
        datastores: world.datastores.keys().copied().collect(),
        networks: world.networks.keys().copied().collect(),
        tags: BTreeSet::new(),
        watchdog: template.host.watchdog(),
        fences: Vec::new(),
        votes: false,
        on: true,
        drift_ppm: 0,
        boot_time: template.host.boot_time,
    };
    world.hosts.insert(id, host);
    id
}

/// Reads what the entries say of the hosts.
pub fn read_all(entries: Vec<Reader<'_>>, template: &Template, world: &mut WorldSpec) -> Result<(), Problem> {
    let names = world.names();
    for (id, host) in &mut world.hosts {
        let own = own_fence(&host.name);
        let own = world.fences.iter().find(|(fence, spec)| fence.0 == id.0 && spec.name == own);
        host.fences = own.map(|(fence, _)| vec![*fence]).into_iter().collect();
    }
    for mut entry in entries {
        let id = entry.must("name", |found| found.named("host", &names.hosts))?;
        if let Some(host) = world.hosts.get_mut(&id) {
            read(&mut entry, host, template, &names)?;
        }
        entry.finish()?;
    }
    Ok(())
}

fn read(entry: &mut Reader<'_>, host: &mut HostSpec, template: &Template, names: &NameList) -> Result<(), Problem> {
    if !entry.maybe("witness", Found::boolean)?.unwrap_or(host.memory_mib == 0) {
        let mut own = template.host.clone();
        own.read(entry)?;
        host.memory_mib = own.memory_mib;
        host.millicores = own.millicores;
        host.watchdog = own.watchdog();
        host.boot_time = own.boot_time;
    }
    if let Some(found) = entry.get("datastores") {
        host.datastores = each(&found, |one| one.named("datastore", &names.datastores))?;
    }
    if let Some(found) = entry.get("networks") {
        host.networks = each(&found, |one| one.named("network", &names.networks))?;
    }
    if let Some(found) = entry.get("tags") {
        host.tags = each(&found, |one| one.text().map(str::to_owned))?;
    }
    if let Some(found) = entry.get("fences") {
        host.fences = found.one_or_more()?.iter().map(|level| fence_level(level, names)).collect::<Result<_, _>>()?;
    }
    let domain = entry.maybe("failure_domain", |found| found.text().map(str::to_owned))?;
    host.failure_domain = domain.unwrap_or_else(|| host.failure_domain.clone());
    host.votes = entry.maybe("votes", Found::boolean)?.unwrap_or(host.votes);
    host.on = entry.maybe("on", Found::boolean)?.unwrap_or(host.on);
    host.drift_ppm = entry.maybe("drift_ppm", Found::number)?.unwrap_or(host.drift_ppm);
    Ok(())
}

/// One level of fencing: a device, or several that are needed together.
fn fence_level(found: &Found<'_>, names: &NameList) -> Result<Vec<FenceId>, Problem> {
    found.one_or_more()?.iter().map(|one| one.named("fence", &names.fences)).collect()
}

/// A set, written as a list or as its only entry.
pub fn each<T: Ord>(
    found: &Found<'_>,
    read: impl Fn(&Found<'_>) -> Result<T, Problem>,
) -> Result<BTreeSet<T>, Problem> {
    found.one_or_more()?.iter().map(read).collect()
}
