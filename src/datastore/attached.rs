//! A datastore by its path: opened with the first operation that finds it there, and opened anew after trouble.

use super::errors::{OpenError, in_full};
use super::header::Header;
use super::open::{Complaints, Datastore, open};
use super::thread::Perform;
use crate::core::ids::DatastoreId;
use crate::core::record::{DatastoreOp, DatastoreResult};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What must be found at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The cluster.
    pub cluster: u128,
    /// The datastore's number in it.
    pub id: DatastoreId,
    /// Its own identity. If it is not known, the first one that is found is kept to.
    pub uuid: Option<u128>,
    /// Whether it must pass by this machine's caches: a lease rests on what is read there.
    pub direct: bool,
}

/// How a datastore stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// It was not looked for yet.
    #[default]
    Unknown,
    /// It is open.
    Open {
        /// What it says of itself.
        header: Header,
        /// Whether reads and writes pass by this machine's caches; if not, no lease may rest on it.
        direct: bool,
    },
    /// It can not be opened.
    Trouble {
        /// Why.
        why: String,
    },
}

/// Shows how a datastore stands, while a thread of its own may hang in it.
#[derive(Debug, Clone, Default)]
pub struct Sight(Arc<Mutex<Condition>>);

impl Sight {
    /// How it stood after the last operation that ended.
    pub fn condition(&self) -> Condition {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, condition: Condition) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }
}

/// A datastore by its path.
#[derive(Debug)]
pub struct Attached {
    path: PathBuf,
    expected: Expected,
    open: Option<Datastore>,
    /// Of the one that was open before.
    complaints: Complaints,
    sight: Sight,
}

impl Attached {
    /// One that is opened when it is needed.
    pub fn new(path: PathBuf, expected: Expected) -> Attached {
        Attached { path, expected, open: None, complaints: Complaints::new(), sight: Sight::default() }
    }

    /// Where others may see how it stands.
    pub fn sight(&self) -> Sight {
        self.sight.clone()
    }

    fn opened(&mut self) -> Option<&mut Datastore> {
        if self.open.is_none() {
            match self.reopen() {
                Ok(datastore) => self.open = Some(datastore),
                Err(error) => self.note_trouble(in_full(&error)),
            }
        }
        self.open.as_mut()
    }

    fn reopen(&mut self) -> Result<Datastore, OpenError> {
        let mut datastore = open(&self.path, self.expected.cluster)?;
        let header = datastore.header();
        if header.id != self.expected.id {
            let (found, expected) = (header.id, self.expected.id);
            return Err(OpenError::OtherDatastore { path: self.path.clone(), found, expected });
        }
        // Two that bear one number are two worlds: a tombstone in the one is not seen in the other.
        if let Some(expected) = self.expected.uuid.filter(|expected| *expected != header.uuid) {
            return Err(OpenError::OtherFormatting { path: self.path.clone(), found: header.uuid, expected });
        }
        if self.expected.direct && !datastore.is_direct() {
            return Err(OpenError::Cached { path: self.path.clone() });
        }
        self.expected.uuid = Some(header.uuid);
        let condition = Condition::Open { header: header.clone(), direct: datastore.is_direct() };
        if self.sight.condition() != condition {
            tracing::info!(datastore = %header.id, path = %self.path.display(), "a datastore was opened");
            self.sight.set(condition);
        }
        *datastore.complaints() = std::mem::take(&mut self.complaints);
        Ok(datastore)
    }

    fn note_trouble(&self, why: String) {
        let trouble = Condition::Trouble { why: why.clone() };
        if self.sight.condition() != trouble {
            tracing::error!(datastore = %self.expected.id, why, "a datastore cannot be opened; it is tried again");
            self.sight.set(trouble);
        }
    }
}

impl Perform for Attached {
    fn perform(&mut self, op: DatastoreOp) -> DatastoreResult {
        let Some(datastore) = self.opened() else { return DatastoreResult::Failed };
        let result = datastore.perform(op);
        if datastore.is_broken() {
            self.complaints = std::mem::take(datastore.complaints());
            self.open = None;
        }
        result
    }
}
