//! From one schema to the next, also when the process dies on the way.

use super::*;
use crate::store::backup;
use crate::store::migrate::{MIGRATIONS, Migration, newest};
use rusqlite::{Connection, Transaction};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use tempfile::TempDir;

/// Where the process that is to be killed works, and in which step.
const CHILD: &str = "HOLDFAST_TEST_MIGRATION";

fn first_half(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("ALTER TABLE node ADD COLUMN colour TEXT; UPDATE node SET colour = 'half'")
}

fn second(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    first_half(transaction)?;
    transaction.execute_batch("UPDATE node SET colour = 'blue'")
}

fn third(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("CREATE TABLE more (x INTEGER) STRICT; INSERT INTO more VALUES (5)")
}

fn killed_in_the_middle(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    // What is written so far is in the write-ahead log already.
    transaction.pragma_update(None, "cache_spill", 1)?;
    transaction.execute_batch("CREATE TABLE half (x BLOB) STRICT; INSERT INTO half VALUES (zeroblob(20000000))")?;
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    Ok(())
}

fn steps(
    second: fn(&Transaction<'_>) -> rusqlite::Result<()>,
    third: fn(&Transaction<'_>) -> rusqlite::Result<()>,
) -> Vec<Migration> {
    let last = newest(MIGRATIONS);
    [MIGRATIONS, &[Migration { to: last + 1, apply: second }, Migration { to: last + 2, apply: third }]].concat()
}

fn version(directory: &Path) -> u32 {
    let connection = Connection::open(directory.join("holdfast.db")).expect("it opens");
    crate::store::migrate::version(&connection).expect("a number")
}

/// A closed store of this program's schema that holds something.
fn old_store(directory: &Path) -> u64 {
    let opened = open(directory);
    let session = opened.session;
    written(&opened.store, save(&agent()));
    written(&opened.store, new_voter());
    opened.store.close().expect("it closes");
    session
}

fn opens_with_all(directory: &Path, migrations: &[Migration], session: u64) {
    let opened = Store::open_with(directory, migrations).expect("it opens");
    assert_eq!((opened.session, opened.agent, opened.voter), (session, agent(), Some(bootstrap())));
}

/// A store as the first schema had it. It is never made anew: it stands for those that are out there.
#[test]
fn a_store_of_the_first_schema_is_read() {
    let folder = TempDir::new().expect("a folder");
    let connection = Connection::open(folder.path().join("holdfast.db")).expect("it opens");
    connection.execute_batch(include_str!("version_1_dump.sql")).expect("it is filled");
    connection.close().expect("it closes");
    let opened = open(folder.path());
    let mut kept = agent();
    kept.protected.values_mut().for_each(|known| known.uuid = 0);
    assert_eq!((opened.session, opened.restored, &opened.agent), (8, false, &kept));
    assert_eq!(opened.voter, Some(image_with(&[batch(2, 30)])));
    assert_eq!(opened.settings.get("cluster").map(String::as_str), Some("blue"));
    assert_eq!(opened.store.ledger().after(None, 9).expect("an answer"), [row(1, 0, 5), row(2, 1, 6)]);
    let new = TempDir::new().expect("a folder");
    drop((opened, open(new.path())));
    assert_eq!(schema(folder.path()), schema(new.path()), "old stores and new ones must not differ");
}

fn schema(directory: &Path) -> Vec<(String, Option<String>)> {
    let connection = Connection::open(directory.join("holdfast.db")).expect("it opens");
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").expect("it is plain");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("an answer");
    rows.collect::<rusqlite::Result<_>>().expect("text")
}

#[test]
fn an_older_store_is_brought_up_to_date_and_a_copy_kept() {
    let folder = TempDir::new().expect("a folder");
    let session = old_store(folder.path());
    opens_with_all(folder.path(), &steps(second, third), session + 1);
    let last = newest(MIGRATIONS);
    assert_eq!(version(folder.path()), last + 2);
    let connection = Connection::open(folder.path().join("holdfast.db")).expect("it opens");
    let colour: String = connection.query_row("SELECT colour FROM node", [], |row| row.get(0)).expect("a row");
    assert_eq!(colour, "blue");
    drop(connection);
    match open_error(folder.path()) {
        error @ StoreError::Newer { found, known, .. } if (found, known) == (last + 2, last) => {
            assert!(error.to_string().contains("install the newer holdfast"), "{error}");
        }
        error => panic!("{error}"),
    }
    // The copy cannot be opened as it is, but it can be restored.
    let copy = folder.path().join(format!("holdfast.db.before-{}", last + 1));
    assert_eq!(backup::read_header(&copy).expect("a backup").schema, last);
    let elsewhere = folder.path().join("elsewhere");
    backup::restore(&copy, &elsewhere, backup::Replace::Never, backup::Whose::Anybodys).expect("it is restored");
    assert!(open(&elsewhere).restored);
}

#[test]
fn a_step_that_fails_leaves_the_old_store() {
    let folder = TempDir::new().expect("a folder");
    let session = old_store(folder.path());
    let broken = steps(|transaction| first_half(transaction).and(Err(rusqlite::Error::InvalidQuery)), third);
    let error = Store::open_with(folder.path(), &broken).err().expect("it must not open");
    assert!(matches!(error, StoreError::Database { .. }), "{error}");
    opens_with_all(folder.path(), MIGRATIONS, session + 1);
}

/// Not a test by itself: the process in which a migration is killed.
#[test]
fn child_that_is_killed() {
    let Some(wanted) = std::env::var_os(CHILD) else { return };
    let wanted = wanted.into_string().expect("it is text");
    let (step, directory) = wanted.split_once(':').expect("a step and a path");
    let migrations =
        if step == "second" { steps(killed_in_the_middle, third) } else { steps(second, killed_in_the_middle) };
    let _ = Store::open_with(Path::new(directory), &migrations);
    unreachable!("it is killed");
}

#[test]
fn a_process_that_dies_in_a_step_leaves_the_store_before_it() {
    let last = newest(MIGRATIONS);
    for (step, left) in [("second", last), ("third", last + 1)] {
        let folder = TempDir::new().expect("a folder");
        let session = old_store(folder.path());
        let status = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "store::tests::migration::child_that_is_killed"])
            .env(CHILD, format!("{step}:{}", folder.path().display()))
            .output()
            .expect("it runs")
            .status;
        assert_eq!(status.signal(), Some(9), "{status}");
        assert_eq!(version(folder.path()), left);
        if left == last {
            opens_with_all(folder.path(), MIGRATIONS, session + 1);
            opens_with_all(folder.path(), &steps(second, third), session + 2);
        } else {
            assert!(matches!(open_error(folder.path()), StoreError::Newer { found, .. } if found == left));
            opens_with_all(folder.path(), &steps(second, third), session + 1);
        }
    }
}
