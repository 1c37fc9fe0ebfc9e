//! What reports count: sums of time, and the figures that follow from them.

use super::cause::Cause;
use super::history::Condition;
use crate::core::state::Target;
use std::collections::BTreeMap;

/// A year, for what is told per year.
const YEAR_MS: f64 = 365.0 * 86_400_000.0;
/// So many parts are a whole, where a target is told in parts.
const MILLION: i64 = 1_000_000;

/// How something fared in a period, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Up.
    pub up: i64,
    /// Down because a person meant it to be.
    pub planned: i64,
    /// Down, and it should not have been.
    pub unplanned: i64,
    /// Out of sight.
    pub unseen: i64,
    /// Unplanned outages that began in the period.
    pub failures: u64,
    /// All unplanned outages of which the period has a part.
    pub outages: u64,
    /// The longest unplanned outage, as far as it lies in the period, and when it began there.
    pub longest: Option<Outage>,
    /// What downtime had which cause: whether planned, how often it began in the period, and for how long.
    pub causes: BTreeMap<(bool, Cause), Share>,
}

/// An unplanned outage, as far as it lies in the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outage {
    /// How long it was.
    pub length: i64,
    /// When it began.
    pub at: i64,
}

/// What one cause had a part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// How often it began in the period.
    pub count: u64,
    /// For how long, in milliseconds.
    pub length: i64,
}

impl Outage {
    /// The longer of two; of two of the same length the first one.
    pub fn longer(one: Option<Outage>, other: Option<Outage>) -> Option<Outage> {
        one.into_iter().chain(other).max_by_key(|outage| (outage.length, std::cmp::Reverse(outage.at)))
    }
}

impl Figures {
    /// Adds a while of one condition.
    pub fn add(&mut self, condition: Condition, milliseconds: i64) {
        match condition {
            Condition::Up => self.up += milliseconds,
            Condition::Planned => self.planned += milliseconds,
            Condition::Unplanned => self.unplanned += milliseconds,
            Condition::Unseen => self.unseen += milliseconds,
        }
    }

    /// Adds another's figures: a group is the sum of its members.
    pub fn merge(&mut self, other: &Figures) {
        self.up += other.up;
        self.planned += other.planned;
        self.unplanned += other.unplanned;
        self.unseen += other.unseen;
        self.failures += other.failures;
        self.outages += other.outages;
        self.longest = Outage::longer(self.longest, other.longest);
        for (cause, share) in &other.causes {
            let mine = self.causes.entry(*cause).or_default();
            mine.count += share.count;
            mine.length += share.length;
        }
    }

    /// The time in which it was seen.
    pub fn watched(&self) -> i64 {
        self.up + self.planned + self.unplanned
    }

    /// The time in which it should have been up, and was seen.
    pub fn due(&self) -> i64 {
        self.up + self.unplanned
    }

    /// The share of that time in which it was up, in percent; none if there was no such time.
    pub fn percent(&self) -> Option<f64> {
        (self.due() > 0).then(|| self.up as f64 * 100.0 / self.due() as f64)
    }

    /// That share in nines: 3.0 is 99.9 percent. None if it never was down, for no time is long enough to prove more.
    pub fn nines(&self) -> Option<f64> {
        (self.unplanned > 0).then(|| -(self.unplanned as f64 / self.due() as f64).log10())
    }

    /// The mean time between failures: the time up for each failure.
    pub fn mtbf(&self) -> Option<i64> {
        i64::try_from(self.failures).ok().filter(|failures| *failures > 0).map(|failures| self.up / failures)
    }

    /// The mean time to repair: the unplanned downtime for each outage.
    pub fn mttr(&self) -> Option<i64> {
        i64::try_from(self.outages).ok().filter(|outages| *outages > 0).map(|outages| self.unplanned / outages)
    }

    /// The unplanned downtime of a year at this rate.
    pub fn year_down(&self) -> Option<i64> {
        (self.due() > 0).then(|| (self.unplanned as f64 / self.due() as f64 * YEAR_MS).round() as i64)
    }

    /// The unplanned downtime that a target allows.
    pub fn budget(&self, target: Target) -> i64 {
        let allowed = MILLION - i64::from(target.parts_per_million());
        let milliseconds = i128::from(self.due()) * i128::from(allowed) / i128::from(MILLION);
        // It is a part of what was due.
        i64::try_from(milliseconds).unwrap_or(i64::MAX)
    }
}
