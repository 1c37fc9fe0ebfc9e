//! What can go wrong with the store, and what the operator does about it.

use rusqlite::ErrorCode;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a store could not be opened, closed, backed up or restored.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory, or a file in it, cannot be used.
    #[error("{doing} {}: {source}; the state directory must be on a local disk with room, and belong to the agent's user", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else could replace the files of this directory.
    #[error("{} belongs to user {owner}, not to the agent's user {user}: give it back with chown, or name another directory", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this program.
        user: u32,
    },
    /// Another agent works with this directory.
    #[error("{} is in use by {}: two agents on one store would break its promises; stop the other one first", path.display(), holder_text(*holder))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, where it is known.
        holder: Option<u32>,
    },
    /// The store cannot be trusted.
    #[error("{} is damaged: {what}. It held this node's promises, so it is not made anew: put a backup in its place with `holdfast backup restore --force`, or move the directory away and join the cluster anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file was made by something else.
    #[error("{} was not written by holdfast: move it away, or name another directory", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A backup was copied to where a store belongs. It would go on as the node's old self.
    #[error("{} is a backup and cannot be used as it is: move it away and bring it in with `holdfast backup restore`", path.display())]
    IsBackup {
        /// The file.
        path: PathBuf,
    },
    /// A restore was interrupted.
    #[error("a restore into {} did not come to its end: run `holdfast backup restore --force` once more", path.display())]
    RestoreUnfinished {
        /// The directory.
        path: PathBuf,
    },
    /// A newer program has written this.
    #[error("{} has schema {found}, and this program knows none after {known}: install the newer holdfast again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// SQLite does not do what was asked of it.
    #[error("{} runs with {name} = {found} where {wanted} is needed: is the state directory on a network file system?", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: &'static str,
        /// What it must be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// Run numbers are used up.
    #[error("{} has counted {session} runs of the agent, more than messages can carry: move the directory away and join the cluster anew", path.display())]
    SessionsExhausted {
        /// The file.
        path: PathBuf,
        /// The next number.
        session: u64,
    },
    /// What is to be restored is no backup.
    #[error("{} cannot be restored: {what}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// What is to be restored is another host's.
    #[error("{} is the backup of {found} in cluster \"{cluster}\", and this host is configured as {wanted}: with --of-another-host it is restored all the same, and this host is {found} then", path.display())]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Of which cluster.
        cluster: String,
        /// Whose was wanted.
        wanted: String,
    },
    /// There is a store already.
    #[error("{} holds a store, or the keys of a member: with --force it is moved aside, not deleted, and the backup takes its place", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing to make a backup of.
    #[error("{} is not there: name the state directory of a host whose agent has run", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A backup would overwrite something.
    #[error("{} exists: a backup overwrites nothing, so name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The writer came to an end that it was not told to come to.
    #[error("the writer of {} ended by a fault of this program: nothing that it reported as done is lost; start the agent again, and report what the log says", path.display())]
    WriterDied {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed otherwise.
    #[error("{doing} {}: {source}; see whether the disk is full or failing, then start the agent again", path.display())]
    Database {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl StoreError {
    pub(super) fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
        move |source| StoreError::File { doing, path: path.to_owned(), source }
    }

    /// An error of SQLite. That a file is damaged is said as such, wherever it is noticed.
    pub(super) fn database(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> StoreError {
        move |source| match WriteErrorKind::of(&source) {
            WriteErrorKind::Corrupt => StoreError::damaged(path, source.to_string()),
            _ => StoreError::Database { doing, path: path.to_owned(), source },
        }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// What kind of trouble a write met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteErrorKind {
    /// The disk is full.
    Full,
    /// The disk fails, or takes no writes.
    Io,
    /// The file is damaged.
    Corrupt,
    /// Anything else; above all a write that contradicts what is stored.
    Other,
}

impl WriteErrorKind {
    pub(super) fn of(error: &rusqlite::Error) -> WriteErrorKind {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => WriteErrorKind::Full,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed,
            ) => WriteErrorKind::Io,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => WriteErrorKind::Corrupt,
            Some(_) => WriteErrorKind::Other,
            None => WriteErrorKind::of_rows(error),
        }
    }

    /// A row that always is there is missing, or a value is none that this program writes.
    fn of_rows(error: &rusqlite::Error) -> WriteErrorKind {
        match error {
            rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => WriteErrorKind::Corrupt,
            _ => WriteErrorKind::Other,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            WriteErrorKind::Full => "free space on the disk of the state directory",
            WriteErrorKind::Io => "see what the kernel's log says of the disk of the state directory",
            WriteErrorKind::Corrupt => "stop the agent, then restore a backup or join anew",
            WriteErrorKind::Other => "nothing of it was kept",
        }
    }
}

/// Why something was not written, or could not be read back. Nothing of it is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}; {}", kind.advice())]
pub struct WriteError {
    /// What kind of trouble.
    pub kind: WriteErrorKind,
    /// What happened, in words.
    pub text: String,
}

impl WriteError {
    pub(super) fn other(text: impl fmt::Display) -> WriteError {
        WriteError { kind: WriteErrorKind::Other, text: text.to_string() }
    }

    pub(super) fn corrupt(text: impl fmt::Display) -> WriteError {
        WriteError { kind: WriteErrorKind::Corrupt, text: text.to_string() }
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> WriteError {
        WriteError {
            kind: WriteErrorKind::of(&error),
            text: format!("the store could not be written or read: {error}"),
        }
    }
}

/// Why something was not even taken to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The disk is slower than what is asked of it.
    #[error("the store's queue is full: the disk is too slow or hangs")]
    QueueFull,
    /// The writer has ended.
    #[error("the store's writer has ended: start the agent again")]
    Stopped,
}

/// Why a question to the ledger was not answered.
#[derive(Debug, Error)]
pub enum QueryError {
    /// All readers are at work, or held up.
    #[error("the ledger is busy with other questions: ask again")]
    Busy,
    /// It held up the writer.
    #[error("the question took so long that it held up the store: ask for a shorter time or fewer rows")]
    Interrupted,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// A row is not one that this program wrote.
    #[error("the ledger holds a row that cannot be read: {0}; restore a backup or join anew")]
    Damaged(String),
    /// SQLite failed.
    #[error("the ledger could not be read: {0}; see what the kernel's log says of the disk of the state directory")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> QueryError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => QueryError::Interrupted,
            _ if WriteErrorKind::of(&error) == WriteErrorKind::Corrupt => QueryError::Damaged(error.to_string()),
            _ => QueryError::Database(error),
        }
    }
}
