//! What an agent knows of one VM on its host.

use crate::core::action::{PlatformCall, View};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::{Exit, Presence, VmCondition};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::time::Instant;
use std::time::Duration;

/// A VM that is here, was here, or may yet come to be.
#[derive(Debug)]
pub(super) struct LocalVm {
    pub(super) epoch: Epoch,
    pub(super) presence: LocalPresence,
    /// How its end will be told, if it is not left to the hypervisor's word.
    pub(super) exit: Option<Exit>,
    /// A call on it that has not returned.
    pub(super) call: Option<(Ticket, PlatformCall)>,
    /// Whether work that may yet bring up a process can lie in the daemon.
    pub(super) in_flight: bool,
    /// Whether any process of it is to be killed as soon as it is seen.
    pub(super) killing: bool,
    /// Only a look later than this one settles that it is gone.
    pub(super) settle_after: u64,
    /// Whether it is not known yet if it was here when its protection began.
    pub(super) accounting: bool,
    /// Until when a live migration may still arrive.
    pub(super) expected_until: Option<Instant>,
    /// Since when no process of it is seen, though the hypervisor has not said yet how that ended.
    pub(super) absent_since: Option<Instant>,
    /// Since when it is being started, or asked to stop.
    pub(super) since: Instant,
    /// When it was seen to run for the first time after this agent had ordered its start.
    pub(super) came_up: Option<Instant>,
    /// When it was last asked to stop.
    pub(super) asked: Instant,
    /// The version of the report that tells of its present condition.
    pub(super) changed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalPresence {
    Starting,
    Running,
    Incoming,
    Departed,
    Stopping,
    Unknown,
    Gone { refuses: Epoch, exit: Exit },
}

impl LocalVm {
    pub(super) fn new(epoch: Epoch, presence: LocalPresence, now: Instant) -> LocalVm {
        LocalVm {
            epoch,
            presence,
            exit: None,
            call: None,
            in_flight: false,
            killing: false,
            settle_after: 0,
            accounting: false,
            expected_until: None,
            absent_since: None,
            since: now,
            came_up: None,
            asked: now,
            changed: 0,
        }
    }

    /// One that the daemon brings up after the hook let it pass. What was looked for before that does not show it.
    pub(super) fn let_in(epoch: Epoch, now: Instant, looked: u64) -> LocalVm {
        LocalVm { in_flight: true, settle_after: looked, ..LocalVm::new(epoch, LocalPresence::Starting, now) }
    }

    /// Another start of it was let pass, though this one is not known to be over.
    pub(super) fn let_another_in(&mut self, looked: u64) {
        self.in_flight = true;
        self.settle_after = looked;
    }

    /// One that may arrive by live migration until then.
    pub(super) fn expected(epoch: Epoch, until: Instant) -> LocalVm {
        let exit = Some(Exit::NeverStarted);
        LocalVm { expected_until: Some(until), exit, ..LocalVm::new(epoch, LocalPresence::Incoming, until) }
    }

    /// A live migration asks to be let in: the epoch, if it is expected.
    pub(super) fn arrive(&mut self, now: Instant, looked: u64) -> Option<Epoch> {
        let until = self.expected_until.take()?;
        if now >= until || self.killing {
            return None;
        }
        self.in_flight = true;
        self.exit = None;
        self.settle_after = looked;
        Some(self.epoch)
    }

    /// Whether it is expected by live migration, and nothing of it has come.
    pub(super) fn is_only_expected(&self) -> bool {
        self.expected_until.is_some() && !self.in_flight && !self.killing
    }

    /// The epoch of the start that is under way, if it may still come about.
    pub(super) fn started_under(&self) -> Option<Epoch> {
        match self.call {
            Some((_, PlatformCall::Start { epoch, .. })) if !self.killing => Some(epoch),
            _ => None,
        }
    }

    /// Whether nothing of it can be here but a process that came up long ago.
    pub(super) fn is_only_a_process(&self) -> bool {
        let starts = matches!(self.call, Some((_, PlatformCall::Start { .. })));
        !self.is_gone() && !self.in_flight && !starts && self.expected_until.is_none()
    }

    /// Whether it was ordered, and nothing of it has been seen yet.
    pub(super) fn is_coming_up(&self) -> bool {
        self.in_flight && matches!(self.presence, LocalPresence::Starting | LocalPresence::Unknown)
    }

    /// A process of it runs.
    pub(super) fn note_running(&mut self, now: Instant) {
        if self.is_coming_up() {
            self.came_up = Some(now);
        }
    }

    /// Whether it ran here for too short a time to count as started. How long one has run that an earlier run of the
    /// agent had started, or that came here alive, is not known: that one is not held against it.
    pub(super) fn has_just_come_up(&self, now: Instant, steady: Duration) -> bool {
        self.came_up.is_some_and(|came_up| now.since(came_up) < steady)
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.presence, LocalPresence::Gone { .. })
    }

    pub(super) fn is_told_gone(&self, version: u64) -> bool {
        self.is_gone() && self.changed <= version
    }

    pub(super) fn is_newer_than(&self, version: u64) -> bool {
        self.changed > version
    }

    /// How it fares, as others are told.
    pub(super) fn told(&self) -> Presence {
        match self.presence {
            LocalPresence::Starting => Presence::Starting,
            LocalPresence::Running => Presence::Running,
            LocalPresence::Incoming => Presence::Incoming,
            LocalPresence::Departed => Presence::Departed,
            LocalPresence::Stopping => Presence::Stopping,
            LocalPresence::Unknown => Presence::Unknown,
            LocalPresence::Gone { refuses, exit } => Presence::Gone { refuses, exit },
        }
    }

    pub(super) fn condition(&self, vm: VmId, now: Instant) -> VmCondition {
        let gone_for = if self.is_gone() { now.since(self.since) } else { Duration::ZERO };
        let gone_milliseconds = u64::try_from(gone_for.as_millis()).unwrap_or(u64::MAX);
        VmCondition { vm, epoch: self.epoch, presence: self.told(), gone_milliseconds }
    }

    pub(super) fn is_unsettled(&self) -> bool {
        !matches!(self.presence, LocalPresence::Running | LocalPresence::Gone { .. })
    }

    /// Whether a look shows that nothing of it is left, given that it shows no process.
    pub(super) fn is_settled_by(&self, number: u64, view: &View, vm: VmId, now: Instant) -> bool {
        let starts = matches!(self.call, Some((_, PlatformCall::Start { .. })));
        let expected = self.expected_until.is_some_and(|until| now < until) && !self.killing;
        let daemon_is_done = !self.in_flight || (view.daemon && !view.busy.contains(&vm));
        let is_idle = (!starts && daemon_is_done) || breaks(Sabotage::ReleasedWhileQueued);
        number > self.settle_after && !expected && is_idle
    }
}
