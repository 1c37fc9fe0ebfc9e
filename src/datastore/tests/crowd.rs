//! Many at once: readers beside writers, processes beside processes.

use super::{CLUSTER, formatted, mail, mail_to, opened, record, records, tombstone, write_mail, write_record};
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{DatastoreResult, Slot};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Writings that a reader watches.
const ROUNDS: u64 = 2_000;
/// Writings of each of two processes.
const TURNS: u64 = 150;

/// As many VMs as make the pages come and go.
fn size_of(round: u64) -> usize {
    [0, 150, 250, 900, 900, 900, 190, 250][(round % 8) as usize]
}

#[test]
fn a_reader_beside_a_writer_never_sees_a_mix_and_never_goes_back() {
    let folder = formatted();
    let finished = AtomicU64::new(0);
    let (mut writer, mut reader) = (opened(folder.path()), opened(folder.path()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                let record = record(1, round, size_of(round), 2);
                assert_eq!(write_record(&mut writer, &record), DatastoreResult::Written);
                let mail = mail(Some(tombstone(0, round, round)), size_of(round) / 2, round);
                assert_eq!(write_mail(&mut writer, 2, 1, &mail), DatastoreResult::Written);
                finished.store(round, Ordering::Release);
            }
        });
        let (mut last, mut last_mail, mut seen) = (0, 0, 0);
        while last < ROUNDS || last_mail < ROUNDS {
            let at_least = finished.load(Ordering::Acquire);
            if let [(HostId(1), Slot::Whole(found))] = &records(&mut reader)[..] {
                assert_eq!(found, &record(1, found.sequence, size_of(found.sequence), 2));
                assert!(found.sequence >= last.max(at_least), "{} came after {last}", found.sequence);
                seen += u64::from(found.sequence > last);
                last = found.sequence;
            }
            if let [(VoterId(2), Slot::Whole(found))] = &mail_to(&mut reader, 1)[..] {
                let serial = found.serial;
                let expected = mail(Some(tombstone(0, serial, serial)), size_of(serial) / 2, serial);
                assert_eq!(found, &expected);
                assert!(serial >= last_mail.max(at_least), "{serial} came after {last_mail}");
                last_mail = serial;
            }
        }
        assert!(seen > 20, "the reader saw only {seen} of {ROUNDS} writings");
    });
}

/// A process that does not outlive the test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _it_may_be_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Where the child finds the datastore.
const CHILDS_PATH: &str = "HOLDFAST_TEST_DATASTORE";

fn write_turns(path: &Path, host: u32) {
    let mut datastore = opened(path);
    for turn in 1..=TURNS {
        let record = record(host, turn, size_of(turn), 1);
        assert_eq!(write_record(&mut datastore, &record), DatastoreResult::Written);
        let mail = mail(Some(tombstone(0, turn, 1)), 300, turn);
        assert_eq!(write_mail(&mut datastore, u64::from(host), 5, &mail), DatastoreResult::Written);
        let own = records(&mut datastore).into_iter().find(|(id, _)| *id == HostId(host));
        assert_eq!(own, Some((HostId(host), Slot::Whole(record))), "another process wrote here");
    }
}

#[test]
fn two_processes_write_their_own_slots_and_no_others() {
    let folder = formatted();
    let child = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "datastore::tests::crowd::writes_as_another_process", "--nocapture"])
        .env(CHILDS_PATH, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut child = Process(child);
    write_turns(folder.path(), 1);
    assert!(child.0.wait().expect("it ends").success());
    let mut datastore = opened(folder.path());
    let expected = [2, 1].map(|host| (HostId(host), Slot::Whole(record(host, TURNS, size_of(TURNS), 1))));
    let mut found = records(&mut datastore);
    found.reverse();
    assert_eq!(found, expected);
    let last = Slot::Whole(mail(Some(tombstone(0, TURNS, 1)), 300, TURNS));
    assert_eq!(mail_to(&mut datastore, 5), [(VoterId(1), last.clone()), (VoterId(2), last)]);
    assert_eq!(datastore.header().cluster, CLUSTER);
}

#[test]
fn writes_as_another_process() {
    // Nothing but the other half of the test above.
    let Some(path) = std::env::var_os(CHILDS_PATH).map(PathBuf::from) else { return };
    write_turns(&path, 2);
}
