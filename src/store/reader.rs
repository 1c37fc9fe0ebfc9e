//! Questions to the ledger, on connections of their own, so that they never hold up the writer.
//!
//! One thing a reader can do to the writer: as long as it reads, the write-ahead log cannot start anew from its
//! beginning. So the writer can close the door: whoever reads may finish, nobody new comes in, and who takes
//! too long is interrupted.

use super::database::{Access, connect};
use super::error::{QueryError, StoreError};
use super::ledger::{COLUMNS, Glimpse, LedgerKey, LedgerRow, glimpse, row};
use rusqlite::{Connection, InterruptHandle, OptionalExtension, Params, Row, ToSql, named_params};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many questions are answered at once.
const READERS: usize = 2;
/// For so long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// No answer has more rows; ask again after the last one.
pub const ROWS_MAX: usize = 10_000;

/// Answers questions to the ledger. Its calls block: on an async thread, wrap them into `spawn_blocking`.
#[derive(Clone)]
pub struct LedgerReader {
    pool: Arc<Pool>,
}

/// A part of the ledger by time. Both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// From when to when, in milliseconds since 1970.
    pub at_milliseconds: RangeInclusive<i64>,
    /// Only rows of this VM.
    pub vm: Option<i64>,
    /// Only rows of this host.
    pub host: Option<i64>,
    /// Only rows after this one, in the order of time and then of place: the last one of the answer before.
    pub after: Option<(i64, LedgerKey)>,
}

impl LedgerReader {
    pub(super) fn open(path: &Path) -> Result<LedgerReader, StoreError> {
        let idle = (0..READERS).map(|_| connect(path, Access::Read)).collect::<Result<Vec<_>, _>>()?;
        let handles = idle.iter().map(Connection::get_interrupt_handle).collect();
        let state = Mutex::new(State { idle, out: 0, door: Door::Open });
        Ok(LedgerReader { pool: Arc::new(Pool { state, changed: Condvar::new(), handles }) })
    }

    pub(super) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.pool)
    }

    /// The rows after a place, in the order of their places.
    pub fn after(&self, key: Option<LedgerKey>, limit: usize) -> Result<Vec<LedgerRow>, QueryError> {
        let (generation, index, part) = key.map_or((-1, -1, -1), place);
        let sql = format!(
            "SELECT {COLUMNS} FROM ledger WHERE (generation, log_index, part) > (:generation, :index, :part)
            ORDER BY generation, log_index, part LIMIT :limit"
        );
        let limit = bounded(limit);
        self.rows(&sql, named_params! {":generation": generation, ":index": index, ":part": part, ":limit": limit})
    }

    /// The same, each handed over where it lies: of very many, to copy them takes most of the time.
    pub fn each_after(
        &self,
        key: Option<LedgerKey>,
        limit: usize,
        mut take: impl FnMut(Glimpse<'_>),
    ) -> Result<(), QueryError> {
        let (generation, index, part) = key.map_or((-1, -1, -1), place);
        let sql = "SELECT generation, log_index, part, at_milliseconds, kind, body FROM ledger
            WHERE (generation, log_index, part) > (:generation, :index, :part)
            ORDER BY generation, log_index, part LIMIT :limit";
        let limit = bounded(limit);
        let after = named_params! {":generation": generation, ":index": index, ":part": part, ":limit": limit};
        self.pool.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(after)?;
            while let Some(row) = rows.next()? {
                take(glimpse(row).map_err(|error| QueryError::Damaged(error.text))?);
            }
            Ok(())
        })
    }

    /// The last rows, in the order of their places.
    pub fn newest(&self, limit: usize) -> Result<Vec<LedgerRow>, QueryError> {
        let sql =
            format!("SELECT {COLUMNS} FROM ledger ORDER BY generation DESC, log_index DESC, part DESC LIMIT :limit");
        let mut rows = self.rows(&sql, named_params! {":limit": bounded(limit)})?;
        rows.reverse();
        Ok(rows)
    }

    /// The rows from one place to another, both included, in the order of their places: what another voter copies.
    pub fn between(&self, keys: RangeInclusive<LedgerKey>, limit: usize) -> Result<Vec<LedgerRow>, QueryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM ledger
            WHERE (generation, log_index, part) BETWEEN (:g1, :i1, :p1) AND (:g2, :i2, :p2)
            ORDER BY generation, log_index, part LIMIT :limit"
        );
        let ((g1, i1, p1), (g2, i2, p2)) = (place(*keys.start()), place(*keys.end()));
        let limit = bounded(limit);
        let ends = named_params! {":g1": g1, ":i1": i1, ":p1": p1, ":g2": g2, ":i2": i2, ":p2": p2, ":limit": limit};
        self.rows(&sql, ends)
    }

    /// How many rows there are from one place to another, both included: where two voters differ, one lacks some.
    pub fn count_between(&self, keys: RangeInclusive<LedgerKey>) -> Result<u64, QueryError> {
        let ((g1, i1, p1), (g2, i2, p2)) = (place(*keys.start()), place(*keys.end()));
        let sql = "SELECT count(*) FROM ledger
            WHERE (generation, log_index, part) BETWEEN (:g1, :i1, :p1) AND (:g2, :i2, :p2)";
        let ends = named_params! {":g1": g1, ":i1": i1, ":p1": p1, ":g2": g2, ":i2": i2, ":p2": p2};
        self.counted(sql, ends)
    }

    /// How many rows there are.
    pub fn count(&self) -> Result<u64, QueryError> {
        self.counted("SELECT count(*) FROM ledger", [])
    }

    fn counted(&self, sql: &str, values: impl Params) -> Result<u64, QueryError> {
        let count = |row: &Row<'_>| row.get::<_, i64>(0);
        let count = self.pool.with(|connection| Ok(connection.prepare_cached(sql)?.query_row(values, count)?))?;
        Ok(count.unsigned_abs())
    }

    /// The first and the last place, if there is any.
    pub fn span(&self) -> Result<Option<(LedgerKey, LedgerKey)>, QueryError> {
        let end = |order: &str| {
            let places = ["generation", "log_index", "part"].map(|column| format!("{column} {order}")).join(", ");
            self.one(&format!("SELECT {COLUMNS} FROM ledger ORDER BY {places} LIMIT 1"), [])
        };
        // Rows are only added, so the ledger has a last one if it had a first.
        Ok(end("ASC")?.zip(end("DESC")?).map(|(first, last)| (first.key, last.key)))
    }

    /// The rows of a time, in the order of time and then of place.
    pub fn within(&self, range: &TimeRange, limit: usize) -> Result<Vec<LedgerRow>, QueryError> {
        let (from, until) = (*range.at_milliseconds.start(), *range.at_milliseconds.end());
        let mut sql = format!("SELECT {COLUMNS} FROM ledger WHERE at_milliseconds BETWEEN :from AND :until");
        let limit = bounded(limit);
        let mut values: Vec<(&str, &dyn ToSql)> = vec![(":from", &from), (":until", &until), (":limit", &limit)];
        sql.push_str(&filter(range.vm.as_ref(), range.host.as_ref(), &mut values));
        let after = range.after.map(|(at, key)| (at, place(key)));
        if let Some((at, (generation, index, part))) = &after {
            sql.push_str(" AND (at_milliseconds, generation, log_index, part) > (:at, :generation, :index, :part)");
            values.extend([(":at", at as &dyn ToSql), (":generation", generation), (":index", index), (":part", part)]);
        }
        sql.push_str(" ORDER BY at_milliseconds, generation, log_index, part LIMIT :limit");
        self.rows(&sql, values.as_slice())
    }

    /// The last row before a time, of this VM and this host where they are given: how things stood then.
    pub fn last_before(
        &self,
        at_milliseconds: i64,
        vm: Option<i64>,
        host: Option<i64>,
    ) -> Result<Option<LedgerRow>, QueryError> {
        let mut values: Vec<(&str, &dyn ToSql)> = vec![(":at", &at_milliseconds)];
        let filter = filter(vm.as_ref(), host.as_ref(), &mut values);
        let sql = format!(
            "SELECT {COLUMNS} FROM ledger WHERE at_milliseconds < :at{filter}
            ORDER BY at_milliseconds DESC, generation DESC, log_index DESC, part DESC LIMIT 1"
        );
        self.one(&sql, values.as_slice())
    }

    fn one(&self, sql: &str, values: impl Params) -> Result<Option<LedgerRow>, QueryError> {
        let found = self.pool.with(|connection| {
            Ok(connection.prepare_cached(sql)?.query_row(values, |found| Ok(row(found))).optional()?)
        })?;
        found.transpose().map_err(|error| QueryError::Damaged(error.text))
    }

    fn rows(&self, sql: &str, values: impl Params) -> Result<Vec<LedgerRow>, QueryError> {
        self.pool.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(values, |found| Ok(row(found)))?;
            rows.map(|found| found?.map_err(|error| QueryError::Damaged(error.text))).collect()
        })
    }
}

/// A place as SQLite compares it. What is greater than any place it can hold is its greatest.
fn place(key: LedgerKey) -> (i64, i64, i64) {
    (key.generation.into(), i64::try_from(key.log_index).unwrap_or(i64::MAX), key.part.into())
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit.min(ROWS_MAX)).unwrap_or(0)
}

fn filter<'a>(vm: Option<&'a i64>, host: Option<&'a i64>, values: &mut Vec<(&str, &'a dyn ToSql)>) -> String {
    let mut sql = String::new();
    for (name, column, value) in [(":vm", " AND vm = :vm", vm), (":host", " AND host = :host", host)] {
        if let Some(value) = value {
            values.push((name, value));
            sql.push_str(column);
        }
    }
    sql
}

/// The readers' connections.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    handles: Vec<InterruptHandle>,
}

struct State {
    idle: Vec<Connection>,
    out: usize,
    door: Door,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// Nobody comes in until the write-ahead log has been cut.
    Shut,
    /// The store is closed.
    Gone,
}

impl Pool {
    pub(super) fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, QueryError>) -> Result<T, QueryError> {
        let taken = Taken { pool: self, connection: Some(self.take()?) };
        match &taken.connection {
            Some(connection) => ask(connection),
            None => Err(QueryError::Closed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is made in one step, so there is nothing half done behind a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Connection, QueryError> {
        let blocked =
            |state: &mut State| state.door == Door::Shut || (state.idle.is_empty() && state.door == Door::Open);
        let waited = self.changed.wait_timeout_while(self.state(), PATIENCE, blocked);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match (state.door, state.idle.pop()) {
            (Door::Open, Some(connection)) => {
                state.out += 1;
                Ok(connection)
            }
            (Door::Gone, _) => Err(QueryError::Closed),
            (_, unused) => {
                state.idle.extend(unused);
                Err(QueryError::Busy)
            }
        }
    }

    /// Lets nobody in any more, and says whether all have left.
    pub(super) fn shut(&self) -> bool {
        let mut state = self.state();
        state.door = Door::Shut;
        state.out == 0
    }

    pub(super) fn reopen(&self) {
        self.state().door = Door::Open;
        self.changed.notify_all();
    }

    pub(super) fn interrupt(&self) {
        for handle in &self.handles {
            handle.interrupt();
        }
    }

    /// Closes what is idle, and what is out as soon as it comes back.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.door = Door::Gone;
        state.idle.clear();
        self.changed.notify_all();
    }
}

/// A connection that goes back into the pool, also when the question panics.
struct Taken<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.out -= 1;
        if state.door != Door::Gone {
            state.idle.extend(self.connection.take());
        }
        self.pool.changed.notify_all();
    }
}
