//! The host's lease: what extends it, and what its end ends (rules 4 and 5).

use super::Agent;
use crate::core::action::{Action, Note, WatchdogOp};
use crate::core::ids::VmId;
use crate::core::message::{Exit, Protection, Watchdog};
use crate::core::reason::Refusal;
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::Armed;
use crate::core::time::Instant;
use std::time::Duration;

/// The lease of this run of the agent.
#[derive(Debug)]
pub(super) struct Lease {
    /// When what last extended it was sent. None while nothing was held yet, so that nothing can have to end.
    renewed: Option<Instant>,
    /// Whether an acknowledgement of the present generation has come: before that no record renews.
    acknowledged: bool,
    /// When it ended, until everything it covered is gone.
    ended: Option<Instant>,
    watchdog: WatchdogState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchdogState {
    Closed,
    Open,
    /// Never fed again: the machine goes.
    Abandoned,
}

impl Lease {
    /// The lease of an agent that starts. If VMs may run from before, their lease is an unknown part through; it is
    /// taken to have been renewed now, because an older watchdog still counts for what was missed.
    pub(super) fn starting(now: Instant, may_hold: bool) -> Lease {
        Lease { renewed: may_hold.then_some(now), acknowledged: false, ended: None, watchdog: WatchdogState::Closed }
    }

    pub(super) fn is_watchdog_open(&self) -> bool {
        self.watchdog == WatchdogState::Open
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// A new generation begins: its first lease is an acknowledgement.
    pub(super) fn begin_generation(&mut self) {
        self.acknowledged = false;
    }

    /// Whether it holds now.
    pub(super) fn holds(&self) -> bool {
        self.acknowledged && self.ended.is_none()
    }

    /// How much is left of one that lasts for `length`, if anything was held under it so far.
    pub(super) fn remaining(&self, now: Instant, length: Duration) -> Option<Duration> {
        match self.ended {
            Some(_) => Some(Duration::ZERO),
            None => self.renewed.map(|renewed| (renewed + length).since(now)),
        }
    }
}

impl Agent {
    /// Whether the end of the lease ends VMs here: exactly where the master may count on it. That it is to end soon does
    /// not matter: the master counts on it until the log says that it does not.
    pub(super) fn lease_counts(&self) -> bool {
        let hardware = matches!(self.usable_watchdog(), Watchdog::Hardware { .. });
        self.store.armed == Armed::Armed && (hardware || self.store.software_guards)
    }

    /// Whether this VM is one that the end of the lease ends.
    pub(super) fn is_leased(&self, vm: VmId) -> bool {
        self.store.protected.get(&vm).is_some_and(|known| known.protection == Protection::Lease)
    }

    /// What is held without a lease so far has one from now on: the master is about to hear that it may count on it.
    pub(super) fn begin_lease(&mut self, now: Instant) {
        if self.lease.renewed.is_none() && self.lease.ended.is_none() && !self.covered().is_empty() {
            self.lease.renewed = Some(now);
        }
    }

    /// Extends the lease from the moment at which `sent` left, if that is recent enough.
    pub(super) fn renew(&mut self, now: Instant, sent: Instant, actions: &mut Vec<Action>) {
        if now.since(sent) > self.timing.oldest_ack && !breaks(Sabotage::OldAckAccepted) {
            return self.refuse(Refusal::Stale, actions);
        }
        let from = if breaks(Sabotage::LeaseFromReceipt) { now } else { sent };
        self.lease.renewed = self.lease.renewed.max(Some(from));
        self.lease.acknowledged = true;
        if self.store.armed == Armed::Armed {
            self.open_watchdog(actions);
        }
        self.feed_watchdog(actions);
    }

    /// Ends the lease if its time has come, and takes the machine down if what it covered will not go.
    pub(super) fn check_lease(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let Some(ended) = self.lease.ended {
            return self.check_grace(now, ended, actions);
        }
        let over = self.lease.renewed.is_some_and(|renewed| now >= renewed + self.timing.software_stop);
        if over && !breaks(Sabotage::NoSelfStop) {
            self.end_lease(now, actions);
        }
    }

    fn end_lease(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.lease.ended = Some(now);
        self.lease.renewed = None;
        self.lease.acknowledged = false;
        // A new generation is needed: the master may have judged this one already.
        self.admitted = false;
        let covered = self.covered();
        if covered.is_empty() {
            self.lease.ended = None;
            return;
        }
        actions.push(Action::Note(Note::LeaseEnded));
        for vm in covered {
            self.kill(now, vm, Exit::LeaseEnded, actions);
        }
    }

    fn check_grace(&mut self, now: Instant, ended: Instant, actions: &mut Vec<Action>) {
        if self.covered().is_empty() {
            self.lease.ended = None;
        } else if now >= ended + self.timing.kill_grace && self.lease.watchdog != WatchdogState::Abandoned {
            self.lease.watchdog = WatchdogState::Abandoned;
            if !breaks(Sabotage::WatchdogFedByTimer) {
                actions.push(Action::Reboot);
            }
        }
    }

    pub(super) fn lease_deadline(&self) -> Instant {
        match (self.lease.ended, self.lease.renewed) {
            (Some(_), _) if self.lease.watchdog == WatchdogState::Abandoned => Instant::NEVER,
            (Some(ended), _) => ended + self.timing.kill_grace,
            (None, Some(renewed)) if !breaks(Sabotage::NoSelfStop) => renewed + self.timing.software_stop,
            (None, _) => Instant::NEVER,
        }
    }

    pub(super) fn open_watchdog(&mut self, actions: &mut Vec<Action>) {
        if self.machine.watchdog != Watchdog::None && self.lease.watchdog == WatchdogState::Closed {
            self.lease.watchdog = WatchdogState::Open;
            actions.push(Action::Watchdog(WatchdogOp::Open));
            // Written down afterwards: a run that dies in between must not leave word of a watchdog that does not count.
            if self.store.watchdog_opened != Some(self.machine.boot) {
                self.store.watchdog_opened = Some(self.machine.boot);
                self.save(actions);
            }
        }
    }

    pub(super) fn close_watchdog(&mut self, actions: &mut Vec<Action>) {
        if self.lease.watchdog == WatchdogState::Open {
            self.lease.watchdog = WatchdogState::Closed;
            actions.push(Action::Watchdog(WatchdogOp::Close));
            self.store.watchdog_opened = None;
            self.save(actions);
        }
    }

    /// Feeds the watchdog where there is nothing that a lease would have to end.
    ///
    /// Such a feeding is older than any permit that is accepted after it, and a permit is accepted only while the
    /// heartbeat that it answers is as fresh as an acknowledgement must be: so the watchdog fires no later after that
    /// heartbeat than after one that renewed a lease.
    pub(super) fn feed_idle_watchdog(&mut self, actions: &mut Vec<Action>) {
        if breaks(Sabotage::WatchdogFedByTimer) || (self.looks.has_seen() && self.covers_nothing()) {
            self.feed_watchdog(actions);
        }
    }

    fn feed_watchdog(&mut self, actions: &mut Vec<Action>) {
        if self.lease.watchdog == WatchdogState::Open {
            actions.push(Action::Watchdog(WatchdogOp::Feed));
        }
    }
}
