//! Storage that goes away, comes back, or is another one.

use super::{CLUSTER, OTHER_CLUSTER, folder, formatted, opened, options, record, records, write_record};
use crate::core::ids::DatastoreId;
use crate::core::record::{DatastoreOp, DatastoreResult, Slot};
use crate::datastore::attached::Condition;
use crate::datastore::{Attached, Expected, FormatOptions, OperationError, Perform, format};
use std::fs;

fn expected() -> Expected {
    Expected { cluster: CLUSTER, id: DatastoreId(3), uuid: None, direct: false }
}

fn trouble(condition: Condition) -> String {
    match condition {
        Condition::Trouble { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_was_replaced_is_written_no_more() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    assert_eq!(write_record(&mut datastore, &record(1, 1, 0, 0)), DatastoreResult::Written);
    fs::remove_file(folder.path().join("holdfast.records")).expect("removed");
    let error = datastore.attempt(DatastoreOp::WriteRecord(record(1, 2, 0, 0)));
    assert!(matches!(error, Err(OperationError::Replaced { .. })), "{error:?}");
    format(folder.path(), &options()).expect("it is formatted");
    assert_eq!(datastore.perform(DatastoreOp::ReadRecords), DatastoreResult::Failed);
    assert!(datastore.is_broken());
    assert_eq!(records(&mut opened(folder.path())), []);
}

#[test]
fn one_that_was_formatted_anew_is_written_no_more() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    format(folder.path(), &FormatOptions { force: true, ..options() }).expect("it is formatted");
    assert_eq!(write_record(&mut datastore, &record(1, 1, 0, 0)), DatastoreResult::Failed);
    assert!(datastore.is_broken());
    assert_eq!(records(&mut opened(folder.path())), []);
}

#[test]
fn one_that_goes_away_and_comes_back_is_opened_again() {
    let folder = formatted();
    let (here, away) = (folder.path().join("holdfast.records"), folder.path().join("away"));
    let mut attached = Attached::new(folder.path().to_owned(), expected());
    let sight = attached.sight();
    assert_eq!(sight.condition(), Condition::Unknown);
    fs::rename(&here, &away).expect("renamed");
    assert_eq!(attached.perform(DatastoreOp::ReadRecords), DatastoreResult::Failed);
    assert!(trouble(sight.condition()).contains("holds no heartbeat datastore"));
    for sequence in 1..4 {
        fs::rename(&away, &here).expect("renamed");
        let record = record(1, sequence, 300, 0);
        assert_eq!(attached.perform(DatastoreOp::WriteRecord(record.clone())), DatastoreResult::Written);
        assert!(matches!(sight.condition(), Condition::Open { ref header, .. } if header.cluster == CLUSTER));
        let read = attached.perform(DatastoreOp::ReadRecords);
        assert_eq!(read, DatastoreResult::Records(vec![(record.incarnation.host, Slot::Whole(record))]));
        fs::rename(&here, &away).expect("renamed");
        assert_eq!(attached.perform(DatastoreOp::ReadRecords), DatastoreResult::Failed);
    }
}

#[test]
fn another_formatting_of_the_same_number_is_not_taken_for_it() {
    let folder = formatted();
    let mut attached = Attached::new(folder.path().to_owned(), expected());
    assert_eq!(attached.perform(DatastoreOp::ReadRecords), DatastoreResult::Records(vec![]));
    format(folder.path(), &FormatOptions { force: true, ..options() }).expect("it is formatted");
    for _ in 0..3 {
        assert_eq!(attached.perform(DatastoreOp::ReadRecords), DatastoreResult::Failed);
    }
    let why = trouble(attached.sight().condition());
    assert!(why.contains("was formatted anew"), "{why}");
}

#[test]
fn one_that_is_not_what_is_expected_is_not_used() {
    let folder = folder();
    let header = format(folder.path(), &options()).expect("it is formatted");
    let wrong = [
        (Expected { cluster: OTHER_CLUSTER, ..expected() }, "belongs to cluster"),
        (Expected { id: DatastoreId(4), ..expected() }, "is datastore-3, not datastore-4"),
        (Expected { uuid: Some(header.uuid ^ 1), ..expected() }, "was formatted anew"),
    ];
    for (expected, says) in wrong {
        let mut attached = Attached::new(folder.path().to_owned(), expected);
        assert_eq!(attached.perform(DatastoreOp::ReadRecords), DatastoreResult::Failed);
        let why = trouble(attached.sight().condition());
        assert!(why.contains(says), "{why}");
    }
    let right = Expected { uuid: Some(header.uuid), ..expected() };
    let mut attached = Attached::new(folder.path().to_owned(), right);
    assert_eq!(attached.perform(DatastoreOp::ReadRecords), DatastoreResult::Records(vec![]));
}
