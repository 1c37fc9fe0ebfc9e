//! Tests of the whole store, on real files. Those that need processes of their own are in `tests/store`.

mod backup;
mod ledger;
mod migration;
mod opening;
mod voter;
mod writing;

use super::{LedgerKey, LedgerRow, Opened, Operation, Store, StoreError, WriteError};
use crate::core::action::AgentStore;
use crate::core::ids::{Authority, BootId, ClusterGeneration, ConfigVersion, Epoch, LogIndex, Ticket, VmId, VoterId};
use crate::core::message::{Known, Protection};
use crate::core::state::Armed;
use crate::election::{Ballot, Payload, StoreBatch, StoreImage, StoredEntry};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// No write on a living disk takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(directory: &Path) -> Opened {
    Store::open(directory).expect("the store opens")
}

fn open_error(directory: &Path) -> StoreError {
    match Store::open(directory) {
        Ok(_) => panic!("it must not open"),
        Err(error) => error,
    }
}

/// Writes, and waits until that is done.
fn write(store: &Store, operation: Operation) -> Result<(), WriteError> {
    let (sender, receiver) = channel();
    store.submit(operation, move |result| sender.send(result).expect("somebody waits")).expect("there is room");
    receiver.recv_timeout(PATIENCE).expect("it is answered")
}

fn written(store: &Store, operation: Operation) {
    write(store, operation).expect("it is written");
}

fn reload(store: &Store) -> Option<StoreImage> {
    let (sender, receiver) = channel();
    store.reload_voter(move |image| sender.send(image).expect("somebody waits")).expect("there is room");
    receiver.recv_timeout(PATIENCE).expect("it is answered").expect("it can be read")
}

fn bootstrap() -> StoreImage {
    StoreImage::bootstrap(VoterId(1), &[VoterId(1), VoterId(2), VoterId(3)], b"the beginning".to_vec())
}

fn new_voter() -> Operation {
    Operation::NewVoter(Box::new(bootstrap()))
}

/// An entry at the end of a log of term 1.
fn batch(index: u64, bytes: usize) -> StoreBatch {
    let entry = StoredEntry { index: LogIndex(index), term: 1, payload: Payload::Data(vec![7; bytes]) };
    let ballot = Ballot { term: 1, vote: Some(VoterId(1)), commit: LogIndex(1) };
    StoreBatch {
        voter: VoterId(1),
        ticket: Ticket(index),
        snapshots: Vec::new(),
        entries: vec![entry],
        ballot: Some(ballot),
        disqualified: false,
    }
}

fn append(index: u64, bytes: usize) -> Operation {
    Operation::Batch(Box::new(batch(index, bytes)))
}

fn image_with(batches: &[StoreBatch]) -> StoreImage {
    let mut image = bootstrap();
    batches.iter().for_each(|batch| image.apply(batch));
    image
}

/// An agent that has seen much.
fn agent() -> AgentStore {
    let epoch = |number| Epoch { generation: ClusterGeneration(2), number };
    AgentStore {
        authority: Authority { generation: ClusterGeneration(2), term: 77 },
        config: ConfigVersion(40),
        told: ConfigVersion(39),
        watchdog_opened: Some(BootId(u64::MAX)),
        armed: Armed::Armed,
        software_guards: true,
        protected: [(1, Protection::Lease), (2, Protection::Permit)]
            .map(|(vm, protection)| (VmId(vm), Known { uuid: u128::from(vm), protection }))
            .into(),
        voters: vec![crate::core::ids::Address(3)],
        floors: [(VmId(1), epoch(5))].into(),
        journal: [(VmId(2), epoch(6))].into(),
    }
}

fn save(agent: &AgentStore) -> Operation {
    Operation::SaveAgent(Box::new(agent.clone()))
}

fn row(log_index: u64, part: u32, at_milliseconds: i64) -> LedgerRow {
    LedgerRow {
        key: LedgerKey { generation: 0, log_index, part },
        at_milliseconds,
        vm: (!log_index.is_multiple_of(3)).then_some(i64::from(part) + 1),
        host: log_index.is_multiple_of(2).then_some(9),
        kind: "started".to_owned(),
        body: format!("{{\"index\":{log_index}}}"),
    }
}
