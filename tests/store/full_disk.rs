//! A disk that is really full, on a small file system of its own, and one that refuses some writes.

use crate::{child_arguments, say, tell, with_child};
use holdfast::core::action::AgentStore;
use holdfast::core::ids::LogIndex;
use holdfast::core::ids::{Ticket, VoterId};
use holdfast::election::{Payload, StoreBatch, StoreImage, StoredEntry};
use holdfast::store::{Operation, Store, WriteError, WriteErrorKind};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// So much room is left when the disk is called full: enough for small writes.
const LEFT: u64 = 200_000;
const LARGE: usize = 1_000_000;

#[test]
fn on_a_full_disk_nothing_is_half_written_and_it_goes_on_when_there_is_room() {
    let folder = TempDir::new().expect("a folder");
    let mount = "mount -t tmpfs -o size=4m,mode=700 none \"$1\" || exit 77; shift; exec \"$@\"";
    let (program, arguments) = child_arguments();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]);
    command.arg(folder.path()).arg(program).args(arguments);
    let output = with_child(command, "full", folder.path()).output();
    match output {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("@all seen"), "{output:?}");
        }
        Ok(output) if output.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        other => say(&format!(
            "full disk: NOT TESTED: no file system of its own can be had here ({}); a file that may not grow is tested",
            other.map_or_else(|error| error.to_string(), |output| output.status.to_string())
        )),
    }
}

#[test]
fn what_a_disk_refuses_fails_alone_and_is_called_a_failing_disk() {
    let folder = TempDir::new().expect("a folder");
    // Beyond this length the kernel refuses to write to a file, with an error of its own.
    let limit = "trap '' XFSZ; ulimit -f 1000; exec \"$@\"";
    let (program, arguments) = child_arguments();
    let mut command = Command::new("sh");
    command.args(["-c", limit, "sh"]).arg(program).args(arguments);
    let output = with_child(command, "failing", folder.path()).output().expect("it runs");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("@all seen"), "{output:?}");
}

/// What the process does that cannot write long files.
pub fn work_where_writes_fail(directory: &Path) {
    let opened = Store::open(directory).expect("it opens");
    let mut image = StoreImage::bootstrap(VoterId(1), &[VoterId(1), VoterId(2)], vec![1; 1_000]);
    let mark = Operation::Mark { key: "small".to_owned(), value: "thing".to_owned() };
    let operations = [Operation::NewVoter(Box::new(image.clone())), batch(2, LARGE), mark];
    written(&opened.store, &operations, &[None, Some(WriteErrorKind::Io), None]);
    assert_eq!(reload(&opened.store).expect("it can be read"), Some(image.clone()));
    written(&opened.store, &[batch(2, 300)], &[None]);
    image.apply(&store_batch(2, 300));
    drop(opened);
    let again = Store::open(directory).expect("it opens");
    assert_eq!(again.voter, Some(image));
    assert_eq!(again.settings.get("small").map(String::as_str), Some("thing"));
    tell("all seen");
}

/// What the process on the small file system does.
pub fn work(directory: &Path) {
    let opened = Store::open(directory).expect("it opens");
    let mut image = StoreImage::bootstrap(VoterId(1), &[VoterId(1), VoterId(2)], vec![1; 1_000]);
    written(&opened.store, &[Operation::NewVoter(Box::new(image.clone())), batch(2, 300)], &[None, None]);
    image.apply(&store_batch(2, 300));
    fill(&directory.join("filler"), LEFT);
    let agent = AgentStore { software_guards: true, ..AgentStore::default() };
    let mark = Operation::Mark { key: "small".to_owned(), value: "thing".to_owned() };
    let operations = [Operation::SaveAgent(Box::new(agent.clone())), batch(3, LARGE), mark];
    written(&opened.store, &operations, &[None, Some(WriteErrorKind::Full), None]);
    assert_eq!(reload(&opened.store).expect("it can be read"), Some(image.clone()));
    // It is no less full than before.
    written(&opened.store, &[batch(3, LARGE)], &[Some(WriteErrorKind::Full)]);
    assert_eq!(reload(&opened.store).expect("it can be read"), Some(image.clone()));
    fs::remove_file(directory.join("filler")).expect("a file");
    written(&opened.store, &[batch(3, LARGE)], &[None]);
    image.apply(&store_batch(3, LARGE));
    opened.store.close().expect("it closes");
    let again = Store::open(directory).expect("it opens");
    assert_eq!((again.voter, again.agent), (Some(image), agent));
    assert_eq!(again.settings.get("small").map(String::as_str), Some("thing"));
    tell("all seen");
}

fn store_batch(index: u64, bytes: usize) -> StoreBatch {
    let entry = StoredEntry { index: LogIndex(index), term: 1, payload: Payload::Data(vec![7; bytes]) };
    StoreBatch {
        voter: VoterId(1),
        ticket: Ticket(index),
        snapshots: Vec::new(),
        entries: vec![entry],
        ballot: None,
        disqualified: false,
    }
}

fn batch(index: u64, bytes: usize) -> Operation {
    Operation::Batch(Box::new(store_batch(index, bytes)))
}

/// Submits these at once, and expects each to end so.
fn written(store: &Store, operations: &[Operation], expected: &[Option<WriteErrorKind>]) {
    let (sender, receiver) = channel();
    for operation in operations {
        let sender = sender.clone();
        let done = move |result: Result<(), WriteError>| sender.send(result).expect("somebody waits");
        store.submit(operation.clone(), done).expect("there is room in the queue");
    }
    for kind in expected {
        let result = receiver.recv_timeout(PATIENCE).expect("an answer");
        assert_eq!(result.as_ref().err().map(|error| error.kind), *kind, "{result:?}");
    }
}

fn reload(store: &Store) -> Result<Option<StoreImage>, WriteError> {
    let (sender, receiver) = channel();
    store.reload_voter(move |image| sender.send(image).expect("somebody waits")).expect("there is room in the queue");
    receiver.recv_timeout(PATIENCE).expect("an answer")
}

/// Writes until there is no room, then gives a little back.
fn fill(path: &Path, left: u64) {
    let mut file = File::create(path).expect("a file");
    loop {
        match file.write(&[1; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => panic!("{error}"),
        }
    }
    let length = file.metadata().expect("a file").len();
    file.set_len(length - left).expect("it is cut");
}
