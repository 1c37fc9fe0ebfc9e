//! The voters' disks: what is durable, what is not yet, and backups.

use crate::core::ids::LogIndex;
use crate::election::{StoreBatch, StoreImage};
use crate::node::NodeEvent;
use crate::sim::world::fact::Fact;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};

/// A node that waits for its disk looks this often whether it takes writes again.
const RELOAD_POLL: u64 = 100_000;
/// So many backups of each store are kept, one at each [`Occurrence::Copies`] that finds the store changed.
const BACKUPS: usize = 12;

impl World {
    /// A node writes a batch. It is durable when its sync has ended, and not before.
    pub(super) fn write_batch(&mut self, machine: usize, batch: StoreBatch) {
        let session = self.machines[machine].agent.session;
        let disk = &mut self.machines[machine].disk;
        disk.pending.push_back((session, batch));
        if disk.pending.len() == 1 {
            self.begin_sync(machine);
        }
    }

    fn begin_sync(&mut self, machine: usize) {
        let mut takes = self.chance.disk.micros_between(self.spec.nature.sync);
        let (slowness, until) = self.machines[machine].disk.slow;
        if until > self.now {
            takes += micros(slowness);
        }
        let sync = self.number();
        self.machines[machine].disk.sync = sync;
        self.after(takes, Occurrence::Disk { machine, sync });
    }

    /// The first batch is synced, or can not be.
    pub(super) fn synced(&mut self, machine: usize, sync: u64) {
        let disk = &mut self.machines[machine].disk;
        if disk.sync != sync {
            return;
        }
        let Some((session, batch)) = disk.pending.pop_front() else { return };
        let ticket = batch.ticket;
        // A hole in the log would be worse than its end: after one failed write nothing later of that run is written.
        let full = disk.full_until > self.now || disk.failed_session == session;
        match (&mut disk.image, full) {
            (Some(image), false) => image.apply(&batch),
            _ => disk.failed_session = session,
        }
        let done = disk.failed_session != session;
        let more = !disk.pending.is_empty();
        self.state_durable(machine);
        self.deliver_to(machine, session, NodeEvent::Stored { ticket, done });
        if more {
            self.begin_sync(machine);
        }
    }

    /// A node wants to read its store anew: it can as soon as the disk takes writes again.
    pub(super) fn reload_store(&mut self, machine: usize, session: u64) {
        let now = self.now;
        let agent = &self.machines[machine].agent;
        if !agent.running || agent.session != session {
            return;
        }
        let disk = &mut self.machines[machine].disk;
        if disk.full_until > now || !disk.pending.is_empty() {
            self.after(RELOAD_POLL, Occurrence::Reload { machine, session });
            return;
        }
        disk.failed_session = 0;
        if let Some(image) = disk.image.clone() {
            self.deliver_to(machine, session, NodeEvent::Reloaded(Box::new(image)));
        }
    }

    /// Tells the checkers what a voter's disk holds.
    pub(super) fn state_durable(&mut self, machine: usize) {
        if let Some(image) = &self.machines[machine].disk.image {
            self.facts.push(Fact::Durable { voter: image.voter, index: last_index(image) });
        }
    }

    /// Puts another store in the place of the present one, at once.
    pub(super) fn replace_store(&mut self, machine: usize, image: Option<StoreImage>) {
        let disk = &mut self.machines[machine].disk;
        disk.image = image;
        disk.backups.clear();
        // Batches under way were meant for the store that is gone.
        disk.pending.clear();
        disk.failed_session = 0;
        self.state_durable(machine);
    }

    /// The agent's process is gone: what it had not synced is lost, but the first batch may just have made it.
    pub(super) fn drop_unsynced(&mut self, machine: usize) {
        let landed = self.chance.disk.chance(50);
        let now = self.now;
        let disk = &mut self.machines[machine].disk;
        let first = disk.pending.pop_front();
        disk.pending.clear();
        // A batch that lost its machine's power is lost wholly; the caller clears the queue before it comes here.
        let writable = landed && disk.full_until <= now;
        let first = first.filter(|(session, _)| writable && disk.failed_session != *session);
        if let (Some((_, batch)), Some(image)) = (first, &mut disk.image) {
            image.apply(&batch);
        }
        self.state_durable(machine);
    }

    /// Copies every store, for backups.
    pub(super) fn take_backups(&mut self) {
        for machine in &mut self.machines {
            let disk = &mut machine.disk;
            let Some(image) = &disk.image else { continue };
            // A store that did not change needs no further copy: the last one is as good a backup of today.
            let unchanged = disk.backups.back().is_some_and(|(_, kept)| last_index(kept) == last_index(image));
            if !unchanged {
                if disk.backups.len() >= BACKUPS {
                    disk.backups.pop_front();
                }
                disk.backups.push_back((self.now, image.clone()));
            }
        }
    }

    /// Replaces a store by its newest backup that is at least so old. Whether there is one.
    pub(super) fn restore_backup(&mut self, machine: usize, age: u64) -> bool {
        let taken_by = self.now.saturating_sub(age);
        let backups = &self.machines[machine].disk.backups;
        let Some((_, image)) = backups.iter().rev().find(|(at, _)| *at <= taken_by) else { return false };
        let mut image = image.clone();
        image.restored_from_backup = true;
        self.machines[machine].disk.image = Some(image);
        self.state_durable(machine);
        true
    }
}

/// Up to where a store holds the log.
fn last_index(image: &StoreImage) -> LogIndex {
    image.last_index()
}
