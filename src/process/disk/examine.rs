//! Whether two ever wrote to one disk at once, from what they left.

use super::journal::{Entry, Journal, Start};
use super::slot::{self, Trace};
use super::writer::sequence;
use super::{DiskError, beside};
use crate::core::record::Slot;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use uuid::Uuid;

/// No longer file of clashes is read: the first one is bad enough.
const LONGEST_CLASHES: u64 = 1_024 * 1_024;

/// What a disk tells of its writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Every start that was allowed to write, in order.
    pub starts: Vec<Start>,
    /// What the last of them wrote last.
    pub last: Slot<Trace>,
    /// Every sign of two writers at once. There must be none.
    pub clashes: Vec<Clash>,
}

/// A sign that two wrote at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clash {
    /// A writer met another one, said so, and ended.
    Met {
        /// Who said so, and its last write.
        by: Trace,
        /// The other, as far as it could be read.
        other: Option<Trace>,
        /// When, on the machine's own clock.
        boottime_micros: u64,
    },
    /// A start did not see the one right before it.
    StartedAtOnce {
        /// The one before.
        first: Uuid,
        /// The one that did not see it.
        second: Uuid,
    },
    /// A start wrote after another had taken over from it.
    WroteAfterTakeover {
        /// Who wrote.
        late: Uuid,
        /// Its last write.
        wrote: Slot<u64>,
        /// Who had taken over.
        successor: Uuid,
        /// The last write that this one saw.
        saw: Slot<u64>,
    },
}

/// Examines a disk. Its VM may run meanwhile.
pub fn examine(disk: &Path) -> Result<Examination, DiskError> {
    let file = File::open(disk).map_err(DiskError::of(disk, "opened"))?;
    let journal = Journal::open(disk)?;
    // The journal is read before the slots: the last entry's slot may move, and no entry follows it here.
    let entries = journal.entries(0, journal.length()?)?;
    let mut slots = Vec::with_capacity(entries.len());
    for entry in &entries {
        slots.push(slot::read(&file, entry.slot).map_err(DiskError::of(disk, "read"))?);
    }
    let mut clashes = met(disk)?;
    for (pair, slot) in entries.windows(2).zip(&slots) {
        clashes.extend(between(&pair[0], slot, &pair[1]));
    }
    let last = slots.pop().unwrap_or(Slot::Empty);
    Ok(Examination { starts: entries.into_iter().map(|entry| entry.start).collect(), last, clashes })
}

/// What two starts in a row have to do with each other, if it is not right.
fn between(first: &Entry, wrote: &Slot<Trace>, second: &Entry) -> Option<Clash> {
    let (first, successor) = (first.start.nonce, second.start.nonce);
    let Some(previous) = second.start.previous.as_ref().filter(|previous| previous.nonce == first) else {
        return Some(Clash::StartedAtOnce { first, second: successor });
    };
    let wrote = sequence(wrote);
    let saw = previous.sequence.clone();
    (wrote != saw).then_some(Clash::WroteAfterTakeover { late: first, wrote, successor, saw })
}

fn met(disk: &Path) -> Result<Vec<Clash>, DiskError> {
    let path = beside(disk, ".clash");
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(LONGEST_CLASHES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(DiskError::of(&path, "read")(error)),
    }
}

/// Says that two met.
pub(super) fn append(disk: &Path, clash: &Clash) -> Result<(), DiskError> {
    let path = beside(disk, ".clash");
    let line = serde_json::to_string(clash).map_err(io::Error::from);
    let appended = line.and_then(|line| {
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())
    });
    appended.map_err(DiskError::of(&path, "appended to"))
}
