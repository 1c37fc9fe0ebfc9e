//! What is to come, in order of true time.

use crate::core::action::{GuestAnswer, ProcessState, Request};
use crate::core::ids::{Address, FenceId, Ticket, VmId};
use crate::node::Packet;
use crate::sim::fault::Fault;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that comes at its time. Where a `life` stands, it is void once the machine has lost that life.
#[derive(Debug, Clone)]
pub(super) enum Occurrence {
    /// A node's deadline may have come.
    Wake(usize),
    /// A fault befalls the world.
    Fault(Box<Fault>),
    /// A packet arrives.
    Packet { to: usize, from: Address, packet: Box<Packet> },
    /// A ping arrives; the answer, if any, goes back.
    Ping { to: usize, from: usize },
    /// The answer to a ping arrives.
    Pong { to: usize, from: usize },
    /// A machine that got power is ready to start its agent.
    Booted { machine: usize, life: u32 },
    /// A machine gets power.
    PowerReturns(usize),
    /// A machine that stood still may go on.
    Thaw(usize),
    /// An agent that stood still may go on.
    Unhang(usize),
    /// An agent's process starts.
    AgentStart { machine: usize, life: u32 },
    /// An agent that was asked to make room for a newer one ends, ready or not.
    UpgradeEnds { machine: usize, session: u64 },
    /// A watchdog's time may be up.
    Watchdog(usize),
    /// The first operation in a machine's queue to a datastore ends.
    Io { machine: usize, life: u32, datastore: usize },
    /// The first batch in a voter disk's queue is synced.
    Disk { machine: usize, sync: u64 },
    /// A node whose write failed may read its store anew, if the disk takes writes again.
    Reload { machine: usize, session: u64 },
    /// A call to a hypervisor comes to its end.
    Call { machine: usize, life: u32, call: u64 },
    /// A process that was killed may be gone.
    Reaped { machine: usize, life: u32, vm: VmId, serial: u64 },
    /// A hypervisor's daemon may answer again.
    Daemon { machine: usize, life: u32 },
    /// A hook has waited long enough.
    HookExpires(Ticket),
    /// A guest has answered, or has not in time.
    GuestAnswers { machine: usize, life: u32, session: u64, ticket: Ticket, answer: GuestAnswer },
    /// A live migration has copied everything.
    Switch(u64),
    /// The first operation in a fence device's queue ends.
    Fence(FenceId),
    /// A fence device cuts a machine's power, as it was told some time ago.
    FenceCuts(usize),
    /// A fence device could not be reached.
    FenceGivenUp { machine: usize, session: u64, ticket: Ticket },
    /// An operator's client has waited long enough for a reply.
    ReplyOverdue { ticket: Ticket, attempt: u32 },
    /// An operator asks the cluster.
    Asks(Box<Request>),
    /// A second machine with a host's UUID goes away.
    TwinLeaves(usize),
    /// A machine that is being shut down looks whether its guests are gone.
    ShuttingDown { machine: usize, life: u32, give_up: u64, again: Option<u64> },
    /// Copies are taken that backups and roll-backs need.
    Copies,
    /// The checkers look at how things stand.
    Sample,
}

impl Occurrence {
    /// A wake comes after all else of the same moment: a node judges silence on a wake, when its inputs are read.
    fn class(&self) -> u8 {
        u8::from(matches!(self, Occurrence::Wake(_)))
    }
}

/// The queue. The heap holds small keys and what is to come lies in a table, so that little is moved about.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u8, u64, u32)>>,
    table: Vec<Option<Occurrence>>,
    free: Vec<u32>,
    inserted: u64,
}

impl Queue {
    /// Puts something in.
    pub(super) fn push(&mut self, at: u64, occurrence: Occurrence) {
        let class = occurrence.class();
        let place = match self.free.pop() {
            Some(place) => {
                self.table[place as usize] = Some(occurrence);
                place
            }
            None => {
                self.table.push(Some(occurrence));
                (self.table.len() - 1) as u32
            }
        };
        self.inserted += 1;
        self.heap.push(Reverse((at, class, self.inserted, place)));
    }

    /// When the next thing comes.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes out what comes next.
    pub(super) fn pop(&mut self) -> Option<(u64, Occurrence)> {
        let Reverse((at, _, _, place)) = self.heap.pop()?;
        let occurrence = self.table[place as usize].take()?;
        self.free.push(place);
        Some((at, occurrence))
    }
}

/// Whether a process in this state may write to its disks: one that waits for a migration to arrive does not yet.
pub(super) fn may_write(state: ProcessState) -> bool {
    matches!(state, ProcessState::Executing | ProcessState::Dying)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_the_same_moment_come_before_the_wake() {
        let mut queue = Queue::default();
        queue.push(5, Occurrence::Wake(0));
        queue.push(5, Occurrence::Copies);
        queue.push(4, Occurrence::Sample);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(at, _)| at).collect();
        assert_eq!(order, [4, 5, 5]);
        queue.push(5, Occurrence::Wake(0));
        queue.push(5, Occurrence::Copies);
        assert!(matches!(queue.pop(), Some((5, Occurrence::Copies))));
    }
}
