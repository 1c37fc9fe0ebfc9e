//! An open datastore, and the operations on it.

use super::errors::{OpenError, OperationError, in_full};
use super::file::{Access, PageFile, find};
use super::header::{Header, HeaderFault, decode_header};
use super::layout::{Column, PAGE, Row};
use super::pages::Pages;
use super::rows::Rows;
use super::slot::{LARGEST_RECORD, encode_mail, encode_record};
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{DatastoreOp, DatastoreResult, Mail, Record, Slot};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// An open datastore. Its operations block, and on storage that is gone they may do so for ever.
#[derive(Debug)]
pub struct Datastore {
    rows: Rows,
    header: Header,
    /// The header's page as it was read: as long as it is the same, the datastore is.
    header_page: Pages,
    is_broken: bool,
    complaints: Complaints,
}

/// What was logged last of each kind of operation, so that the same is not said twice a second for hours.
pub(super) type Complaints = BTreeMap<&'static str, String>;

/// Opens a cluster's datastore.
pub fn open(path: &Path, cluster: u128) -> Result<Datastore, OpenError> {
    let (rows, header, header_page) = open_rows(path, Access::Sync)?;
    if header.cluster != cluster {
        return Err(OpenError::OtherCluster { path: path.to_owned(), found: header.cluster, expected: cluster });
    }
    if !rows.file.is_direct() {
        tracing::warn!(
            path = %rows.file.path().display(),
            "the file system refuses O_DIRECT: what other machines write may be seen late, so no lease may rest on it"
        );
    }
    Ok(Datastore { rows, header, header_page, is_broken: false, complaints: Complaints::new() })
}

/// Opens whatever cluster's datastore.
pub(super) fn open_rows(path: &Path, access: Access) -> Result<(Rows, Header, Pages), OpenError> {
    let failed = |source: io::Error| OpenError::Io { path: path.to_owned(), source };
    let Some((_, file_path)) = find(path).map_err(failed)? else {
        return Err(OpenError::NoPlace { path: path.to_owned() });
    };
    let not_formatted = || OpenError::NotFormatted { path: path.to_owned() };
    let file = match PageFile::open(&file_path, access) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_formatted()),
        other => other.map_err(failed)?,
    };
    let size = file.size().map_err(failed)?;
    if size < PAGE as u64 {
        return Err(not_formatted());
    }
    let mut page = Pages::zeroed(1);
    file.read(&mut page, 0).map_err(failed)?;
    let header = decode_header(&page).map_err(|fault| match fault {
        HeaderFault::NotOurs => not_formatted(),
        HeaderFault::OtherFormat(format) => OpenError::OtherFormat { path: path.to_owned(), format },
        HeaderFault::Damaged => OpenError::Damaged { path: path.to_owned() },
    })?;
    let (layout, needed) = (header.layout, header.layout.size());
    if size < needed {
        return Err(OpenError::TooSmall { path: path.to_owned(), size, needed });
    }
    Ok((Rows { file, layout }, header, page))
}

impl Datastore {
    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether reads and writes pass by this machine's caches. If not, it is fit for tests and demonstrations only.
    pub fn is_direct(&self) -> bool {
        self.rows.file.is_direct()
    }

    /// Whether it must be opened anew: the storage failed, or is another one by now.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// What was logged; whoever opens it anew hands that on.
    pub(super) fn complaints(&mut self) -> &mut Complaints {
        &mut self.complaints
    }

    /// Carries out an operation. Why one fails is logged, once as long as it is the same.
    pub fn perform(&mut self, op: DatastoreOp) -> DatastoreResult {
        let what = match op {
            DatastoreOp::WriteRecord(_) => "a record was not written",
            DatastoreOp::ReadMail { .. } => "mail was not read",
            DatastoreOp::ReadRecords => "the records were not read",
            DatastoreOp::WriteMail { .. } => "mail was not written",
        };
        match self.attempt(op) {
            Ok(result) => {
                self.complaints.remove(what);
                result
            }
            Err(error) => {
                self.is_broken |= error.is_of_datastore();
                let why = in_full(&error);
                if self.complaints.get(what) != Some(&why) {
                    tracing::error!(datastore = %self.header.id, why, "{what}");
                    self.complaints.insert(what, why);
                }
                DatastoreResult::Failed
            }
        }
    }

    /// Carries out an operation, or says why not.
    pub fn attempt(&mut self, op: DatastoreOp) -> Result<DatastoreResult, OperationError> {
        self.confirm()?;
        match op {
            DatastoreOp::WriteRecord(record) => self.write_record(&record),
            DatastoreOp::ReadMail { host } => {
                let row = self.row(host)?;
                let mail = self.rows.mail(host, row).map_err(|source| self.failed("read", source))?;
                Ok(DatastoreResult::Mail(mail))
            }
            DatastoreOp::ReadRecords => {
                let records = self.rows.records().map_err(|source| self.failed("read", source))?;
                Ok(DatastoreResult::Records(records))
            }
            DatastoreOp::WriteMail { column, host, mail } => self.write_mail(column, host, mail),
        }
    }

    /// Makes sure that this still is the datastore that the path names and the header describes. A host that renewed
    /// its lease by what nobody else sees would never find the tombstone that ends it.
    fn confirm(&self) -> Result<(), OperationError> {
        let mut page = Pages::zeroed(1);
        let is_same = self.rows.file.is_in_place().and_then(|in_place| {
            self.rows.file.read(&mut page, 0)?;
            Ok(in_place && page[..] == self.header_page[..])
        });
        match is_same.map_err(|source| self.failed("read", source))? {
            true => Ok(()),
            false => Err(OperationError::Replaced { path: self.rows.file.path().to_owned() }),
        }
    }

    fn write_record(&self, record: &Record) -> Result<DatastoreResult, OperationError> {
        let host = record.incarnation.host;
        let row = self.row(host)?;
        let pages = encode_record(record, name_of_a_writing()).map_err(|bytes| OperationError::TooLarge {
            path: self.rows.file.path().to_owned(),
            host,
            bytes,
            largest: LARGEST_RECORD,
        })?;
        self.rows.write_record(row, &pages).map_err(|source| self.failed("written", source))?;
        Ok(DatastoreResult::Written)
    }

    /// Writes mail, unless that took back a tombstone (rule 7). Between the look and the writing another process may
    /// write: against that stands the master's own reading back.
    fn write_mail(&self, voter: VoterId, host: HostId, mut mail: Mail) -> Result<DatastoreResult, OperationError> {
        let row = self.row(host)?;
        let column = Column::of(voter);
        let there = self.rows.column(host, row, column).map_err(|source| self.failed("read", source))?;
        if let (owner, Slot::Whole(older)) = there
            && !mail.is_no_less_than(&older)
        {
            if !is_of_one_authority(&mail, &older) {
                let path = self.rows.file.path().to_owned();
                return Err(OperationError::Outranked { path, host, owner, writer: voter });
            }
            // No greater authority need ever come to end this, so it is no reason to refuse the mail. It says more
            // than was asked for, and no less than was said.
            mail.tombstone = older.tombstone;
        }
        let pages = encode_mail(host, voter, &mail, name_of_a_writing())
            .ok_or_else(|| self.failed("written", io::Error::other("the mail cannot be encoded")))?;
        self.rows.write_mail(row, column, &pages).map_err(|source| self.failed("written", source))?;
        Ok(DatastoreResult::Written)
    }

    fn row(&self, host: HostId) -> Result<Row, OperationError> {
        self.rows.layout.row(host).ok_or_else(|| OperationError::BeyondCapacity {
            path: self.rows.file.path().to_owned(),
            host,
            capacity: self.rows.layout.capacity(),
        })
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> OperationError {
        OperationError::Io { doing, path: self.rows.file.path().to_owned(), source }
    }
}

fn is_of_one_authority(left: &Mail, right: &Mail) -> bool {
    let authority = |mail: &Mail| mail.tombstone.map(|tombstone| tombstone.authority);
    authority(left).is_some() && authority(left) == authority(right)
}

/// So many random bits that no two writings ever share a name.
fn name_of_a_writing() -> u128 {
    Uuid::new_v4().as_u128()
}
