//! What a node counts while it works. Everything here is written in passing, by many threads, and read when somebody asks.

use super::meter::{Histogram, LATENCIES, Meter, Outcome, STAGES, UnderWay};
use crate::clock;
use crate::core::kinds::ALERT_KINDS;
use crate::core::message::{FenceOp, FenceResult};
use crate::core::reason::Alert;
use crate::core::record::{DatastoreOp, DatastoreResult};
use crate::core::time::Instant;
use crate::datastore::Perform;
use crate::platform::Reading;
use crate::store::Operation;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The stages of a recovery until its VM runs, in their order, all of them, and what comes after.
pub(super) const STAGE_NAMES: [&str; 6] = ["detect", "prove", "queue", "start", "total", "ready"];
/// The parts of what a host keeps on its own disk.
const STORES: [&str; 3] = ["agent", "voter", "ledger"];
/// What fence devices are asked.
const FENCE_OPS: [FenceOp; 4] = [FenceOp::Identity, FenceOp::Power, FenceOp::PowerOff, FenceOp::PowerOn];

/// What was measured so long ago is not told any more: a hypervisor that hangs is to be seen as a gap.
const OLD: Duration = Duration::from_secs(20);

/// All that a node counts.
#[derive(Debug)]
pub struct Counts {
    /// How late the loop was woken.
    pub loop_lag: Histogram,
    /// Actions that wait for a write.
    pub held_actions: AtomicU64,
    /// How often there was another master.
    pub master_changes: AtomicU64,
    /// Facts that were added to the ledger.
    pub facts: AtomicU64,
    /// Facts that the disk has refused.
    pub facts_waiting: AtomicU64,
    /// VMs that were brought back, by cause and proof.
    pub recoveries: Tally<(&'static str, &'static str)>,
    /// What fence devices answered: which, asked what, and how.
    pub fence_answers: Tally<(String, &'static str, &'static str)>,
    alerts: Tally<&'static str>,
    stages: [Histogram; STAGE_NAMES.len()],
    stores: [Arc<Meter>; 3],
    fences: [Histogram; 4],
    datastores: BTreeMap<String, DatastoreMeter>,
    /// What the host and its VMs had used when that was measured last.
    used: Mutex<Option<Reading>>,
}

/// Counts things by their kind. There are only so many kinds.
#[derive(Debug)]
pub struct Tally<K>(Mutex<BTreeMap<K, u64>>);

impl<K> Default for Tally<K> {
    fn default() -> Tally<K> {
        Tally(Mutex::default())
    }
}

impl<K: Ord + Clone> Tally<K> {
    /// One more of this kind.
    pub fn add(&self, kind: K) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// How many there were of each kind.
    pub fn all(&self) -> Vec<(K, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(kind, count)| (kind.clone(), *count)).collect()
    }
}

/// What is measured of one datastore.
#[derive(Debug, Clone)]
pub struct DatastoreMeter {
    attached: Arc<AtomicBool>,
    reads: Arc<Meter>,
    writes: Arc<Meter>,
}

impl DatastoreMeter {
    fn new() -> DatastoreMeter {
        DatastoreMeter { attached: Arc::default(), reads: Meter::new(), writes: Meter::new() }
    }

    /// Measures all that is done to a datastore by this one.
    pub fn around<P: Perform>(&self, inner: P) -> Measured<P> {
        self.attached.store(true, Ordering::Relaxed);
        Measured { meter: self.clone(), inner }
    }

    /// Whether something is done to it in this run.
    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed)
    }

    /// Its operations.
    pub(super) fn operations(&self) -> [(&'static str, &Meter); 2] {
        [("read", &self.reads), ("write", &self.writes)]
    }
}

/// Carries out operations, and measures them.
#[derive(Debug)]
pub struct Measured<P> {
    meter: DatastoreMeter,
    inner: P,
}

impl<P: Perform> Perform for Measured<P> {
    fn perform(&mut self, op: DatastoreOp) -> DatastoreResult {
        let meter = match op {
            DatastoreOp::ReadMail { .. } | DatastoreOp::ReadRecords => &self.meter.reads,
            DatastoreOp::WriteRecord(_) | DatastoreOp::WriteMail { .. } => &self.meter.writes,
        };
        let operation = meter.begin();
        let result = self.inner.perform(op);
        operation.end(if result == DatastoreResult::Failed { Outcome::Failed } else { Outcome::Done });
        result
    }
}

impl Counts {
    /// Nothing is counted yet; there are these datastores.
    pub fn new(datastores: &[&str]) -> Arc<Counts> {
        let datastores = datastores.iter().map(|name| ((*name).to_owned(), DatastoreMeter::new()));
        Arc::new(Counts {
            loop_lag: Histogram::new(LATENCIES),
            held_actions: AtomicU64::default(),
            master_changes: AtomicU64::default(),
            facts: AtomicU64::default(),
            facts_waiting: AtomicU64::default(),
            recoveries: Tally::default(),
            fence_answers: Tally::default(),
            alerts: Tally::default(),
            stages: std::array::from_fn(|_| Histogram::new(STAGES)),
            stores: std::array::from_fn(|_| Meter::new()),
            fences: std::array::from_fn(|_| Histogram::new(LATENCIES)),
            datastores: datastores.collect(),
            used: Mutex::default(),
        })
    }

    /// An alert was raised.
    pub fn alert(&self, alert: &Alert) {
        self.alerts.add(alert.kind());
    }

    /// How many alerts of each kind were raised, those that never were too: who waits for the first one must have seen
    /// that there was none.
    pub(super) fn alerts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let raised: BTreeMap<_, _> = self.alerts.all().into_iter().collect();
        ALERT_KINDS.into_iter().map(move |kind| (kind, raised.get(kind).copied().unwrap_or(0)))
    }

    /// A stage of a recovery took so long.
    pub(super) fn stage(&self, name: &str, took: Duration) {
        if let Some((_, histogram)) = self.stages().find(|(stage, _)| *stage == name) {
            histogram.observe(took);
        }
    }

    /// The stages of recoveries.
    pub(super) fn stages(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        STAGE_NAMES.into_iter().zip(&self.stages)
    }

    /// A write to this host's own disk begins.
    pub fn store_write(&self, operation: &Operation) -> UnderWay {
        let [agent, voter, ledger] = &self.stores;
        match operation {
            Operation::SaveAgent(_) | Operation::Mark { .. } => agent.begin(),
            Operation::Batch(_) | Operation::NewVoter(_) | Operation::DropVoter => voter.begin(),
            Operation::Ledger(_) => ledger.begin(),
        }
    }

    /// Writes to this host's own disk.
    pub(super) fn stores(&self) -> impl Iterator<Item = (&'static str, &Meter)> {
        STORES.into_iter().zip(self.stores.iter().map(Arc::as_ref))
    }

    /// A fence device has answered.
    pub fn fence_answered(&self, device: &str, op: FenceOp, result: FenceResult, took: Duration) {
        if let Some((_, histogram)) = FENCE_OPS.iter().zip(&self.fences).find(|(other, _)| **other == op) {
            histogram.observe(took);
        }
        self.fence_answers.add((device.to_owned(), fence_op(op), fence_outcome(result)));
    }

    /// How long fence devices took.
    pub(super) fn fences(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        FENCE_OPS.into_iter().map(fence_op).zip(&self.fences)
    }

    /// The host and its VMs have used this by now.
    pub fn measured(&self, reading: &Reading) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading.clone());
    }

    /// What they had used when it was measured last, if that was of late.
    pub(super) fn used(&self) -> Option<Reading> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let measured = |reading: &&Reading| Instant::from_micros(reading.at_nanoseconds / 1_000);
        used.as_ref().filter(|reading| clock::boottime().since(measured(reading)) < OLD).cloned()
    }

    /// What is measured of the datastore of this name.
    pub fn datastore(&self, name: &str) -> Option<&DatastoreMeter> {
        self.datastores.get(name)
    }

    /// All datastores.
    pub(super) fn datastores(&self) -> impl Iterator<Item = (&str, &DatastoreMeter)> {
        self.datastores.iter().map(|(name, meter)| (name.as_str(), meter))
    }
}

fn fence_op(op: FenceOp) -> &'static str {
    match op {
        FenceOp::Identity => "identity",
        FenceOp::Power => "power",
        FenceOp::PowerOff => "power-off",
        FenceOp::PowerOn => "power-on",
    }
}

fn fence_outcome(result: FenceResult) -> &'static str {
    match result {
        FenceResult::Identity(_) => "identity",
        FenceResult::Taken => "taken",
        FenceResult::On => "on",
        FenceResult::Off => "off",
        FenceResult::Unreachable => "unreachable",
        FenceResult::Refused => "refused",
        FenceResult::Nameless => "nameless",
    }
}
