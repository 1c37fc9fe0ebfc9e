//! Making a datastore, and when that is refused.

use super::{
    CAPACITY, CLUSTER, OTHER_CLUSTER, PATIENCE, folder, formatted, mail, mail_to, opened, options, record, records,
    tombstone, write_mail, write_record,
};
use crate::core::record::DatastoreResult;
use crate::datastore::format::prepare;
use crate::datastore::{FormatError, FormatOptions, Layout, MAX_CAPACITY, OpenError, format, open};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn forced(cluster: u128) -> FormatOptions {
    FormatOptions { force: true, cluster, ..options() }
}

#[test]
fn every_byte_is_on_the_file_system_before_the_header_is() {
    let folder = folder();
    let layout = Layout::new(CAPACITY).expect("a layout");
    drop(prepare(folder.path(), &options(), layout).expect("all but the header"));
    let metadata = fs::metadata(folder.path().join("holdfast.records")).expect("a file");
    assert_eq!(metadata.len(), layout.size());
    assert!(metadata.blocks() * 512 >= layout.size(), "blocks are missing");
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert!(matches!(open(folder.path(), CLUSTER), Err(OpenError::NotFormatted { .. })));
    // What a crash left behind is in nobody's way.
    format(folder.path(), &options()).expect("it is formatted");
    opened(folder.path());
}

#[test]
fn a_crash_while_an_old_one_is_replaced_leaves_neither() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    assert_eq!(write_record(&mut datastore, &record(1, 1, 900, 0)), DatastoreResult::Written);
    assert_eq!(write_mail(&mut datastore, 1, 1, &mail(Some(tombstone(0, 1, 1)), 0, 1)), DatastoreResult::Written);
    drop(prepare(folder.path(), &forced(CLUSTER), Layout::new(CAPACITY + 1).expect("a layout")).expect("prepared"));
    assert!(matches!(open(folder.path(), CLUSTER), Err(OpenError::NotFormatted { .. })));
    format(folder.path(), &options()).expect("it is formatted");
    let mut datastore = opened(folder.path());
    assert_eq!((records(&mut datastore), mail_to(&mut datastore, 1)), (vec![], vec![]));
}

#[test]
fn storage_that_holds_something_is_refused_by_name_unless_forced() {
    let folder = folder();
    let path = folder.path().join("disk");
    let file = File::create(&path).expect("a file");
    file.set_len(8 << 20).expect("its size");
    file.write_all_at(b"XFSB", 0).expect("written");
    let error = format(&path, &options()).expect_err("it holds something");
    assert!(error.to_string().contains("holds an xfs file system; name other storage"), "{error}");
    format(&path, &forced(CLUSTER)).expect("forced");
    let error = format(&path, &options()).expect_err("it is a datastore");
    let says = "holds datastore-3 \"rack a\" of the Holdfast cluster 12345678-9abc-def0-0fed-cba987654321";
    assert!(error.to_string().contains(says), "{error}");
    format(&path, &forced(OTHER_CLUSTER)).expect("nobody uses it");
    assert!(matches!(open(&path, CLUSTER), Err(OpenError::OtherCluster { .. })));
    file.write_all_at(b"HOLDFAST\x09\x00", 0).expect("written");
    let error = format(&path, &options()).expect_err("it is a datastore of another format");
    assert!(error.to_string().contains("a Holdfast datastore of format 9"), "{error}");
}

#[test]
fn a_file_with_a_few_bytes_is_somebodys() {
    let folder = folder();
    fs::write(folder.path().join("holdfast.records"), [0; 100]).expect("written");
    let error = format(folder.path(), &options()).expect_err("it holds something");
    assert!(matches!(error, FormatError::Occupied { .. }), "{error}");
    format(folder.path(), &forced(CLUSTER)).expect("forced");
    opened(folder.path());
}

/// Stops the writer, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_datastore_on_which_a_host_lives_is_not_formatted_by_force() {
    let folder = formatted();
    let mut datastore = opened(folder.path());
    let stopped = AtomicBool::new(false);
    let (writes, written) = mpsc::channel();
    thread::scope(|scope| {
        let stop = Stop(&stopped);
        scope.spawn(|| {
            let mut sequence = 0;
            while !stopped.load(Ordering::Acquire) {
                sequence += 1;
                assert_eq!(write_record(&mut datastore, &record(2, sequence, 1, 0)), DatastoreResult::Written);
                let _nobody_listens = writes.send(());
            }
        });
        written.recv_timeout(PATIENCE).expect("it writes");
        for cluster in [OTHER_CLUSTER, CLUSTER] {
            let options = FormatOptions { watch: Duration::from_secs(10), ..forced(cluster) };
            let error = format(folder.path(), &options).expect_err("a host lives there");
            assert!(error.to_string().contains("is in use: the record in row 2 changed within"), "{error}");
        }
        drop(stop);
    });
    assert_eq!(records(&mut opened(folder.path())).len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let folder = folder();
    for capacity in [0, MAX_CAPACITY + 1] {
        let error = format(folder.path(), &FormatOptions { capacity, ..options() }).expect_err("no capacity");
        assert!(matches!(error, FormatError::BadCapacity { .. }), "{error}");
    }
    for name in ["", "two\nlines", &"x".repeat(65)] {
        let error = format(folder.path(), &FormatOptions { name: name.to_owned(), ..options() });
        assert!(matches!(error, Err(FormatError::BadName { .. })));
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let path = folder.path().join("disk");
    File::create(&path).and_then(|file| file.set_len(1 << 20)).expect("a file");
    let error = format(&path, &options()).expect_err("it is too small");
    assert!(matches!(error, FormatError::TooSmall { size: 1_048_576, needed: 2_621_440, .. }), "{error}");
    assert!(matches!(format(&folder.path().join("absent"), &options()), Err(FormatError::Io { .. })));
}

/// Where the child finds its folder.
const CHILDS_FOLDER: &str = "HOLDFAST_TEST_SMALL";

#[test]
fn storage_without_room_is_said_so_with_what_is_needed() {
    let folder = folder();
    // The limit stands in for a full disk: the system refuses to let the file grow, and it needs no rights to set.
    let script = "trap '' XFSZ; ulimit -f 1500; exec \"$0\" --exact \"$1\" --nocapture";
    let name = "datastore::tests::formatting::formats_with_little_room";
    let output = Command::new("bash")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("a program"))
        .arg(name)
        .env(CHILDS_FOLDER, folder.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("needs 2621440 bytes, which cannot be had"), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn formats_with_little_room() {
    // Nothing but the other half of the test above.
    let Some(path) = std::env::var_os(CHILDS_FOLDER).map(PathBuf::from) else { return };
    let file = path.join("holdfast.records");
    let error = format(&path, &options()).expect_err("there is no room");
    println!("{error}");
    assert!(matches!(error, FormatError::NoRoom { needed: 2_621_440, .. }));
    assert!(!file.exists(), "nothing is left of what could not be made");
    fs::write(&file, [0; 4_096]).expect("a file");
    format(&path, &options()).expect_err("there is no room");
    assert_eq!(fs::metadata(&file).expect("a file").len(), 0, "the room is given back");
    refuses_to_open(&path);
    format(&path, &FormatOptions { capacity: 1, ..options() }).expect("there is room for this");
}

fn refuses_to_open(path: &Path) {
    assert!(matches!(open(path, CLUSTER), Err(OpenError::NotFormatted { .. })));
}
