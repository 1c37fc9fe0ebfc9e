//! What the operations mean.

use super::{
    CAPACITY, CLUSTER, folder, formatted, mail, mail_to, opened, options, record, records, tombstone, write_mail,
    write_record,
};
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{DatastoreOp, DatastoreResult, Slot};
use crate::datastore::{OperationError, format, inspect, open};
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::FileExt;

#[test]
fn what_was_written_is_read_and_what_was_not_is_not_there() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    assert_eq!(records(&mut datastore), []);
    assert_eq!(mail_to(&mut datastore, 1), []);
    let (large, small) = (record(1, 10, 2_000, 9), record(4, 11, 1, 0));
    assert_eq!(write_record(&mut datastore, &large), DatastoreResult::Written);
    assert_eq!(write_record(&mut datastore, &small), DatastoreResult::Written);
    assert_eq!(write_record(&mut datastore, &record(1, 9, 0, 0)), DatastoreResult::Written);
    assert_eq!(write_record(&mut datastore, &large), DatastoreResult::Written);
    let two = [mail(None, 2, 5), mail(Some(tombstone(0, 2, 2)), 500, 6)];
    assert_eq!(write_mail(&mut datastore, 3, 1, &two[0]), DatastoreResult::Written);
    assert_eq!(write_mail(&mut datastore, 12, 1, &two[1]), DatastoreResult::Written);
    let mut another = opened(folder.path());
    let expected = [(HostId(1), Slot::Whole(large)), (HostId(4), Slot::Whole(small))];
    assert_eq!(records(&mut another), expected);
    let [first, second] = two.map(Slot::Whole);
    assert_eq!(mail_to(&mut another, 1), [(VoterId(3), first), (VoterId(12), second)]);
    assert_eq!(mail_to(&mut another, 4), []);
    let seen = inspect(folder.path()).expect("it is read");
    assert_eq!((seen.header.cluster, seen.records.len(), seen.mail.len()), (CLUSTER, 2, 2));
}

#[test]
fn more_rows_than_one_sweep_reads_are_all_read() {
    let folder = folder();
    let capacity = 2 * 256 + 1;
    let header = format(folder.path(), &crate::datastore::FormatOptions { capacity, ..options() });
    assert_eq!(header.expect("it is formatted").layout.capacity(), capacity);
    let mut datastore = opened(folder.path());
    let hosts = [0, 255, 256, 511, 512];
    for host in hosts {
        assert_eq!(write_record(&mut datastore, &record(host, 1, 300, 0)), DatastoreResult::Written);
    }
    let expected = hosts.map(|host| (HostId(host), Slot::Whole(record(host, 1, 300, 0))));
    assert_eq!(records(&mut datastore), expected);
}

#[test]
fn a_plain_file_is_as_good_as_a_folder() {
    let folder = folder();
    let path = folder.path().join("disk");
    File::create(&path).and_then(|file| file.set_len(64 << 20)).expect("a file");
    format(&path, &options()).expect("it is formatted");
    let mut datastore = opened(&path);
    assert_eq!(write_record(&mut datastore, &record(1, 10, 20, 9)), DatastoreResult::Written);
    assert_eq!(records(&mut opened(&path)), [(HostId(1), Slot::Whole(record(1, 10, 20, 9)))]);
}

#[test]
fn a_host_beyond_the_capacity_and_a_record_too_large_fail_and_change_nothing() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    let beyond = HostId(CAPACITY);
    let error = datastore.attempt(DatastoreOp::WriteRecord(record(CAPACITY, 1, 0, 0)));
    assert!(matches!(error, Err(OperationError::BeyondCapacity { host, capacity: CAPACITY, .. }) if host == beyond));
    assert_eq!(datastore.perform(DatastoreOp::ReadMail { host: beyond }), DatastoreResult::Failed);
    assert_eq!(write_mail(&mut datastore, 1, u32::MAX, &mail(None, 0, 0)), DatastoreResult::Failed);
    assert_eq!(write_record(&mut datastore, &record(1, 1, 1, 1)), DatastoreResult::Written);
    let error = datastore.attempt(DatastoreOp::WriteRecord(record(1, 2, 7_000, 0)));
    assert!(matches!(error, Err(OperationError::TooLarge { bytes: 129_025.., largest: 129_024, .. })), "{error:?}");
    assert_eq!(write_record(&mut datastore, &record(1, 2, 7_000, 0)), DatastoreResult::Failed);
    assert_eq!(records(&mut datastore), [(HostId(1), Slot::Whole(record(1, 1, 1, 1)))]);
    assert!(!datastore.is_broken(), "the storage itself is well");
}

#[test]
fn a_torn_slot_is_told_and_may_be_written_again() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    assert_eq!(write_record(&mut datastore, &record(2, 1, 1, 1)), DatastoreResult::Written);
    assert_eq!(write_mail(&mut datastore, 9, 2, &mail(Some(tombstone(9, 9, 9)), 0, 1)), DatastoreResult::Written);
    let layout = datastore.header().layout;
    let row = layout.row(HostId(2)).expect("a row");
    let file = File::options().write(true).open(folder.path().join("holdfast.records")).expect("it opens");
    file.write_all_at(&[7; 512], layout.record_first(row) + 1_024).expect("damaged");
    file.write_all_at(&[7; 512], layout.mail_firsts(row) + 4_096).expect("damaged");
    assert_eq!(records(&mut datastore), [(HostId(2), Slot::Torn)]);
    assert_eq!(mail_to(&mut datastore, 2), [(VoterId(1), Slot::Torn)]);
    assert_eq!(write_record(&mut datastore, &record(2, 2, 1, 1)), DatastoreResult::Written);
    let again = mail(Some(tombstone(0, 1, 1)), 0, 2);
    assert_eq!(write_mail(&mut datastore, 9, 2, &again), DatastoreResult::Written);
    assert_eq!(records(&mut datastore), [(HostId(2), Slot::Whole(record(2, 2, 1, 1)))]);
    assert_eq!(mail_to(&mut datastore, 2), [(VoterId(9), Slot::Whole(again))]);
}

#[test]
fn a_tombstone_is_never_replaced_by_less() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    let stands = mail(Some(tombstone(1, 5, 7)), 1, 1);
    assert_eq!(write_mail(&mut datastore, 3, 0, &stands), DatastoreResult::Written);
    // An older term, an older cluster generation however high its term, and no tombstone at all.
    for lesser in [Some(tombstone(1, 4, 99)), Some(tombstone(0, 99, 99)), None] {
        for column in [3, 11] {
            assert_eq!(write_mail(&mut datastore, column, 0, &mail(lesser, 9, 2)), DatastoreResult::Failed);
        }
    }
    assert_eq!(mail_to(&mut datastore, 0), [(VoterId(3), Slot::Whole(stands))]);
    assert!(!datastore.is_broken(), "the storage itself is well");
    // Other columns and rows are others' business.
    assert_eq!(write_mail(&mut datastore, 4, 0, &mail(None, 0, 1)), DatastoreResult::Written);
    assert_eq!(write_mail(&mut datastore, 3, 1, &mail(None, 0, 1)), DatastoreResult::Written);
    // A greater authority always may, though it names an older generation of the host.
    let greater = mail(Some(tombstone(1, 6, 1)), 0, 3);
    assert_eq!(write_mail(&mut datastore, 11, 0, &greater), DatastoreResult::Written);
    assert!(mail_to(&mut datastore, 0).contains(&(VoterId(11), Slot::Whole(greater))));
}

/// A forced recovery writes by an authority that it does not raise from one attempt to the next. One that was given up,
/// by a node that knew of a later admission, must not lock out the next one for good.
#[test]
fn one_authority_is_never_locked_out_by_itself() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    assert_eq!(write_mail(&mut datastore, 4, 0, &mail(Some(tombstone(2, 0, 9)), 0, 1)), DatastoreResult::Written);
    let second = mail(Some(tombstone(2, 0, 8)), 3, 2);
    assert_eq!(write_mail(&mut datastore, 4, 0, &second), DatastoreResult::Written);
    let [(VoterId(4), Slot::Whole(read))] = &mail_to(&mut datastore, 0)[..] else { panic!("one mail") };
    assert_eq!(read.tombstone, Some(tombstone(2, 0, 9)), "what was forbidden stays so");
    assert_eq!((read.serial, &read.releases), (second.serial, &second.releases));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever came before, tombstones in a column only grow, and no authority that is the greatest so far is refused.
    #[test]
    fn tombstones_only_grow_and_the_greatest_authority_always_may(
        orders in prop::collection::vec((0..3u32, 0..4u64, 0..4u64, 0..2u64), 1..25),
    ) {
        let folder = formatted();
        let mut datastore = opened(folder.path());
        let mut stands = None;
        for (serial, (generation, term, host_generation, owner)) in orders.into_iter().enumerate() {
            let order = tombstone(generation, term, host_generation);
            let result = write_mail(&mut datastore, 3 + 8 * owner, 0, &mail(Some(order), 0, serial as u64));
            if stands.is_none_or(|stands: crate::core::record::Tombstone| order.authority >= stands.authority) {
                prop_assert_eq!(result, DatastoreResult::Written);
            }
            let read = mail_to(&mut datastore, 0);
            let [(_, Slot::Whole(mail))] = &read[..] else { panic!("one whole mail") };
            prop_assert!(mail.tombstone >= stands);
            stands = mail.tombstone;
        }
    }
}

#[test]
fn what_is_no_datastore_of_this_cluster_is_not_opened() {
    use crate::datastore::OpenError;
    let folder = folder();
    assert!(matches!(open(folder.path(), CLUSTER), Err(OpenError::NotFormatted { .. })));
    assert!(matches!(open(&folder.path().join("nothing"), CLUSTER), Err(OpenError::Io { .. })));
    format(folder.path(), &options()).expect("it is formatted");
    let error = open(folder.path(), super::OTHER_CLUSTER).expect_err("it is another cluster's");
    assert!(matches!(error, OpenError::OtherCluster { found: CLUSTER, .. }));
    let text = error.to_string();
    assert!(text.contains("belongs to cluster 12345678-9abc-def0-0fed-cba987654321, not to 0000"), "{text}");
    let file = File::options().write(true).open(folder.path().join("holdfast.records")).expect("it opens");
    file.write_all_at(&[9], 200).expect("damaged");
    assert!(matches!(open(folder.path(), CLUSTER), Err(OpenError::Damaged { .. })));
    file.write_all_at(&[2], 8).expect("damaged");
    assert!(matches!(open(folder.path(), CLUSTER), Err(OpenError::OtherFormat { format: 2, .. })));
}

#[test]
fn a_datastore_that_was_cut_short_is_not_opened() {
    use crate::datastore::OpenError;
    let folder = formatted();
    let file = File::options().write(true).open(folder.path().join("holdfast.records")).expect("it opens");
    let needed = options().capacity as u64 * (256 << 10) + (1 << 20);
    file.set_len(needed - 1).expect("cut");
    let error = open(folder.path(), CLUSTER).expect_err("the end is missing");
    assert!(
        matches!(error, OpenError::TooSmall { size, needed: n, .. } if (size, n) == (needed - 1, needed)),
        "{error}"
    );
}

#[test]
fn a_fifo_is_refused_and_not_waited_for() {
    use crate::datastore::{FormatError, OpenError};
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = folder();
    let path = folder.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    assert!(matches!(open(&path, CLUSTER), Err(OpenError::NoPlace { .. })));
    assert!(matches!(format(&path, &options()), Err(FormatError::NoPlace { .. })));
}
