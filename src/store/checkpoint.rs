//! Keeps the write-ahead log short.
//!
//! It grows with each commit and starts anew from its beginning once all of it is in the database and nobody reads from
//! it. Copying it is done here, after the writes were answered, so that no commit waits for it. Readers that follow each
//! other without a gap would keep it from ever starting anew: beyond a limit they are held back for a moment.

use super::database::BUSY;
use super::error::StoreError;
use super::reader::Pool;
use crate::clock::boottime;
use crate::core::time::Instant;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Pages in the log (of 4 KiB) after which they are copied into the database.
const COPY_AFTER: i64 = 1_000;
/// Pages in the log after which readers are held back, so that it can start anew.
const HOLD_READERS_AFTER: i64 = 4_000;
/// A reader that takes longer while the log waits for it is interrupted.
const READER_TIME: Duration = Duration::from_secs(2);
/// While readers are waited for, the writer looks so often whether they have left.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Looks after the write-ahead log between commits.
pub(super) struct WalKeeper {
    readers: Arc<Pool>,
    copy_at: i64,
    hold_at: i64,
    /// Since when readers are held back.
    shut_since: Option<Instant>,
}

impl WalKeeper {
    pub(super) fn new(readers: Arc<Pool>) -> WalKeeper {
        WalKeeper { readers, copy_at: COPY_AFTER, hold_at: HOLD_READERS_AFTER, shut_since: None }
    }

    /// Whether it wants to be called again soon.
    pub(super) fn is_waiting(&self) -> bool {
        self.shut_since.is_some()
    }

    /// Does what is due. What fails here is said and tried again: nothing is lost by it but room on the disk.
    pub(super) fn tend(&mut self, connection: &Connection) {
        if let Err(error) = self.try_to_tend(connection) {
            tracing::warn!(%error, "the write-ahead log could not be copied into the database; it is tried again");
            self.let_readers_in();
        }
    }

    fn try_to_tend(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let pages = checkpoint(connection, "NOOP")?.pages;
        if pages < COPY_AFTER {
            self.copy_at = COPY_AFTER;
            self.hold_at = HOLD_READERS_AFTER;
            self.let_readers_in();
            return Ok(());
        }
        if pages >= self.copy_at {
            self.copy_at = pages + COPY_AFTER;
            checkpoint(connection, "PASSIVE")?;
        }
        if pages >= self.hold_at { self.start_anew(connection, pages) } else { Ok(()) }
    }

    /// Makes the log start anew, once the readers have left.
    fn start_anew(&mut self, connection: &Connection, pages: i64) -> rusqlite::Result<()> {
        let now = boottime();
        let since = *self.shut_since.get_or_insert(now);
        if !self.readers.shut() {
            if now.since(since) > READER_TIME {
                self.readers.interrupt();
            }
            return Ok(());
        }
        let done = truncate(connection)?;
        self.let_readers_in();
        if done.busy {
            self.hold_at = pages.saturating_mul(2);
            tracing::warn!(pages, "another process reads the store and keeps its write-ahead log from starting anew");
        }
        Ok(())
    }

    fn let_readers_in(&mut self) {
        if self.shut_since.take().is_some() {
            self.readers.reopen();
        }
    }

    /// Brings everything into the database and empties the log, before the store is closed.
    pub(super) fn finish(&mut self, connection: &Connection, path: &Path) -> Result<(), StoreError> {
        self.readers.close();
        // Whoever still reads keeps the log from being emptied, and the next to open the store does it.
        truncate(connection).map_err(StoreError::database("cannot copy the write-ahead log into", path))?;
        Ok(())
    }
}

struct Checkpoint {
    busy: bool,
    pages: i64,
}

/// `NOOP` only counts, `PASSIVE` copies what no reader needs, `TRUNCATE` copies all and empties the log.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Checkpoint> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.prepare_cached(&sql)?.query_row([], |row| Ok(Checkpoint { busy: row.get(0)?, pages: row.get(1)? }))
}

/// Never waits for readers: the writer has better things to do.
fn truncate(connection: &Connection) -> rusqlite::Result<Checkpoint> {
    connection.busy_timeout(Duration::ZERO)?;
    let done = checkpoint(connection, "TRUNCATE");
    connection.busy_timeout(BUSY)?;
    done
}
