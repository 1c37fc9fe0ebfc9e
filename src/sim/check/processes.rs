//! I1: no VM's processors run on two machines, and no two processes may write its disks.

use super::Found;
use crate::core::action::ProcessState;
use crate::core::ids::{HostId, VmId};
use std::collections::BTreeMap;

/// Every process of every VM, by the machine on which it is.
#[derive(Debug, Default)]
pub(super) struct Processes(BTreeMap<VmId, BTreeMap<usize, (HostId, ProcessState)>>);

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
        let before = places.get(&machine).map(|(_, state)| *state);
        match state {
            Some(state) => places.insert(machine, (host, state)),
            None => places.remove(&machine),
        };
        let gained = state.is_some_and(may_write) && !before.is_some_and(may_write);
        let mut others = places.iter().filter(|(other, (_, state))| **other != machine && may_write(*state));
        if let (true, Some((_, (other, state))), Some(found)) = (gained, others.next_back(), found) {
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
        places.is_some_and(|places| places.values().any(|(_, state)| *state == ProcessState::Executing))
    }
}

/// A process that was killed may have writes under way; one that waits for a migration has none yet.
fn may_write(state: ProcessState) -> bool {
    matches!(state, ProcessState::Executing | ProcessState::Dying)
}
