//! The names of things: people read names, the core counts numbers.

use crate::core::ids::{DatastoreId, FenceId, HostId, NetworkId, VmId, VoterId};
use crate::core::state::ClusterState;
use std::collections::BTreeMap;

/// The names of everything in a cluster.
#[derive(Debug, Clone, Default)]
pub struct Names {
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
}

impl Names {
    /// The names that the log holds.
    pub fn of(state: &ClusterState) -> Names {
        let registry = &state.registry;
        let former = &registry.former;
        let hosts = state.hosts.iter().map(|(id, host)| (*id, host.name.clone()));
        let vms = state.vms.iter().map(|(id, vm)| (*id, vm.definition.name.clone()));
        Names {
            hosts: former.hosts.iter().map(|(id, name)| (*id, name.clone())).chain(hosts).collect(),
            vms: former.vms.iter().map(|(id, vm)| (*id, vm.name.clone())).chain(vms).collect(),
            datastores: registry.datastores.iter().map(|(id, named)| (*id, named.name.clone())).collect(),
            networks: registry.networks.iter().map(|(id, named)| (*id, named.name.clone())).collect(),
            fences: registry.fences.iter().map(|(id, entry)| (*id, entry.name.clone())).collect(),
        }
    }

    /// A host's name.
    pub fn host(&self, id: HostId) -> String {
        self.hosts.get(&id).cloned().unwrap_or_else(|| removed(&self.hosts, id))
    }

    /// A VM's name.
    pub fn vm(&self, id: VmId) -> String {
        self.vms.get(&id).cloned().unwrap_or_else(|| removed(&self.vms, id))
    }

    /// A datastore's name.
    pub fn datastore(&self, id: DatastoreId) -> String {
        self.datastores.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A network's name.
    pub fn network(&self, id: NetworkId) -> String {
        self.networks.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A fence device's name.
    pub fn fence(&self, id: FenceId) -> String {
        self.fences.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A voter's name. Stores have none but their number, which grows with each store that is replaced.
    pub fn voter(&self, id: VoterId) -> String {
        id.to_string()
    }
}

/// What is not there any more. Its bare number might read like another's name.
fn removed<Id>(known: &BTreeMap<Id, String>, id: impl ToString) -> String {
    let number = id.to_string();
    if known.values().any(|name| *name == number) { format!("removed {number}") } else { number }
}
