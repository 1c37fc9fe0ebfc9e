//! What a keeper does with what comes: it keeps it at hand, writes it, summarises it and drops it.

use super::archive::{Archive, ArchiveError, Retention};
use super::batch::{Receipt, decode_batches};
use super::keeper::{Delivery, Members};
use super::reader::Reader;
use super::recent::Recent;
use super::{Batch, HOUR_SLOTS, SLOT_MILLISECONDS, Slot};
use crate::core::ids::Address;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// More than so many values do not wait for that.
const MOST_PENDING: usize = 8_000_000;
/// An hour is summarised so many slots after its end, when what comes late has come.
const LATE: u32 = 20 * super::MINUTE_SLOTS;
/// So many series are summarised in one go, as long as agents wait.
const SLICE: u32 = 500;
/// A host whose clock is so far from this one's is not believed.
const APART: i64 = 15 * 60 * 1_000;

/// A keeper without its thread: it does what it is told to do, at the time that it is told.
pub struct Desk {
    path: PathBuf,
    recent: Recent,
    retention: Retention,
    run: u64,
    members: Option<Members>,
    archive: Option<Archive>,
    /// What is wrong with the disk, if it is known already.
    trouble: Option<String>,
    /// The hosts that are not believed, by what is wrong with them.
    refused: BTreeMap<Address, &'static str>,
}

impl Desk {
    /// A keeper whose file is this one; `run` is another number for each run.
    pub fn new(path: &Path, retention: Retention, run: u64) -> Desk {
        Desk {
            path: path.to_owned(),
            recent: Recent::default(),
            retention,
            run,
            members: None,
            archive: None,
            trouble: None,
            refused: BTreeMap::new(),
        }
    }

    /// Answers questions to what it has.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.path, self.recent.clone(), self.retention)
    }

    /// Whether so much waits for the disk that it must be written now.
    pub(super) fn is_full(&self) -> bool {
        self.recent.size() >= MOST_PENDING
    }

    /// Takes something in.
    pub fn take(&mut self, delivery: Delivery, wall_milliseconds: i64) {
        match delivery {
            Delivery::Cluster(members) => {
                if let Some(members) = &members {
                    self.recent.retain_hosts(|host| members.hosts.contains(&host));
                }
                self.members = members;
            }
            Delivery::Pieces { pieces, kept } => {
                let copied = self.with_archive(|archive| archive.copy(&pieces));
                // Whoever copied may have gone.
                let _ = kept.send(copied.is_some());
            }
            Delivery::Complete => drop(self.with_archive(Archive::complete)),
            Delivery::Batches { from, body, answer } => {
                let Some(members) = self.members.as_ref() else { return };
                match batches(from, &body, members, wall_milliseconds) {
                    Ok(batches) => {
                        self.refused.remove(&from);
                        for batch in batches {
                            self.recent.add(from.0, batch, |uuid| members.vms.contains(&uuid));
                        }
                    }
                    Err(why) => {
                        if self.refused.insert(from, why) != Some(why) {
                            tracing::warn!(host = %from, "samples of a host are not kept: {why}");
                        }
                    }
                }
                // Whoever asked may have gone.
                let _ = answer.send(Receipt { run: self.run }.encode());
            }
        }
    }

    /// Writes what has come.
    pub fn flush(&mut self) {
        let pending = self.recent.flush();
        if pending.size == 0 {
            return;
        }
        match self.with_archive(|archive| archive.add(&pending)) {
            Some(()) => self.recent.written(),
            None if self.is_full() => {
                tracing::error!("samples are lost: too many wait for the disk");
                self.recent.written();
            }
            None => {}
        }
    }

    /// Summarises a part of what is over. Whether there was anything.
    pub fn summarise(&mut self, wall_milliseconds: i64) -> bool {
        if self.archive.is_none() && !self.path.exists() {
            return false;
        }
        let over = Slot::at(wall_milliseconds).0.saturating_sub(LATE) / HOUR_SLOTS;
        self.with_archive(|archive| archive.summarise(over.saturating_sub(1), SLICE)).unwrap_or(false)
    }

    /// Drops a part of what is too old. Whether there was anything.
    pub fn expire(&mut self, wall_milliseconds: i64) -> bool {
        let (hour, _) = Slot::at(wall_milliseconds).hour();
        let retention = self.retention;
        self.archive.is_some() && self.with_archive(|archive| archive.expire(hour, &retention)).unwrap_or(false)
    }

    /// Works with the file. A damaged one is put aside, and a new one begun.
    fn with_archive<T>(&mut self, work: impl Fn(&mut Archive) -> Result<T, ArchiveError>) -> Option<T> {
        let mut done = self.archive().and_then(&work);
        if let Err(ArchiveError::Damaged { .. }) = &done {
            self.tell(done.as_ref().err());
            self.archive = None;
            match put_aside(&self.path) {
                Ok(aside) => {
                    tracing::error!(aside = %aside.display(), "the damaged file was put aside, and a new one is begun");
                    done = self.archive().and_then(&work);
                }
                Err(error) => tracing::error!(%error, "the damaged file cannot be put aside"),
            }
        }
        if done.is_err() {
            self.archive = None;
        }
        self.tell(done.as_ref().err());
        done.ok()
    }

    fn archive(&mut self) -> Result<&mut Archive, ArchiveError> {
        match &mut self.archive {
            Some(archive) => Ok(archive),
            none => Ok(none.insert(Archive::open(&self.path)?)),
        }
    }

    /// Says what is wrong, once, and when it is right again.
    fn tell(&mut self, error: Option<&ArchiveError>) {
        let text = error.map(ToString::to_string);
        if text != self.trouble {
            match &text {
                Some(text) => tracing::error!("{text}"),
                None => tracing::info!("samples are kept again"),
            }
            self.trouble = text;
        }
    }
}

#[cfg(test)]
impl Desk {
    /// As if the disk had room for so many pages and no more.
    pub(super) fn limit_pages(&mut self, pages: u32) {
        self.with_archive(|archive| archive.limit_pages(pages));
    }
}

/// What a host tells, if it can be believed.
fn batches(from: Address, body: &[u8], members: &Members, wall_milliseconds: i64) -> Result<Vec<Batch>, &'static str> {
    if !members.hosts.contains(&from.0) {
        return Err("it is not known here yet");
    }
    let batches = decode_batches(body).map_err(|error| {
        tracing::debug!(%error, "samples that cannot be read");
        "they cannot be read"
    })?;
    let is_near = |batch: &Batch| (batch.slot.begins() + SLOT_MILLISECONDS - wall_milliseconds).abs() <= APART;
    if batches.iter().all(is_near) { Ok(batches) } else { Err("its clock and this one differ by far; set them right") }
}

/// Moves a file out of the way, in the place of the one before.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let aside = beside(".damaged");
    std::fs::rename(path, &aside)?;
    for companion in ["-wal", "-shm"] {
        match std::fs::remove_file(beside(companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}
