//! A datastore as a person sees it.

use super::errors::OpenError;
use super::file::Access;
use super::header::Header;
use super::open::open_rows;
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{Mail, Record, Slot};
use std::path::Path;

/// All that a datastore holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What it says of itself.
    pub header: Header,
    /// Whether reads and writes pass by this machine's caches; if not, no lease may rest on it.
    pub direct: bool,
    /// The records that were ever written.
    pub records: Vec<RecordSeen>,
    /// The mail that was ever written.
    pub mail: Vec<MailSeen>,
}

/// A host's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSeen {
    /// Whose slot it is.
    pub host: HostId,
    /// What is in it.
    pub slot: Slot<Record>,
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSeen {
    /// To whom.
    pub host: HostId,
    /// In whose column.
    pub voter: VoterId,
    /// What is in it.
    pub slot: Slot<Mail>,
}

/// Reads all that a datastore holds, of whatever cluster, and changes nothing.
pub fn inspect(path: &Path) -> Result<Inspection, OpenError> {
    let (rows, header, _) = open_rows(path, Access::Read)?;
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let records = rows.records().map_err(failed)?;
    let records = records.into_iter().map(|(host, slot)| RecordSeen { host, slot }).collect();
    let mut mail = Vec::new();
    for (host, row) in rows.layout.rows() {
        let columns = rows.mail(host, row).map_err(failed)?;
        mail.extend(columns.into_iter().map(|(voter, slot)| MailSeen { host, voter, slot }));
    }
    Ok(Inspection { header, direct: rows.file.is_direct(), records, mail })
}
