//! Backup and restore (rule 15).
//!
//! A backup is one file with all that a host needs to be itself again on a new disk: its store, who it is, its keys, and a
//! checksum over all of it. The store in it has a mark of its own, so that it cannot be opened as one, and a row that
//! says of whom and when it is. It can be made while the agent runs; the copy that a migration leaves beside the store
//! is that store alone. Bringing one back is going back in time, and this is what becomes of it:
//!
//! - **The voter's store** is dead. Its voter may have voted and promised what the backup does not know, so it is marked
//!   and never votes again; the node tells the master that it is lost and gets a new, empty one under a new number.
//! - **The run number** leaps over all that the agent may have had since, so that no message, ticket or record of
//!   a forgotten run passes for one of a coming run.
//! - **What the agent knew** (version, armed, whether software guards count) is forgotten. It says that it knows
//!   nothing, as a new host does: so the log counts on none of its guards, takes what it does not name for unaccounted
//!   and not for gone (proof 1), and tells it everything anew; the agent then accounts for every protected VM.
//!   Had it kept an old version, the log could count on its killing a VM of which it does not know (rules 3 to 5).
//! - **What it refuses and what it may hold** is kept: refused epochs, journal, protected VMs, and the highest
//!   authority. All of it only makes the agent more careful; what it lacks is covered by the above, for an epoch is
//!   permitted only to the run and the generation that registered last, and both are new.
//! - **The watchdog** is not opened before the master has admitted the host, so one that an earlier run left counting is
//!   not fed.
//! - **The ledger** lacks its newest rows until they are copied from another voter.
//!
//! Until the agent has learnt anew, [`Opened::restored`](super::Opened::restored) says so: a VM may have come
//! under protection since the backup, so until then the hook must let no VM start.

use super::archive::{self, Beside};
use super::database::{self, Access, Mark};
use super::directory::{
    StateDirectory, canonical, database_in, exists, make_private, remove_database, restoring_in, sync_directory,
    sync_file, with_suffix,
};
use super::error::{StoreError, WriteError};
use super::migrate::{self, MIGRATIONS};
use super::tables::{self, SESSION_MAX};
use super::{unreadable, voter};
use crate::clock;
use crate::core::action::AgentStore;
use crate::core::ids::ConfigVersion;
use crate::core::state::Armed;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The setting that names the cluster in a backup.
pub const CLUSTER_SETTING: &str = "cluster";
/// The setting that names the host in a backup.
pub const HOST_SETTING: &str = "host";

/// An agent that restarts every second takes twelve days to run so often. The numbers suffice for a thousand restores.
const SESSION_LEAP: u64 = 1 << 20;

const HEADER: &str = "CREATE TABLE backup (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cluster TEXT,
    host TEXT,
    at_milliseconds INTEGER NOT NULL,
    schema INTEGER NOT NULL
) STRICT";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Of which cluster, if the node knew.
    pub cluster: Option<String>,
    /// Of which host, if the node knew.
    pub host: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// Which schema it has.
    pub schema: u32,
}

/// Whether a store that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// No.
    Never,
    /// Yes; it is moved aside.
    MoveAside,
}

/// Whose backup is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// That of the host of this name.
    Of(&'a str),
    /// Anybody's.
    Anybodys,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup said of itself.
    pub header: Header,
    /// Where the store is now that was there before.
    pub moved_aside: Option<PathBuf>,
}

/// Writes a backup of a directory's store to a new file. The agent may be running.
pub fn create(directory: &Path, to: &Path) -> Result<Header, StoreError> {
    if exists(to) {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    let store = database_to_copy(directory)?;
    let source = database::connect(&store, Access::Read)?;
    database::expect_mark(&source, &store, Mark::Store)?;
    migrate::refuse_newer(&source, &store, MIGRATIONS)?;
    let to = std::path::absolute(to).map_err(StoreError::file("cannot find", to))?;
    let folder = to.parent().unwrap_or(Path::new("/"));
    let part = with_suffix(&to, &format!(".part-{}", std::process::id()));
    let copied = with_suffix(&part, ".db");
    let made = copy(&source, &copied).and_then(|header| {
        or_removed(&part, archive::pack(&part, &header, &copied, &canonical(directory)?))?;
        rename_to_new(&part, &to).map(|()| header)
    });
    remove_database(&copied)?;
    sync_directory(folder)?;
    made
}

fn database_to_copy(directory: &Path) -> Result<PathBuf, StoreError> {
    let directory = canonical(directory)?;
    let store = database_in(&directory);
    match (exists(&restoring_in(&directory)), exists(&store)) {
        (true, _) => Err(StoreError::RestoreUnfinished { path: directory }),
        (false, false) => Err(StoreError::Missing { path: store }),
        (false, true) => Ok(store),
    }
}

/// Gives a file a name that nobody has taken meanwhile; where the file system knows no such thing, it was looked at before.
fn rename_to_new(from: &Path, to: &Path) -> Result<(), StoreError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(StoreError::Exists { path: to.to_owned() }),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            std::fs::rename(from, to).map_err(StoreError::file("cannot rename", from))
        }
        Err(error) => Err(StoreError::file("cannot rename", from)(error.into())),
    }
}

/// Writes a whole and synced backup of what this connection sees to a file that is not there yet.
pub(super) fn copy(source: &Connection, to: &Path) -> Result<Header, StoreError> {
    drop(make_private(to)?);
    or_removed(to, fill(source, to))
}

/// Half of a file would only use up a disk that may be full already.
fn or_removed<T>(path: &Path, made: Result<T, StoreError>) -> Result<T, StoreError> {
    if made.is_err() {
        remove_database(path)?;
    }
    made
}

fn fill(source: &Connection, to: &Path) -> Result<Header, StoreError> {
    let failed = StoreError::database("cannot write the backup", to);
    let name = to.to_str().ok_or_else(|| unreadable(to, WriteError::other("its name is no text")))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(&failed)?;
    let mut target = database::connect(to, Access::Write)?;
    let header = write_header(&mut target).map_err(&failed)?;
    database::check_fully(&target, to)?;
    database::close(target, to)?;
    sync_file(to)?;
    Ok(header)
}

fn write_header(target: &mut Connection) -> rusqlite::Result<Header> {
    let transaction = target.transaction()?;
    let header = Header {
        cluster: tables::setting(&transaction, CLUSTER_SETTING)?,
        host: tables::setting(&transaction, HOST_SETTING)?,
        at_milliseconds: clock::wall_milliseconds(),
        schema: migrate::version(&transaction)?,
    };
    transaction.execute_batch(HEADER)?;
    let Header { cluster, host, at_milliseconds, schema } = &header;
    transaction
        .execute("INSERT INTO backup VALUES (1, ?1, ?2, ?3, ?4)", params![cluster, host, at_milliseconds, schema])?;
    database::set_mark(&transaction, Mark::Backup)?;
    transaction.commit()?;
    Ok(header)
}

/// Reads what a backup says of itself, without bringing it back.
pub fn read_header(from: &Path) -> Result<Header, StoreError> {
    let from = canonical(from)?;
    if archive::is_archive(&from)? {
        return archive::unpack(&from, &mut std::io::sink()).map(|(header, _)| header);
    }
    let connection = database::connect(&from, Access::Read)?;
    database::expect_mark(&connection, &from, Mark::Backup)?;
    header(&connection, &from)
}

fn header(connection: &Connection, path: &Path) -> Result<Header, StoreError> {
    let sql = "SELECT cluster, host, at_milliseconds, schema FROM backup";
    let found = connection.query_row(sql, [], |row| {
        Ok(Header { cluster: row.get(0)?, host: row.get(1)?, at_milliseconds: row.get(2)?, schema: row.get(3)? })
    });
    let found = found.optional().map_err(StoreError::database("cannot read", path))?;
    let what = || "it does not say of whom and when it is".to_owned();
    found.ok_or_else(|| StoreError::NotABackup { path: path.to_owned(), what: what() })
}

/// Brings a backup back: the store, and who the host is. Refused while an agent works with the directory. What was there is moved aside, if that is
/// allowed; a power cut in the middle leaves the old store or the new one, or neither is opened until this is run again.
pub fn restore(from: &Path, directory: &Path, replace: Replace, whose: Whose<'_>) -> Result<Restored, StoreError> {
    let from = canonical(from)?;
    let directory = StateDirectory::lock(directory)?;
    let occupied = || StoreError::Occupied { path: directory.path().to_owned() };
    if directory.is_occupied() && replace == Replace::Never {
        return Err(occupied());
    }
    let new = directory.fresh(".building")?;
    let prepared = prepare(&from, &new, last_session(&directory)).and_then(|(header, beside)| {
        expect_host(&from, &header, whose)?;
        let others = beside.iter().any(|file| directory.holds_another(&file.name, &file.content));
        if others && replace == Replace::Never { Err(occupied()) } else { Ok((header, beside)) }
    });
    let (header, beside) = or_removed(&new, prepared)?;
    // From here on nobody opens what is there: it is about to be torn away from its write-ahead log.
    directory.put(&new, &directory.restoring())?;
    let seconds = clock::wall_milliseconds() / 1_000;
    let moved_aside = directory.move_aside(seconds)?;
    for file in &beside {
        directory.replace(&file.name, &file.content, seconds)?;
    }
    directory.put(&directory.restoring(), &directory.database())?;
    Ok(Restored { header, moved_aside })
}

/// The keys of one host make no other one.
fn expect_host(from: &Path, header: &Header, whose: Whose<'_>) -> Result<(), StoreError> {
    match (whose, &header.host) {
        (Whose::Of(wanted), Some(found)) if wanted != found => Err(StoreError::OfAnother {
            path: from.to_owned(),
            found: found.clone(),
            cluster: header.cluster.clone().unwrap_or_default(),
            wanted: wanted.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The last run number of the store that is to be replaced, as far as it can still be read.
fn last_session(directory: &StateDirectory) -> u64 {
    let session = |path: PathBuf| {
        let store = database::connect(&path, Access::Read).ok()?;
        tables::node(&store).ok().map(|(session, _)| session)
    };
    session(directory.database()).max(session(directory.restoring())).unwrap_or(0)
}

/// Makes a store of a backup's copy; and what else is in the backup.
fn prepare(from: &Path, to: &Path, last_session: u64) -> Result<(Header, Vec<Beside>), StoreError> {
    let mut target = make_private(to)?;
    let beside = match archive::is_archive(from)? {
        true => archive::unpack(from, &mut target)?.1,
        false => copy_of_store(from, &mut target)?,
    };
    drop(target);
    let failed = StoreError::database("cannot write", to);
    let mut connection = database::connect(to, Access::Write)?;
    database::expect_mark(&connection, from, Mark::Backup)?;
    migrate::refuse_newer(&connection, from, MIGRATIONS)?;
    database::check_fully(&connection, from)?;
    let header = header(&connection, from)?;
    migrate::run(&mut connection, to, MIGRATIONS)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    go_back_in_time(&transaction, from, last_session)?;
    transaction.execute("DROP TABLE backup", []).map_err(&failed)?;
    database::set_mark(&transaction, Mark::Store).map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    database::close(connection, to)?;
    sync_file(to)?;
    Ok((header, beside))
}

/// What a migration has left is a store alone. Anything else is not even copied: it could be without end.
fn copy_of_store(from: &Path, target: &mut File) -> Result<Vec<Beside>, StoreError> {
    let connection = database::connect(from, Access::Read)?;
    database::expect_mark(&connection, from, Mark::Backup)?;
    drop(connection);
    let copied = File::open(from).and_then(|mut source| std::io::copy(&mut source, target));
    copied.map(|_| Vec::new()).map_err(StoreError::file("cannot copy", from))
}

fn go_back_in_time(connection: &Connection, from: &Path, last_session: u64) -> Result<(), StoreError> {
    let told = |error| unreadable(from, error);
    let (session, _) = tables::node(connection).map_err(told)?;
    let session = (session + SESSION_LEAP).max(last_session).max(database::first_session());
    if session > SESSION_MAX {
        return Err(StoreError::SessionsExhausted { path: from.to_owned(), session });
    }
    let agent = tables::agent(connection).map_err(told)?;
    tables::save_agent(connection, &forgetful(agent)).map_err(told)?;
    tables::set_node(connection, session, true).map_err(told)?;
    voter::disqualify(connection).map_err(told)
}

/// What an agent may still go by that went back in time. Every field is named, so that a new one is thought about.
fn forgetful(agent: AgentStore) -> AgentStore {
    let AgentStore {
        authority,
        config: _,
        told: _,
        watchdog_opened: _,
        armed: _,
        software_guards: _,
        protected,
        voters,
        floors,
        journal,
    } = agent;
    AgentStore {
        authority,
        config: ConfigVersion(0),
        told: ConfigVersion(0),
        watchdog_opened: None,
        // The hook refuses protected VMs all the same until the first admission; and at the admission the watchdog is
        // opened before anything is acknowledged.
        armed: Armed::Observe,
        software_guards: false,
        protected,
        voters,
        floors,
        journal,
    }
}
