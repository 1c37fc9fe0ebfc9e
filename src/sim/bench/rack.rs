//! A large cluster of which a rack dies at once.

use crate::core::command::Want;
use crate::core::ids::{Address, BootId, ConfigVersion, DatastoreId, Epoch, Generation, HostId, NetworkId, VmId};
use crate::core::message::Guards;
use crate::core::placement::{Candidate, Demand, Plan, plan, usage};
use crate::core::reason::Unfit;
use crate::core::state::{ClusterState, Holder, Host, Life, Response, Role, Standing, Vm, VmDefinition};
use std::collections::{BTreeMap, BTreeSet};

/// A cluster, and those of its hosts that die at once.
#[derive(Debug, Clone)]
pub struct RackExample {
    /// The cluster as the log has it just before.
    pub state: ClusterState,
    /// The hosts of one rack.
    pub dead: BTreeSet<HostId>,
}

/// A cluster of so many hosts, `rack` of them to a failure domain, with so many VMs spread evenly over them, of which
/// the last rack dies. The documented figures are those of 1,000 hosts, 20,000 VMs and racks of 40.
///
/// Hosts of three makes and VMs of six sizes are mixed, so that few hosts are filled alike; with 20 VMs a
/// host is about a third full, and none is overcommitted. Storage and networks are reached from everywhere, as in one large cluster with a common fabric.
pub fn rack_example(hosts: u32, vms: u32, rack: u32) -> RackExample {
    let (hosts, rack) = (hosts.max(1), rack.max(1));
    let state = ClusterState {
        hosts: (0..hosts).map(|number| (HostId(number), example_host(number, number / rack))).collect(),
        vms: (0..vms).map(|number| (VmId(number), example_vm(number, HostId(number % hosts)))).collect(),
        ..ClusterState::default()
    };
    let dead = (0..hosts).filter(|number| number / rack == (hosts - 1) / rack).map(HostId).collect();
    RackExample { state, dead }
}

impl RackExample {
    /// What `holdfast plan --fail` does: the dead are taken away, and the VMs that they hold are demanded.
    pub fn plan(&self) -> Plan {
        let usage = usage(&self.state);
        let nothing = BTreeSet::new();
        let alive = |host, _: &Host| if self.dead.contains(&host) { Err(Unfit::NotAlive) } else { Ok(&nothing) };
        let candidates = Candidate::all(&self.state, &usage, alive);
        let lost = |vm: &&Vm| vm.holders.keys().all(|host| self.dead.contains(host));
        let demands: Vec<_> = self.state.vms.values().filter(lost).map(|vm| Demand::of(&self.state, vm)).collect();
        plan(&candidates, &demands, &self.state.policy)
    }
}

fn example_host(number: u32, rack: u32) -> Host {
    // Memory in GiB and cores of three generations of machines.
    let (gibibytes, cores) = [(384, 64), (512, 96), (768, 128)][number as usize % 3];
    Host {
        name: format!("host-{number:04}"),
        uuid: 0x1000_0000 + u128::from(number),
        address: Address(number),
        endpoints: Vec::new(),
        fingerprint: Default::default(),
        failure_domain: format!("rack-{rack:02}"),
        tags: BTreeSet::new(),
        memory_mib: gibibytes * 1024,
        millicores: cores * 1000,
        fences: Vec::new(),
        generation: Generation(1),
        life: Life {
            boot: BootId(u64::from(number) + 1),
            session: 1,
            guards: Guards::default(),
            disarmed: false,
            hardware: 0,
            renewal_set: (0..2).map(DatastoreId).collect(),
            datastores: (0..16).map(DatastoreId).collect(),
            networks: (0..32).map(NetworkId).collect(),
        },
        standing: Standing::Admitted,
        past_boots: Vec::new(),
        acknowledged: ConfigVersion(1),
        quarantined: false,
        accounted: true,
        leaving: false,
        drilled: BTreeMap::new(),
    }
}

fn example_vm(number: u32, host: HostId) -> Vm {
    // The number is stirred first, so that sizes do not repeat in step with the hosts.
    let stirred = number.wrapping_mul(0x9E37_79B9) >> 16;
    let (gibibytes, millicores) =
        [(2, 500), (4, 1000), (4, 2000), (8, 2000), (16, 4000), (24, 4000)][stirred as usize % 6];
    let small = u16::try_from(stirred % 16).unwrap_or_default();
    let definition = VmDefinition {
        id: VmId(number),
        name: format!("vm-{number:05}"),
        uuid: 0x2000_0000 + u128::from(number),
        memory_mib: gibibytes * 1024,
        millicores,
        datastores: [DatastoreId(small), DatastoreId(small / 2)].into(),
        networks: [NetworkId(small), NetworkId(small + 16)].into(),
        response: Response::Restart,
        priority: [50, 100, 100, 100, 200][stirred as usize % 5],
        home: None,
        locked: false,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: Default::default(),
    };
    let holder = Holder {
        boot: BootId(u64::from(host.0) + 1),
        generation: Generation(1),
        epoch: Epoch { number: u64::from(number) + 1, ..Epoch::NONE },
        role: Role::Running,
        config: ConfigVersion(1),
    };
    Vm {
        epoch: holder.epoch,
        holders: BTreeMap::from([(host, holder)]),
        started_before: true,
        ..Vm::new(definition, Want::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::placement::usage;

    #[test]
    fn a_dead_rack_is_placed_whole() {
        let example = rack_example(1_000, 20_000, 40);
        assert_eq!(example.dead.len(), 40);
        let first = example.plan();
        let mut usage = usage(&example.state);
        assert_eq!((first.placed.len(), first.queued.len(), first.unplaced.len()), (800, 0, 0));
        for (vm, host) in &first.placed {
            assert!(!example.dead.contains(host), "{vm} was placed on the dead {host}");
            usage.entry(*host).or_default().add(&example.state.vms[vm].definition, Role::Starting);
        }
        for (id, usage) in &usage {
            let host = &example.state.hosts[id];
            assert!(usage.memory_mib <= host.memory_mib && usage.millicores <= host.millicores, "{id}: {usage:?}");
            assert!(usage.starting <= example.state.policy.parallel_starts, "{id}: {usage:?}");
        }
        let urgency = |vm: &VmId| {
            let definition = &example.state.vms[vm].definition;
            (std::cmp::Reverse(definition.priority), std::cmp::Reverse(definition.memory_mib), *vm)
        };
        assert!(first.placed.is_sorted_by_key(|(vm, _)| urgency(vm)));
        assert_eq!(first, example.plan());
    }
}
