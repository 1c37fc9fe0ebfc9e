//! One start of a VM as it writes to its disk.

use super::examine::{self, Clash};
use super::journal::{Entry, Journal, Predecessor, Start};
use super::slot::{self, Trace};
use super::{DiskError, HEADER};
use crate::clock::boottime;
use crate::core::ids::{Epoch, VmId};
use crate::core::record::Slot;
use std::fs::File;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Who writes.
#[derive(Debug, Clone)]
pub(in crate::process) struct WriterName {
    pub(in crate::process) nonce: Uuid,
    pub(in crate::process) vm: VmId,
    pub(in crate::process) epoch: Epoch,
    pub(in crate::process) host: String,
}

/// A start that has read what was before it, and has left no trace yet.
pub(in crate::process) struct Takeover {
    path: PathBuf,
    disk: File,
    journal: Journal,
    /// How long the journal was when it was read.
    length: u64,
    previous: Option<Entry>,
    seen: Slot<u64>,
}

impl Takeover {
    /// Reads whom it follows, and what that one wrote.
    pub(in crate::process) fn begin(path: &Path, disk: File) -> Result<Takeover, DiskError> {
        let journal = Journal::open(path)?;
        let length = journal.length()?;
        let previous = journal.last_before(length)?;
        let seen = match &previous {
            Some(entry) => sequence(&slot::read(&disk, entry.slot).map_err(DiskError::of(path, "read"))?),
            None => Slot::Empty,
        };
        Ok(Takeover { path: path.to_owned(), disk, journal, length, previous, seen })
    }

    /// Appends its entry: from now on it may write, and nobody before it.
    pub(in crate::process) fn append(mut self, name: WriterName) -> Result<Writer, DiskError> {
        let previous = self.previous.as_ref();
        let start = Start {
            nonce: name.nonce,
            vm: name.vm,
            epoch: name.epoch,
            host: name.host.clone(),
            boottime_micros: boottime().as_micros(),
            pid: std::process::id(),
            previous: previous.map(|entry| Predecessor { nonce: entry.start.nonce, sequence: self.seen.clone() }),
        };
        let appended = self.journal.append(&start)?;
        let own = Trace {
            nonce: name.nonce,
            vm: name.vm,
            epoch: name.epoch,
            host: name.host,
            sequence: 0,
            boottime_micros: start.boottime_micros,
        };
        let writer = Writer {
            path: self.path,
            disk: self.disk,
            journal: self.journal,
            end: appended.end,
            slot: appended.slot,
            previous: self.previous.map(|entry| (entry, self.seen)),
            own,
        };
        if appended.begin != self.length {
            let other = writer.journal.last_before(appended.begin)?;
            return Err(writer.clashed(other.map(|entry| trace_of(&entry.start))));
        }
        Ok(writer)
    }
}

/// The sequence number in a slot.
pub(super) fn sequence(slot: &Slot<Trace>) -> Slot<u64> {
    match slot {
        Slot::Empty => Slot::Empty,
        Slot::Torn => Slot::Torn,
        Slot::Whole(trace) => Slot::Whole(trace.sequence),
    }
}

/// A start of which nothing is known but its entry.
fn trace_of(start: &Start) -> Trace {
    Trace {
        nonce: start.nonce,
        vm: start.vm,
        epoch: start.epoch,
        host: start.host.clone(),
        sequence: 0,
        boottime_micros: start.boottime_micros,
    }
}

/// A start that writes.
pub(in crate::process) struct Writer {
    path: PathBuf,
    disk: File,
    journal: Journal,
    /// How long the journal is as long as nobody follows.
    end: u64,
    slot: u64,
    previous: Option<(Entry, Slot<u64>)>,
    own: Trace,
}

impl Writer {
    /// Writes once more, if nobody else does.
    pub(in crate::process) fn write(&mut self) -> Result<(), DiskError> {
        self.check()?;
        self.commit()
    }

    /// Looks for signs of another writer.
    pub(super) fn check(&mut self) -> Result<(), DiskError> {
        let length = self.journal.length()?;
        if length < self.end || self.disk_length()? < HEADER.len() as u64 {
            return Err(DiskError::CutShort(self.path.clone()));
        }
        if length > self.end {
            let follower = self.journal.entries(self.end, length)?.into_iter().next();
            return Err(self.clashed(follower.map(|entry| trace_of(&entry.start))));
        }
        if let Some((entry, seen)) = &self.previous {
            let now = self.read(entry.slot)?;
            if sequence(&now) != *seen {
                let other = whole(now).unwrap_or_else(|| trace_of(&entry.start));
                return Err(self.clashed(Some(other)));
            }
        }
        match self.read(self.slot)? {
            Slot::Whole(trace) if trace != self.own => Err(self.clashed(Some(trace))),
            // A torn slot is no other writer's doing: it is written anew.
            Slot::Whole(_) | Slot::Torn => Ok(()),
            Slot::Empty if self.own.sequence == 0 => Ok(()),
            Slot::Empty => Err(DiskError::CutShort(self.path.clone())),
        }
    }

    /// Writes its slot.
    pub(super) fn commit(&mut self) -> Result<(), DiskError> {
        self.own.sequence += 1;
        self.own.boottime_micros = boottime().as_micros();
        slot::write(&self.disk, self.slot, &self.own).map_err(DiskError::of(&self.path, "written"))
    }

    fn read(&self, number: u64) -> Result<Slot<Trace>, DiskError> {
        slot::read(&self.disk, number).map_err(DiskError::of(&self.path, "read"))
    }

    fn disk_length(&self) -> Result<u64, DiskError> {
        self.disk.metadata().map(|metadata| metadata.len()).map_err(DiskError::of(&self.path, "read"))
    }

    /// Says that there is another writer.
    fn clashed(&self, other: Option<Trace>) -> DiskError {
        let now = boottime().as_micros();
        let clash = Clash::Met { by: self.own.clone(), other, boottime_micros: now };
        match examine::append(&self.path, &clash) {
            Ok(()) => DiskError::Clash(self.path.clone()),
            Err(error) => error,
        }
    }
}

fn whole(slot: Slot<Trace>) -> Option<Trace> {
    match slot {
        Slot::Whole(trace) => Some(trace),
        Slot::Empty | Slot::Torn => None,
    }
}
