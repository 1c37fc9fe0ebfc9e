//! Time as one machine sees it.
//!
//! [`Instant`] counts microseconds on the machine's own clock that also counts suspended time
//! (`CLOCK_BOOTTIME`). It starts again at every boot and runs at the machine's own rate, so an instant of one
//! machine means nothing on another and is never sent or stored.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point in time on this machine's own boot-time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment at which the clock read zero.
    pub const ZERO: Instant = Instant(0);
    /// Later than any moment that occurs: the deadline of what is not awaited.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The instant at which the clock reads so many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Instant(micros)
    }

    /// What the clock reads, in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; nothing if it is yet to come.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved back by a duration, not beyond the clock's zero.
    pub fn before(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_sub(micros(duration)))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(micros(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
