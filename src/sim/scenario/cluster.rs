//! From a scenario's file to a world: the template first, then the single entries that override it.

use crate::core::ids::{DatastoreId, FenceId, HostId, NetworkId};
use crate::core::state::Policy;
use crate::core::timing::Profile;
use crate::reader::Problem;
use crate::reader::{Found, Reader, choice};
use crate::sim::scenario::{hosts, vms};
use crate::sim::spec::{DatastoreSpec, FenceSpec, Nature, WorldSpec};
use std::collections::BTreeMap;
use std::time::Duration;

/// What `[cluster]` asks for: so many of everything, all alike.
#[derive(Debug)]
pub struct Template {
    /// Hosts called `host-1` and so on.
    pub hosts: u32,
    /// Whether there is a host called `witness`, which votes and runs no VMs.
    pub witness: bool,
    /// VMs called `vm-1` and so on.
    pub vms: u32,
    /// Datastores called `datastore-1` and so on.
    pub datastores: u32,
    /// Networks called `network-1` and so on.
    pub networks: u32,
    /// How many hosts vote, in their order.
    pub voters: u32,
    /// Whether each host has a fence device of its own.
    pub fences: bool,
    /// How long an operation of such a device takes.
    pub fence_latency: Duration,
    /// Whether datastores refuse a second writer.
    pub locks: bool,
    /// What hosts are like that do not say otherwise.
    pub host: hosts::Defaults,
}

/// Reads the world that a file describes.
pub fn read(file: &mut Reader<'_>) -> Result<WorldSpec, Problem> {
    let profile = file.maybe("profile", profile)?.unwrap_or_default();
    let mut world = WorldSpec {
        seed: file.maybe("seed", Found::number)?.unwrap_or(1),
        profile,
        policy: file.maybe("policy", |found| policy(found, &Policy::default()))?.unwrap_or_default(),
        armed: file.maybe("armed", Found::boolean)?.unwrap_or(true),
        hosts: BTreeMap::new(),
        datastores: BTreeMap::new(),
        networks: BTreeMap::new(),
        fences: BTreeMap::new(),
        vms: Vec::new(),
        nature: file.maybe("nature", nature)?.unwrap_or_default(),
    };
    let template = template(file, &world)?;
    datastores(file, &template, &mut world)?;
    networks(file, &template, &mut world)?;
    let mut host_entries = file.tables("host")?;
    hosts::name_all(&mut host_entries, &template, &mut world)?;
    if world.hosts.is_empty() {
        return Err(file.problem("there is no host").hint("write [cluster] with hosts = 3, or a [[host]]"));
    }
    fences(file, &template, &mut world)?;
    hosts::read_all(host_entries, &template, &mut world)?;
    vms::read_all(file, &template, &mut world)?;
    Ok(world)
}

fn profile(found: &Found<'_>) -> Result<Profile, Problem> {
    found.word(&[("lan", Profile::Lan), ("fast", Profile::Fast)])
}

fn template(file: &mut Reader<'_>, world: &WorldSpec) -> Result<Template, Problem> {
    let mut template = Template {
        hosts: 0,
        witness: false,
        vms: 0,
        datastores: 1,
        networks: 1,
        voters: world.policy.voters,
        fences: true,
        fence_latency: Duration::from_millis(300),
        locks: false,
        host: hosts::Defaults::of(world.profile),
    };
    let Some(found) = file.get("cluster") else {
        return Ok(template);
    };
    let mut reader = found.table("[cluster]")?;
    let counts = [
        ("hosts", &mut template.hosts, 1_000),
        ("vms", &mut template.vms, 20_000),
        ("datastores", &mut template.datastores, 100),
        ("networks", &mut template.networks, 100),
        ("voters", &mut template.voters, 7),
    ];
    for (key, count, most) in counts {
        *count = reader.maybe(key, |found| at_most(found, most))?.unwrap_or(*count);
    }
    template.witness = reader.maybe("witness", Found::boolean)?.unwrap_or(false);
    template.fences = reader.maybe("fences", Found::boolean)?.unwrap_or(true);
    template.fence_latency = reader.maybe("fence_latency", Found::duration)?.unwrap_or(template.fence_latency);
    template.locks = reader.maybe("locks", Found::boolean)?.unwrap_or(false);
    template.host.read(&mut reader)?;
    reader.finish()?;
    Ok(template)
}

/// A world is built in memory, so what a file asks for is bounded.
fn at_most(found: &Found<'_>, most: u32) -> Result<u32, Problem> {
    match found.number()? {
        count if count > most => Err(found.problem(format!("{count} of them are too many: at most {most}"))),
        count => Ok(count),
    }
}

fn datastores(file: &mut Reader<'_>, template: &Template, world: &mut WorldSpec) -> Result<(), Problem> {
    let alike = |name: String| DatastoreSpec { name, heartbeat: true, locks: template.locks };
    for number in 1..=template.datastores {
        world.datastores.insert(DatastoreId(small(number)), alike(format!("datastore-{number}")));
    }
    for mut entry in file.tables("datastore")? {
        let name = name_of(&mut entry, "datastore")?;
        let names = world.names().datastores;
        let id = find(&names, &name).unwrap_or_else(|| DatastoreId(small(names.len() + 1)));
        let datastore = world.datastores.entry(id).or_insert_with(|| alike(name));
        datastore.heartbeat = entry.maybe("heartbeat", Found::boolean)?.unwrap_or(datastore.heartbeat);
        datastore.locks = entry.maybe("locks", Found::boolean)?.unwrap_or(datastore.locks);
        entry.finish()?;
    }
    Ok(())
}

fn networks(file: &mut Reader<'_>, template: &Template, world: &mut WorldSpec) -> Result<(), Problem> {
    for number in 1..=template.networks {
        world.networks.insert(NetworkId(small(number)), format!("network-{number}"));
    }
    for mut entry in file.tables("network")? {
        let name = name_of(&mut entry, "network")?;
        if find(&world.networks, &name).is_none() {
            world.networks.insert(NetworkId(small(world.networks.len() + 1)), name);
        }
        entry.finish()?;
    }
    Ok(())
}

/// Every host with a hypervisor has a fence device of its own, where the template says so; entries alter or add.
fn fences(file: &mut Reader<'_>, template: &Template, world: &mut WorldSpec) -> Result<(), Problem> {
    let latency = template.fence_latency;
    if template.fences {
        for (id, host) in world.hosts.iter().filter(|(_, host)| host.memory_mib > 0) {
            let name = hosts::own_fence(&host.name);
            world
                .fences
                .insert(FenceId(id.0), FenceSpec { name, controls: *id, latency, nameless: false, drilled: false });
        }
    }
    for mut entry in file.tables("fence")? {
        let name = name_of(&mut entry, "fence")?;
        let names = world.names();
        let controls = entry.maybe("controls", |found| found.named("host", &names.hosts))?;
        let id = match (find(&names.fences, &name), controls) {
            (Some(id), _) => id,
            (None, Some(controls)) => {
                let id = world.fences.keys().last().map_or(0, |last| last.0).max(last_host(world)) + 1;
                world
                    .fences
                    .insert(FenceId(id), FenceSpec { name, controls, latency, nameless: false, drilled: false });
                FenceId(id)
            }
            (None, None) => {
                let hint = choice(&name, names.fences.values().map(String::as_str));
                return Err(entry.problem(format!("{} is new and needs `controls`", entry.what())).hint(hint));
            }
        };
        if let Some(fence) = world.fences.get_mut(&id) {
            fence.controls = controls.unwrap_or(fence.controls);
            fence.nameless = entry.maybe("nameless", Found::boolean)?.unwrap_or(fence.nameless);
            fence.drilled = entry.maybe("drilled", Found::boolean)?.unwrap_or(fence.drilled);
            fence.latency = entry.maybe("latency", Found::duration)?.unwrap_or(fence.latency);
        }
        entry.finish()?;
    }
    Ok(())
}

fn last_host(world: &WorldSpec) -> u32 {
    world.hosts.keys().last().map_or(0, |id: &HostId| id.0)
}

/// The name of an entry of an array of tables, by which it is then called in complaints.
pub fn name_of(entry: &mut Reader<'_>, kind: &str) -> Result<String, Problem> {
    let name = entry.must("name", |found| match found.text()? {
        "" => Err(found.problem("a name cannot be empty")),
        text => Ok(text.to_owned()),
    })?;
    entry.call(format!("{kind} \"{name}\""));
    Ok(name)
}

/// What has this name.
pub fn find<T: Copy>(names: &BTreeMap<T, String>, name: &str) -> Option<T> {
    names.iter().find(|(_, known)| known.as_str() == name).map(|(id, _)| *id)
}

fn small<T: TryInto<u16>>(number: T) -> u16 {
    number.try_into().unwrap_or(u16::MAX)
}

/// Reads changes to a policy. Which keys there are is asked of the policy itself.
pub fn policy(found: &Found<'_>, base: &Policy) -> Result<Policy, Problem> {
    let mut table = toml::Table::try_from(base).map_err(|error| found.problem(format!("the policy: {error}")))?;
    let mut policy = base.clone();
    for (key, value) in found.table("the policy")?.all() {
        if !table.contains_key(&key) {
            let problem = value.problem(format!("the policy has no key `{key}`"));
            return Err(problem.hint(choice(&key, table.keys().map(String::as_str))));
        }
        table.insert(key.clone(), value.plain()?);
        policy = table.clone().try_into().map_err(|error: toml::de::Error| {
            value.problem(format!("the policy's `{key}`: {}", error.message().replace('\n', " ")))
        })?;
    }
    Ok(policy)
}

fn nature(found: &Found<'_>) -> Result<Nature, Problem> {
    let mut reader = found.table("[nature]")?;
    let mut nature = Nature::default();
    let ranges = [
        ("network", &mut nature.network),
        ("datastore", &mut nature.datastore),
        ("sync", &mut nature.sync),
        ("start", &mut nature.start),
        ("stop", &mut nature.stop),
        ("kill", &mut nature.kill),
        ("migration", &mut nature.migration),
    ];
    for (key, range) in ranges {
        *range = reader.maybe(key, Found::duration_range)?.unwrap_or(*range);
    }
    reader.finish()?;
    Ok(nature)
}
