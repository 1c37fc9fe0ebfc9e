//! Reading the hosts' records: signs of life on storage, and released VMs.

use super::reach::Purpose;
use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::ids::{DatastoreId, HostId, Incarnation};
use crate::core::message::{Presence, VmCondition};
use crate::core::reason::{Alert, HostState, StorageTrouble};
use crate::core::record::{DatastoreOp, DatastoreResult, Record, Slot};
use crate::core::state::Standing;
use crate::core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A datastore is in trouble when it was not read, or a record on it not written, for so many times the patience with one
/// operation.
const TRIES: u32 = 3;

/// What the records said when they were last read.
#[derive(Debug, Default)]
pub(super) struct Records {
    stores: BTreeMap<DatastoreId, Store>,
    moved: BTreeMap<HostId, Instant>,
    /// What was said loudly of a datastore and still holds.
    alerted: BTreeMap<DatastoreId, StorageTrouble>,
}

#[derive(Debug, Default)]
struct Store {
    /// By which way it is read: raised whenever one has failed.
    attempt: usize,
    read: Option<Instant>,
    slots: BTreeMap<HostId, (Incarnation, u64)>,
    /// When each record was last seen to have changed here.
    moved: BTreeMap<HostId, Instant>,
}

impl Records {
    /// When the host's record was last seen to have changed, on any datastore.
    pub(super) fn last_moved(&self, host: HostId) -> Option<Instant> {
        self.moved.get(&host).copied()
    }

    /// What a host's record on one datastore said when it was last read.
    pub(super) fn position(&self, datastore: DatastoreId, host: HostId) -> Option<(Incarnation, u64)> {
        self.stores.get(&datastore)?.slots.get(&host).copied()
    }

    /// Whether any datastore on which the host keeps a record was read lately.
    pub(super) fn is_readable(&self, cx: &Context<'_>, host: HostId, within: Duration) -> bool {
        let Some(host) = cx.state.hosts.get(&host) else { return false };
        host.life.renewal_set.iter().any(|datastore| {
            let read = self.stores.get(datastore).and_then(|store| store.read);
            read.is_some_and(|read| cx.now.since(read) < within)
        })
    }

    /// This node stood still: what it did not read meanwhile was no silence.
    pub(super) fn listening_since(&mut self, now: Instant) {
        for moved in self.moved.values_mut() {
            *moved = (*moved).max(now);
        }
    }

    /// Takes in a record; whether it is another one than before.
    fn take(&mut self, now: Instant, datastore: DatastoreId, host: HostId, record: &Record) -> bool {
        let store = self.stores.entry(datastore).or_default();
        let position = (record.incarnation, record.sequence);
        if store.slots.insert(host, position) == Some(position) {
            return false;
        }
        store.moved.insert(host, now);
        self.moved.insert(host, now);
        true
    }
}

impl Master {
    /// What is wrong with each heartbeat datastore on which living hosts should keep their records.
    pub(super) fn storage_troubles(&self, cx: &Context<'_>) -> BTreeMap<DatastoreId, StorageTrouble> {
        // Several readings and writings may be late at once without anything being wrong.
        let patience = self.timing.storage_patience * TRIES;
        let is_late = |at: Option<Instant>, floor: Instant| {
            let floor = floor.max(self.since).max(self.listening_since);
            cx.now.since(at.map_or(floor, |at| at.max(floor))) > patience
        };
        let mut troubles = BTreeMap::new();
        for (id, host) in &cx.state.hosts {
            let Some(watched) = self.watched(*id).filter(|watched| watched.state == HostState::Alive) else { continue };
            for datastore in &host.life.renewal_set {
                let store = self.records.stores.get(datastore);
                if is_late(store.and_then(|store| store.read), watched.state_since) {
                    troubles.insert(*datastore, StorageTrouble::Unread);
                } else if is_late(store.and_then(|store| store.moved.get(id).copied()), watched.state_since) {
                    match troubles.entry(*datastore).or_insert(StorageTrouble::Unwritten { host: *id, hosts: 0 }) {
                        StorageTrouble::Unwritten { hosts, .. } => *hosts += 1,
                        StorageTrouble::Unread => {}
                    }
                }
            }
        }
        troubles
    }

    /// Says loudly what is wrong with a datastore: once for each kind of trouble, until it is over.
    pub(super) fn alert_storage(&mut self, cx: &Context<'_>, out: &mut Output) {
        let troubles = self.storage_troubles(cx);
        for (datastore, trouble) in &troubles {
            let before = self.records.alerted.get(datastore);
            if before.is_none_or(|before| std::mem::discriminant(before) != std::mem::discriminant(trouble)) {
                out.note(Note::Alert(Alert::Storage { datastore: *datastore, trouble: *trouble }));
            }
        }
        self.records.alerted = troubles;
    }

    pub(super) fn poll_records(&mut self, cx: &Context<'_>, out: &mut Output) {
        let wanted: BTreeSet<DatastoreId> = cx
            .state
            .hosts
            .values()
            .filter(|host| !matches!(host.standing, Standing::New | Standing::Proven { .. }))
            .flat_map(|host| host.life.renewal_set.iter().copied())
            .collect();
        for datastore in wanted {
            let purpose = Purpose::Poll(datastore);
            if self.reach.is_under_way(purpose) {
                continue;
            }
            let store = self.records.stores.entry(datastore).or_default();
            // One that was begun and is no longer under way without having been read has failed or hangs.
            let overdue = store.read.is_none_or(|read| cx.now.since(read) > self.timing.storage_patience);
            if overdue {
                store.attempt += 1;
            }
            let attempt = store.attempt.saturating_sub(1);
            self.on_datastore(cx, purpose, datastore, DatastoreOp::ReadRecords, attempt, out);
        }
    }

    pub(super) fn records_read(
        &mut self,
        cx: &Context<'_>,
        datastore: DatastoreId,
        result: DatastoreResult,
        out: &mut Output,
    ) {
        let DatastoreResult::Records(slots) = result else { return };
        self.records.stores.entry(datastore).or_default().read = Some(cx.now);
        for (host, slot) in &slots {
            if let Slot::Whole(record) = slot {
                self.record_read(cx, datastore, *host, record, out);
            }
        }
    }

    fn record_read(
        &mut self,
        cx: &Context<'_>,
        datastore: DatastoreId,
        host: HostId,
        record: &Record,
        out: &mut Output,
    ) {
        let Some(watched) = self.watched(host) else { return };
        let life = watched.life;
        if record.incarnation.host != host || record.incarnation.boot != life.boot {
            return;
        }
        let moved = self.records.take(cx.now, datastore, host, record);
        let Some(watched) = self.watched_mut(host) else { return };
        // Also once it is judged: until the tombstone lies there, it may have renewed by this very write.
        if moved {
            watched.last_sign = cx.now;
        }
        // A record that a datastore kept back may be older than what the host has said since.
        let session = record.sequence >> 32;
        let told = cx.ears.of_boot(host, life.boot).map(|heard| heard.heartbeat);
        let told = told.filter(|beat| beat.session == session).map_or(0, |beat| beat.report);
        let is_newest = session == watched.session && record.report >= told.max(watched.reports.newest(session));
        if watched.state != HostState::Alive && record.incarnation == life && is_newest {
            for released in record.released.iter() {
                let presence = Presence::Gone { refuses: released.epoch, exit: released.exit };
                let seen = VmCondition { vm: released.vm, epoch: released.epoch, presence, gone_milliseconds: 0 };
                self.observe(cx, life, &seen, record.config, out);
            }
        }
    }
}
