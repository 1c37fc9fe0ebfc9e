//! What is written on heartbeat datastores: each host's liveness record, and the master's mail to each host.
//!
//! A record is a host's own slot, which only that host writes. Mail lies in a table with a row for each host and a
//! column for each voter; a voter writes only in its own column, so two masters never overwrite each other.

use crate::core::ids::{Authority, ConfigVersion, DatastoreId, Epoch, Generation, HostId, Incarnation, VmId, VoterId};
use crate::core::message::Exit;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// There are so many columns for mail. Voters are at most seven, and no two that are one at the same time share one.
pub const MAIL_COLUMNS: u64 = 8;

impl VoterId {
    /// The column that a voter writes its mail to.
    pub fn column(self) -> u64 {
        self.0 % MAIL_COLUMNS
    }
}

/// A VM and one of its epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VmEpoch {
    /// The VM.
    pub vm: VmId,
    /// The epoch.
    pub epoch: Epoch,
}

/// A VM that is gone from a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Released {
    /// The VM.
    pub vm: VmId,
    /// Up to which epoch the host refuses it for ever.
    pub epoch: Epoch,
    /// How it ended.
    pub exit: Exit,
}

/// What a host says of itself on a datastore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose record it is.
    pub incarnation: Incarnation,
    /// Grows with every write; only a change of it is a sign of life.
    pub sequence: u64,
    /// What the host knew of what it must know.
    pub config: ConfigVersion,
    /// The version of its newest report then.
    pub report: u64,
    /// The VMs that the host holds, with their epochs.
    pub held: Arc<[VmEpoch]>,
    /// The VMs that are gone from the host.
    pub released: Arc<[Released]>,
}

/// A slot as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot<T> {
    /// Never written.
    Empty,
    /// Written in part, or corrupted: says nothing.
    Torn,
    /// Whole.
    Whole(T),
}

/// Ends a host's leases up to a generation: no renewal by record while it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tombstone {
    /// By whose order.
    pub authority: Authority,
    /// The last generation that it binds. Generations of a host grow over its boots, so all earlier ones are bound too.
    pub generation: Generation,
}

/// The master's mail to one host, in one voter's column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mail {
    /// Ends leases.
    pub tombstone: Option<Tombstone>,
    /// VMs that the host must let go, up to these epochs.
    pub releases: Vec<VmEpoch>,
    /// The generation to which that is said; another one does not heed it.
    pub releases_for: Generation,
    /// Tells this writing from every other one of the same words.
    pub serial: u64,
}

impl Mail {
    /// Whether replacing `older` by this loses nothing that `older` ordered.
    pub fn is_no_less_than(&self, older: &Mail) -> bool {
        self.tombstone.map(|t| (t.authority, t.generation)) >= older.tombstone.map(|t| (t.authority, t.generation))
    }

    /// Whether it forbids a renewal of this generation.
    pub fn binds(&self, generation: Generation) -> bool {
        self.tombstone.is_some_and(|tombstone| tombstone.generation >= generation)
    }
}

/// An operation on a heartbeat datastore, done by a thread that may hang alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatastoreOp {
    /// Write the host's own record.
    WriteRecord(Record),
    /// Read the row of mail that is addressed to a host, in all columns.
    ReadMail {
        /// Whose mail.
        host: HostId,
    },
    /// Read all hosts' records.
    ReadRecords,
    /// Write mail to a host in a voter's column.
    WriteMail {
        /// The column.
        column: VoterId,
        /// The row.
        host: HostId,
        /// What it says.
        mail: Mail,
    },
}

/// How an operation on a heartbeat datastore ended. One that hangs never answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatastoreResult {
    /// Written, and on stable storage.
    Written,
    /// The mail of a row, by column.
    Mail(Vec<(VoterId, Slot<Mail>)>),
    /// The records that were there, by the host whose slot it is.
    Records(Vec<(HostId, Slot<Record>)>),
    /// An I/O error, or a datastore that is not there.
    Failed,
}

/// An operation and its datastore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatastoreCall {
    /// Where.
    pub datastore: DatastoreId,
    /// What.
    pub op: DatastoreOp,
}
