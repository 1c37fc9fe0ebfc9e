use super::*;
use crate::store::backup::{self, Header, Replace, Restored, Whose};
use crate::store::directory::StateDirectory;
use crate::store::tables;
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// A running store that holds something of everything.
fn filled(directory: &Path) -> Opened {
    let opened = open(directory);
    for (key, value) in [("cluster", "blue"), ("host", "rack-1")] {
        written(&opened.store, Operation::Mark { key: key.to_owned(), value: value.to_owned() });
    }
    written(&opened.store, save(&agent()));
    written(&opened.store, new_voter());
    written(&opened.store, append(2, 5_000));
    written(&opened.store, Operation::Ledger(vec![row(1, 0, 5), row(2, 0, 6)]));
    opened
}

fn create(folder: &TempDir) -> (PathBuf, Header) {
    let file = folder.path().join("copy");
    let header = backup::create(&folder.path().join("state"), &file).expect("a backup");
    (file, header)
}

fn restore(file: &Path, directory: &Path, replace: Replace) -> Restored {
    backup::restore(file, directory, replace, Whose::Anybodys).expect("it is restored")
}

#[test]
fn a_backup_is_made_while_the_agent_runs_and_says_what_it_is() {
    let folder = TempDir::new().expect("a folder");
    let running = filled(&folder.path().join("state"));
    let (file, header) = create(&folder);
    written(&running.store, append(3, 10));
    let schema = crate::store::migrate::newest(crate::store::migrate::MIGRATIONS);
    let told = (header.cluster.as_deref(), header.host.as_deref(), header.schema);
    assert_eq!(told, (Some("blue"), Some("rack-1"), schema));
    assert!(header.at_milliseconds > 1_700_000_000_000);
    assert_eq!(backup::read_header(&file).expect("a backup"), header);
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let before = fs::read(&file).expect("a file");
    let again = backup::create(&folder.path().join("state"), &file);
    assert!(matches!(again, Err(StoreError::Exists { .. })));
    assert_eq!(fs::read(&file).expect("a file"), before);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left beside it");
}

#[test]
fn what_is_restored_goes_on_as_nobody_of_old() {
    let folder = TempDir::new().expect("a folder");
    let running = filled(&folder.path().join("state"));
    let (file, header) = create(&folder);
    let session = running.session;
    drop(running);
    let new = folder.path().join("new");
    assert_eq!(restore(&file, &new, Replace::Never), Restored { header, moved_aside: None });
    let opened = open(&new);
    assert!(opened.restored);
    assert!(opened.session > session + 1_000_000, "{}", opened.session);
    let image = StoreImage { restored_from_backup: true, ..image_with(&[batch(2, 5_000)]) };
    assert_eq!(opened.voter, Some(image));
    let old = agent();
    let kept = AgentStore {
        authority: old.authority,
        protected: old.protected,
        voters: old.voters,
        floors: old.floors,
        journal: old.journal,
        ..AgentStore::default()
    };
    assert_eq!(opened.agent, kept);
    assert_eq!(opened.store.ledger().count().expect("an answer"), 2);
    // It stays so until the agent has learnt something, and not longer.
    written(&opened.store, save(&kept));
    drop(opened);
    let opened = open(&new);
    assert!(opened.restored);
    written(&opened.store, save(&agent()));
    drop(opened);
    let opened = open(&new);
    assert!(!opened.restored && opened.voter.expect("a store").restored_from_backup);
}

#[test]
fn a_store_is_replaced_only_on_request_and_never_deleted() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    let running = filled(&state);
    let (file, _) = create(&folder);
    let locked = backup::restore(&file, &state, Replace::MoveAside, Whose::Anybodys);
    assert!(matches!(locked, Err(StoreError::Locked { .. })));
    // The agent went on, and its number may have grown by more than the leap.
    running.store.close().expect("it closes");
    let directory = StateDirectory::lock(&state).expect("it is free");
    let connection = Connection::open(directory.database()).expect("it opens");
    tables::set_node(&connection, 500_000_000, false).expect("it is written");
    connection.close().expect("it closes");
    drop(directory);
    let occupied = backup::restore(&file, &state, Replace::Never, Whose::Anybodys);
    assert!(matches!(occupied, Err(StoreError::Occupied { .. })));
    let aside = restore(&file, &state, Replace::MoveAside).moved_aside.expect("there was one");
    let opened = open(&state);
    assert!(opened.session > 500_000_000, "{}", opened.session);
    drop(opened);
    let old = Connection::open(aside).expect("it opens");
    assert_eq!(tables::node(&old).expect("it is whole"), (500_000_000, false));
}

#[test]
fn a_damaged_store_can_be_replaced() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    drop(filled(&state));
    let (file, _) = create(&folder);
    fs::write(state.join("holdfast.db"), "gone").expect("a file");
    fs::write(state.join("holdfast.db-wal"), "a log that must not be played into the new file").expect("a file");
    assert!(matches!(open_error(&state), StoreError::Damaged { .. }));
    restore(&file, &state, Replace::MoveAside);
    assert!(open(&state).restored);
}

#[test]
fn an_interrupted_restore_is_run_again_before_anything_opens() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    drop(filled(&state));
    let (file, _) = create(&folder);
    // As after a power cut between the two renames, and before the first.
    fs::write(state.join("holdfast.db.restoring"), "whole").expect("a file");
    assert!(matches!(open_error(&state), StoreError::RestoreUnfinished { .. }));
    let early = backup::create(&state, &folder.path().join("early"));
    assert!(matches!(early, Err(StoreError::RestoreUnfinished { .. })));
    let directory = StateDirectory::lock(&state).expect("it is free");
    directory.move_aside(5).expect("it moves");
    drop(directory);
    assert!(matches!(open_error(&state), StoreError::RestoreUnfinished { .. }));
    assert_eq!(restore(&file, &state, Replace::Never).moved_aside, None);
    assert!(open(&state).restored);
}

#[test]
fn neither_is_taken_for_the_other() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    drop(filled(&state));
    let (file, _) = create(&folder);
    let copied = folder.path().join("copied");
    fs::create_dir(&copied).expect("a folder");
    fs::copy(&file, copied.join("holdfast.db")).expect("a copy");
    assert!(matches!(open_error(&copied), StoreError::Damaged { .. }));
    let by_hand =
        backup::restore(&state.join("holdfast.db"), &folder.path().join("new"), Replace::Never, Whose::Anybodys);
    assert!(matches!(by_hand, Err(StoreError::NotABackup { .. })));
    let mut bytes = fs::read(&file).expect("a file");
    bytes.truncate(bytes.len() / 2);
    fs::write(folder.path().join("half"), bytes).expect("a file");
    let half =
        backup::restore(&folder.path().join("half"), &folder.path().join("new"), Replace::Never, Whose::Anybodys);
    assert!(half.is_err_and(|error| error.to_string().contains("it has not the length that it says")));
    assert!(matches!(
        backup::restore(&file, &state, Replace::Never, Whose::Anybodys),
        Err(StoreError::Occupied { .. })
    ));
    let left = fs::read_dir(folder.path().join("new")).expect("a folder");
    let left: Vec<_> = left.map(|entry| entry.expect("a file").file_name()).collect();
    assert_eq!(left, ["holdfast.lock"], "a refused restore leaves nothing");
    let nothing = backup::create(&folder.path().join("new"), &folder.path().join("none"));
    assert!(matches!(nothing, Err(StoreError::Missing { .. })));
}

#[test]
fn who_the_host_is_comes_back_with_its_store() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    drop(filled(&state));
    fs::create_dir(state.join("trust")).expect("a folder");
    let kept = [("member.json", "a member"), ("trust/host.key", "a key"), ("trust/ca.pem", "")];
    for (name, content) in kept {
        fs::write(state.join(name), content).expect("a file");
    }
    fs::write(state.join("trust/.host.key.draft"), "half a key").expect("a file");
    let (file, _) = create(&folder);
    fs::remove_dir_all(&state).expect("the disk is lost");
    restore(&file, &state, Replace::Never);
    for (name, content) in kept {
        assert_eq!(fs::read_to_string(state.join(name)).expect("a file"), content);
        assert_eq!(fs::metadata(state.join(name)).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    assert!(!state.join("trust/.host.key.draft").exists());
    assert_eq!(fs::metadata(state.join("trust")).expect("a folder").permissions().mode() & 0o777, 0o700);
    assert!(open(&state).restored);
    // Other keys that are there are not lost, and not replaced unless that is asked for.
    fs::remove_file(state.join("holdfast.db")).expect("a file");
    fs::write(state.join("trust/host.key"), "another key").expect("a file");
    let refused = backup::restore(&file, &state, Replace::Never, Whose::Anybodys);
    assert!(matches!(refused, Err(StoreError::Occupied { .. })));
    assert_eq!(fs::read_to_string(state.join("trust/host.key")).expect("a file"), "another key");
    restore(&file, &state, Replace::MoveAside);
    assert_eq!(fs::read_to_string(state.join("trust/host.key")).expect("a file"), "a key");
    let aside = fs::read_dir(state.join("trust")).expect("a folder").map(|entry| entry.expect("a file").path());
    let aside =
        aside.into_iter().find(|path| path.to_string_lossy().contains("host.key.replaced-")).expect("it is kept");
    assert_eq!(fs::read_to_string(aside).expect("a file"), "another key");
}

#[test]
fn the_backup_of_another_host_is_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    drop(filled(&folder.path().join("state")));
    let (file, _) = create(&folder);
    let new = folder.path().join("new");
    let error = backup::restore(&file, &new, Replace::Never, Whose::Of("rack-2")).expect_err("it is another's");
    let text = error.to_string();
    assert!(
        text.contains("the backup of rack-1 in cluster \"blue\"") && text.contains("configured as rack-2"),
        "{text}"
    );
    assert!(!new.join("holdfast.db").exists() && !new.join("holdfast.db.building").exists());
    backup::restore(&file, &new, Replace::Never, Whose::Of("rack-1")).expect("it is its own");
}

#[test]
fn a_single_byte_that_changed_is_noticed() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    drop(filled(&state));
    fs::write(state.join("member.json"), "a member").expect("a file");
    let (file, _) = create(&folder);
    let whole = fs::read(&file).expect("the backup");
    let (hurt, new) = (folder.path().join("hurt"), folder.path().join("new"));
    let step = whole.len() / 60;
    let places = (0..whole.len()).step_by(step).chain(0..40).chain(whole.len() - 70..whole.len());
    for place in places {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&hurt, &bytes).expect("a file");
        let restored = backup::restore(&hurt, &new, Replace::Never, Whose::Anybodys);
        assert!(restored.is_err(), "byte {place} of {} changed, and it was taken", whole.len());
        assert!(!new.join("holdfast.db").exists() && !new.join("member.json").exists(), "byte {place}");
    }
    for length in [0, 10, 20, 300, whole.len() - 1] {
        fs::write(&hurt, &whole[..length]).expect("a file");
        assert!(backup::restore(&hurt, &new, Replace::Never, Whose::Anybodys).is_err(), "{length} bytes");
    }
    fs::write(&hurt, [whole.as_slice(), b"x"].concat()).expect("a file");
    assert!(backup::restore(&hurt, &new, Replace::Never, Whose::Anybodys).is_err());
    restore(&file, &new, Replace::Never);
}
