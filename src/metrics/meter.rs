//! Measuring without getting in the way: to record something is to add to a few numbers.

use crate::clock;
use crate::core::time::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The upper bounds of the buckets for what should take milliseconds, in microseconds.
pub const LATENCIES: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
/// The same for the stages of recoveries.
pub const STAGES: &[u64] = &[
    10_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    900_000_000,
];

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is beyond them all.
    buckets: Vec<AtomicU64>,
    microseconds: AtomicU64,
}

impl Histogram {
    /// An empty one with these bounds, which grow.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, buckets, microseconds: AtomicU64::new(0) }
    }

    /// Something took so long.
    pub fn observe(&self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = self.bounds.partition_point(|bound| *bound < microseconds);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
            self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
        }
    }

    /// Each bound with how many were not beyond it; none stands for the last, which has none.
    pub fn cumulative(&self) -> Vec<(Option<Duration>, u64)> {
        let bounds = self.bounds.iter().map(|bound| Some(Duration::from_micros(*bound))).chain([None]);
        let mut sum = 0;
        let counted = self.buckets.iter().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        });
        bounds.zip(counted).collect()
    }

    /// What all took together.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed))
    }
}

/// Measures operations of one kind that may fail, or hang.
#[derive(Debug)]
pub struct Meter {
    took: Histogram,
    failed: AtomicU64,
    begun: AtomicU64,
    /// Those under way, by their number, with when each began. Their owners bound how many there are.
    under_way: Mutex<BTreeMap<u64, Instant>>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// Otherwise.
    Failed,
}

impl Outcome {
    /// That of a result.
    pub fn of<T, E>(result: &Result<T, E>) -> Outcome {
        if result.is_ok() { Outcome::Done } else { Outcome::Failed }
    }
}

impl Meter {
    /// One that has measured nothing yet.
    pub fn new() -> Arc<Meter> {
        Arc::new(Meter {
            took: Histogram::new(LATENCIES),
            failed: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            under_way: Mutex::default(),
        })
    }

    /// An operation begins. It is under way until what is returned is told how it ended, or is dropped.
    pub fn begin(self: &Arc<Meter>) -> UnderWay {
        let (number, at) = (self.begun.fetch_add(1, Ordering::Relaxed), clock::boottime());
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(number, at);
        UnderWay { meter: Arc::clone(self), number, at }
    }

    /// How long operations took, whether they failed or not.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    /// How many have failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// For how long the oldest has been under way.
    pub fn oldest(&self, now: Instant) -> Duration {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.first_key_value().map_or(Duration::ZERO, |(_, at)| now.since(*at))
    }
}

/// An operation that is under way.
#[derive(Debug)]
pub struct UnderWay {
    meter: Arc<Meter>,
    number: u64,
    at: Instant,
}

impl UnderWay {
    /// It has ended.
    pub fn end(self, outcome: Outcome) {
        self.meter.took.observe(clock::boottime().since(self.at));
        if outcome == Outcome::Failed {
            self.meter.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.meter.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_bound_is_not_beyond_it() {
        let histogram = Histogram::new(&[1_000, 5_000]);
        for microseconds in [0, 1_000, 1_001, 5_000, 5_001, u64::MAX / 2] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let counts: Vec<u64> = histogram.cumulative().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 4, 6]);
        assert_eq!(histogram.total(), Duration::from_micros(12_002 + u64::MAX / 2));
    }

    #[test]
    fn bounds_grow() {
        for bounds in [LATENCIES, STAGES] {
            assert!(bounds.is_sorted_by(|one, next| one < next));
        }
    }

    #[test]
    fn the_oldest_that_is_under_way_counts_until_it_ends_or_is_given_up() {
        let meter = Meter::new();
        let later = |operation: &UnderWay| operation.at + Duration::from_secs(5);
        assert_eq!(meter.oldest(clock::boottime()), Duration::ZERO);
        let (first, second) = (meter.begin(), meter.begin());
        assert_eq!(meter.oldest(later(&first)), Duration::from_secs(5));
        let then = later(&second);
        first.end(Outcome::Failed);
        assert_eq!(meter.oldest(then), Duration::from_secs(5), "the second one is under way still");
        drop(second);
        assert_eq!(meter.oldest(then), Duration::ZERO);
        assert_eq!(meter.failed(), 1);
        assert_eq!(meter.took().cumulative().last().map(|(_, count)| *count), Some(1), "one was given up");
    }
}
