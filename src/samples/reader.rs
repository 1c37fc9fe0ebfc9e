//! Questions to what was kept, on connections of their own, so that they never hold up the keeper.

use super::archive::{ArchiveError, Retention, trouble};
use super::chunk::{Level, Place, Summaries, merge, minutes};
use super::codec::Column;
use super::recent::Recent;
use super::rows::{connect, find_series, first_raw_hour, gaps, raw, summaries};
use super::{Batch, HOUR_SLOTS, Measure, Slot, Subject, Summary};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// One answer looks at no more chunks, or is coarser.
const MOST_CHUNKS: u64 = 60_000;

/// So many look at once.
const READERS: usize = 2;

/// A time, in slots. The end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first slot.
    pub from: Slot,
    /// The one after the last.
    pub to: Slot,
}

impl Window {
    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        self.to.0.saturating_sub(self.from.0)
    }

    fn chunks(&self, level: Level) -> std::ops::RangeInclusive<u32> {
        let slots = level.chunk_slots();
        self.from.0 / slots..=self.to.0.saturating_sub(1) / slots
    }
}

/// Answers questions. All of it blocks: on an async thread it belongs into `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Reader {
    path: PathBuf,
    recent: Recent,
    retention: Retention,
    places: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new(path: &Path, recent: Recent, retention: Retention) -> Reader {
        Reader { path: path.to_owned(), recent, retention, places: Arc::new(Semaphore::new(READERS)) }
    }

    /// The places of those who look at once: whoever does takes one first.
    pub fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// The newest that each host has told, by its number.
    pub fn newest(&self) -> BTreeMap<u32, Batch> {
        self.recent.newest()
    }

    /// How fine a question is best answered: as fine as all of the time is still kept, and so that not too much is read.
    pub fn level(&self, window: Window, subjects: usize, now: Slot) -> Level {
        let fits = |level: &Level| {
            let oldest = now.0.saturating_sub(self.retention.of(*level) * HOUR_SLOTS);
            window.from.0 >= oldest && chunks(window, *level) * subjects as u64 <= MOST_CHUNKS
        };
        Level::ALL.into_iter().find(fits).unwrap_or(Level::Hours)
    }

    /// So many series can be looked at for one answer.
    pub fn most_subjects(window: Window, level: Level) -> usize {
        usize::try_from(MOST_CHUNKS / chunks(window, level).max(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Looks into the file.
    pub fn open(&self) -> Result<Look, ArchiveError> {
        let failed = |error| trouble(&self.path, error);
        if !self.path.exists() {
            // Nothing was ever written; what is to be told is in memory.
            return Ok(Look {
                connection: None,
                recent: self.recent.clone(),
                path: self.path.clone(),
                first_raw: u32::MAX,
            });
        }
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        let first_raw = first_raw_hour(&connection, Measure::Memory).map_err(failed)?.unwrap_or(u32::MAX);
        Ok(Look { connection: Some(connection), recent: self.recent.clone(), path: self.path.clone(), first_raw })
    }
}

fn chunks(window: Window, level: Level) -> u64 {
    let chunks = window.chunks(level);
    u64::from(chunks.end().saturating_sub(*chunks.start())) + 1
}

/// A look into the file, and at what is not in it yet.
pub struct Look {
    connection: Option<Connection>,
    recent: Recent,
    path: PathBuf,
    /// The first hour of which there are slots.
    first_raw: u32,
}

/// One series, as it is looked up.
#[derive(Clone, Copy)]
struct Series {
    subject: Subject,
    measure: Measure,
    number: Option<u32>,
}

impl Look {
    /// What one used in this time: a summary for each value of this level that was measured, with its first slot.
    pub fn summaries(
        &self,
        subject: Subject,
        measure: Measure,
        window: Window,
        level: Level,
    ) -> Result<Vec<(Slot, Summary)>, ArchiveError> {
        let found = self.read(subject, measure, window, level);
        found.map_err(|error| trouble(&self.path, error))
    }

    /// The hour since which this voter may lack something that others have.
    pub fn lacks_since(&self) -> Result<Option<u32>, ArchiveError> {
        self.ask(|connection| Ok(gaps(connection)?.1))
    }

    /// Asks the file, if there is one.
    pub(super) fn ask<T: Default>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        let answer = self.connection.as_ref().map_or(Ok(T::default()), question);
        answer.map_err(|error| trouble(&self.path, error))
    }

    fn read(
        &self,
        subject: Subject,
        measure: Measure,
        window: Window,
        level: Level,
    ) -> rusqlite::Result<Vec<(Slot, Summary)>> {
        let number = self.connection.as_ref().map(|connection| find_series(connection, subject)).transpose()?.flatten();
        let series = Series { subject, measure, number };
        let mut all = Vec::new();
        for chunk in window.chunks(level) {
            let values = match level {
                Level::Raw => self.slots(series, chunk)?.into_iter().map(|value| value.map(Summary::one)).collect(),
                Level::Minutes => self.minutes(series, chunk)?,
                Level::Hours => self.hours(series, chunk)?,
            };
            let first = chunk * level.chunk_slots();
            let slot = |at: usize| Slot(first + at as u32 * level.slots());
            let within = |slot: Slot| slot.0 + level.slots() > window.from.0 && slot < window.to;
            let values = values.into_iter().enumerate().filter_map(|(at, value)| Some((slot(at), value?)));
            all.extend(values.filter(|(slot, _)| within(*slot)));
        }
        Ok(all)
    }

    /// The slots of an hour. What is in memory is looked at first, for it goes to the disk meanwhile.
    fn slots(&self, series: Series, hour: u32) -> rusqlite::Result<Column> {
        let recent = self.recent.column(series.subject, series.measure, hour);
        let mut slots = match self.at(series, Level::Raw, hour) {
            Some((connection, place)) if hour >= self.first_raw => raw(connection, place)?,
            _ => Column::new(),
        };
        merge(&mut slots, &recent.unwrap_or_default());
        Ok(slots)
    }

    /// The minutes of an hour: as they are kept, unless something was added to it or it is not over.
    fn minutes(&self, series: Series, hour: u32) -> rusqlite::Result<Summaries> {
        let has_more = self.recent.column(series.subject, series.measure, hour).is_some();
        if let (Some((connection, place)), false) = (self.at(series, Level::Minutes, hour), has_more) {
            let kept = summaries(connection, place)?;
            if !kept.is_empty() {
                return Ok(kept);
            }
        }
        Ok(minutes(&self.slots(series, hour)?))
    }

    /// The hours of a day. Those that are not summarised yet are made of their slots.
    fn hours(&self, series: Series, day: u32) -> rusqlite::Result<Summaries> {
        let mut hours = match self.at(series, Level::Hours, day) {
            Some((connection, place)) => summaries(connection, place)?,
            None => Summaries::new(),
        };
        hours.resize(Level::Hours.values(), None);
        for (hour, summary) in (day * Level::Hours.values() as u32..).zip(&mut hours) {
            let has_more = self.recent.column(series.subject, series.measure, hour).is_some();
            if has_more || (summary.is_none() && hour >= self.first_raw) {
                *summary = Summary::of(self.slots(series, hour)?);
            }
        }
        Ok(hours)
    }

    fn at(&self, series: Series, level: Level, number: u32) -> Option<(&Connection, Place)> {
        let place = Place { level, measure: series.measure, number, series: series.number? };
        self.connection.as_ref().map(|connection| (connection, place))
    }
}
