//! Persist, then send, then act: what must be on disk first holds back what follows it.
//!
//! A node's actions are carried out in their order, and nothing before the writes ahead of it are on stable storage. The
//! loop does not stand still for the disk, though: while a write is under way, what follows waits here. Only what stops
//! VMs or keeps the watchdog content goes past, for it makes no claim that a lost write could belie, and a disk that
//! hangs must not keep a host from letting its VMs go.

use crate::core::action::{Action, WatchdogOp};
use crate::core::time::Instant;
use crate::node::NodeAction;
use std::collections::VecDeque;
use thiserror::Error;

/// So many actions wait at most. A disk that hangs for that long is as good as lost.
const LIMIT: usize = 65_536;

/// Names a write that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Barrier(u64);

/// The disk has been silent for too long.
#[derive(Debug, Error)]
#[error("the disk has taken no write for so long that {LIMIT} actions wait for it; the agent ends")]
pub(super) struct Overfull;

/// Actions that wait for writes.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: VecDeque<Held>,
    last: u64,
    /// Whether the watchdog's opening is among what waits: feeding one that is not open yet means nothing.
    opening: u32,
}

#[derive(Debug)]
enum Held {
    Write(Barrier),
    /// With when it was to be done.
    Action(Box<NodeAction>, Instant),
}

impl Gate {
    /// Holds back what follows until this write is on disk.
    pub(super) fn hold(&mut self) -> Barrier {
        self.last += 1;
        let barrier = Barrier(self.last);
        self.waiting.push_back(Held::Write(barrier));
        barrier
    }

    /// Lets an action pass at once, or keeps it.
    pub(super) fn pass(&mut self, now: Instant, action: NodeAction) -> Result<Option<NodeAction>, Overfull> {
        if self.waiting.is_empty() || self.goes_past(&action) {
            return Ok(Some(action));
        }
        if self.waiting.len() >= LIMIT {
            return Err(Overfull);
        }
        self.opening += u32::from(is_opening(&action));
        self.waiting.push_back(Held::Action(Box::new(action), now));
        Ok(None)
    }

    fn goes_past(&self, action: &NodeAction) -> bool {
        match action {
            NodeAction::Core(Action::Kill(_) | Action::Reboot | Action::Note(_)) => true,
            NodeAction::Core(Action::Watchdog(WatchdogOp::Feed)) => self.opening == 0,
            _ => false,
        }
    }

    /// A write is on disk: what waited for it and for none before it may go, each with since when it waited.
    pub(super) fn written(&mut self, barrier: Barrier) -> Vec<(NodeAction, Instant)> {
        self.waiting.retain(|held| !matches!(held, Held::Write(other) if *other == barrier));
        let mut free = Vec::new();
        while let Some(Held::Action(..)) = self.waiting.front() {
            if let Some(Held::Action(action, since)) = self.waiting.pop_front() {
                self.opening -= u32::from(is_opening(&action));
                free.push((*action, since));
            }
        }
        free
    }

    /// How many actions wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn is_opening(action: &NodeAction) -> bool {
    matches!(action, NodeAction::Core(Action::Watchdog(WatchdogOp::Open)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{Address, VmId};

    fn ping(to: u32) -> NodeAction {
        NodeAction::Core(Action::Ping { to: Address(to) })
    }

    fn kill() -> NodeAction {
        NodeAction::Core(Action::Kill(VmId(1)))
    }

    fn watchdog(op: WatchdogOp) -> NodeAction {
        NodeAction::Core(Action::Watchdog(op))
    }

    fn pings(actions: &[(NodeAction, Instant)]) -> Vec<u32> {
        let number = |(action, _): &(NodeAction, Instant)| match action {
            NodeAction::Core(Action::Ping { to }) => Some(to.0),
            _ => None,
        };
        actions.iter().filter_map(number).collect()
    }

    #[test]
    fn what_follows_a_write_waits_for_it_and_keeps_its_order() {
        let mut gate = Gate::default();
        assert!(gate.pass(Instant::ZERO, ping(1)).unwrap().is_some());
        let first = gate.hold();
        assert!(gate.pass(Instant::ZERO, ping(2)).unwrap().is_none());
        let second = gate.hold();
        assert!(gate.pass(Instant::ZERO, ping(3)).unwrap().is_none());
        assert!(gate.written(second).is_empty());
        assert_eq!(pings(&gate.written(first)), [2, 3]);
        assert!(gate.pass(Instant::ZERO, ping(4)).unwrap().is_some());
    }

    #[test]
    fn a_later_write_does_not_free_what_waits_for_an_earlier_one() {
        let mut gate = Gate::default();
        let first = gate.hold();
        gate.pass(Instant::ZERO, ping(1)).unwrap();
        let second = gate.hold();
        gate.pass(Instant::ZERO, ping(2)).unwrap();
        assert_eq!(pings(&gate.written(first)), [1]);
        assert_eq!(gate.len(), 2);
        assert_eq!(pings(&gate.written(second)), [2]);
    }

    #[test]
    fn a_kill_waits_for_no_disk_and_a_feeding_only_for_the_opening() {
        let mut gate = Gate::default();
        let barrier = gate.hold();
        assert!(gate.pass(Instant::ZERO, kill()).unwrap().is_some());
        assert!(gate.pass(Instant::ZERO, watchdog(WatchdogOp::Feed)).unwrap().is_some());
        assert!(gate.pass(Instant::ZERO, watchdog(WatchdogOp::Open)).unwrap().is_none());
        assert!(gate.pass(Instant::ZERO, watchdog(WatchdogOp::Feed)).unwrap().is_none());
        assert_eq!(gate.written(barrier).len(), 2);
        gate.hold();
        assert!(gate.pass(Instant::ZERO, watchdog(WatchdogOp::Feed)).unwrap().is_some());
    }

    #[test]
    fn it_does_not_hold_without_end() {
        let mut gate = Gate::default();
        gate.hold();
        let full = (0..LIMIT as u32 + 1).find(|number| gate.pass(Instant::ZERO, ping(*number)).is_err());
        assert_eq!(full, Some(LIMIT as u32 - 1));
    }
}
