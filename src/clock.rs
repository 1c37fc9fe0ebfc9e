//! The one place where the product reads clocks.
//!
//! Decisions use [`boottime`], which counts suspended time and never steps. The wall clock is for people and for the
//! ledger alone.

use crate::core::time::Instant;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// Now, on this machine's own clock that also counts suspended time.
pub fn boottime() -> Instant {
    Instant::from_micros(micros(clock_gettime(ClockId::Boottime)))
}

/// What a person's clock shows, in milliseconds since 1970. It may step: nothing is decided by it.
pub fn wall_milliseconds() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000)
}

/// For how long this thread has had a processor: to measure what something costs.
pub fn thread_processor_time() -> Duration {
    Duration::from_micros(micros(clock_gettime(ClockId::ThreadCPUTime)))
}

fn micros(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_nsec / 1_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let first = boottime();
        assert!(boottime() >= first && first > Instant::ZERO);
        assert!(wall_milliseconds() > 1_700_000_000_000);
    }
}
