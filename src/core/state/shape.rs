//! What a VM is by its hypervisor's word, and whose word counts.

use super::{Change, ClusterState, Role, Vm, VmDefinition};
use crate::core::ids::{DatastoreId, HostId, Incarnation, VmId};
use crate::core::reason::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a hypervisor says of a VM: all of a definition that no person decides in this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Its CPU, in thousandths of a core.
    pub millicores: u64,
    /// The datastores that hold its disks.
    pub datastores: BTreeSet<DatastoreId>,
    /// What a host must have for it besides, by name.
    pub needs: BTreeSet<String>,
    /// Why only the host that it last ran on can run it; empty: others can.
    pub bonds: Vec<String>,
    /// Whether the hypervisor has no definition of it that outlives its process.
    pub is_transient: bool,
    /// What the hypervisor needs to know of it, in its own words.
    pub payload: Arc<[u8]>,
}

impl Vm {
    /// Whether the definition on this host is the one that counts: that of the one that runs it, or else that of the
    /// last one that did.
    fn is_defined_by(&self, host: HostId) -> bool {
        match self.holders.is_empty() {
            true => self.seat.or(self.definition.home) == Some(host),
            false => self.holders.get(&host).is_some_and(|holder| holder.role == Role::Running),
        }
    }
}

impl ClusterState {
    /// The hypervisor of a host says what a VM is.
    pub(super) fn redefine(
        &mut self,
        id: VmId,
        source: Incarnation,
        shape: &Shape,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let definition = self.redefined(id, source, shape)?.ok_or(Refusal::NothingToDo)?;
        let vm = self.vm_mut(id)?;
        vm.definition = definition;
        vm.version += 1;
        // What it failed for may be mended.
        vm.attempts = 0;
        vm.gave_up = false;
        changes.push(Change::Vm(id));
        Ok(())
    }

    /// What a VM would be by a hypervisor's word; none: it is that already.
    pub fn redefined(&self, id: VmId, source: Incarnation, shape: &Shape) -> Result<Option<VmDefinition>, Refusal> {
        if !self.is_admitted(source) {
            return Err(Refusal::OtherIncarnation);
        }
        let vm = self.vms.get(&id).filter(|vm| vm.protected).ok_or(Refusal::NoSuchThing)?;
        if !vm.is_defined_by(source.host) {
            return Err(Refusal::NotWanted);
        }
        let Shape { name, memory_mib, millicores, datastores, needs, bonds, is_transient, payload } = shape.clone();
        let is_namesake = |other: &Vm| other.definition.name == name && other.definition.uuid != vm.definition.uuid;
        // Names are for people: that another VM has it is no reason not to know what this one has become.
        let name = if self.vms.values().any(is_namesake) { vm.definition.name.clone() } else { name };
        let definition = VmDefinition {
            name,
            memory_mib,
            millicores,
            datastores,
            needs,
            bonds,
            is_transient,
            payload,
            ..vm.definition.clone()
        };
        Ok(Some(definition).filter(|definition| *definition != vm.definition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::{Command, Want};
    use crate::core::ids::{Epoch, LogIndex};
    use crate::core::state::{Holder, Host, Newcomer, Standing};

    const VM: VmId = VmId(1);

    fn state() -> ClusterState {
        let host = |number| {
            let host = Host { standing: Standing::Admitted, ..Newcomer::default().host(HostId(number)) };
            (HostId(number), host)
        };
        let mut vm = Vm::new(VmDefinition::plain(VM), Want::Running);
        vm.seat = Some(HostId(1));
        ClusterState { hosts: [host(1), host(2)].into(), vms: [(VM, vm)].into(), ..ClusterState::default() }
    }

    fn shape(name: &str, memory_mib: u64) -> Shape {
        let VmDefinition { millicores, datastores, needs, bonds, is_transient, payload, .. } = VmDefinition::plain(VM);
        Shape { name: name.to_owned(), memory_mib, millicores, datastores, needs, bonds, is_transient, payload }
    }

    fn said(state: &mut ClusterState, host: u32, shape: Shape) -> Option<Refusal> {
        let source = state.incarnation(HostId(host)).unwrap();
        state.apply(LogIndex(1), &Command::Redefine { vm: VM, source, shape: Box::new(shape) }).refused
    }

    #[test]
    fn a_vm_is_what_its_last_host_says() {
        let mut state = state();
        assert_eq!(said(&mut state, 2, shape("vm-1", 64)), Some(Refusal::NotWanted));
        assert_eq!(said(&mut state, 1, shape("vm-1", 64)), None);
        assert_eq!(state.vms[&VM].definition.memory_mib, 64);
        assert_eq!(said(&mut state, 1, shape("vm-1", 64)), Some(Refusal::NothingToDo));
        // While one holds it, that one's word counts, and only when it is known to run there.
        let holder = |role| Holder {
            boot: Default::default(),
            generation: Default::default(),
            epoch: Epoch::NONE,
            role,
            config: Default::default(),
        };
        state.vms.get_mut(&VM).unwrap().holders = [(HostId(2), holder(Role::Starting))].into();
        assert_eq!(said(&mut state, 1, shape("vm-1", 65)), Some(Refusal::NotWanted));
        assert_eq!(said(&mut state, 2, shape("vm-1", 65)), Some(Refusal::NotWanted));
        state.vms.get_mut(&VM).unwrap().holders = [(HostId(2), holder(Role::Running))].into();
        assert_eq!(said(&mut state, 2, shape("vm-1", 65)), None);
    }

    #[test]
    fn a_name_that_is_taken_hides_nothing_else() {
        let mut state = state();
        let other = VmDefinition { name: "web".to_owned(), ..VmDefinition::plain(VmId(2)) };
        state.vms.insert(VmId(2), Vm::new(other, Want::Running));
        assert_eq!(said(&mut state, 1, shape("web", 64)), None);
        assert_eq!((state.vms[&VM].definition.name.as_str(), state.vms[&VM].definition.memory_mib), ("vm-1", 64));
    }
}
