//! A voter's part: takes in what agents tell, and has it written every few minutes, on a thread of its own.
//!
//! Whoever tells something is answered at once: what is not on the disk yet is told again to the next run of the keeper.
//! A disk that takes nothing costs samples and nothing else; what waits for it is bounded.

use super::archive::Retention;
use super::batch::MOST_BYTES;
use super::desk::Desk;
use super::piece::Piece;
use super::reader::Reader;
use crate::clock;
use crate::core::ids::Address;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// So much may wait for the keeper.
const WAITING: usize = 256;
/// What has come is written so often: agents keep it for twice as long.
const FLUSH: Duration = Duration::from_secs(300);
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
    /// What another voter has, and this one may lack.
    Pieces {
        /// As they came.
        pieces: Vec<Piece>,
        /// Is told whether they were kept.
        kept: oneshot::Sender<bool>,
    },
    /// Nothing is lacking any more.
    Complete,
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
        let desk = Desk::new(path, retention, run);
        let reader = desk.reader();
        thread::Builder::new().name("samples".to_owned()).spawn(move || work(desk, &delivered))?;
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

/// The thread of a keeper.
fn work(mut desk: Desk, deliveries: &Receiver<Delivery>) {
    let mut flushed = clock::boottime();
    let mut looked = flushed;
    loop {
        match deliveries.recv_timeout(LOOK) {
            Ok(delivery) => desk.take(delivery, clock::wall_milliseconds()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let (now, wall) = (clock::boottime(), clock::wall_milliseconds());
        if now.since(flushed) >= FLUSH || desk.is_full() {
            flushed = now;
            desk.flush();
            desk.expire(wall);
        } else if now.since(looked) >= LOOK {
            looked = now;
            desk.summarise(wall);
        }
    }
    desk.flush();
}
