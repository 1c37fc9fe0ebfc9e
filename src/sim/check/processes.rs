//! I1: no VM's processors run on two machines, and no two processes may write its disks.

use super::Found;
use crate::core::action::ProcessState;
use crate::core::ids::{Epoch, HostId, VmId};
use std::collections::BTreeMap;

/// Every process of every VM, by the machine on which it is.
#[derive(Debug, Default)]
pub(super) struct Processes(BTreeMap<VmId, BTreeMap<usize, Process>>);

/// A process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pub(super) host: HostId,
    pub(super) state: ProcessState,
    writes: Writes,
    pub(super) epoch: Epoch,
    /// Whether people brought it here while nobody had to let it in.
    theirs: bool,
    /// Since when it is in this state, in true time.
    pub(super) since: u64,
}

/// What is seen of a process.
pub(super) struct Seen {
    pub(super) process: (HostId, Option<ProcessState>, Option<Epoch>),
    /// Whether people brought it here while nobody had to let it in.
    pub(super) theirs: bool,
    /// When its start was called for, if an agent did.
    pub(super) called: Option<u64>,
}

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
        now: u64,
        vm: VmId,
        machine: usize,
        seen: Seen,
        found: Option<&mut Found>,
    ) -> bool {
        let (host, state, epoch) = seen.process;
        let places = self.0.entry(vm).or_default();
        let before = places.get(&machine).map(|process| process.state);
        let wrote = places.get(&machine).map_or(Writes::Not, |process| process.writes);
        let writes = match state {
            Some(ProcessState::Executing) => Writes::Maybe,
            // What was under way when it was killed is under way still.
            Some(ProcessState::Dying) => wrote,
            Some(ProcessState::Incoming | ProcessState::Departed) | None => Writes::Not,
        };
        match state {
            Some(state) => {
                let epoch = epoch.unwrap_or(Epoch::NONE);
                let theirs = seen.theirs || places.get(&machine).is_some_and(|process| process.theirs);
                places.insert(machine, Process { host, state, writes, epoch, theirs, since: now });
            }
            None => {
                places.remove(&machine);
            }
        }
        let gained = writes == Writes::Maybe && wrote == Writes::Not;
        // Who starts by hand what is on its way up elsewhere already answers for that.
        let is_ours = |process: &Process| !process.theirs || process.since <= seen.called.unwrap_or(now);
        let mut others = places
            .iter()
            .filter(|(other, process)| **other != machine && process.writes == Writes::Maybe && is_ours(process));
        if let (true, Some((_, other)), Some(found)) = (gained, others.next_back(), found) {
            let verb = match other.state {
                ProcessState::Dying => "may still write on",
                _ => "executes on",
            };
            found.add("I1", format!("{vm} began to execute on {host} while it {verb} {}", other.host));
        }
        state.is_some() && before != state
    }

    /// The processes of a VM, by machine.
    pub(super) fn of(&self, vm: VmId) -> impl Iterator<Item = (usize, &Process)> {
        self.0.get(&vm).into_iter().flatten().map(|(machine, process)| (*machine, process))
    }

    /// The processes on a machine.
    pub(super) fn on(&self, machine: usize) -> impl Iterator<Item = (VmId, &Process)> {
        self.0.iter().filter_map(move |(vm, places)| Some((*vm, places.get(&machine)?)))
    }

    /// Whether the VM's processors run anywhere.
    pub(super) fn executes(&self, vm: VmId) -> bool {
        let places = self.0.get(&vm);
        places.is_some_and(|places| places.values().any(|process| process.state == ProcessState::Executing))
    }
}
