//! From what counters say to what was used in each slot.

use super::batch::MOST_VMS;
use super::{Batch, SLOT_MILLISECONDS, Slot, VmSample};
use crate::platform::{Reading, VmUse};

/// Between two readings that lie further apart than so many slots nobody knows when the processors were busy.
const LONGEST: u32 = 12;

/// Compares each reading with the one before.
#[derive(Debug, Default)]
pub struct Meter {
    before: Option<(Slot, Reading)>,
}

impl Meter {
    /// Takes a reading in, which was taken at this time of the wall clock; gives what was used in the slots that have
    /// ended since the one before, as a rule in one.
    pub fn take(&mut self, wall_milliseconds: i64, reading: Reading) -> Vec<Batch> {
        // It is taken a little after the end of a slot.
        let slot = Slot(Slot::at(wall_milliseconds + SLOT_MILLISECONDS / 2).0.saturating_sub(1));
        let Some((last, before)) = &self.before else {
            self.before = Some((slot, reading));
            return Vec::new();
        };
        if slot == *last {
            // The clock has stepped back a little: the next one covers this time, too.
            return Vec::new();
        }
        let apart = reading.at_nanoseconds.saturating_sub(before.at_nanoseconds) / 1_000_000;
        let slots = slots_between(*last, slot, apart);
        let knows_when = apart <= u64::from(LONGEST) * SLOT_MILLISECONDS.unsigned_abs();
        let newest = batch(slot, &reading, Some(before).filter(|_| knows_when));
        let batches =
            (0..slots).rev().map(|earlier| Batch { slot: Slot(slot.0.saturating_sub(earlier)), ..newest.clone() });
        let batches = batches.collect();
        self.before = Some((slot, reading));
        batches
    }
}

/// How many slots have ended between two readings: one, unless the wall clock agrees with the host's own that there were
/// some more. After a step of the wall clock they do not agree.
fn slots_between(last: Slot, slot: Slot, apart_milliseconds: u64) -> u32 {
    let ended = slot.0.saturating_sub(last.0);
    let wall = u64::from(ended) * SLOT_MILLISECONDS.unsigned_abs();
    let agrees = wall.abs_diff(apart_milliseconds) < SLOT_MILLISECONDS.unsigned_abs();
    if agrees && ended <= LONGEST { ended.max(1) } else { 1 }
}

fn batch(slot: Slot, reading: &Reading, before: Option<&Reading>) -> Batch {
    let vm = |vm: &VmUse| VmSample {
        uuid: vm.uuid.as_u128(),
        busy_millicores: before.and_then(|before| reading.vm_busy(vm, before)).map(bounded),
        used_mib: bounded(vm.resident_kib / 1_024),
    };
    let mut vms: Vec<VmSample> = reading.vms.iter().map(vm).collect();
    vms.sort_unstable_by_key(|vm| vm.uuid);
    vms.dedup_by_key(|vm| vm.uuid);
    vms.truncate(MOST_VMS);
    let host = &reading.host;
    Batch {
        slot,
        busy_millicores: before.and_then(|before| reading.host_busy(before)).map(bounded),
        used_mib: bounded(host.memory_kib.saturating_sub(host.available_kib) / 1_024),
        vms,
    }
}

fn bounded(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
