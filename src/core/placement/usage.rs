//! How much of each host is spoken for.

use crate::core::ids::HostId;
use crate::core::state::{ClusterState, Host, Role, VmDefinition};
use std::collections::BTreeMap;

/// How much of a host is spoken for.
///
/// Every holder counts in full, whatever its role: a host that may start a VM, or that receives one, needs the room as
/// much as one that runs it, and where nobody knows, the VM must be presumed to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// CPU, in thousandths of a core.
    pub millicores: u64,
    /// How many VMs it holds.
    pub vms: u32,
    /// How many of them it is starting.
    pub starting: u32,
}

impl Usage {
    /// Counts a VM that the host now holds in this role.
    ///
    /// The sums stop at their greatest value instead of wrapping round: a wrapped sum would look like free room.
    pub fn add(&mut self, definition: &VmDefinition, role: Role) {
        self.memory_mib = self.memory_mib.saturating_add(definition.memory_mib);
        self.millicores = self.millicores.saturating_add(definition.millicores);
        self.vms = self.vms.saturating_add(1);
        self.starting = self.starting.saturating_add(starts(role));
    }

    /// Takes back an [`add`](Usage::add) of the same definition and role. A holder whose role changes, or whose
    /// definition does, is removed as what it was and added as what it is.
    pub fn remove(&mut self, definition: &VmDefinition, role: Role) {
        self.memory_mib = self.memory_mib.saturating_sub(definition.memory_mib);
        self.millicores = self.millicores.saturating_sub(definition.millicores);
        self.vms = self.vms.saturating_sub(1);
        self.starting = self.starting.saturating_sub(starts(role));
    }

    /// The memory that is left on the host, in MiB; none if it is overcommitted.
    pub fn free_mib(&self, host: &Host) -> u64 {
        host.memory_mib.saturating_sub(self.memory_mib)
    }

    /// The CPU that is left on the host, in thousandths of a core; none if it is overcommitted.
    pub fn free_millicores(&self, host: &Host) -> u64 {
        host.millicores.saturating_sub(self.millicores)
    }
}

/// What is spoken for on every host, counted from the holders. It is for a fresh start: a master that goes on keeps it
/// up to date with [`Usage::add`] and [`Usage::remove`].
pub fn usage(state: &ClusterState) -> BTreeMap<HostId, Usage> {
    let mut usage: BTreeMap<HostId, Usage> = state.hosts.keys().map(|&host| (host, Usage::default())).collect();
    for vm in state.vms.values() {
        for (&host, holder) in &vm.holders {
            usage.entry(host).or_default().add(&vm.definition, holder.role);
        }
    }
    usage
}

/// What a holder adds to the starts under way. A VM that arrives by live migration is no start: its processors run
/// elsewhere meanwhile, and nobody waits for it.
fn starts(role: Role) -> u32 {
    match role {
        Role::Starting => 1,
        Role::Running | Role::Incoming | Role::Outgoing | Role::Unaccounted => 0,
    }
}
