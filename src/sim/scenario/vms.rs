//! The VMs of a scenario.

use crate::core::ids::{HostId, VmId};
use crate::core::state::{AccountError, Response, UpMeans, VmDefinition};
use crate::explain::NameList;
use crate::reader::Problem;
use crate::reader::{Found, Reader};
use crate::sim::scenario::cluster::{Template, find, name_of};
use crate::sim::scenario::hosts::each;
use crate::sim::spec::{VmSpec, WorldSpec};
use std::collections::BTreeSet;

/// How a scenario writes what is done for a VM when its host dies.
pub const RESPONSES: [(&str, Response); 3] = [
    ("restart", Response::Restart),
    ("restart-without-lease", Response::RestartWithoutLease),
    ("leave", Response::Leave),
];

/// The upper part of every VM's UUID; the lower one is its number.
const UUID_BASE: u128 = 0x00f1_a570_0000_4000_8000_0000_0000_0000;

/// Adds the template's VMs, then reads the entries.
pub fn read_all(file: &mut Reader<'_>, template: &Template, world: &mut WorldSpec) -> Result<(), Problem> {
    for number in 1..=template.vms {
        add(format!("vm-{number}"), world);
    }
    let mut seen = BTreeSet::new();
    for mut entry in file.tables("vm")? {
        let name = name_of(&mut entry, "vm")?;
        let names = world.names();
        let id = find(&names.vms, &name).unwrap_or_else(|| add(name.clone(), world));
        if !seen.insert(id) {
            return Err(entry.problem(format!("vm \"{name}\" has an entry already")));
        }
        if let Some(position) = world.vms.iter().position(|vm| vm.definition.id == id) {
            let mut vm = world.vms.swap_remove(position);
            read(&mut entry, &mut vm, &names)?;
            vm.definition.locked = entry.maybe("locked", Found::boolean)?.unwrap_or_else(|| locked(&vm, world));
            world.vms.push(vm);
            world.vms.sort_by_key(|vm| vm.definition.id);
        }
        entry.finish()?;
    }
    Ok(())
}

/// Adds a VM whose home is the next host in turn, and whose disks lie on the first datastore.
fn add(name: String, world: &mut WorldSpec) -> VmId {
    let number = u32::try_from(world.vms.len()).unwrap_or(u32::MAX).saturating_add(1);
    let hosts: Vec<HostId> = world.hosts.iter().filter(|(_, host)| host.memory_mib > 0).map(|(id, _)| *id).collect();
    let home = hosts.get(world.vms.len() % hosts.len().max(1)).copied();
    let definition = VmDefinition {
        id: VmId(number),
        name,
        uuid: UUID_BASE + u128::from(number),
        memory_mib: 2_048,
        millicores: 1_000,
        datastores: world.datastores.keys().next().copied().into_iter().collect(),
        networks: world.networks.keys().next().copied().into_iter().collect(),
        response: Response::Restart,
        priority: 100,
        home,
        locked: false,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: Default::default(),
    };
    let mut vm = VmSpec { definition, wanted: true, protected: true, up: Default::default() };
    vm.definition.locked = locked(&vm, world);
    world.vms.push(vm);
    VmId(number)
}

/// Whether every datastore of the VM keeps locks.
fn locked(vm: &VmSpec, world: &WorldSpec) -> bool {
    let mut datastores = vm.definition.datastores.iter().filter_map(|id| world.datastores.get(id)).peekable();
    datastores.peek().is_some() && datastores.all(|datastore| datastore.locks)
}

fn read(entry: &mut Reader<'_>, vm: &mut VmSpec, names: &NameList) -> Result<(), Problem> {
    let definition = &mut vm.definition;
    definition.millicores = entry.maybe("cpu", Found::cores)?.unwrap_or(definition.millicores);
    definition.memory_mib = entry.maybe("memory", Found::memory)?.unwrap_or(definition.memory_mib);
    definition.home = entry.maybe("home", |found| found.named("host", &names.hosts))?.or(definition.home);
    definition.response = entry.maybe("response", |found| found.word(&RESPONSES))?.unwrap_or(definition.response);
    definition.priority = entry.maybe("priority", Found::number)?.unwrap_or(definition.priority);
    if let Some(found) = entry.get("datastores") {
        definition.datastores = each(&found, |one| one.named("datastore", &names.datastores))?;
    }
    if let Some(found) = entry.get("networks") {
        definition.networks = each(&found, |one| one.named("network", &names.networks))?;
    }
    let intent = entry.maybe("intent", |found| found.word(&[("running", true), ("stopped", false)]))?;
    vm.wanted = intent.unwrap_or(vm.wanted);
    vm.protected = entry.maybe("protected", Found::boolean)?.unwrap_or(vm.protected);
    vm.up = entry.maybe("up", up)?.unwrap_or_default();
    Ok(())
}

/// When a VM counts as up.
pub(super) fn up(found: &Found<'_>) -> Result<UpMeans, Problem> {
    found.text()?.parse().map_err(|error: AccountError| found.problem(error.to_string()))
}
