//! Every order of the steps of writers on one disk, with every one of them killed at every step.

use super::*;
use crate::core::ids::{Epoch, VmId};
use crate::core::record::Slot;
use std::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

struct Bench {
    _folder: TempDir,
    disk: PathBuf,
}

fn bench() -> Bench {
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    create(&disk).unwrap();
    Bench { _folder: folder, disk }
}

fn name(host: usize) -> WriterName {
    let host = format!("host-{host}");
    WriterName { nonce: Uuid::new_v4(), vm: VmId(1), epoch: Epoch { number: 1, ..Epoch::NONE }, host }
}

fn take_over(disk: &Path) -> Takeover {
    Takeover::begin(disk, open(disk, DiskLock::Ignored).unwrap()).unwrap()
}

/// A writer between two of its steps, at each of which it may be frozen or killed.
enum Stage {
    Born,
    Read(Takeover),
    Ready(Writer),
    Checked(Writer),
    Ended,
}

/// What truly happened, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Began(usize),
    Appended(usize),
    Looked(usize),
    Wrote(usize),
}

fn step(who: usize, stage: Stage, disk: &Path, deeds: &mut Vec<Deed>) -> Stage {
    let ended = |error: DiskError| match error {
        DiskError::Clash(_) => Stage::Ended,
        other => panic!("{other}"),
    };
    match stage {
        Stage::Born => {
            deeds.push(Deed::Began(who));
            Stage::Read(take_over(disk))
        }
        Stage::Read(takeover) => {
            deeds.push(Deed::Appended(who));
            takeover.append(name(who)).map_or_else(ended, Stage::Ready)
        }
        Stage::Ready(mut writer) => {
            deeds.push(Deed::Looked(who));
            match writer.check() {
                Ok(()) => Stage::Checked(writer),
                Err(error) => ended(error),
            }
        }
        Stage::Checked(mut writer) => {
            deeds.push(Deed::Wrote(who));
            writer.commit().unwrap();
            Stage::Ready(writer)
        }
        Stage::Ended => Stage::Ended,
    }
}

/// Whether the older of two wrote after the younger had begun to take over, or looked after it had taken over, or the
/// two took over at once.
fn overlaps(deeds: &[Deed]) -> bool {
    let place = |deed| deeds.iter().position(|done| *done == deed);
    let last = |deed| deeds.iter().rposition(|done| *done == deed);
    let overlap = |old: usize, young: usize| {
        let (Some(appended), Some(began)) = (place(Deed::Appended(old)), place(Deed::Began(young))) else {
            return false;
        };
        let Some(took_over) = place(Deed::Appended(young)).filter(|place| *place > appended) else { return false };
        began < appended || last(Deed::Wrote(old)) > Some(began) || last(Deed::Looked(old)) > Some(took_over)
    };
    (0..3).any(|old| (0..3).any(|young| overlap(old, young)))
}

/// Plays an order of steps. Who has no more steps in it is dead from then on.
fn play(order: &[usize]) -> (bool, Examination) {
    let bench = bench();
    let mut stages = [Stage::Born, Stage::Born, Stage::Born];
    let mut deeds = Vec::new();
    for &who in order {
        let stage = std::mem::replace(&mut stages[who], Stage::Ended);
        stages[who] = step(who, stage, &bench.disk, &mut deeds);
    }
    (overlaps(&deeds), examine(&bench.disk).unwrap())
}

#[test]
fn two_writers_are_found_in_every_order_and_one_is_never_accused() {
    const STEPS: u32 = 9;
    let (mut overlapping, mut clean) = (0, 0);
    for code in 0..2_usize.pow(STEPS) {
        let order: Vec<usize> = (0..STEPS).map(|bit| code >> bit & 1).collect();
        let (overlaps, examination) = play(&order);
        assert_eq!(overlaps, !examination.clashes.is_empty(), "{order:?}: {examination:?}");
        if overlaps { overlapping += 1 } else { clean += 1 }
    }
    assert!(overlapping > 100 && clean > 20, "{overlapping} {clean}");
}

#[test]
fn three_writers_are_found_too() {
    const STEPS: u32 = 7;
    for code in 0..3_usize.pow(STEPS) {
        let order: Vec<usize> = (0..STEPS).map(|digit| code / 3_usize.pow(digit) % 3).collect();
        let (overlaps, examination) = play(&order);
        assert_eq!(overlaps, !examination.clashes.is_empty(), "{order:?}: {examination:?}");
    }
}

#[test]
fn one_that_was_frozen_before_its_write_is_found_though_all_are_dead() {
    let bench = bench();
    let mut old = take_over(&bench.disk).append(name(1)).unwrap();
    old.write().unwrap();
    old.check().unwrap();
    for host in [2, 3, 4] {
        let mut new = take_over(&bench.disk).append(name(host)).unwrap();
        new.write().unwrap();
    }
    assert!(examine(&bench.disk).unwrap().clashes.is_empty());
    old.commit().unwrap();
    drop(old);
    let examination = examine(&bench.disk).unwrap();
    assert!(
        matches!(examination.clashes[..], [Clash::WroteAfterTakeover { wrote: Slot::Whole(2), .. }]),
        "{examination:?}"
    );
}

#[test]
fn who_lives_on_notices_at_the_next_write() {
    let bench = bench();
    let mut old = take_over(&bench.disk).append(name(1)).unwrap();
    old.write().unwrap();
    let mut new = take_over(&bench.disk).append(name(2)).unwrap();
    new.write().unwrap();
    assert!(matches!(old.write(), Err(DiskError::Clash(_))));
    new.write().unwrap();
    old.commit().unwrap();
    assert!(matches!(new.write(), Err(DiskError::Clash(_))));
    let examination = examine(&bench.disk).unwrap();
    let met = examination.clashes.iter().filter(|clash| matches!(clash, Clash::Met { other: Some(_), .. })).count();
    assert_eq!((met, examination.clashes.len()), (2, 3), "{examination:?}");
}

#[test]
fn a_slot_that_was_torn_at_the_end_is_no_clash_and_a_later_write_is() {
    use std::os::unix::fs::FileExt;
    let bench = bench();
    let mut old = take_over(&bench.disk).append(name(1)).unwrap();
    old.write().unwrap();
    let file = open(&bench.disk, DiskLock::Ignored).unwrap();
    file.write_all_at(b"torn", 512).unwrap();
    let mut new = take_over(&bench.disk).append(name(2)).unwrap();
    new.write().unwrap();
    let examination = examine(&bench.disk).unwrap();
    assert!(examination.clashes.is_empty(), "{examination:?}");
    assert_eq!(examination.starts[1].previous.as_ref().unwrap().sequence, Slot::Torn);
    assert!(matches!(examination.last, Slot::Whole(Trace { sequence: 1, .. })));
    old.commit().unwrap();
    assert_eq!(examine(&bench.disk).unwrap().clashes.len(), 1);
}

#[test]
fn what_is_no_disk_is_not_written_to() {
    let bench = bench();
    let other = bench.disk.with_extension("other");
    std::fs::write(&other, "somebody's thesis").unwrap();
    assert!(matches!(open(&other, DiskLock::Taken), Err(DiskError::NoDisk(_))));
    assert!(matches!(open(&bench.disk.with_extension("none"), DiskLock::Taken), Err(DiskError::File { .. })));
    assert!(matches!(create(&other), Err(DiskError::File { .. })));
    let held = open(&bench.disk, DiskLock::Taken).unwrap();
    assert!(is_locked(&bench.disk).unwrap());
    assert!(matches!(open(&bench.disk, DiskLock::Taken), Err(DiskError::Locked(_))));
    open(&bench.disk, DiskLock::Ignored).unwrap();
    drop(held);
    assert!(!is_locked(&bench.disk).unwrap());
}

#[test]
fn of_two_that_start_at_once_the_later_one_ends_before_it_writes() {
    let bench = bench();
    let (one, two) = (take_over(&bench.disk), take_over(&bench.disk));
    let mut one = one.append(name(1)).unwrap();
    assert!(matches!(two.append(name(2)), Err(DiskError::Clash(_))));
    assert!(matches!(one.write(), Err(DiskError::Clash(_))));
    let examination = examine(&bench.disk).unwrap();
    assert_eq!(examination.last, Slot::Empty);
    assert!(examination.clashes.iter().any(|clash| matches!(clash, Clash::StartedAtOnce { .. })), "{examination:?}");
}
