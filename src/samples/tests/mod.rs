//! What a keeper keeps, whatever befalls it.

mod meter;
mod properties;

use super::archive::Archive;
use super::*;
use crate::core::ids::Address;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// An hour that begins at 2026-01-01 00:00 in UTC, so that a day begins with it, too.
const HOUR: u32 = 490_896;
const HOST: u32 = 3;
const VM: u128 = 77;

fn moment(hour: u32, slot: u32) -> i64 {
    Slot(hour * HOUR_SLOTS + slot).begins()
}

fn batch(hour: u32, slot: u32, busy: u32) -> Batch {
    let vms = vec![
        VmSample { uuid: VM, busy_millicores: Some(busy), used_mib: 512 },
        VmSample { uuid: VM + 1, busy_millicores: Some(9), used_mib: 9 },
    ];
    Batch { slot: Slot(hour * HOUR_SLOTS + slot), busy_millicores: Some(busy + 100), used_mib: 4_096, vms }
}

/// A keeper at the time of what it was told last.
struct Test {
    desk: Desk,
    reader: Reader,
    now: i64,
}

impl Test {
    fn at(path: &Path, run: u64) -> Test {
        let mut desk = Desk::new(path, Retention::default(), run);
        let reader = desk.reader();
        let members = Members { hosts: BTreeSet::from([HOST]), vms: BTreeSet::from([VM]) };
        desk.take(Delivery::Cluster(Some(members)), 0);
        Test { desk, reader, now: 0 }
    }

    /// Hands it what a host sends, and gives what it answers.
    fn deliver(&mut self, from: u32, body: Vec<u8>) -> Option<Receipt> {
        let (answer, mut answered) = oneshot::channel();
        self.desk.take(Delivery::Batches { from: Address(from), body, answer }, self.now);
        answered.try_recv().ok().and_then(|bytes| Receipt::decode(&bytes).ok())
    }

    fn tell(&mut self, batch: &Batch) {
        self.now = batch.slot.begins() + SLOT_MILLISECONDS;
        assert!(self.deliver(HOST, encode_batches(std::slice::from_ref(batch))).is_some());
    }

    fn summarise_all(&mut self) {
        while self.desk.summarise(self.now) {}
    }

    fn read(&self, subject: Subject, hours: std::ops::Range<u32>, level: Level) -> Vec<(Slot, Summary)> {
        let window = Window { from: Slot(hours.start * HOUR_SLOTS), to: Slot(hours.end * HOUR_SLOTS) };
        self.reader.open().unwrap().summaries(subject, Measure::Cpu, window, level).unwrap()
    }

    fn values(&self, hour: u32) -> Vec<(u32, u32)> {
        let read = self.read(Subject::Vm(VM), hour..hour + 1, Level::Raw);
        read.into_iter().map(|(slot, summary)| (slot.0 % HOUR_SLOTS, summary.mean)).collect()
    }
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.db");
    (folder, path)
}

#[test]
fn what_was_told_is_there_at_once_and_after_it_was_written() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    (0..3).for_each(|slot| test.tell(&batch(HOUR, slot, slot * 10)));
    assert_eq!(test.values(HOUR), [(0, 0), (1, 10), (2, 20)]);
    test.desk.flush();
    test.tell(&batch(HOUR, 5, 50));
    assert_eq!(test.values(HOUR), [(0, 0), (1, 10), (2, 20), (5, 50)]);
    assert_eq!(test.reader.newest()[&HOST], batch(HOUR, 5, 50));
    // A VM that the cluster does not know is not kept.
    assert!(test.read(Subject::Vm(VM + 1), HOUR..HOUR + 1, Level::Raw).is_empty());
    assert_eq!(test.read(Subject::Host(HOST), HOUR..HOUR + 1, Level::Raw).len(), 4);
}

#[test]
fn a_slot_that_is_told_twice_is_there_once() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    test.tell(&batch(HOUR, 7, 30));
    test.desk.flush();
    test.tell(&batch(HOUR, 7, 30));
    test.tell(&batch(HOUR, 7, 20));
    test.tell(&batch(HOUR, 3, 40));
    test.desk.flush();
    assert_eq!(test.values(HOUR), [(3, 40), (7, 30)]);
}

#[test]
fn what_was_not_written_is_told_again_to_the_next_run() {
    let (_folder, path) = file();
    let mut ring = Ring::default();
    let voter = Address(1);
    ring.set_voters(&[voter]);
    let mut test = Test::at(&path, 1);
    let told = |ring: &mut Ring, test: &mut Test| {
        for _ in ring.lacking() {
            let batches = ring.next_for(voter);
            test.now = batches.last().unwrap().slot.begins();
            let receipt = test.deliver(HOST, encode_batches(&batches));
            ring.told(voter, receipt);
        }
    };
    for slot in 0..90 {
        ring.push(batch(HOUR, slot, slot));
        told(&mut ring, &mut test);
        if slot == 60 {
            test.desk.flush();
        }
        if slot == 80 {
            // It dies with what came since it wrote last.
            test = Test::at(&path, 2);
            assert_eq!(test.values(HOUR).len(), 61);
        }
    }
    told(&mut ring, &mut test);
    assert_eq!(test.values(HOUR), (0..90).map(|slot| (slot, slot)).collect::<Vec<_>>());
}

#[test]
fn a_voter_that_lacks_samples_copies_them_and_has_the_same() {
    let (_one, first) = file();
    let (_other, second) = file();
    let (mut test, mut new) = (Test::at(&first, 1), Test::at(&second, 1));
    for slot in (0..3 * HOUR_SLOTS).step_by(7) {
        test.tell(&batch(HOUR, slot, slot));
    }
    test.tell(&batch(HOUR, 2 * HOUR_SLOTS + 1, 5));
    test.desk.flush();
    test.now = moment(HOUR + 4, 0);
    test.summarise_all();
    // It has heard the last hour itself, and knows that it lacks what was before.
    new.tell(&batch(HOUR, 2 * HOUR_SLOTS + 1, 5));
    new.desk.flush();
    assert_eq!(new.reader.open().unwrap().lacks_since().unwrap(), Some(0));
    let (look, mut after) = (test.reader.open().unwrap(), None);
    loop {
        let (pieces, next) = look.pieces(0, after).unwrap();
        let (kept, mut keeps) = oneshot::channel();
        new.desk.take(Delivery::Pieces { pieces, kept }, new.now);
        assert_eq!(keeps.try_recv(), Ok(true));
        after = next;
        if after.is_none() {
            break;
        }
    }
    new.desk.take(Delivery::Complete, new.now);
    assert_eq!(new.reader.open().unwrap().lacks_since().unwrap(), None);
    new.now = test.now;
    new.summarise_all();
    for (subject, level) in Level::ALL.iter().flat_map(|level| [(Subject::Vm(VM), level), (Subject::Host(HOST), level)])
    {
        let hours = HOUR..HOUR + 3;
        let is_same = new.read(subject, hours.clone(), *level) == test.read(subject, hours, *level);
        assert!(is_same, "{subject:?} {level:?}");
    }
}

#[test]
fn hours_that_are_over_are_summarised_and_again_if_something_comes_late() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    for slot in 0..HOUR_SLOTS {
        test.tell(&batch(HOUR, slot, slot / 12));
    }
    test.desk.flush();
    test.now = moment(HOUR + 1, 60);
    assert!(!test.desk.summarise(test.now), "something may come late");
    // What is not summarised yet is made of its slots.
    let minutes = test.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Minutes);
    assert_eq!(minutes.len(), 60);
    assert_eq!(minutes[59], (Slot(HOUR * HOUR_SLOTS + 708), Summary { count: 12, ..Summary::one(59) }));
    let hour = test.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Hours);
    assert_eq!(hour, [(Slot(HOUR * HOUR_SLOTS), Summary { count: 720, min: 0, mean: 30, p95: 56, max: 59 })]);
    test.now = moment(HOUR + 1, 300);
    test.summarise_all();
    assert_eq!(test.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Minutes), minutes);
    assert_eq!(test.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Hours), hour);
    let late = encode_batches(&[batch(HOUR, 700, 1_000)]);
    test.now = moment(HOUR + 1, 100);
    test.deliver(HOST, late).unwrap();
    test.desk.flush();
    assert_eq!(test.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Minutes)[58].1.max, 1_000);
    assert_eq!(test.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Hours)[0].1.max, 1_000);
}

#[test]
fn each_level_is_kept_for_its_time() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    let days = Retention::default().minutes / 24 + 2;
    for day in 0..days {
        test.tell(&batch(HOUR + day * 24, 0, day));
        test.desk.flush();
        test.now = moment(HOUR + day * 24 + 2, 0);
        test.summarise_all();
        while test.desk.expire(test.now) {}
    }
    let all = HOUR..HOUR + days * 24;
    let last = HOUR + (days - 1) * 24;
    let of = |level| test.read(Subject::Vm(VM), all.clone(), level);
    assert_eq!(of(Level::Hours).len(), days as usize);
    assert_eq!(of(Level::Raw).first().map(|(slot, _)| slot.hour().0), Some(last));
    // Minutes that are gone are gone; nothing is made up for them.
    let oldest = test.now / SLOT_MILLISECONDS / i64::from(HOUR_SLOTS) - i64::from(Retention::default().minutes);
    let (before, after) =
        of(Level::Minutes).into_iter().partition::<Vec<_>, _>(|(slot, _)| i64::from(slot.hour().0) < oldest);
    assert_eq!((before.len(), after.len()), (0, days as usize - 2));
}

#[test]
fn a_clock_that_is_far_ahead_for_a_while_costs_little() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    for hour in 0..20 {
        test.tell(&batch(HOUR + hour, 5, hour));
        test.desk.flush();
    }
    let far = moment(HOUR + 20_000, 0);
    assert!(test.desk.expire(far));
    test.tell(&batch(HOUR + 20, 5, 20));
    test.desk.flush();
    let hours = |test: &Test| (0..30).filter(|hour| !test.values(HOUR + hour).is_empty()).collect::<Vec<_>>();
    assert_eq!(hours(&test), (1..=20).collect::<Vec<_>>());
    // Back again: the hours are summarised as ever.
    test.now = moment(HOUR + 22, 0);
    test.summarise_all();
    assert_eq!(test.read(Subject::Vm(VM), HOUR..HOUR + 22, Level::Hours).len(), 20);
}

#[test]
fn a_damaged_file_is_put_aside_and_nothing_that_waits_is_lost() {
    let (folder, path) = file();
    std::fs::write(&path, b"this is no database, and it was never one; but it is as long as one may be").unwrap();
    let mut test = Test::at(&path, 1);
    test.tell(&batch(HOUR, 1, 10));
    test.desk.flush();
    assert_eq!(test.values(HOUR), [(1, 10)]);
    assert!(folder.path().join("samples.db.damaged").exists());
}

#[test]
fn a_newer_file_is_left_alone() {
    let (folder, path) = file();
    drop(Archive::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let mut test = Test::at(&path, 1);
    test.tell(&batch(HOUR, 1, 10));
    test.desk.flush();
    assert!(!folder.path().join("samples.db.damaged").exists());
    let error = Archive::open(&path).err().unwrap().to_string();
    assert!(error.contains("schema 2") && error.contains("install the newer holdfast"), "{error}");
}

#[test]
fn a_full_disk_costs_nothing_that_came_before() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    test.tell(&batch(HOUR, 1, 10));
    test.desk.flush();
    test.desk.limit_pages(8);
    for slot in 2..HOUR_SLOTS {
        test.tell(&batch(HOUR, slot, slot.wrapping_mul(2_654_435_761) >> 12));
    }
    test.desk.flush();
    assert!(test.values(HOUR).len() == 719, "what is not written is in memory");
    test.desk.limit_pages(1_000);
    test.desk.flush();
    assert_eq!(test.values(HOUR).len(), 719);
    assert_eq!(Test::at(&path, 2).values(HOUR).len(), 719);
}

#[test]
fn what_no_member_would_send_is_not_kept() {
    let (_folder, path) = file();
    let mut test = Test::at(&path, 1);
    test.now = moment(HOUR, 10);
    let good = batch(HOUR, 9, 10);
    assert!(test.deliver(HOST + 1, encode_batches(std::slice::from_ref(&good))).is_some(), "told again would not help");
    let far = batch(HOUR + 1, 0, 10);
    test.deliver(HOST, encode_batches(&[good.clone(), far]));
    let twice = Batch { vms: vec![good.vms[0], good.vms[0]], ..good.clone() };
    test.deliver(HOST, encode_batches(&[twice]));
    test.deliver(HOST, vec![1, 255, 255, 255, 255, 15]);
    assert!(test.values(HOUR).is_empty() && test.reader.newest().is_empty());
    test.desk.take(Delivery::Cluster(None), test.now);
    assert_eq!(test.deliver(HOST, encode_batches(&[good])), None, "who does not vote takes nothing");
}
