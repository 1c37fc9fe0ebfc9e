//! The database file: how it is made, opened and checked.

use super::directory::{self, StateDirectory, make_private, sync_file};
use super::error::StoreError;
use super::migrate::{self, Migration};
use super::{tables, unreadable};
use crate::clock;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// In the header of each file, so that nothing else is taken for it: "Hold".
const STORE_MARK: i32 = 0x486f_6c64;
/// A backup must not be opened as a store, so it has a mark of its own: "Holb".
const BACKUP_MARK: i32 = 0x486f_6c62;
/// For so long a write waits for somebody who looks into the file with SQLite's own tools.
pub(super) const BUSY: Duration = Duration::from_secs(2);

/// So many statements are kept ready: more than there are.
const STATEMENTS: usize = 64;

/// What must read back exactly so. Memory-mapped writes would not be ordered, and their errors are signals.
const SETTINGS: [(&str, &str); 8] = [
    ("mmap_size", "0"),
    ("journal_mode", "wal"),
    ("synchronous", "2"),
    ("foreign_keys", "1"),
    ("temp_store", "2"),
    ("trusted_schema", "0"),
    ("cell_size_check", "1"),
    // The writer does it, after it has answered.
    ("wal_autocheckpoint", "0"),
];

/// What a file says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Store,
    Backup,
}

/// How a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Opens the database of a directory, checked and brought up to date; makes it if this directory never had one.
pub(super) fn open(directory: &StateDirectory, migrations: &[Migration]) -> Result<Connection, StoreError> {
    let path = directory.database();
    if directory::exists(&directory.restoring()) {
        return Err(StoreError::RestoreUnfinished { path: directory.path().to_owned() });
    }
    match (fs::metadata(&path), directory.is_occupied()) {
        (Ok(found), _) if found.len() == 0 => return Err(StoreError::damaged(&path, "it is empty")),
        (Ok(_), _) => {}
        // A name that leads nowhere, or the changes to a file that is gone.
        (Err(_), true) => return Err(StoreError::damaged(&path, "it is gone, and only a part of it is left")),
        (Err(_), false) => make(directory, migrations)?,
    }
    let mut connection = connect(&path, Access::Write)?;
    expect_mark(&connection, &path, Mark::Store)?;
    migrate::refuse_newer(&connection, &path, migrations)?;
    configure(&connection, &path)?;
    check(&connection, &path)?;
    migrate::bring_up_to_date(&mut connection, directory, migrations)?;
    Ok(connection)
}

/// Makes a database under another name first: one that is half made never bears the real one.
fn make(directory: &StateDirectory, migrations: &[Migration]) -> Result<(), StoreError> {
    let path = directory.fresh(".building")?;
    // Made here, for SQLite would let everybody read it.
    drop(make_private(&path)?);
    let mut connection = connect(&path, Access::Write)?;
    set_mark(&connection, Mark::Store).map_err(StoreError::database("cannot make", &path))?;
    migrate::run(&mut connection, &path, migrations)?;
    tables::make_rows(&connection, first_session()).map_err(|error| unreadable(&path, error))?;
    close(connection, &path)?;
    sync_file(&path)?;
    directory.put(&path, &directory.database())
}

/// The run number that a new store counts on from: the minutes since 1970. A machine whose store was moved away and that
/// joins anew in the same boot must not be taken for an older run of itself; it will hardly have run more than once in
/// each of the minutes before.
pub(super) fn first_session() -> u64 {
    u64::try_from(clock::wall_milliseconds() / 60_000).unwrap_or(0)
}

/// Opens a file that is there. It changes nothing in it.
pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let failed = StoreError::database("cannot open", path);
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&failed)?;
    connection.busy_timeout(BUSY).map_err(&failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "mmap_size", 0).map_err(&failed)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(&failed)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(&failed)?;
    Ok(connection)
}

/// Sets what safety rests on, and reads it back: SQLite does not say so if it did not obey.
fn configure(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    for (name, wanted) in SETTINGS {
        let failed = StoreError::database("cannot set up", path);
        connection.pragma_update_and_check(None, name, wanted, |_| Ok(())).or_else(no_row).map_err(&failed)?;
        let found = read_setting(connection, name).map_err(&failed)?;
        if found != wanted {
            return Err(StoreError::Setting { path: path.to_owned(), name, wanted: wanted.to_owned(), found });
        }
    }
    Ok(())
}

/// Some settings answer with their new value, some do not.
fn no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    if error == rusqlite::Error::QueryReturnedNoRows { Ok(()) } else { Err(error) }
}

fn read_setting(connection: &Connection, name: &str) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, name, |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        })
    })
}

pub(super) fn set_mark(connection: &Connection, mark: Mark) -> rusqlite::Result<()> {
    let number = match mark {
        Mark::Store => STORE_MARK,
        Mark::Backup => BACKUP_MARK,
    };
    connection.pragma_update(None, "application_id", number)
}

/// What the file is; none: something else.
pub(super) fn mark(connection: &Connection, path: &Path) -> Result<Option<Mark>, StoreError> {
    let read = connection.pragma_query_value(None, "application_id", |row| row.get(0));
    Ok(match read.map_err(StoreError::database("cannot read", path))? {
        STORE_MARK => Some(Mark::Store),
        BACKUP_MARK => Some(Mark::Backup),
        _ => None,
    })
}

pub(super) fn expect_mark(connection: &Connection, path: &Path, expected: Mark) -> Result<(), StoreError> {
    let path_of = || path.to_owned();
    match (mark(connection, path)?, expected) {
        (Some(found), expected) if found == expected => Ok(()),
        (Some(Mark::Backup), _) => Err(StoreError::IsBackup { path: path_of() }),
        (Some(Mark::Store), _) => {
            let what = "it is a store that was copied by hand, not a backup; make one with `holdfast backup create`";
            Err(StoreError::NotABackup { path: path_of(), what: what.to_owned() })
        }
        (None, _) => Err(StoreError::Foreign { path: path_of() }),
    }
}

/// Looks through the whole file for damage.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    expect_ok(connection, path, "quick_check")
}

/// As [`check`], and sees whether the indices agree with their tables.
pub(super) fn check_fully(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    expect_ok(connection, path, "integrity_check")
}

fn expect_ok(connection: &Connection, path: &Path, pragma: &str) -> Result<(), StoreError> {
    let answer: String = connection
        .query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))
        .map_err(StoreError::database("cannot check", path))?;
    if answer == "ok" { Ok(()) } else { Err(StoreError::damaged(path, answer)) }
}

pub(super) fn close(connection: Connection, path: &Path) -> Result<(), StoreError> {
    connection.close().map_err(|(_, error)| StoreError::database("cannot close", path)(error))
}
