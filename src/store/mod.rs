//! What a node keeps on its own disk: one SQLite file, `holdfast.db`, in the node's state directory.
//!
//! It holds the agent's store, the voter's store, the ledger, a few settings, and the number of runs of the agent. Only
//! the owner can read it, and one process at a time works with it. What [`Store::submit`] reports as done is on stable
//! storage, and a power cut at any moment leaves a store that opens and holds all of that.
//!
//! A file that is damaged is never made anew in silence: it held promises, and a node that forgot them could break them.
//! Nor does a backup go on as the node that it was made of; see [`backup`].
//!
//! Calls of [`Store`] return at once, except [`Store::open`] and [`Store::close`]; those, and all of [`LedgerReader`],
//! block, so on an async thread they belong into `spawn_blocking`.

mod archive;
pub mod backup;
mod checkpoint;
mod codec;
mod database;
mod directory;
mod error;
#[cfg(any(test, fuzzing))]
mod law;
mod ledger;
mod migrate;
mod reader;
mod tables;
#[cfg(test)]
mod tests;
mod voter;
mod writer;

pub use error::{QueryError, StoreError, SubmitError, WriteError, WriteErrorKind};
#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use ledger::{Glimpse, LedgerKey, LedgerRow};
pub use reader::{LedgerReader, ROWS_MAX, TimeRange};
pub use writer::{Operation, Refused};

use crate::core::action::AgentStore;
use crate::election::StoreImage;
use checkpoint::WalKeeper;
use directory::StateDirectory;
use migrate::{MIGRATIONS, Migration};
use rusqlite::{Connection, TransactionBehavior};
use std::collections::BTreeMap;
use std::path::Path;
use tables::SESSION_MAX;
use writer::{Handle, Writer};

/// A node's store, open.
pub struct Store {
    writer: Handle,
    ledger: LedgerReader,
}

/// A store that was opened, and what it held.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The number of this run of the agent: greater than any before on this machine, and synced.
    pub session: u64,
    /// What the agent kept.
    pub agent: AgentStore,
    /// The voter's store, if this node votes.
    pub voter: Option<StoreImage>,
    /// The settings, by name.
    pub settings: BTreeMap<String, String>,
    /// The store came out of a backup, and no master has told the agent since what it must know; see [`backup`].
    pub restored: bool,
}

impl Store {
    /// Opens the store of this directory, and makes it if the directory never had one. No other process can open it until
    /// this one has closed it or has ended.
    pub fn open(directory: &Path) -> Result<Opened, StoreError> {
        Store::open_with(directory, MIGRATIONS)
    }

    fn open_with(directory: &Path, migrations: &[Migration]) -> Result<Opened, StoreError> {
        let directory = StateDirectory::lock(directory)?;
        let path = directory.database();
        let mut connection = database::open(&directory, migrations)?;
        let contents = load(&connection).map_err(|error| unreadable(&path, error))?;
        let session = begin_session(&mut connection, &path)?;
        let ledger = LedgerReader::open(&path)?;
        let wal = WalKeeper::new(ledger.pool());
        let writer = Writer::new(connection, contents.voter.as_ref(), wal, directory).start()?;
        let Contents { agent, voter, settings, restored } = contents;
        Ok(Opened { store: Store { writer, ledger }, session, agent, voter, settings, restored })
    }

    /// Has something written. It never waits: if the queue is full, the operation comes back.
    ///
    /// `done` is called once, when it is on stable storage, or has failed and left nothing behind; only where the writer
    /// itself has died, which it says, is that not known. Calls come in the order of writes, on the writer's thread, so
    /// they must not block.
    pub fn submit(
        &self,
        operation: Operation,
        done: impl FnOnce(Result<(), WriteError>) + Send + 'static,
    ) -> Result<(), Box<Refused>> {
        self.writer.submit(operation, Box::new(done))
    }

    /// Reads the voter's store anew, after all that was submitted before. It says what is on disk; batches are taken
    /// again after it. If even that fails, ask again later.
    pub fn reload_voter(
        &self,
        done: impl FnOnce(Result<Option<StoreImage>, WriteError>) + Send + 'static,
    ) -> Result<(), SubmitError> {
        self.writer.reload(Box::new(done))
    }

    /// Whether there is still somebody who writes. If not, nothing will ever be written again.
    pub fn lives(&self) -> bool {
        self.writer.lives()
    }

    /// Answers questions to the ledger.
    pub fn ledger(&self) -> LedgerReader {
        self.ledger.clone()
    }

    /// Writes what waits, empties the write-ahead log and lets another process in.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.writer.end()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.writer.end() {
            tracing::warn!(%error, "the store was not closed in good order; nothing that was reported as done is lost");
        }
    }
}

struct Contents {
    agent: AgentStore,
    voter: Option<StoreImage>,
    settings: BTreeMap<String, String>,
    restored: bool,
}

fn load(connection: &Connection) -> Result<Contents, WriteError> {
    let (_, restored) = tables::node(connection)?;
    let (agent, voter) = (tables::agent(connection)?, voter::load(connection)?);
    Ok(Contents { agent, voter, settings: tables::settings(connection)?, restored })
}

fn unreadable(path: &Path, error: WriteError) -> StoreError {
    match error.kind {
        WriteErrorKind::Corrupt => StoreError::damaged(path, error.text),
        _ => StoreError::file("cannot read", path)(std::io::Error::other(error.text)),
    }
}

/// Takes the next run number and puts it on stable storage before anybody hears it.
fn begin_session(connection: &mut Connection, path: &Path) -> Result<u64, StoreError> {
    let failed = StoreError::database("cannot write", path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let (before, restored) = tables::node(&transaction).map_err(|error| unreadable(path, error))?;
    let session = before + 1;
    if session > SESSION_MAX {
        return Err(StoreError::SessionsExhausted { path: path.to_owned(), session });
    }
    tables::set_node(&transaction, session, restored).map_err(|error| unreadable(path, error))?;
    transaction.commit().map_err(&failed)?;
    Ok(session)
}
