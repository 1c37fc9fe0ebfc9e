//! The disk of an embedded VM: what its guest writes, and a proof of whether two ever wrote at once.
//!
//! Locks are what is under test, so the proof needs none; and no clock. It rests on two files:
//!
//! - `DISK` has a **slot** for each start of the VM, in which that start alone writes, in place: its nonce, and a
//!   sequence number that grows with every write.
//! - `DISK.starts` is the **journal**: each start appends one entry before its first write. The entry's place in the
//!   journal, which the kernel gives to no two of them, is what gives the start its slot.
//!
//! A start takes over in this order: it reads the journal's last entry, then that predecessor's slot; appends its own
//! entry, which says what it saw there; and writes. So, whoever is frozen or killed whenever:
//!
//! - *Every write leaves a trace for ever*, as no start writes in another's slot.
//! - *A writer that writes after it was followed is found*: its slot is not as its successor's entry says. Be it frozen
//!   just before that write, and thawed when the successor is dead again: the slot still shows it.
//! - *Two that start at once are found*: between the entry that the one has read as the last and its own lies the
//!   other's.
//! - *Who is killed before it writes has written nothing*, and his slot is as his successor saw it.
//! - *Who runs alone is never accused*: a predecessor that is dead writes no more, a slot that was torn when it was
//!   killed stays as torn as the successor saw it, and an entry that a full disk cut short has no slot.
//!
//! [`examine`] compares all of it. Beside that, each writer looks before every write whether the journal has grown
//! since its own entry, whether its predecessor's slot has moved, and whether its own slot is as it left it; if not,
//! it says so in `DISK.clash` and ends. Of two writers that both live on, at least one therefore notices at its next
//! write, and the examination finds also those pairs of which none lived to notice.
//!
//! Nothing is synced. Hosts of this hypervisor are groups of processes of one machine with one page cache, which
//! outlives every one of them; when the machine itself goes, so do all writers.

mod examine;
mod journal;
mod slot;
mod writer;

pub use examine::{Clash, Examination, examine};
pub use journal::{Predecessor, Start};
pub use slot::Trace;
pub(super) use writer::{Takeover, Writer, WriterName};

use crate::platform::wait;
use crate::process::definition::DiskLock;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How every disk begins, so that a wrong path in a definition destroys nothing.
const HEADER: &[u8; 26] = b"holdfast embedded disk 1\n\n";

/// Why a disk cannot be used.
#[derive(Debug, Error)]
pub enum DiskError {
    /// A file cannot be used.
    #[error("{path:?} cannot be {done}: {source}; see whether it is there, and whether its file system is full")]
    File {
        /// Which.
        path: PathBuf,
        /// What was to be done with it.
        done: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{0:?} is no disk of this hypervisor: nothing was written; correct the path in the VM's definition")]
    NoDisk(PathBuf),
    /// It has a holder.
    #[error("{0:?} is locked by another process: wait until that one has ended")]
    Locked(PathBuf),
    /// Two writers.
    #[error("{0:?} is written by another process, too: this one has ended; see the file beside it ending in .clash")]
    Clash(PathBuf),
    /// It was changed by what is no VM.
    #[error("{0:?} became shorter while a VM wrote to it: somebody replaced or restored it")]
    CutShort(PathBuf),
    /// It is too long to be read into memory.
    #[error("{path:?} is longer than {limit} bytes: too long to be examined")]
    TooLong {
        /// Which.
        path: PathBuf,
        /// What is read at the most.
        limit: u64,
    },
}

impl DiskError {
    fn of<'a>(path: &'a Path, done: &'static str) -> impl FnOnce(io::Error) -> DiskError + use<'a> {
        move |source| DiskError::File { path: path.to_owned(), done, source }
    }
}

/// Makes an empty disk. What is there already is left as it is.
pub fn create(disk: &Path) -> Result<(), DiskError> {
    let made = OpenOptions::new().write(true).create_new(true).open(disk);
    let file = made.map_err(DiskError::of(disk, "made"))?;
    file.write_all_at(HEADER, 0).map_err(DiskError::of(disk, "written"))
}

/// Opens a disk to write to it, and locks it if it is to be locked.
pub(super) fn open(disk: &Path, lock: DiskLock) -> Result<File, DiskError> {
    let file = OpenOptions::new().read(true).write(true).open(disk).map_err(DiskError::of(disk, "opened"))?;
    let mut header = [0; HEADER.len()];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header == *HEADER => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(DiskError::of(disk, "read")(error)),
        Ok(()) | Err(_) => return Err(DiskError::NoDisk(disk.to_owned())),
    }
    if lock == DiskLock::Taken && !wait::take_lock(&file).map_err(DiskError::of(disk, "locked"))? {
        return Err(DiskError::Locked(disk.to_owned()));
    }
    Ok(file)
}

/// Whether a process holds the lock of a disk.
pub(super) fn is_locked(disk: &Path) -> Result<bool, DiskError> {
    let file = File::open(disk).map_err(DiskError::of(disk, "opened"))?;
    wait::is_locked(file).map_err(DiskError::of(disk, "probed"))
}

fn beside(disk: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(disk);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
