//! What is written while the power is cut: the same operations for the same seed, and the state after each of them.

use crate::tell;
use holdfast::core::action::AgentStore;
use holdfast::core::ids::{LogIndex, Ticket, VoterId};
use holdfast::election::{Ballot, Payload, SnapshotWrite, StoreBatch, StoreImage, StoredEntry, StoredSnapshot};
use holdfast::store::{LedgerKey, LedgerRow, Opened, Operation, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// The store is opened so often, each time by a new process.
pub const RUNS: usize = 3;
const OPERATIONS: usize = 50;
/// So many may be under way at once.
const WINDOW: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// The seed, of which all follows.
pub fn seed() -> u64 {
    std::env::var("HOLDFAST_TEST_SEED").map_or(20_260_101, |seed| seed.parse().expect("a number"))
}

/// Chance that is the same each time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % limit
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

/// All that a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub agent: AgentStore,
    pub voter: Option<StoreImage>,
    pub ledger: Vec<LedgerRow>,
    pub settings: BTreeMap<String, String>,
}

impl State {
    /// What an opened store holds.
    pub fn of(opened: &Opened) -> State {
        State {
            agent: opened.agent.clone(),
            voter: opened.voter.clone(),
            ledger: opened.store.ledger().after(None, holdfast::store::ROWS_MAX).expect("an answer"),
            settings: opened.settings.clone(),
        }
    }

    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::SaveAgent(agent) => self.agent = agent.as_ref().clone(),
            Operation::Batch(batch) => self.voter.as_mut().expect("it votes").apply(batch),
            Operation::NewVoter(image) => self.voter = Some(image.as_ref().clone()),
            Operation::DropVoter => self.voter = None,
            Operation::Ledger(rows) => self.ledger.extend(rows.iter().cloned()),
            Operation::Mark { key, value } => {
                self.settings.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The operations of each run.
pub fn plan(seed: u64) -> Vec<Vec<Operation>> {
    let mut dice = Dice::new(seed);
    let mut state = State::default();
    let mut number = 0;
    let mut next = |run: usize, at: usize| {
        number += 1;
        // In the last run one operation is so large that the write-ahead log is copied and starts anew after it.
        let large = run + 1 == RUNS && at + 6 == OPERATIONS;
        let operation = operation(&mut dice, &state, number, large);
        state.apply(&operation);
        operation
    };
    (0..RUNS).map(|run| (0..OPERATIONS).map(|at| next(run, at)).collect()).collect()
}

fn operation(dice: &mut Dice, state: &State, number: u64, large: bool) -> Operation {
    let Some(image) = &state.voter else {
        let voters = [VoterId(number), VoterId(number + 1)];
        return Operation::NewVoter(Box::new(StoreImage::bootstrap(VoterId(number), &voters, dice.bytes(900))));
    };
    if large {
        return Operation::Batch(Box::new(compaction(dice, image, number, 4_200_000)));
    }
    match dice.below(20) {
        0..=9 => Operation::Batch(Box::new(entries(dice, image, number))),
        10..=11 => {
            let length = dice.below(60_000);
            Operation::Batch(Box::new(compaction(dice, image, number, length)))
        }
        12..=14 => {
            let mut agent = state.agent.clone();
            agent.authority.term = number;
            Operation::SaveAgent(Box::new(agent))
        }
        15..=17 => Operation::Ledger((0..=dice.below(4)).map(|part| row(number, part)).collect()),
        18 => Operation::Mark { key: format!("key {}", dice.below(3)), value: number.to_string() },
        _ => Operation::DropVoter,
    }
}

fn entries(dice: &mut Dice, image: &StoreImage, number: u64) -> StoreBatch {
    let later = dice.below(3) / 2;
    let term = image.ballot.term + later;
    let uncommitted = image.last_index().0 - image.ballot.commit.0;
    let first = image.last_index().0 - dice.below(uncommitted + 1) * later + 1;
    let count = 1 + dice.below(4);
    let entry = |index| StoredEntry {
        index: LogIndex(index),
        term,
        payload: Payload::Data(vec![
            u8::try_from(index % 251).expect("a byte");
            3_000 / usize::try_from(count).expect("few")
        ]),
    };
    let commit = LogIndex(image.ballot.commit.0 + dice.below(first - image.ballot.commit.0));
    let vote = image.ballot.vote.filter(|_| later == 0).or(Some(VoterId(1 + number % 5)));
    StoreBatch {
        voter: image.voter,
        ticket: Ticket(number),
        snapshots: Vec::new(),
        entries: (first..first + count).map(entry).collect(),
        ballot: Some(Ballot { term, vote, commit }),
        disqualified: false,
    }
}

fn compaction(dice: &mut Dice, image: &StoreImage, number: u64, length: u64) -> StoreBatch {
    let index = image.ballot.commit;
    let term_of = |index: LogIndex| {
        image.entries.iter().find(|entry| entry.index == index).map_or(image.base_term, |entry| entry.term)
    };
    let base_index = LogIndex(index.0 - dice.below(index.0 - image.base_index.0 + 1));
    let members = image.snapshot.members.clone();
    let snapshot = StoredSnapshot { index, term: term_of(index), members, data: dice.bytes(length) };
    StoreBatch {
        voter: image.voter,
        ticket: Ticket(number),
        snapshots: vec![SnapshotWrite::Compact { snapshot, base_index, base_term: term_of(base_index) }],
        entries: Vec::new(),
        ballot: None,
        disqualified: false,
    }
}

fn row(number: u64, part: u64) -> LedgerRow {
    LedgerRow {
        key: LedgerKey { generation: 1, log_index: number, part: u32::try_from(part).expect("small") },
        at_milliseconds: i64::try_from(number * 10 + part).expect("small"),
        vm: Some(4),
        host: None,
        kind: "started".to_owned(),
        body: "{}".to_owned(),
    }
}

/// What one process does: it opens the store, writes, and closes it or just ends. It says what it is told was done.
pub fn work(directory: &Path, run: usize) {
    let plan = plan(seed());
    let opened = Store::open(directory).expect("it opens");
    tell(&format!("session {}", opened.session));
    let before = plan[..run].iter().map(Vec::len).sum::<usize>() as u64;
    let mut dice = Dice::new(seed() + run as u64);
    let (sender, receiver) = channel();
    let mut under_way = 0;
    for (number, operation) in (before + 1..).zip(&plan[run]) {
        tell(&format!("submit {number}"));
        let sender = sender.clone();
        let done = move |result: Result<(), _>| {
            result.expect("it is written");
            tell(&format!("ack {number}"));
            sender.send(()).expect("somebody waits");
        };
        opened.store.submit(operation.clone(), done).expect("there is room");
        under_way += 1;
        if dice.below(WINDOW) == 0 || under_way == WINDOW {
            (0..under_way).for_each(|_| receiver.recv_timeout(PATIENCE).expect("it is written"));
            under_way = 0;
        }
    }
    (0..under_way).for_each(|_| receiver.recv_timeout(PATIENCE).expect("it is written"));
    if run == 1 {
        // It ends as a process does that is killed: its write-ahead log stays.
        std::process::exit(0);
    }
    opened.store.close().expect("it closes");
}
