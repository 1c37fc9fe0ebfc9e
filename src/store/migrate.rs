//! From one schema to the next.

use super::backup;
use super::directory::StateDirectory;
use super::error::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;

/// A step to the next schema.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    /// The schema that it leads to.
    pub(super) to: u32,
    pub(super) apply: fn(&Transaction<'_>) -> rusqlite::Result<()>,
}

/// All steps, the first from an empty file.
pub(super) const MIGRATIONS: &[Migration] = &[
    FIRST,
    SECOND,
    #[cfg(feature = "next-protocol")]
    Migration { to: 3, apply: |transaction| transaction.execute_batch("ALTER TABLE node ADD COLUMN unread INTEGER") },
];

const FIRST: Migration =
    Migration { to: 1, apply: |transaction| transaction.execute_batch(include_str!("version_1.sql")) };

/// Agents know protected VMs by their UUIDs. None is known of those that there are: they are the embedded hypervisor's,
/// which asks for none.
const SECOND: Migration =
    Migration { to: 2, apply: |transaction| transaction.execute_batch(include_str!("version_2.sql")) };

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub(super) fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |migration| migration.to)
}

pub(super) fn refuse_newer(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<(), StoreError> {
    let found = version(connection).map_err(StoreError::database("cannot read", path))?;
    let known = newest(migrations);
    if found > known { Err(StoreError::Newer { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// Runs the steps that this database has not seen. A copy of what it was is kept beside it, as a backup: for whoever puts
/// it back goes back in time, with all that this means.
pub(super) fn bring_up_to_date(
    connection: &mut Connection,
    directory: &StateDirectory,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let path = directory.database();
    let found = version(connection).map_err(StoreError::database("cannot read", &path))?;
    let Some(first) = migrations.iter().find(|migration| migration.to > found) else { return Ok(()) };
    let copy = directory.fresh(".copying")?;
    backup::copy(connection, &copy)?;
    directory.put(&copy, &directory.beside(&format!(".before-{}", first.to)))?;
    run(connection, &path, migrations)
}

/// Runs the steps, each as a whole or not at all.
pub(super) fn run(connection: &mut Connection, path: &Path, migrations: &[Migration]) -> Result<(), StoreError> {
    let failed = StoreError::database("cannot bring to the present schema", path);
    let found = version(connection).map_err(&failed)?;
    for migration in migrations.iter().filter(|migration| migration.to > found) {
        step(connection, migration).map_err(&failed)?;
    }
    Ok(())
}

fn step(connection: &mut Connection, migration: &Migration) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    (migration.apply)(&transaction)?;
    transaction.pragma_update(None, "user_version", migration.to)?;
    transaction.commit()
}
