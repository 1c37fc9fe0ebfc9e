//! The journal of a disk's starts: entries that are appended whole, and never changed.
//!
//! Each entry begins with a line break. If a full file system cuts one short, the next one is whole all the same.

use super::{DiskError, beside};
use crate::core::ids::{Epoch, VmId};
use crate::core::record::Slot;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// No entry is shorter, so that entries and slots, which are numbered by it, go together.
const SHORTEST: u64 = 128;
/// No entry is longer.
const LONGEST: u64 = 1_024;
/// The last whole entry lies within so many bytes of the end, if not dozens of starts in a row met a full file system.
const TAIL: u64 = 64 * 1_024;
/// No longer journal is examined: some 200,000 starts.
const LONGEST_JOURNAL: u64 = 64 * 1_024 * 1_024;

/// A start of a VM, as it wrote it down before it wrote anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Its random name.
    pub nonce: Uuid,
    /// Which VM.
    pub vm: VmId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// On which host.
    pub host: String,
    /// When, on the machine's own clock.
    pub boottime_micros: u64,
    /// In which process.
    pub pid: u32,
    /// Whom it followed.
    pub previous: Option<Predecessor>,
}

/// The start before, as its successor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its random name.
    pub nonce: Uuid,
    /// The sequence number of its last write.
    pub sequence: Slot<u64>,
}

/// An entry with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: Start,
    /// The number of the slot that belongs to it.
    pub(super) slot: u64,
}

/// An open journal.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    pub(super) fn open(disk: &Path) -> Result<Journal, DiskError> {
        let path = beside(disk, ".starts");
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = opened.map_err(DiskError::of(&path, "opened"))?;
        Ok(Journal { path, file })
    }

    pub(super) fn length(&self) -> Result<u64, DiskError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(DiskError::of(&self.path, "read"))
    }

    /// The last entry before a place, if there is one.
    pub(super) fn last_before(&self, end: u64) -> Result<Option<Entry>, DiskError> {
        let begin = end.saturating_sub(TAIL);
        Ok(self.entries(begin, end)?.pop())
    }

    /// All entries that begin between two places.
    pub(super) fn entries(&self, begin: u64, end: u64) -> Result<Vec<Entry>, DiskError> {
        let length = end.saturating_sub(begin);
        if length > LONGEST_JOURNAL {
            return Err(DiskError::TooLong { path: self.path.clone(), limit: LONGEST_JOURNAL });
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, begin).map_err(DiskError::of(&self.path, "read"))?;
        Ok(parse(&bytes, begin))
    }

    /// Appends an entry. Its slot's number, and the journal's length with nothing after it.
    pub(super) fn append(&mut self, start: &Start) -> Result<Appended, DiskError> {
        let appended = serialise(start).and_then(|bytes| {
            let written = self.file.write(&bytes)?;
            // Where the kernel put it: with O_APPEND nobody can know before.
            let end = self.file.stream_position()?;
            let begin = end.saturating_sub(written as u64);
            match written == bytes.len() {
                true => Ok(Appended { begin, end, slot: slot_of(begin) }),
                false => Err(io::Error::new(io::ErrorKind::StorageFull, "only a part of the entry was written")),
            }
        });
        appended.map_err(DiskError::of(&self.path, "appended to"))
    }
}

/// Where an entry came to lie.
pub(super) struct Appended {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) slot: u64,
}

fn serialise(start: &Start) -> io::Result<Vec<u8>> {
    let mut text = format!("\n{}", serde_json::to_string(start)?);
    while (text.len() as u64) < SHORTEST {
        text.push(' ');
    }
    match text.len() as u64 > LONGEST {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "the entry is too long: shorten the host's name")),
        false => Ok(text.into_bytes()),
    }
}

fn slot_of(begin: u64) -> u64 {
    begin / SHORTEST
}

/// The whole entries among bytes that lie at a place of the journal.
fn parse(bytes: &[u8], begin: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let from = at + found + 1;
        let to = bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| from + length);
        if let Ok(start) = serde_json::from_slice(&bytes[from..to]) {
            entries.push(Entry { start, slot: slot_of(begin + (from - 1) as u64) });
        }
        at = to;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(vm: u32) -> Start {
        let nonce = Uuid::new_v4();
        Start {
            nonce,
            vm: VmId(vm),
            epoch: Epoch::NONE,
            host: String::new(),
            boottime_micros: 0,
            pid: 0,
            previous: None,
        }
    }

    #[test]
    fn an_entry_that_was_cut_short_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let mut journal = Journal::open(&disk).unwrap();
        let (first, second) = (start(1), start(2));
        let one = journal.append(&first).unwrap();
        journal.file.write_all(b"\n{\"nonce\":\"cut").unwrap();
        let two = Journal::open(&disk).unwrap().append(&second).unwrap();
        assert!(one.begin == 0 && two.begin > one.end && two.slot > one.slot);
        let entries = journal.entries(0, journal.length().unwrap()).unwrap();
        let expected = [Entry { start: first.clone(), slot: one.slot }, Entry { start: second, slot: two.slot }];
        assert_eq!(entries, expected);
        assert_eq!(journal.last_before(two.begin).unwrap().unwrap().start, first);
        assert_eq!(journal.last_before(0).unwrap(), None);
    }

    #[test]
    fn no_two_entries_share_a_slot() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("disk")).unwrap();
        let slots: Vec<u64> = (0..100).map(|vm| journal.append(&start(vm)).unwrap().slot).collect();
        assert!(slots.is_sorted_by(|one, next| one < next), "{slots:?}");
        let length = journal.length().unwrap();
        let read: Vec<u64> = journal.entries(0, length).unwrap().iter().map(|entry| entry.slot).collect();
        assert_eq!(read, slots);
        // Far from the beginning, where the tail does not hold the whole journal.
        while journal.length().unwrap() < TAIL * 2 {
            journal.append(&start(0)).unwrap();
        }
        let last = journal.append(&start(7)).unwrap();
        let found = journal.last_before(last.end).unwrap().unwrap();
        assert_eq!((found.start.vm, found.slot), (VmId(7), last.slot));
    }

    #[test]
    fn an_endless_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("disk")).unwrap();
        journal.append(&Start { host: "h".repeat(2_000), ..start(1) }).map(|_| ()).unwrap_err();
        assert_eq!(journal.length().unwrap(), 0);
    }
}
