//! From counters to what was used.

use super::{HOUR, VM, moment};
use crate::samples::{Batch, HOUR_SLOTS, Meter, Slot, VmSample};

fn reading(seconds: u64, host_busy: u64, vm: Option<u64>) -> crate::platform::Reading {
    let nanoseconds = 1_000_000_000;
    let host = crate::platform::HostUse {
        cores: 2,
        cpu_total_nanoseconds: seconds * 2 * nanoseconds,
        cpu_used_nanoseconds: host_busy * nanoseconds,
        memory_kib: 8 << 20,
        available_kib: 6 << 20,
    };
    let vm = vm.map(|cpu| crate::platform::VmUse {
        uuid: uuid::Uuid::from_u128(VM),
        cpu_nanoseconds: cpu * nanoseconds,
        resident_kib: 300 << 10,
        vcpus: None,
        memory_kib: None,
    });
    crate::platform::Reading {
        at_nanoseconds: seconds * nanoseconds,
        host,
        vms: vm.into_iter().collect(),
        silent: None,
    }
}

#[test]
fn counters_become_what_was_used_in_each_slot() {
    let mut meter = Meter::default();
    let wall = |slot: u32| moment(HOUR, slot) + 40;
    assert!(meter.take(wall(1), reading(100, 50, Some(10))).is_empty());
    let batches = meter.take(wall(2), reading(105, 55, Some(14)));
    let vm = VmSample { uuid: VM, busy_millicores: Some(800), used_mib: 300 };
    let slot = |slot| Slot(HOUR * HOUR_SLOTS + slot);
    assert_eq!(batches, [Batch { slot: slot(1), busy_millicores: Some(1_000), used_mib: 2_048, vms: vec![vm] }]);
    // Three slots long nobody could measure: each has the mean.
    let batches = meter.take(wall(5), reading(120, 85, Some(15)));
    assert_eq!(batches.iter().map(|batch| batch.slot).collect::<Vec<_>>(), [slot(2), slot(3), slot(4)]);
    assert!(batches.iter().all(|batch| batch.busy_millicores == Some(2_000)));
    assert_eq!(batches[0].vms[0].busy_millicores, Some(66));
    // A process that has come up since has no difference yet.
    let batches = meter.take(wall(6), reading(125, 85, Some(1)));
    assert_eq!(batches[0].vms[0].busy_millicores, None);
}

#[test]
fn a_clock_that_steps_gives_each_reading_one_slot() {
    let wall = |slot: u32| moment(HOUR, slot);
    let mut meter = Meter::default();
    meter.take(wall(100), reading(100, 0, None));
    let slots = |batches: Vec<Batch>| batches.iter().map(|batch| batch.slot.0 % HOUR_SLOTS).collect::<Vec<_>>();
    // An hour ahead, and back; then by less than a slot.
    assert_eq!(slots(meter.take(wall(500), reading(105, 0, None))), [499]);
    assert_eq!(slots(meter.take(wall(102), reading(110, 0, None))), [101]);
    assert_eq!(slots(meter.take(wall(102) + 1_000, reading(115, 0, None))), [0_u32; 0]);
    assert_eq!(slots(meter.take(wall(103) + 1_000, reading(120, 0, None))), [102]);
    // The machine slept: when its processors were busy is not known.
    let batches = meter.take(wall(403), reading(1_620, 9, None));
    assert_eq!((batches.len(), batches[0].busy_millicores, batches[0].used_mib), (1, None, 2_048));
}
