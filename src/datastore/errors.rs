//! What can go wrong, in words for the operator.

use crate::core::ids::{DatastoreId, HostId, VoterId};
use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// Why a datastore can not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The system refuses.
    #[error("{} cannot be opened; see that it is mounted, or attached, and belongs to this user", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is neither a folder, a file nor a block device; name one of these", path.display())]
    NoPlace {
        /// What.
        path: PathBuf,
    },
    /// It has no header.
    #[error(
        "{} holds no heartbeat datastore; see that the right storage is mounted there, and if it is, make one with \
         `holdfast datastore format`", path.display()
    )]
    NotFormatted {
        /// What.
        path: PathBuf,
    },
    /// Another program made it.
    #[error("{} has format {format}, and this program knows format 1; use the program that made it", path.display())]
    OtherFormat {
        /// What.
        path: PathBuf,
        /// Its format.
        format: u16,
    },
    /// Its header is damaged.
    #[error(
        "the header of {} is damaged; look at what writes to it, then format it again with --force", path.display()
    )]
    Damaged {
        /// What.
        path: PathBuf,
    },
    /// It is another cluster's.
    #[error(
        "{} belongs to cluster {}, not to {}; see that the right storage is mounted there",
        path.display(), Uuid::from_u128(*found), Uuid::from_u128(*expected)
    )]
    OtherCluster {
        /// What.
        path: PathBuf,
        /// Whose it is.
        found: u128,
        /// Whose it should be.
        expected: u128,
    },
    /// It is another datastore of the cluster.
    #[error("{} is {found}, not {expected}; see that the right storage is mounted there", path.display())]
    OtherDatastore {
        /// What.
        path: PathBuf,
        /// Which one it is.
        found: DatastoreId,
        /// Which one it should be.
        expected: DatastoreId,
    },
    /// It bears the right number and is another one all the same.
    #[error(
        "{} was formatted anew: it is {}, not {}; hosts that still use the old one and hosts that use this one do not \
         see each other, so every host must learn of it first", path.display(), Uuid::from_u128(*found),
        Uuid::from_u128(*expected)
    )]
    OtherFormatting {
        /// What.
        path: PathBuf,
        /// Which one it is.
        found: u128,
        /// Which one it should be.
        expected: u128,
    },
    /// It can be read through a cache only.
    #[error(
        "{} can no longer be read past this machine's caches, so a tombstone there could be overlooked; mount it as it was",
        path.display()
    )]
    Cached {
        /// What.
        path: PathBuf,
    },
    /// It was cut short.
    #[error(
        "{} has {size} bytes, and its header says {needed}; restore its size, or format it again with --force",
        path.display()
    )]
    TooSmall {
        /// What.
        path: PathBuf,
        /// What it has.
        size: u64,
        /// What it should have.
        needed: u64,
    },
}

/// Why a datastore is not formatted.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The system refuses.
    #[error(
        "{} cannot be {doing}; see that it is mounted, that this user may write to it, and that nothing else uses it",
        path.display()
    )]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is neither a folder, a file nor a block device; name one of these", path.display())]
    NoPlace {
        /// What.
        path: PathBuf,
    },
    /// The room can not be had.
    #[error("{} needs {needed} bytes, which cannot be had; make room, or name a lower --capacity", path.display())]
    NoRoom {
        /// What.
        path: PathBuf,
        /// How much.
        needed: u64,
        /// Why.
        source: io::Error,
    },
    /// It is too small.
    #[error("{} has {size} bytes and needs {needed}; enlarge it, or name a lower --capacity", path.display())]
    TooSmall {
        /// What.
        path: PathBuf,
        /// What it has.
        size: u64,
        /// What it needs.
        needed: u64,
    },
    /// Something is there.
    #[error("{} holds {found}; name other storage, or use --force if that may be lost for ever", path.display())]
    Occupied {
        /// What.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// Hosts use it.
    #[error(
        "{} is in use: {what} changed within {} seconds; stop the agents that use it first, for without its tombstones \
         VMs could run twice", path.display(), watch.as_secs_f32()
    )]
    InUse {
        /// What.
        path: PathBuf,
        /// What changed.
        what: String,
        /// How long it was watched.
        watch: Duration,
    },
    /// The name.
    #[error("\"{name}\" is no name for a datastore; use 1 to 64 bytes without control characters")]
    BadName {
        /// The name.
        name: String,
    },
    /// The capacity.
    #[error("a datastore has room for 1 to {most} hosts, not for {capacity}; name a --capacity in between")]
    BadCapacity {
        /// What was asked for.
        capacity: u32,
        /// The most.
        most: u32,
    },
}

/// Why an operation is answered with `Failed`.
#[derive(Debug, Error)]
pub enum OperationError {
    /// The system refuses.
    #[error("{} cannot be {doing}; it is opened anew with the next operation", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no longer what it was.
    #[error(
        "{} was replaced or formatted since it was opened; it is opened anew with the next operation", path.display()
    )]
    Replaced {
        /// What.
        path: PathBuf,
    },
    /// The host has no row.
    #[error(
        "{host} has no place on {}, which was formatted for {capacity} hosts; format another one with a greater \
         --capacity",
        path.display()
    )]
    BeyondCapacity {
        /// What.
        path: PathBuf,
        /// Who.
        host: HostId,
        /// Its capacity.
        capacity: u32,
    },
    /// The record does not fit.
    #[error(
        "the record of {host} has {bytes} bytes and {} takes {largest}; the host renews no lease there \
         until it holds fewer VMs",
        path.display()
    )]
    TooLarge {
        /// What.
        path: PathBuf,
        /// Whose.
        host: HostId,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        largest: usize,
    },
    /// A greater authority has spoken there.
    #[error(
        "the mail to {host} on {} was left as it is: {owner} wrote a tombstone there by a greater authority \
         than {writer}'s",
        path.display()
    )]
    Outranked {
        /// Where.
        path: PathBuf,
        /// To whom.
        host: HostId,
        /// Whose mail it is.
        owner: VoterId,
        /// Who wanted to replace it.
        writer: VoterId,
    },
}

impl OperationError {
    /// Whether the datastore itself is in trouble, and not just what was asked of it.
    pub(super) fn is_of_datastore(&self) -> bool {
        matches!(self, OperationError::Io { .. } | OperationError::Replaced { .. })
    }
}

/// An error with all that led to it, for those who are shown one line.
pub(super) fn in_full(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
