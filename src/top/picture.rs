//! What the interface says of a cluster at one time.

use crate::api::{ClusterView, EventView, HostNow, HostView, VmNow, VmView};
use std::collections::BTreeMap;

/// The cluster at one time.
#[derive(Debug, Clone)]
pub struct Picture {
    /// As a whole.
    pub cluster: ClusterView,
    /// Its hosts.
    pub hosts: Vec<HostView>,
    /// Its VMs.
    pub vms: Vec<VmView>,
    /// What each host uses.
    pub load: Vec<HostNow>,
    /// What happened last, the newest at the end.
    pub events: Vec<EventView>,
    /// Who told it, if there is no master: what it knows may be old.
    pub known_by: Option<String>,
}

impl Picture {
    /// What each host uses, by its name.
    pub(super) fn host_load(&self) -> BTreeMap<&str, &HostNow> {
        self.load.iter().map(|host| (host.name.as_str(), host)).collect()
    }

    /// What each VM uses, by its name. While it moves two hosts have it: the one that runs it uses more.
    pub(super) fn vm_load(&self) -> BTreeMap<&str, &VmNow> {
        let mut load: BTreeMap<&str, &VmNow> = BTreeMap::new();
        for vm in self.load.iter().flat_map(|host| &host.vms) {
            let known = load.entry(vm.name.as_str()).or_insert(vm);
            if vm.busy_millicores > known.busy_millicores {
                *known = vm;
            }
        }
        load
    }
}
