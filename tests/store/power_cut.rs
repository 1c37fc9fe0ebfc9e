//! A power cut at any write.
//!
//! Processes work with a store under `strace`, which records every change of its files and what they said was done. Then
//! the directory is put together as it may look after a power cut at any point of that, and the store is opened: all
//! that was acknowledged must be there, and what is there must be the state after some whole operation.

use crate::disk::{Disk, Fate};
use crate::trace::{CALLS, Event, Reader};
use crate::workload::{Dice, RUNS, State, plan, seed};
use crate::{child_arguments, say, with_child};
use holdfast::election::StoreImage;
use holdfast::store::backup::{self, Replace, Whose};
use holdfast::store::{Operation, Store, StoreError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

/// So many cuts are made at other places than around syncs, names and words.
const CUTS_BETWEEN: u64 = 120;
const THREADS: usize = 2;
/// After so many cuts one store is also written to, closed and opened once more.
const GO_ON_AFTER: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_power_cut_at_any_write_loses_nothing_that_was_acknowledged() {
    let seed = seed();
    say(&format!("power cut: HOLDFAST_TEST_SEED={seed}"));
    if !strace_works() {
        return say("power cut: NOT TESTED: strace is missing, or may not trace here; apt-get install strace");
    }
    let folder = TempDir::new().expect("a folder");
    let mut recorder = Recorder::new(folder.path());
    (0..RUNS).for_each(|run| recorder.record(&format!("workload-{run}")));
    let events = recorder.events;
    let states = states(seed);
    let cuts = cuts(&events, seed);
    let tried: usize = std::thread::scope(|scope| {
        let (events, states, cuts) = (&events, &states, &cuts);
        let work = |thread| scope.spawn(move || try_cuts(events, states, cuts, thread, seed));
        let threads: Vec<_> = (0..THREADS).map(work).collect();
        threads.into_iter().map(|thread| thread.join().expect("every store is whole")).sum()
    });
    let syncs = events.iter().filter(|event| matches!(event, Event::Sync { .. } | Event::SyncDirectory)).count();
    say(&format!("power cut: {} events, {syncs} syncs, {} cuts, {tried} stores opened", events.len(), cuts.len()));
    assert!(syncs > 80 && tried > 1_000, "too little happened");
}

#[test]
fn a_power_cut_of_a_restore_leaves_the_old_store_or_the_new_one_or_says_so() {
    let seed = seed();
    if !strace_works() {
        return say("power cut of a restore: NOT TESTED: strace is missing, or may not trace here");
    }
    let folder = TempDir::new().expect("a folder");
    let mut recorder = Recorder::new(folder.path());
    // The second run ends without closing: its write-ahead log is moved aside with the store.
    ["workload-0", "workload-1", "back up"].iter().for_each(|what| recorder.record(what));
    let before = recorder.events.len();
    recorder.record("restore");
    let mut words = Words::default();
    recorder.events.iter().for_each(|event| words.hear(event));
    let old = (&states(seed)[words.acknowledged], words.session);
    let mut ends = BTreeMap::new();
    let mut disk = Disk::default();
    for (number, event) in recorder.events.iter().enumerate() {
        disk.apply(event);
        for fate in Fate::ALL.iter().filter(|_| number >= before) {
            let folder = memory_folder();
            disk.leave(folder.path(), *fate, &mut Dice::new(seed + number as u64));
            let what = format!("seed {seed}, cut after {} events, {fate:?}", number + 1 - before);
            *ends.entry(restored_or_not(folder.path(), &recorder.backup(), old, &what)).or_insert(0) += 1;
        }
    }
    say(&format!("power cut of a restore: {} events, stores left: {ends:?}", recorder.events.len() - before));
    assert!(ends.len() == 3, "each of them can happen");
}

/// What is left after a power cut; it is all there, or is all there once the restore is run again.
fn restored_or_not(directory: &Path, backup: &Path, (old, session): (&State, u64), what: &str) -> &'static str {
    match Store::open(directory) {
        Ok(opened) if opened.restored => {
            let voter = old.voter.clone().map(|image| StoreImage { restored_from_backup: true, ..image });
            assert!(State::of(&opened).ledger == old.ledger && opened.voter == voter, "{what}");
            assert!(opened.session > session + 1_000_000, "{what}: {}", opened.session);
            "new"
        }
        Ok(opened) => {
            assert!(opened.session > session, "{what}: {}", opened.session);
            assert!(State::of(&opened) == *old, "{what}: something of the old one is lost");
            "old"
        }
        Err(StoreError::RestoreUnfinished { .. }) => {
            backup::restore(backup, directory, Replace::MoveAside, Whose::Anybodys)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(restored_or_not(directory, backup, (old, session), what), "new", "{what}");
            "unfinished"
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

/// What the process does that makes the backup.
pub fn back_up(directory: &Path) {
    backup::create(directory, &directory.with_extension("backup")).expect("a backup");
}

/// What the process does whose power is cut.
pub fn restore(directory: &Path) {
    backup::restore(&directory.with_extension("backup"), directory, Replace::MoveAside, Whose::Anybodys)
        .expect("it is restored");
}

fn strace_works() -> bool {
    let run = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    run.is_ok_and(|output| output.status.success())
}

/// Lets processes work one after another and reads what they did.
struct Recorder {
    directory: PathBuf,
    reader: Reader,
    events: Vec<Event>,
}

impl Recorder {
    fn new(folder: &Path) -> Recorder {
        let directory = folder.join("state");
        fs::create_dir(&directory).expect("a folder");
        let directory = directory.canonicalize().expect("a path");
        Recorder { reader: Reader::new(&directory), directory, events: Vec::new() }
    }

    fn backup(&self) -> PathBuf {
        self.directory.with_extension("backup")
    }

    fn record(&mut self, what: &str) {
        let trace = self.directory.with_extension("trace");
        let (program, arguments) = child_arguments();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-xx", "-s", "10000000", "-e", CALLS, "-e", "signal=none", "-o"]);
        command.arg(&trace).arg(program).args(arguments);
        let output = with_child(command, what, &self.directory).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        self.events.extend(self.reader.read(&fs::read_to_string(&trace).expect("a trace")));
    }
}

/// The state after each number of operations.
fn states(seed: u64) -> Vec<State> {
    let mut states = vec![State::default()];
    for operation in plan(seed).iter().flatten() {
        let mut next = states.last().expect("the first").clone();
        next.apply(operation);
        states.push(next);
    }
    states
}

/// After how many events the power is cut.
fn cuts(events: &[Event], seed: u64) -> Vec<usize> {
    let mut dice = Dice::new(seed ^ 1);
    let writes = events.iter().filter(|event| matches!(event, Event::Write { .. })).count() as u64;
    let mut cuts = vec![0, events.len()];
    for (before, event) in events.iter().enumerate() {
        match event {
            Event::Write { .. } if dice.below(writes) < CUTS_BETWEEN => cuts.push(before + 1),
            Event::Write { .. } => {}
            // Nothing changes on the disk; but from then on it must be there.
            Event::Said(words) if words.starts_with("submit") => {}
            Event::Said(_) => cuts.push(before + 1),
            _ => cuts.extend([before, before + 1]),
        }
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// What the processes had said before the cut.
#[derive(Debug, Default)]
struct Words {
    session: u64,
    submitted: usize,
    acknowledged: usize,
}

impl Words {
    fn hear(&mut self, event: &Event) {
        let Event::Said(words) = event else { return };
        let (word, number) = words.split_once(' ').expect("a word and a number");
        let number: usize = number.parse().expect("a number");
        match word {
            "session" => self.session = number as u64,
            "submit" => self.submitted = number,
            "ack" => self.acknowledged = number,
            _ => panic!("it said {words}"),
        }
    }
}

/// Tries each cut whose turn is this thread's, with every fate of what was not synced.
fn try_cuts(events: &[Event], states: &[State], cuts: &[usize], thread: usize, seed: u64) -> usize {
    let mut disk = Disk::default();
    let mut words = Words::default();
    let mut done = 0;
    let mut tried = 0;
    for (number, cut) in cuts.iter().enumerate() {
        for event in &events[done..*cut] {
            disk.apply(event);
            words.hear(event);
        }
        done = *cut;
        if number % THREADS != thread {
            continue;
        }
        let fates = if disk.is_settled() { &Fate::ALL[..1] } else { &Fate::ALL };
        for (variant, fate) in fates.iter().enumerate() {
            let mut dice = Dice::new(seed + (*cut * Fate::ALL.len() + variant) as u64);
            let folder = memory_folder();
            disk.leave(folder.path(), *fate, &mut dice);
            let what = format!("seed {seed}, cut after {cut} of {} events, {fate:?}, {words:?}", events.len());
            let is_to_go_on = tried % GO_ON_AFTER == 0;
            check(folder.path(), states, &words, is_to_go_on, &what);
            tried += 1;
        }
    }
    tried
}

/// A folder in memory, if there is such: thousands of them are synced.
fn memory_folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a folder")
}

fn check(directory: &Path, states: &[State], words: &Words, is_to_go_on: bool, what: &str) {
    let opened = Store::open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(opened.session > words.session, "{what}: the run number {} was given before", opened.session);
    if let Some(damage) = opened.voter.as_ref().and_then(StoreImage::damage) {
        panic!("{what}: {damage}");
    }
    let found = State::of(&opened);
    let possible = &states[words.acknowledged..=words.submitted];
    if !possible.contains(&found) {
        let other = states.iter().position(|state| *state == found);
        panic!("{what}: it holds what was there after operation {other:?}");
    }
    if is_to_go_on {
        go_on(directory, opened.store, opened.session, what);
    }
}

/// The store takes writes and keeps them.
fn go_on(directory: &Path, store: Store, session: u64, what: &str) {
    let (sender, receiver) = channel();
    let operation = Operation::Mark { key: "after".to_owned(), value: "the cut".to_owned() };
    store.submit(operation, move |result| sender.send(result).expect("somebody waits")).expect("there is room");
    receiver.recv_timeout(PATIENCE).expect("an answer").unwrap_or_else(|error| panic!("{what}: {error}"));
    store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = Store::open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(again.session > session && again.settings.contains_key("after"), "{what}");
}
