//! A datastore that hangs, and nobody who hangs with it.

use super::{CLUSTER, PATIENCE, formatted, record};
use crate::core::ids::{DatastoreId, HostId, Ticket};
use crate::core::record::{DatastoreOp, DatastoreResult, Slot};
use crate::datastore::thread::WAITING;
use crate::datastore::{Attached, DatastoreThread, Expected, Perform};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Hangs in each operation until it is let go on.
struct Hangs {
    began: Sender<DatastoreOp>,
    go_on: Receiver<()>,
}

impl Perform for Hangs {
    fn perform(&mut self, op: DatastoreOp) -> DatastoreResult {
        let _nobody_looks = self.began.send(op);
        match self.go_on.recv() {
            Ok(()) => DatastoreResult::Written,
            Err(_) => panic!("this test has an operation panic when nobody holds it any more"),
        }
    }
}

struct Hanging {
    thread: DatastoreThread,
    began: Receiver<DatastoreOp>,
    go_on: Sender<()>,
    answers: Receiver<(Ticket, DatastoreResult)>,
}

fn hanging() -> Hanging {
    let (begin, began) = channel();
    let (go_on, may) = channel();
    let (answer, answers) = channel();
    let answer = move |ticket, result| drop(answer.send((ticket, result)));
    let performer = Hangs { began: begin, go_on: may };
    let thread = DatastoreThread::start("hangs", performer, answer).expect("a thread");
    Hanging { thread, began, go_on, answers }
}

fn operation(number: u64) -> (Ticket, DatastoreOp) {
    (Ticket(number), DatastoreOp::ReadMail { host: HostId(number as u32) })
}

fn submit(thread: &DatastoreThread, number: u64) {
    let (ticket, op) = operation(number);
    thread.submit(ticket, op);
}

#[test]
fn what_can_not_wait_fails_at_once_and_all_else_is_answered_in_turn() {
    let Hanging { thread, began, go_on, answers } = hanging();
    submit(&thread, 0);
    began.recv_timeout(PATIENCE).expect("the first one is under way");
    let last = WAITING as u64;
    for number in 1..=last {
        submit(&thread, number);
    }
    assert_eq!(answers.try_recv(), Err(TryRecvError::Empty));
    for number in last + 1..last + 4 {
        submit(&thread, number);
        assert_eq!(answers.try_recv(), Ok((Ticket(number), DatastoreResult::Failed)));
    }
    for _ in 0..=last {
        go_on.send(()).expect("it waits");
    }
    for number in 0..=last {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(number), DatastoreResult::Written)));
    }
}

#[test]
fn a_handle_is_dropped_while_its_thread_hangs_and_nothing_more_is_begun() {
    let Hanging { thread, began, go_on, answers } = hanging();
    for number in 0..5 {
        submit(&thread, number);
    }
    began.recv_timeout(PATIENCE).expect("the first one is under way");
    drop(thread);
    assert_eq!(answers.try_recv(), Err(TryRecvError::Empty));
    go_on.send(()).expect("it still hangs");
    // The thread lets go of both ends when it is at its end.
    assert!(answers.recv_timeout(PATIENCE).is_err() && answers.try_recv() == Err(TryRecvError::Disconnected));
    assert_eq!(began.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn an_operation_that_panics_fails_and_the_next_ones_are_tried() {
    let Hanging { thread, began, go_on, answers } = hanging();
    submit(&thread, 0);
    submit(&thread, 1);
    began.recv_timeout(PATIENCE).expect("the first one is under way");
    drop(go_on);
    for number in 0..2 {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(number), DatastoreResult::Failed)));
    }
}

#[test]
fn a_thread_with_a_real_datastore_answers() {
    let folder = formatted();
    let expected = Expected { cluster: CLUSTER, id: DatastoreId(3), uuid: None, direct: false };
    let attached = Attached::new(folder.path().to_owned(), expected);
    let (answer, answers) = channel();
    let answer = move |ticket, result| drop(answer.send((ticket, result)));
    let thread = DatastoreThread::start("datastore-3", attached, answer).expect("a thread");
    thread.submit(Ticket(1), DatastoreOp::WriteRecord(record(1, 1, 500, 2)));
    thread.submit(Ticket(2), DatastoreOp::ReadRecords);
    assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(1), DatastoreResult::Written)));
    let read = DatastoreResult::Records(vec![(HostId(1), Slot::Whole(record(1, 1, 500, 2)))]);
    assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(2), read)));
}
