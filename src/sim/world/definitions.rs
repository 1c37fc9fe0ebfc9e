//! What hypervisors have for definitions: people edit them, migrations take them along, and each daemon tells its agent
//! of what is new.
//!
//! Of all that a definition holds, this world knows only which edit it stems from.

use crate::core::action::{Ended, Event, PlatformEvent};
use crate::core::ids::VmId;
use crate::core::reason::Refusal;
use crate::core::state::Shape;
use crate::node::NodeEvent;
use crate::sim::world::machine::Daemon;
use crate::sim::world::state::World;
use std::sync::Arc;

/// A VM as one hypervisor knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Domain {
    /// How its last process ended.
    pub(super) ended: Ended,
    /// The edit that made it what it is; all begin with none.
    pub(super) edit: u64,
}

impl World {
    /// A person edits what a VM is, where it runs, or else where it is defined.
    pub(super) fn edit(&mut self, vm: VmId) -> Result<(), Refusal> {
        let has = |place: &usize| {
            let machine = &self.machines[*place];
            let hypervisor = &machine.hypervisor;
            machine.is_up() && hypervisor.daemon == Daemon::Up && hypervisor.definitions.contains_key(&vm)
        };
        let places: Vec<usize> = match self.executor(vm) {
            Some(place) => vec![place],
            None => (0..self.machines.len()).collect(),
        };
        let places: Vec<usize> = places.into_iter().filter(has).collect();
        let place = self.chance.people.pick(&places).copied().ok_or(Refusal::NoSuchThing)?;
        self.edits += 1;
        self.latest.insert(vm, self.edits);
        if let Some(domain) = self.machines[place].hypervisor.definitions.get_mut(&vm) {
            domain.edit = self.edits;
        }
        self.tell_definitions(place);
        Ok(())
    }

    /// The definition of a VM on a machine, which a person makes from the newest one if there is none.
    pub(super) fn domain(&mut self, machine: usize, vm: VmId) -> &mut Domain {
        let edit = self.latest.get(&vm).copied().unwrap_or(0);
        let definitions = &mut self.machines[machine].hypervisor.definitions;
        definitions.entry(vm).or_insert(Domain { ended: Ended::Unknown, edit })
    }

    /// The agent brings the log's definition. That is no news to the log.
    pub(super) fn define(&mut self, machine: usize, vm: VmId, payload: &[u8]) {
        let edit = edit_of(payload);
        self.domain(machine, vm).edit = edit;
        let agent = &mut self.machines[machine].agent;
        agent.described.insert(vm, edit);
        agent.brought.insert(vm, edit);
    }

    /// A migration has taken the definition along.
    pub(super) fn definition_moves(&mut self, vm: VmId, from: usize, to: usize) {
        let edit = self.domain(from, vm).edit;
        self.domain(to, vm).edit = edit;
        self.tell_definitions(to);
    }

    /// The agent wants to be told anew what a VM is.
    pub(super) fn describe(&mut self, machine: usize, vm: VmId, though_brought: bool) {
        let agent = &mut self.machines[machine].agent;
        if though_brought || agent.described.get(&vm) != agent.brought.get(&vm) {
            agent.described.remove(&vm);
            agent.brought.remove(&vm);
            self.tell_definitions(machine);
        }
    }

    /// The daemon tells of every protected VM what its agent was not told yet, if it tells anything.
    pub(super) fn tell_definitions(&mut self, machine: usize) {
        let target = &mut self.machines[machine];
        if target.hypervisor.daemon != Daemon::Up || !target.agent.running {
            return;
        }
        let agent = &mut target.agent;
        agent.described.retain(|vm, _| agent.store.protected.contains_key(vm));
        let mut news = Vec::new();
        for vm in agent.store.protected.keys() {
            if let Some(domain) = target.hypervisor.definitions.get(vm)
                && agent.described.insert(*vm, domain.edit) != Some(domain.edit)
            {
                news.push((*vm, domain.edit));
            }
        }
        for (vm, edit) in news {
            if let Some(shape) = self.shape(vm, edit) {
                let event = PlatformEvent::Defined { vm, shape: Arc::new(shape) };
                self.deliver(machine, NodeEvent::Core(Event::Platform(event)));
            }
        }
    }

    fn shape(&self, vm: VmId, edit: u64) -> Option<Shape> {
        let entry = self.spec.vms.iter().find(|entry| entry.definition.id == vm)?;
        let definition = entry.definition.clone();
        Some(Shape {
            name: definition.name,
            memory_mib: definition.memory_mib,
            millicores: definition.millicores,
            datastores: definition.datastores,
            needs: definition.needs,
            bonds: definition.bonds,
            is_transient: definition.is_transient,
            payload: payload(vm, edit),
        })
    }

    /// What the log should have for the definition of a VM: that of the machine on which it runs. Of several that people
    /// have started it on, none is the right one.
    pub(super) fn runs_as(&self, vm: VmId) -> Option<Arc<[u8]>> {
        let mut machines = self.machines.iter().filter(|machine| machine.executes(vm).is_some());
        let (Some(machine), None) = (machines.next(), machines.next()) else { return None };
        Some(payload(vm, machine.hypervisor.definitions.get(&vm)?.edit))
    }

    /// What a person finds who puts a VM under protection: the definition where it runs, or else the newest one.
    pub(super) fn found_as(&self, vm: VmId) -> Arc<[u8]> {
        self.runs_as(vm).unwrap_or_else(|| payload(vm, self.latest.get(&vm).copied().unwrap_or(0)))
    }
}

/// An edit in the hypervisor's own words, which are no other VM's.
fn payload(vm: VmId, edit: u64) -> Arc<[u8]> {
    match edit {
        0 => Arc::default(),
        _ => format!("{} {edit}", vm.0).into_bytes().into(),
    }
}

fn edit_of(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.split_once(' ').and_then(|(_, edit)| edit.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_read_as_it_was_written() {
        for edit in [0, 1, 77] {
            assert_eq!(edit_of(&payload(VmId(3), edit)), edit);
        }
        assert_ne!(payload(VmId(1), 12), payload(VmId(11), 2));
    }
}
