//! I1: no VM's processors run on two machines, and no two processes may write its disks.

use super::Found;
use crate::core::action::ProcessState;
use crate::core::ids::{HostId, VmId};
use std::collections::BTreeMap;

/// Every process of every VM, by the machine on which it is.
#[derive(Debug, Default)]
pub(super) struct Processes(BTreeMap<VmId, BTreeMap<usize, (HostId, ProcessState, Writes)>>);

/// Whether a process may write the VM's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    Maybe,
    /// It has waited for a migration and nothing else.
    Not,
}

impl Processes {
    /// A process changed. Whether it began to be in this state just now.
    pub(super) fn changed(
        &mut self,
        vm: VmId,
        machine: usize,
        host: HostId,
        state: Option<ProcessState>,
        found: Option<&mut Found>,
    ) -> bool {
        let places = self.0.entry(vm).or_default();
        let before = places.get(&machine).map(|(_, state, _)| *state);
        let wrote = places.get(&machine).map_or(Writes::Not, |(_, _, writes)| *writes);
        let writes = match state {
            Some(ProcessState::Executing) => Writes::Maybe,
            // What was under way when it was killed is under way still.
            Some(ProcessState::Dying) => wrote,
            Some(ProcessState::Incoming) | None => Writes::Not,
        };
        match state {
            Some(state) => places.insert(machine, (host, state, writes)),
            None => places.remove(&machine),
        };
        let gained = writes == Writes::Maybe && wrote == Writes::Not;
        let mut others = places.iter().filter(|(other, (_, _, writes))| **other != machine && *writes == Writes::Maybe);
        if let (true, Some((_, (other, state, _))), Some(found)) = (gained, others.next_back(), found) {
            let verb = match state {
                ProcessState::Dying => "may still write on",
                _ => "executes on",
            };
            found.add("I1", format!("{vm} began to execute on {host} while it {verb} {other}"));
        }
        state.is_some() && before != state
    }

    /// Whether the VM's processors run anywhere.
    pub(super) fn executes(&self, vm: VmId) -> bool {
        let places = self.0.get(&vm);
        places.is_some_and(|places| places.values().any(|(_, state, _)| *state == ProcessState::Executing))
    }
}
