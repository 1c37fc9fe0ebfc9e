//! Chunks: what is kept of one series for an hour of slots, an hour of minutes, or a day of hours.

use super::codec::{Column, Malformed, decode, encode};
use super::summary::Summary;
use super::{HOUR_SLOTS, MINUTE_SLOTS, Measure, SLOT_MILLISECONDS};
use serde::{Deserialize, Serialize};

/// How fine samples are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As they were measured.
    Raw,
    /// Summaries of minutes.
    Minutes,
    /// Summaries of hours.
    Hours,
}

impl Level {
    /// From the finest to the coarsest.
    pub const ALL: [Level; 3] = [Level::Raw, Level::Minutes, Level::Hours];

    /// The slots of one value.
    pub fn slots(self) -> u32 {
        match self {
            Level::Raw => 1,
            Level::Minutes => MINUTE_SLOTS,
            Level::Hours => HOUR_SLOTS,
        }
    }

    /// The values of one chunk.
    pub(super) fn values(self) -> usize {
        match self {
            Level::Raw => HOUR_SLOTS as usize,
            Level::Minutes => 60,
            Level::Hours => 24,
        }
    }

    /// The slots of one chunk.
    pub fn chunk_slots(self) -> u32 {
        self.slots() * self.values() as u32
    }

    /// The milliseconds of one value.
    pub fn milliseconds(self) -> i64 {
        i64::from(self.slots()) * SLOT_MILLISECONDS
    }
}

/// Where a chunk lies: ordered by time within each level, so that what is written together lies together, and what is
/// too old is in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) level: Level,
    pub(super) measure: Measure,
    /// The chunk's time, counted in chunks of its level from 1970.
    pub(super) number: u32,
    pub(super) series: u32,
}

/// So many bits of a key are the series, and as many the time.
const BITS: u32 = 28;
/// No number of a series or of a time is greater.
pub(super) const MOST_NUMBER: u32 = (1 << BITS) - 1;

impl Place {
    /// The key of its row.
    pub(super) fn key(self) -> i64 {
        let kind = self.level as i64 * 2 + self.measure as i64;
        let [number, series] = [self.number, self.series].map(|part| i64::from(part.min(MOST_NUMBER)));
        (((kind << BITS) | number) << BITS) | series
    }

    /// The time in a key.
    pub(super) fn number(key: i64) -> u32 {
        (key >> BITS) as u32 & MOST_NUMBER
    }

    /// The series in a key.
    pub(super) fn series(key: i64) -> u32 {
        key as u32 & MOST_NUMBER
    }
}

/// Makes of two values for each slot one: the greater.
pub(super) fn merge(into: &mut Column, other: &[Option<u32>]) {
    if into.len() < other.len() {
        into.resize(other.len(), None);
    }
    for (mine, theirs) in into.iter_mut().zip(other) {
        *mine = (*mine).max(*theirs);
    }
}

pub(super) fn encode_raw(slots: &[Option<u32>]) -> Vec<u8> {
    encode(&[slots])
}

pub(super) fn decode_raw(bytes: &[u8]) -> Result<Column, Malformed> {
    let mut columns = decode(bytes, 1, Level::Raw.values())?;
    columns.pop().ok_or(Malformed("it is empty"))
}

/// Summaries, one for each value of a chunk.
pub type Summaries = Vec<Option<Summary>>;

/// Writes the summaries of a chunk.
pub fn encode_summaries(summaries: &[Option<Summary>]) -> Vec<u8> {
    let column = |of: fn(&Summary) -> u32| -> Column { summaries.iter().map(|one| one.as_ref().map(of)).collect() };
    let columns = [
        column(|summary| summary.count),
        column(|summary| summary.min),
        column(|summary| summary.mean),
        column(|summary| summary.p95),
        column(|summary| summary.max),
    ];
    encode(&columns.each_ref().map(Vec::as_slice))
}

pub(super) fn decode_summaries(bytes: &[u8], level: Level) -> Result<Summaries, Malformed> {
    let columns = decode(bytes, 5, level.values())?;
    let [counts, mins, means, p95s, maxima] = columns.as_slice() else { return Err(Malformed("it is empty")) };
    if columns.iter().any(|column| column.len() != counts.len()) {
        return Err(Malformed("its columns differ in length"));
    }
    let values = counts.iter().zip(mins).zip(means).zip(p95s).zip(maxima);
    values.map(|((((count, min), mean), p95), max)| summary([*count, *min, *mean, *p95, *max], level)).collect()
}

fn summary(values: [Option<u32>; 5], level: Level) -> Result<Option<Summary>, Malformed> {
    match values {
        [None, None, None, None, None] => Ok(None),
        [Some(count), Some(min), Some(mean), Some(p95), Some(max)] => {
            let is_sound = (1..=level.slots()).contains(&count) && min <= mean.min(p95) && mean.max(p95) <= max;
            let summary = Summary { count, min, mean, p95, max };
            if is_sound { Ok(Some(summary)) } else { Err(Malformed("a summary contradicts itself")) }
        }
        _ => Err(Malformed("a summary lacks something")),
    }
}

/// The minutes of an hour of slots.
pub(super) fn minutes(slots: &[Option<u32>]) -> Summaries {
    slots.chunks(MINUTE_SLOTS as usize).map(|minute| Summary::of(minute.iter().copied())).collect()
}
