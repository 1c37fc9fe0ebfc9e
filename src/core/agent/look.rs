//! What others may see of an agent. Nothing here changes anything.

use super::Agent;
use crate::core::ids::Generation;
use crate::core::message::Watchdog;
use crate::core::time::Instant;
use std::time::Duration;

/// How an agent stands with its cluster, and what guards its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentStanding {
    /// Whether its present life is admitted.
    pub admitted: bool,
    /// The last life that it was given.
    pub generation: Generation,
    /// For how long nothing has told it that it is counted among the living.
    pub unacknowledged: Duration,
    /// Whether the end of its lease ends VMs.
    pub lease_counts: bool,
    /// How much of its lease is left; nothing where it has none, for want of VMs that would have to end with it.
    pub lease_remaining: Option<Duration>,
    /// The watchdog of its machine.
    pub watchdog: Watchdog,
    /// Whether that counts.
    pub watchdog_open: bool,
}

impl Agent {
    /// How it stands.
    pub fn standing(&self, now: Instant) -> AgentStanding {
        AgentStanding {
            admitted: self.admitted,
            generation: self.generation,
            unacknowledged: now.since(self.last_ack),
            lease_counts: self.lease_counts(),
            lease_remaining: self.lease_remaining(now),
            watchdog: self.machine.watchdog,
            watchdog_open: self.lease.is_watchdog_open(),
        }
    }

    fn lease_remaining(&self, now: Instant) -> Option<Duration> {
        if self.covers_nothing() { None } else { self.lease.remaining(now, self.timing.software_stop) }
    }
}
