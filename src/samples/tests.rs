use super::archive::Archive;
use super::chunk::{Level, decode_raw, decode_summaries, encode_raw, encode_summaries, merge, minutes};
use super::codec::{decode, encode};
use super::keeper::Work;
use super::recent::Recent;
use super::*;
use crate::core::ids::Address;
use proptest::prelude::*;
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

fn slots() -> impl Strategy<Value = Vec<Option<u32>>> {
    let steady = (any::<u32>(), 0..50_u32).prop_map(|(base, step)| base.saturating_add(step));
    let value = prop_oneof![4 => (0..2_000_u32).boxed(), 1 => any::<u32>().boxed(), 1 => steady.boxed()];
    prop::collection::vec(prop::option::weighted(0.8, value), 0..=HOUR_SLOTS as usize)
}

fn trimmed(mut slots: Vec<Option<u32>>) -> Vec<Option<u32>> {
    let length = slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    slots.truncate(length);
    slots
}

/// The percentile as the definition says it, slowly.
fn true_p95(values: &[u32]) -> u32 {
    let within = |bound: &&u32| values.iter().filter(|value| value <= bound).count() * 100 >= values.len() * 95;
    *values.iter().filter(within).min().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn columns_come_back_as_they_were(columns in prop::collection::vec(slots(), 1..4)) {
        let slices: Vec<&[Option<u32>]> = columns.iter().map(Vec::as_slice).collect();
        let bytes = encode(&slices);
        let read = decode(&bytes, columns.len(), HOUR_SLOTS as usize).unwrap();
        prop_assert_eq!(read, columns.into_iter().map(trimmed).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_columns_are_refused_or_read_as_something(slots in slots(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_raw(&slots);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode_raw(&bytes) {
            prop_assert!(read.len() <= HOUR_SLOTS as usize);
        }
        bytes.truncate(at);
        prop_assert!(decode_raw(&bytes).is_err());
    }

    #[test]
    fn summaries_are_what_their_names_say(slots in slots()) {
        let values: Vec<u32> = slots.iter().flatten().copied().collect();
        prop_assume!(!values.is_empty());
        let summary = Summary::of(slots.clone()).unwrap();
        prop_assert_eq!(summary.count as usize, values.len());
        prop_assert_eq!(summary.min, *values.iter().min().unwrap());
        prop_assert_eq!(summary.max, *values.iter().max().unwrap());
        prop_assert_eq!(summary.p95, true_p95(&values));
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        prop_assert!((f64::from(summary.mean) - mean).abs() <= 0.5 + mean * 1e-9);
        let kept = decode_summaries(&encode_summaries(&minutes(&slots)), Level::Minutes).unwrap();
        prop_assert_eq!(kept, minutes(&trimmed(slots)));
    }

    /// The bound that [`Summary::over`] states.
    #[test]
    fn a_percentile_of_parts_is_never_too_low(parts in prop::collection::vec(slots(), 1..6)) {
        let values: Vec<u32> = parts.iter().flatten().flatten().copied().collect();
        let summaries: Vec<Summary> = parts.iter().filter_map(|part| Summary::of(part.iter().copied())).collect();
        prop_assume!(!values.is_empty());
        let all = Summary::over(&summaries).unwrap();
        prop_assert!(all.p95 >= true_p95(&values));
        prop_assert!(all.p95 <= summaries.iter().map(|part| part.p95).max().unwrap());
        let whole = Summary::of(values.iter().map(|value| Some(*value))).unwrap();
        prop_assert_eq!((all.count, all.min, all.max), (whole.count, whole.min, whole.max));
        prop_assert!(all.mean.abs_diff(whole.mean) <= 1);
    }

    /// Where all is known as it was measured, it is exact.
    #[test]
    fn a_percentile_of_slots_is_exact(slots in slots()) {
        let each: Vec<Summary> = slots.iter().flatten().map(|value| Summary::one(*value)).collect();
        prop_assert_eq!(Summary::over(&each), Summary::of(slots));
    }

    /// So it does not matter in which order, or how often, samples come.
    #[test]
    fn merging_knows_no_order(one in slots(), two in slots(), three in slots()) {
        let merged = |parts: &[&Vec<Option<u32>>]| {
            let mut all = Vec::new();
            parts.iter().for_each(|part| merge(&mut all, part));
            all
        };
        let all = merged(&[&one, &two, &three]);
        prop_assert_eq!(&all, &merged(&[&three, &one, &two]));
        prop_assert_eq!(&all, &merged(&[&all, &two, &three, &one]));
    }
}

fn batch(hour: u32, slot: u32, busy: u32) -> Batch {
    let vms = vec![
        VmSample { uuid: VM, busy_millicores: Some(busy), used_mib: 512 },
        VmSample { uuid: VM + 1, busy_millicores: Some(9), used_mib: 9 },
    ];
    Batch { slot: Slot(hour * HOUR_SLOTS + slot), busy_millicores: Some(busy + 100), used_mib: 4_096, vms }
}

/// A keeper without its thread, at a time that the test says.
struct Desk {
    work: Work,
    reader: Reader,
    now: i64,
}

impl Desk {
    fn at(path: &Path, run: u64) -> Desk {
        let (recent, retention) = (Recent::default(), Retention::default());
        let reader = Reader::new(path, recent.clone(), retention);
        let mut work = Work::new(path, recent, retention, run);
        let members = Members { hosts: BTreeSet::from([HOST]), vms: BTreeSet::from([VM]) };
        work.take(Delivery::Cluster(Some(members)), 0);
        Desk { work, reader, now: 0 }
    }

    /// Hands it what a host sends, and gives what it answers.
    fn deliver(&mut self, from: u32, body: Vec<u8>) -> Option<Receipt> {
        let (answer, mut answered) = oneshot::channel();
        self.work.take(Delivery::Batches { from: Address(from), body, answer }, self.now);
        answered.try_recv().ok().and_then(|bytes| Receipt::decode(&bytes).ok())
    }

    fn tell(&mut self, batch: &Batch) {
        self.now = batch.slot.begins() + SLOT_MILLISECONDS;
        assert!(self.deliver(HOST, encode_batches(std::slice::from_ref(batch))).is_some());
    }

    fn summarise_all(&mut self) {
        while self.work.summarise(self.now) {}
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
    let mut desk = Desk::at(&path, 1);
    (0..3).for_each(|slot| desk.tell(&batch(HOUR, slot, slot * 10)));
    assert_eq!(desk.values(HOUR), [(0, 0), (1, 10), (2, 20)]);
    desk.work.flush();
    desk.tell(&batch(HOUR, 5, 50));
    assert_eq!(desk.values(HOUR), [(0, 0), (1, 10), (2, 20), (5, 50)]);
    assert_eq!(desk.reader.newest()[&HOST], batch(HOUR, 5, 50));
    // A VM that the cluster does not know is not kept.
    assert!(desk.read(Subject::Vm(VM + 1), HOUR..HOUR + 1, Level::Raw).is_empty());
    assert_eq!(desk.read(Subject::Host(HOST), HOUR..HOUR + 1, Level::Raw).len(), 4);
}

#[test]
fn a_slot_that_is_told_twice_is_there_once() {
    let (_folder, path) = file();
    let mut desk = Desk::at(&path, 1);
    desk.tell(&batch(HOUR, 7, 30));
    desk.work.flush();
    desk.tell(&batch(HOUR, 7, 30));
    desk.tell(&batch(HOUR, 7, 20));
    desk.tell(&batch(HOUR, 3, 40));
    desk.work.flush();
    assert_eq!(desk.values(HOUR), [(3, 40), (7, 30)]);
}

#[test]
fn what_was_not_written_is_told_again_to_the_next_run() {
    let (_folder, path) = file();
    let mut ring = Ring::default();
    let voter = Address(1);
    ring.set_voters(&[voter]);
    let mut desk = Desk::at(&path, 1);
    let told = |ring: &mut Ring, desk: &mut Desk| {
        for _ in ring.lacking() {
            let batches = ring.next_for(voter);
            desk.now = batches.last().unwrap().slot.begins();
            let receipt = desk.deliver(HOST, encode_batches(&batches));
            ring.told(voter, receipt);
        }
    };
    for slot in 0..90 {
        ring.push(batch(HOUR, slot, slot));
        told(&mut ring, &mut desk);
        if slot == 60 {
            desk.work.flush();
        }
        if slot == 80 {
            // It dies with what came since it wrote last.
            desk = Desk::at(&path, 2);
            assert_eq!(desk.values(HOUR).len(), 61);
        }
    }
    told(&mut ring, &mut desk);
    assert_eq!(desk.values(HOUR), (0..90).map(|slot| (slot, slot)).collect::<Vec<_>>());
}

#[test]
fn hours_that_are_over_are_summarised_and_again_if_something_comes_late() {
    let (_folder, path) = file();
    let mut desk = Desk::at(&path, 1);
    for slot in 0..HOUR_SLOTS {
        desk.tell(&batch(HOUR, slot, slot / 12));
    }
    desk.work.flush();
    desk.now = moment(HOUR + 1, 60);
    assert!(!desk.work.summarise(desk.now), "something may come late");
    // What is not summarised yet is made of its slots.
    let minutes = desk.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Minutes);
    assert_eq!(minutes.len(), 60);
    assert_eq!(minutes[59], (Slot(HOUR * HOUR_SLOTS + 708), Summary { count: 12, ..Summary::one(59) }));
    let hour = desk.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Hours);
    assert_eq!(hour, [(Slot(HOUR * HOUR_SLOTS), Summary { count: 720, min: 0, mean: 30, p95: 56, max: 59 })]);
    desk.now = moment(HOUR + 1, 300);
    desk.summarise_all();
    assert_eq!(desk.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Minutes), minutes);
    assert_eq!(desk.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Hours), hour);
    let late = encode_batches(&[batch(HOUR, 700, 1_000)]);
    desk.now = moment(HOUR + 1, 100);
    desk.deliver(HOST, late).unwrap();
    desk.work.flush();
    assert_eq!(desk.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Minutes)[58].1.max, 1_000);
    assert_eq!(desk.read(Subject::Vm(VM), HOUR..HOUR + 1, Level::Hours)[0].1.max, 1_000);
}

#[test]
fn each_level_is_kept_for_its_time() {
    let (_folder, path) = file();
    let mut desk = Desk::at(&path, 1);
    let days = Retention::default().minutes / 24 + 2;
    for day in 0..days {
        desk.tell(&batch(HOUR + day * 24, 0, day));
        desk.work.flush();
        desk.now = moment(HOUR + day * 24 + 2, 0);
        desk.summarise_all();
        while desk.work.expire(desk.now) {}
    }
    let all = HOUR..HOUR + days * 24;
    let last = HOUR + (days - 1) * 24;
    let of = |level| desk.read(Subject::Vm(VM), all.clone(), level);
    assert_eq!(of(Level::Hours).len(), days as usize);
    assert_eq!(of(Level::Raw).first().map(|(slot, _)| slot.hour().0), Some(last));
    // Minutes that are gone are gone; nothing is made up for them.
    let oldest = desk.now / SLOT_MILLISECONDS / i64::from(HOUR_SLOTS) - i64::from(Retention::default().minutes);
    let (before, after) =
        of(Level::Minutes).into_iter().partition::<Vec<_>, _>(|(slot, _)| i64::from(slot.hour().0) < oldest);
    assert_eq!((before.len(), after.len()), (0, days as usize - 2));
}

#[test]
fn a_clock_that_is_far_ahead_for_a_while_costs_little() {
    let (_folder, path) = file();
    let mut desk = Desk::at(&path, 1);
    for hour in 0..20 {
        desk.tell(&batch(HOUR + hour, 5, hour));
        desk.work.flush();
    }
    let far = moment(HOUR + 20_000, 0);
    assert!(desk.work.expire(far));
    desk.tell(&batch(HOUR + 20, 5, 20));
    desk.work.flush();
    let hours = |desk: &Desk| (0..30).filter(|hour| !desk.values(HOUR + hour).is_empty()).collect::<Vec<_>>();
    assert_eq!(hours(&desk), (1..=20).collect::<Vec<_>>());
    // Back again: the hours are summarised as ever.
    desk.now = moment(HOUR + 22, 0);
    desk.summarise_all();
    assert_eq!(desk.read(Subject::Vm(VM), HOUR..HOUR + 22, Level::Hours).len(), 20);
}

#[test]
fn a_damaged_file_is_put_aside_and_nothing_that_waits_is_lost() {
    let (folder, path) = file();
    std::fs::write(&path, b"this is no database, and it was never one; but it is as long as one may be").unwrap();
    let mut desk = Desk::at(&path, 1);
    desk.tell(&batch(HOUR, 1, 10));
    desk.work.flush();
    assert_eq!(desk.values(HOUR), [(1, 10)]);
    assert!(folder.path().join("samples.db.damaged").exists());
}

#[test]
fn a_newer_file_is_left_alone() {
    let (folder, path) = file();
    drop(Archive::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let mut desk = Desk::at(&path, 1);
    desk.tell(&batch(HOUR, 1, 10));
    desk.work.flush();
    assert!(!folder.path().join("samples.db.damaged").exists());
    let error = Archive::open(&path).err().unwrap().to_string();
    assert!(error.contains("schema 2") && error.contains("install the newer holdfast"), "{error}");
}

#[test]
fn a_full_disk_costs_nothing_that_came_before() {
    let (_folder, path) = file();
    let mut desk = Desk::at(&path, 1);
    desk.tell(&batch(HOUR, 1, 10));
    desk.work.flush();
    desk.work.limit_pages(8);
    for slot in 2..HOUR_SLOTS {
        desk.tell(&batch(HOUR, slot, slot.wrapping_mul(2_654_435_761) >> 12));
    }
    desk.work.flush();
    assert!(desk.values(HOUR).len() == 719, "what is not written is in memory");
    desk.work.limit_pages(1_000);
    desk.work.flush();
    assert_eq!(desk.values(HOUR).len(), 719);
    assert_eq!(Desk::at(&path, 2).values(HOUR).len(), 719);
}

#[test]
fn what_no_member_would_send_is_not_kept() {
    let (_folder, path) = file();
    let mut desk = Desk::at(&path, 1);
    desk.now = moment(HOUR, 10);
    let good = batch(HOUR, 9, 10);
    assert!(desk.deliver(HOST + 1, encode_batches(std::slice::from_ref(&good))).is_some(), "told again would not help");
    let far = batch(HOUR + 1, 0, 10);
    desk.deliver(HOST, encode_batches(&[good.clone(), far]));
    let twice = Batch { vms: vec![good.vms[0], good.vms[0]], ..good.clone() };
    desk.deliver(HOST, encode_batches(&[twice]));
    desk.deliver(HOST, vec![1, 255, 255, 255, 255, 15]);
    assert!(desk.values(HOUR).is_empty() && desk.reader.newest().is_empty());
    desk.work.take(Delivery::Cluster(None), desk.now);
    assert_eq!(desk.deliver(HOST, encode_batches(&[good])), None, "who does not vote takes nothing");
}

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
