//! Heartbeat datastores: where hosts say that they live, and find what the master ordered them.
//!
//! A datastore is a folder on a shared file system (then the file `holdfast.records` in it), a block device, or a plain
//! file that is treated like a device. All have one layout, in pages of 4 KiB; numbers are little-endian:
//!
//! ```text
//!  0                                                    1 MiB
//!  ├─ header ─┬─ zero, kept for later formats ───────────┤
//!  ├─ first pages of records: one page for each host ────┤   ReadRecords reads these in one sweep
//!  ├─ mail: a row of 32 pages for each host ─────────────┤   8 first pages, then 3 more for each of the 8 columns
//!  └─ further pages of records: 31 for each host ────────┘   read only where a first page says so
//!
//!  a page:  0 magic "HOLDFAST"   8 format    10 kind    11 column   12 host
//!          16 page number       18 pages    20 length  24 sequence or serial
//!          32 name of the writing (128 bits)           48 voter    56 zero    60 CRC-32 of all the rest
//!          64 payload: over all pages of a slot, a format byte and then the postcard of a Header, Record or Mail
//! ```
//!
//! A host has the row of its number; mail to it lies in the column of the voter's number modulo 8. A slot of all zeros
//! was never written. A slot is whole only if all its pages are, and name the same writing: every writing draws a
//! random name, so that pages of two writings never pass for one, not even if two processes write at once. Further
//! pages are written and synced before the first one, so a reader finds the old slot, a torn one, or the new one.
//!
//! A record may have 32 pages, which is 4,000 VMs in the longest encoding there is, with 2,300 more that are gone. One
//! that is larger is refused; it is never cut. Mail may have 4 pages: its tombstone always fits, and of its releases
//! at least 800.
//!
//! [`Datastore`] is one that is open, [`Attached`] opens it again after trouble, and [`DatastoreThread`] keeps all of
//! that away from whoever must not hang. [`format()`] makes one, [`inspect`] shows one to people.

mod attached;
mod errors;
mod file;
mod format;
mod header;
mod inspect;
#[cfg(any(test, fuzzing))]
mod law;
mod layout;
mod open;
mod page;
mod pages;
mod rows;
mod signature;
mod slot;
#[cfg(test)]
mod tests;
mod thread;

pub use attached::{Attached, Condition, Expected, Sight};
pub use errors::{FormatError, OpenError, OperationError};
pub use format::{DEFAULT_CAPACITY, DEFAULT_WATCH, FormatOptions, check, format};
pub use header::{Header, HeaderFault, decode_header};
pub use inspect::{Inspection, MailSeen, RecordSeen, inspect};
#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use layout::{COLUMNS, Layout, MAX_CAPACITY};
pub use open::{Datastore, open};
pub use page::{Kind, Page, PageHead, decode_page};
pub use slot::{decode_mail, decode_record};
pub use thread::{DatastoreThread, Perform};
