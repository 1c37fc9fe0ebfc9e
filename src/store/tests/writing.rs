use super::*;
use crate::store::checkpoint::WalKeeper;
use crate::store::database;
use crate::store::directory::StateDirectory;
use crate::store::migrate::MIGRATIONS;
use crate::store::reader::LedgerReader;
use crate::store::writer::Writer;
use crate::store::{QueryError, SubmitError, WriteErrorKind};
use std::sync::mpsc::{Receiver, Sender};
use tempfile::TempDir;

/// Submits something whose answer is sent on with a name.
fn submit(store: &Store, name: u32, operation: Operation, answers: &Sender<(u32, Result<(), WriteError>)>) {
    let answers = answers.clone();
    store
        .submit(operation, move |result| answers.send((name, result)).expect("somebody waits"))
        .expect("there is room");
}

/// Holds the writer up, so that what is submitted meanwhile goes into one group; it goes on when the sender is dropped.
fn hold_up(store: &Store) -> Sender<()> {
    let (held, holding) = channel::<()>();
    let (begun, began) = channel();
    let wait = move |_| {
        begun.send(()).expect("somebody waits");
        let _ = holding.recv_timeout(PATIENCE);
    };
    store.submit(Operation::Ledger(Vec::new()), wait).expect("there is room");
    began.recv_timeout(PATIENCE).expect("it begins");
    held
}

fn answers(receiver: &Receiver<(u32, Result<(), WriteError>)>, count: usize) -> Vec<(u32, bool)> {
    let answer = |_| receiver.recv_timeout(PATIENCE).map(|(name, result)| (name, result.is_ok())).expect("an answer");
    (0..count).map(answer).collect()
}

#[test]
fn one_that_cannot_be_written_fails_alone_and_wholly() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    written(&opened.store, new_voter());
    written(&opened.store, Operation::Ledger(vec![row(5, 0, 50)]));
    let (sender, receiver) = channel();
    let held = hold_up(&opened.store);
    let contradiction = vec![row(6, 0, 60), row(7, 0, 70), row(5, 0, 51)];
    let operations =
        [save(&agent()), Operation::Ledger(contradiction), append(2, 10), Operation::Ledger(vec![row(8, 0, 80)])];
    for (name, operation) in (1..).zip(operations) {
        submit(&opened.store, name, operation, &sender);
    }
    drop(held);
    assert_eq!(answers(&receiver, 4), [(1, true), (2, false), (3, true), (4, true)]);
    let kept: Vec<u64> =
        opened.store.ledger().after(None, 10).expect("an answer").iter().map(|row| row.key.log_index).collect();
    assert_eq!(kept, [5, 8]);
    drop(opened);
    let again = open(folder.path());
    assert_eq!((again.agent, again.voter), (agent(), Some(image_with(&[batch(2, 10)]))));
}

#[test]
fn after_a_failed_batch_none_is_taken_until_the_store_is_reloaded() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    written(&opened.store, new_voter());
    let (sender, receiver) = channel();
    let held = hold_up(&opened.store);
    for (name, index) in [(1, 2), (2, 9), (3, 3)] {
        submit(&opened.store, name, append(index, 10), &sender);
    }
    drop(held);
    assert_eq!(answers(&receiver, 3), [(1, true), (2, false), (3, false)]);
    let error = write(&opened.store, append(3, 10)).expect_err("it is in doubt");
    assert!(error.text.contains("reload it first"), "{error}");
    written(&opened.store, save(&agent()));
    assert_eq!(reload(&opened.store), Some(image_with(&[batch(2, 10)])));
    written(&opened.store, append(3, 10));
}

#[test]
fn a_full_queue_refuses_at_once_and_gives_the_operation_back() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    let (sender, receiver) = channel();
    let held = hold_up(&opened.store);
    let mut taken = 0;
    let refused = loop {
        let sender = sender.clone();
        let operation = Operation::Mark { key: "number".to_owned(), value: taken.to_string() };
        match opened.store.submit(operation, move |result| sender.send((taken, result)).expect("somebody waits")) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((taken, refused.why), (256, SubmitError::QueueFull));
    assert_eq!(refused.operation, Operation::Mark { key: "number".to_owned(), value: "256".to_owned() });
    drop(held);
    assert_eq!(answers(&receiver, 256), (0..256).map(|name| (name, true)).collect::<Vec<_>>());
    drop(sender);
    assert!(receiver.recv_timeout(PATIENCE).is_err(), "what was refused is not answered");
    drop(opened);
    assert_eq!(open(folder.path()).settings.get("number").map(String::as_str), Some("255"));
}

#[test]
fn what_waits_is_written_before_the_store_closes() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    let (sender, receiver) = channel();
    let held = hold_up(&opened.store);
    submit(&opened.store, 1, save(&agent()), &sender);
    drop(held);
    opened.store.close().expect("it closes");
    assert_eq!(answers(&receiver, 1), [(1, true)]);
    assert_eq!(open(folder.path()).agent, agent());
}

#[test]
fn everything_is_answered_also_when_the_writer_dies() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    let (sender, receiver) = channel();
    let held = hold_up(&opened.store);
    opened.store.submit(save(&agent()), |_| panic!("this test ends the writer")).expect("there is room");
    for name in 0..100 {
        submit(&opened.store, name, Operation::DropVoter, &sender);
    }
    drop(held);
    assert_eq!(answers(&receiver, 100).len(), 100);
    // The thread is gone, and with it the lock.
    drop(opened);
    assert_eq!(open(folder.path()).agent, agent());
}

/// A store whose file cannot grow beyond so many pages.
fn open_small(directory: &Path, pages: u32) -> Writer {
    let directory = StateDirectory::lock(directory).expect("it is free");
    let connection = database::open(&directory, MIGRATIONS).expect("it opens");
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).expect("it is set");
    let ledger = LedgerReader::open(&directory.database()).expect("it opens");
    Writer::new(connection, None, WalKeeper::new(ledger.pool()), directory)
}

#[test]
fn a_full_file_fails_what_does_not_fit_and_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let mut writer = open_small(folder.path(), 60).start().expect("it starts");
    let (sender, receiver) = channel();
    let submit = |name: u32, operation| {
        let sender = sender.clone();
        writer.submit(operation, Box::new(move |result| sender.send((name, result)).expect("somebody waits")))
    };
    for (name, operation) in [(1, new_voter()), (2, append(2, 100)), (3, append(3, 400_000)), (4, save(&agent()))] {
        submit(name, operation).expect("there is room");
    }
    let results: Vec<_> = (0..4).map(|_| receiver.recv_timeout(PATIENCE).expect("an answer").1).collect();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(results[2].as_ref().expect_err("it is too long").kind, WriteErrorKind::Full);
    let (image, reloaded) = channel();
    writer.reload(Box::new(move |read| image.send(read).expect("somebody waits"))).expect("there is room");
    let image = reloaded.recv_timeout(PATIENCE).expect("an answer").expect("it can be read");
    assert_eq!(image, Some(image_with(&[batch(2, 100)])));
    submit(5, append(3, 100)).expect("there is room");
    assert_eq!(answers(&receiver, 1), [(5, true)]);
    writer.end().expect("it ends");
    assert_eq!(open(folder.path()).voter, Some(image_with(&[batch(2, 100), batch(3, 100)])));
}

/// The pages of the write-ahead log's file.
fn wal_pages(directory: &Path) -> u64 {
    std::fs::metadata(directory.join("holdfast.db-wal")).map_or(0, |found| found.len() / 4096)
}

#[test]
fn a_reader_that_never_ends_is_ended_before_the_write_ahead_log_grows_for_ever() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    let ledger = opened.store.ledger();
    let (begun, began) = channel();
    let pool = ledger.pool();
    let (end, ended) = channel();
    std::thread::spawn(move || {
        let result: Result<(), QueryError> = pool.with(|connection| {
            // It sees the store as it is now, so nothing that is written from now on can leave the log.
            let moment = connection.unchecked_transaction()?;
            moment.query_row("SELECT count(*) FROM ledger", [], |_| Ok(()))?;
            begun.send(()).expect("somebody waits");
            let endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
            Ok(moment.query_row(endless, [], |_| Ok(()))?)
        });
        end.send(result).expect("somebody waits");
    });
    began.recv_timeout(PATIENCE).expect("it begins");
    for _ in 0..12 {
        let large = StoreImage::bootstrap(VoterId(1), &[VoterId(1)], vec![1; 1_500_000]);
        written(&opened.store, Operation::NewVoter(Box::new(large)));
    }
    assert!(wal_pages(folder.path()) > 4_000, "{} pages", wal_pages(folder.path()));
    let ended = ended.recv_timeout(PATIENCE).expect("it is ended");
    assert!(matches!(ended, Err(QueryError::Interrupted)), "{ended:?}");
    // Whoever asks next is let in when the log has been emptied.
    ledger.count().expect("an answer");
    assert_eq!(wal_pages(folder.path()), 0);
    written(&opened.store, save(&agent()));
    assert!(wal_pages(folder.path()) < 20, "{} pages", wal_pages(folder.path()));
}
