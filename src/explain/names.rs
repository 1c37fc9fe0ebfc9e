//! The names of things: people read names, the core counts numbers.

use crate::core::ids::{DatastoreId, FeatureId, FenceId, HostId, NetworkId, VmId, VoterId};
use crate::core::state::ClusterState;
use std::collections::BTreeMap;

/// Knows what everything is called.
pub trait Names {
    /// A host's name.
    fn host(&self, id: HostId) -> String;
    /// A VM's name.
    fn vm(&self, id: VmId) -> String;
    /// A datastore's name.
    fn datastore(&self, id: DatastoreId) -> String;
    /// A network's name.
    fn network(&self, id: NetworkId) -> String;
    /// A fence device's name.
    fn fence(&self, id: FenceId) -> String;
    /// By what the hypervisor knows a VM.
    fn uuid(&self, _id: VmId) -> Option<u128> {
        None
    }
    /// What a VM needs of a host.
    fn feature(&self, id: FeatureId) -> String {
        id.to_string()
    }
    /// A voter's name. Stores have none but their number, which grows with each store that is replaced.
    fn voter(&self, id: VoterId) -> String {
        id.to_string()
    }
}

/// The log knows all names.
impl Names for ClusterState {
    fn host(&self, id: HostId) -> String {
        let name = self.hosts.get(&id).map(|host| &host.name).or_else(|| self.registry.former.hosts.get(&id));
        name.cloned().unwrap_or_else(|| removed(self.hosts.values().map(|host| &host.name), id))
    }

    fn vm(&self, id: VmId) -> String {
        let present = self.vms.get(&id).map(|vm| &vm.definition.name);
        let name = present.or_else(|| self.registry.former.vms.get(&id).map(|vm| &vm.name));
        name.cloned().unwrap_or_else(|| removed(self.vms.values().map(|vm| &vm.definition.name), id))
    }

    fn uuid(&self, id: VmId) -> Option<u128> {
        let present = self.vms.get(&id).map(|vm| vm.definition.uuid);
        present.or_else(|| self.registry.former.vms.get(&id).map(|vm| vm.uuid))
    }

    fn datastore(&self, id: DatastoreId) -> String {
        self.registry.datastores.get(&id).map_or_else(|| id.to_string(), |named| named.name.clone())
    }

    fn network(&self, id: NetworkId) -> String {
        self.registry.networks.get(&id).map_or_else(|| id.to_string(), |named| named.name.clone())
    }

    fn feature(&self, id: FeatureId) -> String {
        let mut needs = self.vms.values().flat_map(|vm| &vm.definition.needs);
        needs.find(|need| FeatureId::of(need) == id).map_or_else(|| id.to_string(), Clone::clone)
    }

    fn fence(&self, id: FenceId) -> String {
        let name = self.registry.fences.get(&id).map(|entry| &entry.name);
        name.or_else(|| self.registry.former.fences.get(&id)).map_or_else(|| id.to_string(), Clone::clone)
    }
}

/// The names of everything in a cluster, for those who have no log at hand.
#[derive(Debug, Clone, Default)]
pub struct NameList {
    /// Hosts, witnesses too.
    pub hosts: BTreeMap<HostId, String>,
    /// VMs.
    pub vms: BTreeMap<VmId, String>,
    /// Datastores.
    pub datastores: BTreeMap<DatastoreId, String>,
    /// Guests' networks.
    pub networks: BTreeMap<NetworkId, String>,
    /// Fence devices.
    pub fences: BTreeMap<FenceId, String>,
    /// By what hypervisors know VMs.
    pub uuids: BTreeMap<VmId, u128>,
}

impl NameList {
    /// The names that the log holds.
    pub fn of(state: &ClusterState) -> NameList {
        let registry = &state.registry;
        let former = &registry.former;
        let hosts = state.hosts.iter().map(|(id, host)| (*id, host.name.clone()));
        let vms = state.vms.iter().map(|(id, vm)| (*id, vm.definition.name.clone()));
        let uuids = state.vms.iter().map(|(id, vm)| (*id, vm.definition.uuid));
        let fences = registry.fences.iter().map(|(id, entry)| (*id, entry.name.clone()));
        NameList {
            hosts: former.hosts.iter().map(|(id, name)| (*id, name.clone())).chain(hosts).collect(),
            vms: former.vms.iter().map(|(id, vm)| (*id, vm.name.clone())).chain(vms).collect(),
            datastores: registry.datastores.iter().map(|(id, named)| (*id, named.name.clone())).collect(),
            networks: registry.networks.iter().map(|(id, named)| (*id, named.name.clone())).collect(),
            uuids: former.vms.iter().map(|(id, vm)| (*id, vm.uuid)).chain(uuids).collect(),
            fences: former.fences.iter().map(|(id, name)| (*id, name.clone())).chain(fences).collect(),
        }
    }
}

impl Names for NameList {
    fn host(&self, id: HostId) -> String {
        self.hosts.get(&id).cloned().unwrap_or_else(|| removed(self.hosts.values(), id))
    }

    fn vm(&self, id: VmId) -> String {
        self.vms.get(&id).cloned().unwrap_or_else(|| removed(self.vms.values(), id))
    }

    fn uuid(&self, id: VmId) -> Option<u128> {
        self.uuids.get(&id).copied()
    }

    fn datastore(&self, id: DatastoreId) -> String {
        self.datastores.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn network(&self, id: NetworkId) -> String {
        self.networks.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn fence(&self, id: FenceId) -> String {
        self.fences.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

/// What is not there any more. Its bare number might read like another's name.
fn removed<'a>(mut known: impl Iterator<Item = &'a String>, id: impl ToString) -> String {
    let number = id.to_string();
    if known.any(|name| *name == number) { format!("removed {number}") } else { number }
}
