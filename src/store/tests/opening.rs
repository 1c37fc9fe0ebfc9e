use super::*;
use crate::store::directory::StateDirectory;
use crate::store::tables::{self, SESSION_MAX};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn database(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("holdfast.db")
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let first = open(folder.path());
    let session = first.session;
    assert_eq!((first.agent, first.voter, first.restored), (AgentStore::default(), None, false));
    written(&first.store, save(&agent()));
    written(&first.store, new_voter());
    written(&first.store, append(2, 300));
    written(&first.store, Operation::Mark { key: "cluster".into(), value: "blue".into() });
    written(&first.store, Operation::Mark { key: "cluster".into(), value: "green".into() });
    first.store.close().expect("it closes");
    let second = open(folder.path());
    assert_eq!((second.session, &second.agent), (session + 1, &agent()));
    assert_eq!(second.voter, Some(image_with(&[batch(2, 300)])));
    assert_eq!(second.settings.get("cluster").map(String::as_str), Some("green"));
    written(&second.store, Operation::DropVoter);
    drop(second);
    let third = open(folder.path());
    assert_eq!((third.session, third.voter), (session + 2, None));
}

#[test]
fn only_the_owner_can_read_it() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    written(&opened.store, save(&agent()));
    let names = ["holdfast.db", "holdfast.db-wal", "holdfast.db-shm", "holdfast.lock"];
    for name in names {
        let mode = fs::metadata(folder.path().join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    opened.store.close().expect("it closes");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("a file").file_name()).collect();
    assert_eq!(left.len(), 2, "the write-ahead log is emptied and gone: {left:?}");
}

#[test]
fn a_second_agent_is_kept_out_until_the_first_is_gone() {
    let folder = TempDir::new().expect("a folder");
    let first = open(folder.path());
    assert!(matches!(open_error(folder.path()), StoreError::Locked { holder: Some(_), .. }));
    drop(first);
    open(folder.path());
}

/// Destroys a part of a closed store that holds something, and sees that it is neither opened nor made anew.
fn refuses(damage: impl FnOnce(&Path)) -> String {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    written(&opened.store, new_voter());
    for index in 2..60 {
        written(&opened.store, append(index, 2_000));
    }
    opened.store.close().expect("it closes");
    damage(&database(&folder));
    let before = fs::read(database(&folder)).ok();
    let error = open_error(folder.path());
    assert_eq!(fs::read(database(&folder)).ok(), before, "it must stay as it was found");
    error.to_string()
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let cut = |length: u64| {
        move |path: &Path| {
            fs::OpenOptions::new().write(true).open(path).expect("a file").set_len(length).expect("it is cut");
        }
    };
    let overwrite = |at: usize, with: &'static [u8]| {
        move |path: &Path| {
            let mut bytes = fs::read(path).expect("a file");
            bytes[at..at + with.len()].copy_from_slice(with);
            fs::write(path, bytes).expect("a file");
        }
    };
    let texts = [
        refuses(cut(0)),
        refuses(cut(5_000)),
        refuses(overwrite(0, b"garbage garbage")),
        refuses(overwrite(4096 * 20, &[0xff; 600])),
        refuses(|path| fs::rename(path, path.with_file_name("holdfast.db-wal")).expect("it moves")),
    ];
    for text in texts {
        assert!(text.contains("is damaged") && text.contains("holdfast backup restore"), "{text}");
    }
}

#[test]
fn contents_that_cannot_be_read_are_damage() {
    let spoil = |sql: &'static str| {
        move |path: &Path| {
            let connection = Connection::open(path).expect("it opens");
            connection.execute_batch(&format!("PRAGMA ignore_check_constraints = 1; {sql}")).expect("it is spoilt");
        }
    };
    let texts = [
        refuses(spoil("UPDATE agent SET body = '{\"authority\":5}'")),
        refuses(spoil("UPDATE log_entry SET payload = x'02'")),
        refuses(spoil("UPDATE log_entry SET payload = x'' WHERE log_index = 7")),
        refuses(spoil("DELETE FROM snapshot")),
        refuses(spoil("UPDATE voter SET term = -1")),
        refuses(spoil("DELETE FROM node")),
    ];
    for text in texts {
        assert!(text.contains("holdfast backup restore"), "{text}");
    }
}

#[test]
fn a_file_of_somebody_else_is_not_touched() {
    let folder = TempDir::new().expect("a folder");
    let other = Connection::open(database(&folder)).expect("it opens");
    other.execute_batch("CREATE TABLE theirs (x)").expect("it is written");
    other.close().expect("it closes");
    let before = fs::read(database(&folder)).expect("a file");
    assert!(matches!(open_error(folder.path()), StoreError::Foreign { .. }));
    assert_eq!(fs::read(database(&folder)).expect("a file"), before);
}

#[test]
fn what_an_interrupted_making_left_is_in_nobodys_way() {
    let folder = TempDir::new().expect("a folder");
    for suffix in ["", "-wal", "-journal", "-shm"] {
        fs::write(folder.path().join(format!("holdfast.db.building{suffix}")), "half").expect("a file");
    }
    open(folder.path());
    assert!(!folder.path().join("holdfast.db.building").exists());
}

#[test]
fn a_store_that_is_made_anew_counts_on_from_where_no_earlier_one_has_been() {
    let folder = TempDir::new().expect("a folder");
    let earlier = open(folder.path()).session;
    fs::remove_file(database(&folder)).expect("a file");
    assert!(open(folder.path()).session >= earlier, "the minute may be the same");
    assert!(earlier > 29_000_000 && earlier < SESSION_MAX / 10);
}

#[test]
fn run_numbers_end_before_messages_can_not_carry_them() {
    let folder = TempDir::new().expect("a folder");
    open(folder.path()).store.close().expect("it closes");
    let directory = StateDirectory::lock(folder.path()).expect("it is free");
    let connection = Connection::open(directory.database()).expect("it opens");
    tables::set_node(&connection, SESSION_MAX - 1, false).expect("it is written");
    connection.close().expect("it closes");
    drop(directory);
    assert_eq!(open(folder.path()).session, SESSION_MAX);
    assert!(matches!(open_error(folder.path()), StoreError::SessionsExhausted { .. }));
}
