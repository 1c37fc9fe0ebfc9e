//! The rows of the file.

use super::chunk::{Level, MOST_NUMBER, Place, Summaries, decode_raw, decode_summaries, encode_summaries, minutes};
use super::codec::{Column, Malformed};
use super::{Measure, Subject, Summary};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// In the header of the file, so that nothing else is taken for it: "Hols".
const MARK: i32 = 0x486f_6c73;
/// The form of its tables and chunks.
pub(super) const SCHEMA: i32 = 1;
const TABLES: &str = "
    CREATE TABLE series (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id BLOB NOT NULL, UNIQUE (kind, id));
    CREATE TABLE chunk (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE progress (summarised INTEGER NOT NULL, kept INTEGER NOT NULL, lacks_since INTEGER);
    INSERT INTO progress VALUES (0, 0, NULL);";
/// For so long whoever looks into the file with SQLite's own tools is waited for.
const BUSY: Duration = Duration::from_secs(2);

/// Opens a file that is there.
pub(super) fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    // Memory-mapped errors of a disk are signals.
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Makes the tables of a new file.
pub(super) fn make(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.pragma_update(None, "application_id", MARK)
}

/// The schema of a file; none: it is something else.
pub(super) fn schema(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (mark, schema) = (read("application_id")?, read("user_version")?);
    Ok((mark == MARK).then_some(schema))
}

fn identity(subject: Subject) -> (i64, Vec<u8>) {
    match subject {
        Subject::Host(number) => (0, number.to_be_bytes().to_vec()),
        Subject::Vm(uuid) => (1, uuid.to_be_bytes().to_vec()),
    }
}

/// The number of a series, if there is one.
pub(super) fn find_series(connection: &Connection, subject: Subject) -> rusqlite::Result<Option<u32>> {
    let (kind, id) = identity(subject);
    let mut statement = connection.prepare_cached("SELECT number FROM series WHERE kind = ?1 AND id = ?2")?;
    statement.query_row(params![kind, id], |row| row.get(0)).optional()
}

/// The number of a series, which is made if there is none.
pub(super) fn series_of(
    transaction: &Transaction<'_>,
    known: &mut BTreeMap<Subject, u32>,
    subject: Subject,
) -> rusqlite::Result<u32> {
    if let Some(number) = known.get(&subject) {
        return Ok(*number);
    }
    let number = match find_series(transaction, subject)? {
        Some(number) => number,
        None => {
            let (kind, id) = identity(subject);
            let mut statement = transaction.prepare_cached("INSERT INTO series (kind, id) VALUES (?1, ?2)")?;
            let number = statement.insert(params![kind, id])?;
            u32::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))?
        }
    };
    known.insert(subject, number);
    Ok(number)
}

fn subject(kind: i64, id: &[u8]) -> Option<Subject> {
    match kind {
        0 => id.try_into().ok().map(|id| Subject::Host(u32::from_be_bytes(id))),
        1 => id.try_into().ok().map(|id| Subject::Vm(u128::from_be_bytes(id))),
        _ => None,
    }
}

/// At most so many chunks from one key to before another one, each with the series that it is of.
pub(super) fn located(
    connection: &Connection,
    ends: [i64; 2],
    most: usize,
) -> rusqlite::Result<Vec<(i64, Subject, Vec<u8>)>> {
    let sql = "SELECT place, kind, id, data FROM chunk JOIN series ON number = place & ?4
        WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![ends[0], ends[1], limit, MOST_NUMBER], |row| {
        let subject = subject(row.get(1)?, row.get_ref(2)?.as_blob()?);
        Ok((row.get(0)?, subject, row.get(3)?))
    })?;
    let known = |(place, subject, data): (i64, Option<Subject>, Vec<u8>)| Some((place, subject?, data));
    rows.filter_map(|row| row.map(known).transpose()).collect()
}

/// The last slot that was kept, and the hour since which some may be lacking.
pub(super) fn gaps(connection: &Connection) -> rusqlite::Result<(u32, Option<u32>)> {
    connection.query_row("SELECT kept, lacks_since FROM progress", [], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn data(connection: &Connection, place: Place) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT data FROM chunk WHERE place = ?1")?;
    statement.query_row([place.key()], |row| row.get(0)).optional()
}

/// The slots of an hour; none, if there is no such chunk.
pub(super) fn raw(connection: &Connection, place: Place) -> rusqlite::Result<Column> {
    Ok(data(connection, place)?.and_then(|data| sound(place.key(), decode_raw(&data))).unwrap_or_default())
}

/// The same of all series from one place to before another one.
pub(super) fn raws(connection: &Connection, from: Place, to: Place) -> rusqlite::Result<Vec<(u32, Column)>> {
    let mut statement = connection.prepare_cached("SELECT place, data FROM chunk WHERE place >= ?1 AND place < ?2")?;
    let rows = statement.query_map([from.key(), to.key()], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let read = |row: rusqlite::Result<(i64, Vec<u8>)>| {
        row.map(|(key, data)| (Place::series(key), sound(key, decode_raw(&data)).unwrap_or_default()))
    };
    rows.map(read).collect()
}

/// The summaries of a chunk; none, if there is no such chunk.
pub(super) fn summaries(connection: &Connection, place: Place) -> rusqlite::Result<Summaries> {
    let found = data(connection, place)?;
    Ok(found.and_then(|data| sound(place.key(), decode_summaries(&data, place.level))).unwrap_or_default())
}

/// A chunk that cannot be read is as good as none, but whoever looks after the host must know that its disk fails.
fn sound<T>(key: i64, read: Result<T, Malformed>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(key, %error, "a chunk of samples is damaged, and is left out")).ok()
}

/// Writes a chunk in the place of what was there.
pub(super) fn put(transaction: &Transaction<'_>, place: Place, data: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO chunk VALUES (?1, ?2) ON CONFLICT DO UPDATE SET data = excluded.data";
    transaction.prepare_cached(sql)?.execute(params![place.key(), data]).map(drop)
}

/// Makes the minutes and the hour of an hour of slots.
pub(super) fn summarise(transaction: &Transaction<'_>, hour: Place, slots: &Column) -> rusqlite::Result<()> {
    put(transaction, Place { level: Level::Minutes, ..hour }, &encode_summaries(&minutes(slots)))?;
    let hours = Level::Hours.values() as u32;
    let day = Place { level: Level::Hours, number: hour.number / hours, ..hour };
    let mut summaries = summaries(transaction, day)?;
    let at = (hour.number % hours) as usize;
    if summaries.len() <= at {
        summaries.resize(at + 1, None);
    }
    if let Some(summary) = summaries.get_mut(at) {
        *summary = Summary::of(slots.iter().copied());
    }
    put(transaction, day, &encode_summaries(&summaries))
}

/// The key of the first chunk from one place to before another one.
pub(super) fn oldest(connection: &Connection, from: Place, to: Place) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT min(place) FROM chunk WHERE place >= ?1 AND place < ?2")?;
    statement.query_row([from.key(), to.key()], |row| row.get(0))
}

/// The first hour of which there are slots.
pub(super) fn first_raw_hour(connection: &Connection, measure: Measure) -> rusqlite::Result<Option<u32>> {
    let place = |number| Place { level: Level::Raw, measure, number, series: 0 };
    Ok(oldest(connection, place(0), place(MOST_NUMBER))?.map(Place::number))
}
