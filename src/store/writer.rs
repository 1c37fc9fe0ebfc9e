//! The one thread that writes.
//!
//! ```text
//!  submit ─▶ queue ─▶ all that waits: one transaction, one sync ─▶ done, in order ─▶ the write-ahead log is tended
//!                         └─ failed: rolled back, then each alone ─▶ done, or why not
//! ```
//!
//! After a write to the voter's store has failed, later batches were made on a ground that is not there: they are refused
//! until the store is reloaded or replaced.

use super::checkpoint::{LOOK, WalKeeper};
use super::database;
use super::directory::StateDirectory;
use super::error::{StoreError, SubmitError, WriteError};
use super::ledger::{self, LedgerRow};
use super::tables;
use super::voter::{self, Outline};
use crate::core::action::AgentStore;
use crate::election::{StoreBatch, StoreImage};
use rusqlite::{Connection, TransactionBehavior};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use thiserror::Error;

/// So many operations may wait.
const QUEUE: usize = 256;
/// So many go into one transaction.
const GROUP: usize = 64;

/// Something to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// What the agent keeps, in place of what it kept before.
    SaveAgent(Box<AgentStore>),
    /// A batch of the voter's store.
    Batch(Box<StoreBatch>),
    /// This is the voter's store, in place of any other.
    NewVoter(Box<StoreImage>),
    /// There is no voter's store any more.
    DropVoter,
    /// New rows of the ledger.
    Ledger(Vec<LedgerRow>),
    /// A small setting, in place of what it was before.
    Mark {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
}

impl Operation {
    fn is_voters(&self) -> bool {
        matches!(self, Operation::Batch(_) | Operation::NewVoter(_) | Operation::DropVoter)
    }
}

/// An operation that was not taken. It will not be answered.
#[derive(Debug, Error)]
#[error("{why}")]
pub struct Refused {
    /// Why not.
    #[source]
    pub why: SubmitError,
    /// The operation, for another try.
    pub operation: Operation,
}

/// Called on the writer's thread when an operation is on stable storage, or is not and will not be. It must not block.
pub(super) type Done = Callback<()>;
/// Called on the writer's thread with the voter's store as it is on disk. It must not block.
pub(super) type Reloaded = Callback<Option<StoreImage>>;
type Callback<T> = Box<dyn FnOnce(Result<T, WriteError>) + Send>;

/// Gives exactly one answer, also when the writer comes to an end on the way.
struct Answer<T>(Option<Callback<T>>);

impl<T> Answer<T> {
    fn give(mut self, result: Result<T, WriteError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }

    /// It was never asked for: the caller learns so in another way.
    fn withdraw(mut self) {
        self.0 = None;
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(WriteError::other("the store's writer has ended, and may or may not have written this")));
        }
    }
}

enum Task {
    Write(Operation, Answer<()>),
    Reload(Answer<Option<StoreImage>>),
}

/// The way to the writer's thread.
pub(super) struct Handle {
    /// None once it is told to end.
    queue: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    path: PathBuf,
}

impl Handle {
    pub(super) fn submit(&self, operation: Operation, done: Done) -> Result<(), Box<Refused>> {
        let sent = self.send(Task::Write(operation, Answer(Some(done))));
        let Err((why, Task::Write(operation, answer))) = sent else { return Ok(()) };
        answer.withdraw();
        Err(Box::new(Refused { why, operation }))
    }

    pub(super) fn reload(&self, done: Reloaded) -> Result<(), SubmitError> {
        let sent = self.send(Task::Reload(Answer(Some(done))));
        let Err((why, Task::Reload(answer))) = sent else { return Ok(()) };
        answer.withdraw();
        Err(why)
    }

    pub(super) fn lives(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn send(&self, task: Task) -> Result<(), (SubmitError, Task)> {
        let Some(queue) = &self.queue else { return Err((SubmitError::Stopped, task)) };
        queue.try_send(task).map_err(|error| match error {
            TrySendError::Full(task) => (SubmitError::QueueFull, task),
            TrySendError::Disconnected(task) => (SubmitError::Stopped, task),
        })
    }

    /// Lets the writer finish what waits, and end.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        self.queue = None;
        match self.thread.take() {
            // A callback may be what drops the store; the thread cannot wait for itself.
            Some(thread) if thread.thread().id() != thread::current().id() => {
                thread.join().unwrap_or_else(|_| Err(StoreError::WriterDied { path: self.path.clone() }))
            }
            _ => Ok(()),
        }
    }
}

/// What the thread works with. The fields are dropped in this order: the directory's lock last.
pub(super) struct Writer {
    connection: Connection,
    /// The voter's store as it is on disk, without its contents.
    outline: Option<Outline>,
    /// A write to the voter's store has failed, and nobody has read since what it holds.
    is_in_doubt: bool,
    wal: WalKeeper,
    directory: StateDirectory,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        voter: Option<&StoreImage>,
        wal: WalKeeper,
        directory: StateDirectory,
    ) -> Writer {
        Writer { connection, outline: voter.map(Outline::of), is_in_doubt: false, wal, directory }
    }

    pub(super) fn start(self) -> Result<Handle, StoreError> {
        let (queue, tasks) = sync_channel(QUEUE);
        let path = self.directory.database();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || self.run(&tasks));
        let thread = thread.map_err(StoreError::file("cannot start the writer of", &path))?;
        Ok(Handle { queue: Some(queue), thread: Some(thread), path })
    }

    fn run(mut self, tasks: &Receiver<Task>) -> Result<(), StoreError> {
        loop {
            let first = if self.wal.is_waiting() {
                tasks.recv_timeout(LOOK)
            } else {
                tasks.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match first {
                Ok(first) => self.take(first, tasks),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.wal.tend(&self.connection);
        }
        let path = self.directory.database();
        self.wal.finish(&self.connection, &path)?;
        database::close(self.connection, &path)
    }

    /// Writes a task together with all that wait behind it.
    fn take(&mut self, first: Task, tasks: &Receiver<Task>) {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(task) = next.take() {
            match task {
                Task::Write(operation, answer) => group.push((operation, answer)),
                Task::Reload(answer) => {
                    self.commit(std::mem::take(&mut group));
                    answer.give(self.reload());
                }
            }
            if group.len() < GROUP {
                next = tasks.try_recv().ok();
            }
        }
        self.commit(group);
    }

    fn commit(&mut self, group: Vec<(Operation, Answer<()>)>) {
        let all: Vec<&Operation> = group.iter().map(|(operation, _)| operation).collect();
        let together = self.write(&all);
        let alone = group.len() == 1;
        for (operation, answer) in group {
            let result = match &together {
                Ok(()) => Ok(()),
                Err(error) if alone => Err(error.clone()),
                Err(_) => self.write(&[&operation]),
            };
            if operation.is_voters() {
                self.is_in_doubt = result.is_err();
            }
            answer.give(result);
        }
    }

    /// Writes these as a whole or not at all. When it returns `Ok`, they are synced.
    fn write(&mut self, operations: &[&Operation]) -> Result<(), WriteError> {
        let mut outline = self.outline.clone();
        let mut is_in_doubt = self.is_in_doubt;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for operation in operations {
            write_one(&transaction, operation, &mut outline, &mut is_in_doubt)?;
        }
        transaction.commit()?;
        self.outline = outline;
        Ok(())
    }

    fn reload(&mut self) -> Result<Option<StoreImage>, WriteError> {
        let image = voter::load(&self.connection)?;
        self.outline = image.as_ref().map(Outline::of);
        self.is_in_doubt = false;
        Ok(image)
    }
}

fn write_one(
    connection: &Connection,
    operation: &Operation,
    outline: &mut Option<Outline>,
    is_in_doubt: &mut bool,
) -> Result<(), WriteError> {
    match operation {
        Operation::SaveAgent(agent) => tables::save_agent(connection, agent),
        Operation::Batch(_) if *is_in_doubt => {
            Err(WriteError::other("a write to the voter's store has failed before: reload it first"))
        }
        Operation::Batch(batch) => {
            let before = outline.as_ref().ok_or_else(|| WriteError::other("there is no voter's store to add to"))?;
            let after = before.after(batch)?;
            voter::apply(connection, batch, &after)?;
            *outline = Some(after);
            Ok(())
        }
        Operation::NewVoter(image) => {
            voter::replace(connection, image)?;
            *outline = Some(Outline::of(image));
            *is_in_doubt = false;
            Ok(())
        }
        Operation::DropVoter => {
            voter::clear(connection)?;
            *outline = None;
            *is_in_doubt = false;
            Ok(())
        }
        Operation::Ledger(rows) => ledger::add(connection, rows),
        Operation::Mark { key, value } => tables::mark(connection, key, value),
    }
}
