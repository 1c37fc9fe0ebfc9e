//! A voter's part: takes in what agents tell, and has it written every few minutes, on a thread of its own.
//!
//! Whoever tells something is answered at once: what is not on the disk yet is told again to the next run of the keeper.
//! A disk that takes nothing costs samples and nothing else; what waits for it is bounded.

use super::archive::{Archive, ArchiveError, Retention};
use super::batch::{MOST_BYTES, Receipt, decode_batches};
use super::reader::Reader;
use super::recent::Recent;
use super::{Batch, HOUR_SLOTS, SLOT_MILLISECONDS, Slot};
use crate::clock;
use crate::core::ids::Address;
use crate::core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// So much may wait for the keeper.
const WAITING: usize = 256;
/// What has come is written so often: agents keep it for twice as long.
const FLUSH: Duration = Duration::from_secs(300);
/// More than so many values do not wait for that.
const MOST_PENDING: usize = 8_000_000;
/// An hour is summarised so many slots after its end, when what comes late has come.
const LATE: u32 = 20 * super::MINUTE_SLOTS;
/// So many series are summarised in one go, as long as agents wait.
const SLICE: u32 = 500;
/// A host whose clock is so far from this one's is not believed.
const APART: i64 = 15 * 60 * 1_000;
/// The keeper looks so often whether there is something to be done.
const LOOK: Duration = Duration::from_secs(1);

/// What reaches the keeper.
#[derive(Debug)]
pub enum Delivery {
    /// A host tells of some slots.
    Batches {
        /// Which.
        from: Address,
        /// As they came.
        body: Vec<u8>,
        /// Where the receipt goes. To drop it is to refuse.
        answer: oneshot::Sender<Vec<u8>>,
    },
    /// The cluster as this node knows it; none: this node does not vote, and takes in nothing.
    Cluster(Option<Members>),
}

/// Of whom samples are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// All hosts, by number.
    pub hosts: BTreeSet<u32>,
    /// All VMs, by UUID.
    pub vms: BTreeSet<u128>,
}

/// The way to the keeper.
#[derive(Debug, Clone)]
pub struct Keeper {
    deliveries: SyncSender<Delivery>,
    reader: Reader,
}

impl Keeper {
    /// Starts the thread of a keeper, whose file is this one; `run` is another number for each run.
    pub fn start(path: &Path, retention: Retention, run: u64) -> io::Result<Keeper> {
        let (deliveries, delivered) = sync_channel(WAITING);
        let recent = Recent::default();
        let reader = Reader::new(path, recent.clone(), retention);
        let work = Work::new(path, recent, retention, run);
        thread::Builder::new().name("samples".to_owned()).spawn(move || work.run(&delivered))?;
        Ok(Keeper { deliveries, reader })
    }

    /// Hands something to the keeper. It never waits: where the keeper cannot follow, it is dropped, and whoever told
    /// it tells it again.
    pub fn deliver(&self, delivery: Delivery) {
        if matches!(&delivery, Delivery::Batches { body, .. } if body.len() > MOST_BYTES) {
            return;
        }
        if self.deliveries.try_send(delivery).is_err() {
            tracing::debug!("the keeper of samples does not follow");
        }
    }

    /// Answers questions to what was kept.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// All that the thread works with.
pub(super) struct Work {
    path: PathBuf,
    recent: Recent,
    retention: Retention,
    run: u64,
    members: Option<Members>,
    archive: Option<Archive>,
    flushed: Instant,
    /// What is wrong with the disk, if it is known already.
    trouble: Option<String>,
    /// The hosts that are not believed, by what is wrong with them.
    refused: BTreeMap<Address, &'static str>,
}

impl Work {
    pub(super) fn new(path: &Path, recent: Recent, retention: Retention, run: u64) -> Work {
        Work {
            path: path.to_owned(),
            recent,
            retention,
            run,
            members: None,
            archive: None,
            flushed: clock::boottime(),
            trouble: None,
            refused: BTreeMap::new(),
        }
    }

    fn run(mut self, deliveries: &Receiver<Delivery>) {
        loop {
            let mut busy = false;
            match deliveries.recv_timeout(LOOK) {
                Ok(delivery) => {
                    busy = true;
                    self.take(delivery, clock::wall_milliseconds());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = clock::boottime();
            if now.since(self.flushed) >= FLUSH || self.recent.size() >= MOST_PENDING {
                self.flushed = now;
                self.flush();
                self.expire(clock::wall_milliseconds());
            } else if !busy {
                self.summarise(clock::wall_milliseconds());
            }
        }
        self.flush();
    }

    /// Takes something in.
    pub(super) fn take(&mut self, delivery: Delivery, wall_milliseconds: i64) {
        match delivery {
            Delivery::Cluster(members) => {
                if let Some(members) = &members {
                    self.recent.retain_hosts(|host| members.hosts.contains(&host));
                }
                self.members = members;
            }
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
    pub(super) fn flush(&mut self) {
        let pending = self.recent.flush();
        if pending.size == 0 {
            return;
        }
        match self.with_archive(|archive| archive.add(&pending)) {
            Some(()) => self.recent.written(),
            None if self.recent.size() >= MOST_PENDING => {
                tracing::error!("samples are lost: too many wait for the disk");
                self.recent.written();
            }
            None => {}
        }
    }

    /// Summarises a part of what is over. Whether there was anything.
    pub(super) fn summarise(&mut self, wall_milliseconds: i64) -> bool {
        if self.archive.is_none() && !self.path.exists() {
            return false;
        }
        let over = Slot::at(wall_milliseconds).0.saturating_sub(LATE) / HOUR_SLOTS;
        self.with_archive(|archive| archive.summarise(over.saturating_sub(1), SLICE)).unwrap_or(false)
    }

    /// Drops a part of what is too old. Whether there was anything.
    pub(super) fn expire(&mut self, wall_milliseconds: i64) -> bool {
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
impl Work {
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
