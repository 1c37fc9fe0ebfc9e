//! Two processes and one directory.

use crate::{child_arguments, tell, with_child};
use holdfast::core::ids::{LogIndex, Ticket, VoterId};
use holdfast::election::{Payload, StoreBatch, StoreImage, StoredEntry};
use holdfast::store::backup::{self, Replace, Whose};
use holdfast::store::{Operation, Store, StoreError};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test, however the test ends.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(directory: &Path) -> Process {
        let (program, arguments) = child_arguments();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = with_child(command, "writer", directory).spawn().expect("it runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Process { child, output }
    }

    /// The number that follows the next such word.
    fn hear(&mut self, word: &str) -> u64 {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).expect("it speaks") > 0, "it ended before it said {word}");
            if let Some(number) = line.trim().strip_prefix(&format!("@{word} ")) {
                return number.parse().expect("a number");
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes batch after batch until nobody holds the other end of its input.
pub fn work(directory: &Path) {
    let opened = Store::open(directory).expect("it opens");
    tell(&format!("session {}", opened.session));
    let (sender, receiver) = channel();
    let end = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let image = StoreImage::bootstrap(VoterId(1), &[VoterId(1)], vec![1; 1_000]);
    let mut operation = Operation::NewVoter(Box::new(image));
    for index in 2.. {
        let sender = sender.clone();
        opened.store.submit(operation, move |result| sender.send(result).expect("somebody waits")).expect("room");
        receiver.recv_timeout(PATIENCE).expect("an answer").expect("it is written");
        tell(&format!("ack {}", index - 1));
        if end.is_finished() {
            break;
        }
        let entry = StoredEntry { index: LogIndex(index), term: 1, payload: Payload::Data(vec![7; 300]) };
        operation = Operation::Batch(Box::new(StoreBatch {
            voter: VoterId(1),
            ticket: Ticket(index),
            snapshots: Vec::new(),
            entries: vec![entry],
            ballot: None,
            disqualified: false,
        }));
    }
}

#[test]
fn a_second_process_is_refused_by_name_and_a_killed_one_leaves_all_it_acknowledged() {
    let folder = TempDir::new().expect("a folder");
    let directory = folder.path().join("state");
    let mut process = Process::start(&directory);
    let session = process.hear("session");
    match Store::open(&directory).err() {
        Some(StoreError::Locked { holder, .. }) => assert_eq!(holder, Some(process.child.id())),
        other => panic!("{other:?}"),
    }
    let refused = backup::restore(&folder.path().join("none"), &directory, Replace::MoveAside, Whose::Anybodys);
    assert!(refused.is_err());
    let acknowledged = (0..100).map(|_| process.hear("ack")).max().expect("a number");
    drop(process);
    let opened = Store::open(&directory).expect("its lock is gone with it");
    assert_eq!(opened.session, session + 1);
    assert!(opened.voter.expect("a store").last_index().0 >= acknowledged);
}

#[test]
fn a_backup_of_a_running_agent_is_one_moment_of_it() {
    let folder = TempDir::new().expect("a folder");
    let directory = folder.path().join("state");
    let mut process = Process::start(&directory);
    for round in 0..5 {
        let acknowledged = process.hear("ack");
        let file = folder.path().join(format!("backup-{round}"));
        let restored = folder.path().join(format!("restored-{round}"));
        backup::create(&directory, &file).expect("a backup");
        backup::restore(&file, &restored, Replace::Never, Whose::Anybodys).expect("it is restored");
        let image = Store::open(&restored).expect("it opens").voter.expect("a store");
        assert!(image.restored_from_backup && image.damage().is_none());
        assert!(image.last_index().0 >= acknowledged, "what was acknowledged before it began is in it");
    }
}
