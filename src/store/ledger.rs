//! The ledger's rows, and how they are added.

use super::codec::{from_row, to_row};
use super::error::WriteError;
use rusqlite::{Connection, Row, params};

/// So long may the text of one row be.
const BODY_BYTES: usize = 1024 * 1024;

/// Where a row stands in the ledger: the entry of the log that it follows from. All voters have the same row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LedgerKey {
    /// The cluster generation of the log.
    pub generation: u32,
    /// The entry of the log.
    pub log_index: u64,
    /// Which of the rows that follow from that entry.
    pub part: u32,
}

/// A row of the ledger: something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Where it stands.
    pub key: LedgerKey,
    /// When it happened, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// The VM that it happened to.
    pub vm: Option<i64>,
    /// The host that it happened to, or on.
    pub host: Option<i64>,
    /// What happened, in a word.
    pub kind: String,
    /// All about it, as JSON.
    pub body: String,
}

/// What most readers need of a row, as long as it lies there.
#[derive(Debug, Clone, Copy)]
pub struct Glimpse<'a> {
    /// Where it stands.
    pub key: LedgerKey,
    /// When it happened, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// What happened, in a word.
    pub kind: &'a str,
    /// All about it, as JSON.
    pub body: &'a str,
}

/// The columns of a row, in the order in which [`row`] reads them.
pub(super) const COLUMNS: &str = "generation, log_index, part, at_milliseconds, vm, host, kind, body";

/// Adds rows. One that is there already is no news; another one in its place is two histories of one cluster.
pub(super) fn add(connection: &Connection, rows: &[LedgerRow]) -> Result<(), WriteError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO ledger (generation, log_index, part, at_milliseconds, vm, host, kind, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )?;
    for row in rows {
        let LedgerKey { generation, log_index, part } = row.key;
        if row.body.len() > BODY_BYTES {
            return Err(WriteError::other(format_args!(
                "the ledger's row {:?} is longer than {BODY_BYTES} bytes",
                row.key
            )));
        }
        let index = to_row(log_index)?;
        let (at, vm, host) = (row.at_milliseconds, row.vm, row.host);
        let added = insert.execute(params![generation, index, part, at, vm, host, row.kind, row.body])?;
        if added == 0 {
            expect_same(connection, row)?;
        }
    }
    Ok(())
}

fn expect_same(connection: &Connection, wanted: &LedgerRow) -> Result<(), WriteError> {
    let sql = format!("SELECT {COLUMNS} FROM ledger WHERE generation = ?1 AND log_index = ?2 AND part = ?3");
    let LedgerKey { generation, log_index, part } = wanted.key;
    let place = params![generation, to_row(log_index)?, part];
    let stored = connection.prepare_cached(&sql)?.query_row(place, |found| Ok(row(found)))??;
    if stored == *wanted {
        return Ok(());
    }
    tracing::error!(?stored, ?wanted, "the ledger has another row at this place: voters disagree about what happened");
    Err(WriteError::other(format_args!("the ledger has another row at {:?} already", wanted.key)))
}

/// Reads a row. The columns are bounded by the schema's types, but not by this program's.
pub(super) fn row(row: &Row<'_>) -> Result<LedgerRow, WriteError> {
    let log_index = from_row(row.get(1)?)?;
    Ok(LedgerRow {
        key: LedgerKey { generation: row.get(0)?, log_index, part: row.get(2)? },
        at_milliseconds: row.get(3)?,
        vm: row.get(4)?,
        host: row.get(5)?,
        kind: row.get(6)?,
        body: row.get(7)?,
    })
}

/// Reads generation, log index, part, time, kind and body.
pub(super) fn glimpse<'a>(row: &'a Row<'_>) -> Result<Glimpse<'a>, WriteError> {
    let text = |column| -> Result<&'a str, WriteError> {
        row.get_ref(column)?
            .as_str()
            .map_err(|error| WriteError::corrupt(format_args!("the ledger has no text: {error}")))
    };
    let log_index = from_row(row.get(1)?)?;
    Ok(Glimpse {
        key: LedgerKey { generation: row.get(0)?, log_index, part: row.get(2)? },
        at_milliseconds: row.get(3)?,
        kind: text(4)?,
        body: text(5)?,
    })
}
