//! What was removed.

use super::Named;
use crate::core::ids::{FenceId, HostId, VmId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many things of each kind that were removed are remembered, the youngest ones: the state must stay small.
const REMEMBERED: usize = 10_000;

/// Hosts and VMs that were removed: history names them, and one that comes back is known for what it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Former {
    /// Hosts, by their numbers; one that joins anew gets a new one.
    pub hosts: BTreeMap<HostId, String>,
    /// Fence devices.
    pub fences: BTreeMap<FenceId, String>,
    /// VMs, by their numbers. A process of one may run on somewhere, and must be known for what it is if the VM comes
    /// under protection again; so it keeps its number.
    pub vms: BTreeMap<VmId, Named>,
    /// The greatest number that a VM ever had.
    pub last_vm: VmId,
}

impl Former {
    pub(super) fn keep_host(&mut self, id: HostId, name: String) {
        self.hosts.insert(id, name);
        if self.hosts.len() > REMEMBERED {
            self.hosts.pop_first();
        }
    }

    pub(super) fn keep_fence(&mut self, id: FenceId, name: String) {
        self.fences.insert(id, name);
        if self.fences.len() > REMEMBERED {
            self.fences.pop_first();
        }
    }

    pub(super) fn keep_vm(&mut self, id: VmId, name: String, uuid: u128) {
        self.vms.insert(id, Named { name, uuid });
        if self.vms.len() > REMEMBERED {
            self.vms.pop_first();
        }
    }
}
