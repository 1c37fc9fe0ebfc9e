//! The file: one row for each series, one for each chunk.
//!
//! It is written by one thread, in transactions that are on the disk when they end. Chunks of slots grow by what has
//! come since the last time; summaries are made of them once the hour is over, and again if something comes later. All
//! of it can be done twice without harm, so there is nothing to be mended after a crash.

use super::chunk::{Level, MOST_NUMBER, Place, encode_raw, merge};
use super::piece::{self, Piece};
use super::recent::Pending;
use super::rows::{SCHEMA, connect, gaps, make, oldest, put, raw, raws, schema, series_of, summarise};
use super::{HOUR_SLOTS, MINUTE_SLOTS, Measure, Subject};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// So many numbers of series are kept at hand.
const SERIES_AT_HAND: usize = 200_000;

/// Why samples are not kept, or cannot be read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The file cannot be used.
    #[error("{}: {source}; the state directory must be on a local disk with room, and belong to the agent's user", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// SQLite refuses.
    #[error("{}: {source}; samples are not kept until the disk takes them", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// It was damaged, or something else.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer program has written it.
    #[error("{} has schema {found}, and this program knows {SCHEMA}: install the newer holdfast again, or move the file away", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
}

/// For how long samples are kept, in hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// As they were measured.
    pub raw: u32,
    /// By the minute.
    pub minutes: u32,
    /// By the hour.
    pub hours: u32,
}

impl Default for Retention {
    /// A day, a month, two years.
    fn default() -> Retention {
        Retention { raw: 24, minutes: 31 * 24, hours: 731 * 24 }
    }
}

impl Retention {
    /// For how many hours samples of this level are kept.
    pub fn of(&self, level: Level) -> u32 {
        match level {
            Level::Raw => self.raw,
            Level::Minutes => self.minutes,
            Level::Hours => self.hours,
        }
    }
}

/// The file, open to be written.
pub(super) struct Archive {
    connection: Connection,
    path: PathBuf,
    series: BTreeMap<Subject, u32>,
    /// The last hour that was summarised.
    summarised: u32,
    /// The hour that is being summarised, and the first series that is not done yet.
    under_way: Option<(u32, u32)>,
}

impl Archive {
    /// Opens the file, and makes it if there is none.
    pub(super) fn open(path: &Path) -> Result<Archive, ArchiveError> {
        let failed = |source| ArchiveError::File { path: path.to_owned(), source };
        // Made here, for SQLite would let everybody read it.
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let is_new = file.and_then(|file| file.metadata()).map_err(failed)?.len() == 0;
        let trouble = |error| trouble(path, error);
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(trouble)?;
        for (name, value) in [("journal_mode", "wal"), ("synchronous", "full")] {
            let set = connection.pragma_update_and_check(None, name, value, |_| Ok(()));
            // Some settings answer with their new value, some do not.
            set.or_else(|error| if error == rusqlite::Error::QueryReturnedNoRows { Ok(()) } else { Err(error) })
                .map_err(trouble)?;
        }
        if is_new {
            in_transaction(&mut connection, make).map_err(trouble)?;
        }
        expect_schema(&connection, path)?;
        let progress = connection.query_row("SELECT summarised FROM progress", [], |row| row.get(0));
        let summarised = progress.map_err(trouble)?;
        Ok(Archive { connection, path: path.to_owned(), series: BTreeMap::new(), summarised, under_way: None })
    }

    /// Adds slots to what there is, all or none of them.
    pub(super) fn add(&mut self, pending: &Pending) -> Result<(), ArchiveError> {
        if self.series.len() > SERIES_AT_HAND {
            self.series.clear();
        }
        let summarised = self.under_way.map_or(self.summarised, |(hour, _)| hour);
        let known = &mut self.series;
        let added = in_transaction(&mut self.connection, |transaction| {
            for ((hour, subject, measure), span) in &pending.spans {
                let series = series_of(transaction, known, *subject)?;
                let place = Place { level: Level::Raw, measure: *measure, number: *hour, series };
                let mut slots = raw(transaction, place)?;
                merge(&mut slots, &span.column());
                put(transaction, place, &encode_raw(&slots))?;
                if *hour <= summarised {
                    summarise(transaction, place, &slots)?;
                }
            }
            note_gap(transaction, pending)
        });
        if added.is_err() {
            // What was to be a new series is none.
            self.series.clear();
        }
        added.map_err(|error| trouble(&self.path, error))
    }

    /// Adds what another voter has.
    pub(super) fn copy(&mut self, pieces: &[Piece]) -> Result<(), ArchiveError> {
        let summarised = self.under_way.map_or(self.summarised, |(hour, _)| hour);
        let known = &mut self.series;
        let copied = in_transaction(&mut self.connection, |transaction| {
            pieces.iter().try_for_each(|one| piece::add(transaction, known, one, summarised))
        });
        if copied.is_err() {
            self.series.clear();
        }
        copied.map_err(|error| trouble(&self.path, error))
    }

    /// Nothing is lacking any more.
    pub(super) fn complete(&mut self) -> Result<(), ArchiveError> {
        let done = self.connection.execute("UPDATE progress SET lacks_since = NULL", []);
        done.map(drop).map_err(|error| trouble(&self.path, error))
    }

    /// Summarises a part of the next hour that is over, so many series at the most, if there is such an hour up to this
    /// one. Whether there was something to be done.
    pub(super) fn summarise(&mut self, through: u32, most: u32) -> Result<bool, ArchiveError> {
        let next = match self.under_way {
            Some(under_way) => Some(under_way),
            None => self.next_hour()?.map(|hour| (hour, 0)),
        };
        let Some((hour, begin)) = next.filter(|(hour, _)| *hour <= through) else { return Ok(false) };
        let end = begin.saturating_add(most);
        let is_whole = in_transaction(&mut self.connection, |transaction| {
            for measure in Measure::ALL {
                let place = |series| Place { level: Level::Raw, measure, number: hour, series };
                for (series, slots) in raws(transaction, place(begin), place(end))? {
                    summarise(transaction, place(series), &slots)?;
                }
            }
            let newest = "SELECT ifnull(max(number), 0) FROM series";
            let is_whole = transaction.query_row(newest, [], |row| row.get::<_, u32>(0))? < end;
            if is_whole {
                transaction.execute("UPDATE progress SET summarised = ?1", [hour])?;
            }
            Ok(is_whole)
        });
        match is_whole.map_err(|error| trouble(&self.path, error))? {
            true => (self.summarised, self.under_way) = (hour, None),
            false => self.under_way = Some((hour, end)),
        }
        Ok(true)
    }

    /// The next hour of which there are slots.
    fn next_hour(&self) -> Result<Option<u32>, ArchiveError> {
        let next = |measure| {
            let place = |number| Place { level: Level::Raw, measure, number, series: 0 };
            oldest(&self.connection, place(self.summarised + 1), place(MOST_NUMBER))
        };
        let found: rusqlite::Result<Vec<_>> = Measure::ALL.into_iter().map(next).collect();
        Ok(found.map_err(|error| trouble(&self.path, error))?.into_iter().flatten().map(Place::number).min())
    }

    /// Drops the oldest chunks of each level if they are older than they are to be kept: of each only those of one time,
    /// so that a clock that is far ahead by mistake costs little. Whether there were any.
    pub(super) fn expire(&mut self, hour: u32, retention: &Retention) -> Result<bool, ArchiveError> {
        let dropped = in_transaction(&mut self.connection, |transaction| {
            let mut dropped = 0;
            for level in Level::ALL {
                let hours = level.chunk_slots() / super::HOUR_SLOTS;
                let kept = hour.saturating_sub(retention.of(level)) / hours;
                for measure in Measure::ALL {
                    let place = |number| Place { level, measure, number, series: 0 };
                    let Some(oldest) = oldest(transaction, place(0), place(kept))? else { continue };
                    let number = Place::number(oldest);
                    let ends = [place(number).key(), place(number + 1).key()];
                    dropped += transaction.execute("DELETE FROM chunk WHERE place >= ?1 AND place < ?2", ends)?;
                }
            }
            Ok(dropped)
        });
        Ok(dropped.map_err(|error| trouble(&self.path, error))? > 0)
    }
}

#[cfg(test)]
impl Archive {
    pub(super) fn limit_pages(&self, pages: u32) -> Result<(), ArchiveError> {
        let set = self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        set.map_err(|error| trouble(&self.path, error))
    }
}

/// Takes down what was kept last. If there is more between that and what comes now than agents tell again, something is
/// lacking since.
fn note_gap(transaction: &Transaction<'_>, pending: &Pending) -> rusqlite::Result<()> {
    let Some((first, last)) = pending.ends() else { return Ok(()) };
    let (kept, lacks) = gaps(transaction)?;
    let is_gap = first.0 > kept + MINUTE_SLOTS;
    let lacks = lacks.into_iter().chain(is_gap.then_some(kept / HOUR_SLOTS)).min();
    transaction.execute("UPDATE progress SET kept = ?1, lacks_since = ?2", params![last.0, lacks]).map(drop)
}

fn expect_schema(connection: &Connection, path: &Path) -> Result<(), ArchiveError> {
    match schema(connection).map_err(|error| trouble(path, error))? {
        Some(SCHEMA) => Ok(()),
        Some(found) => Err(ArchiveError::Newer { path: path.to_owned(), found }),
        None => Err(ArchiveError::Damaged { path: path.to_owned(), what: "it is something else".to_owned() }),
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// What SQLite says, in words that tell what is to be done.
pub(super) fn trouble(path: &Path, source: rusqlite::Error) -> ArchiveError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            ArchiveError::Damaged { path, what: source.to_string() }
        }
        _ => ArchiveError::Database { path, source },
    }
}
