//! The state directory: its names, its lock, and how names in it change so that a power cut leaves the old or the new.

use super::error::StoreError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const LOCK: &str = "holdfast.lock";
const DATABASE: &str = "holdfast.db";
/// What SQLite keeps beside a database while it is open, and may need again after a crash.
const COMPANIONS: [&str; 2] = ["-wal", "-journal"];
/// What it keeps there and makes anew each time.
const SHARED_MEMORY: &str = "-shm";
/// So many bytes are enough for a process id.
const PID_BYTES: u64 = 16;

/// A state directory that no other process works with while this value lives.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    _lock: Lock,
}

/// A lock ends with the process, however that ends; so none is ever left behind.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // To close it is not enough: a child that this process is about to make still has it for a moment. If it cannot
        // be unlocked, it ends with that child.
        flock(&self.0, FlockOperation::Unlock).ok();
    }
}

impl StateDirectory {
    /// Makes the directory if there is none, sees to it that nobody else can look into it, and locks it.
    pub(super) fn lock(directory: &Path) -> Result<StateDirectory, StoreError> {
        prepare(directory)?;
        let path = canonical(directory)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(StoreError::file("cannot open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Locked { path, holder: holder(&mut lock) }),
            Err(error) => return Err(StoreError::file("cannot lock", &lock_path)(error.into())),
        }
        let pid = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.write_all(pid.as_bytes()))
            .map_err(StoreError::file("cannot write", &lock_path))?;
        Ok(StateDirectory { path, _lock: Lock(lock) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        database_in(&self.path)
    }

    /// A database that is being put together. What was left of an earlier attempt is removed.
    pub(super) fn fresh(&self, suffix: &str) -> Result<PathBuf, StoreError> {
        let path = self.beside(suffix);
        remove_database(&path)?;
        Ok(path)
    }

    /// The whole backup that a restore is about to put into the place of the database.
    pub(super) fn restoring(&self) -> PathBuf {
        restoring_in(&self.path)
    }

    /// A file whose name is that of the database with something after it.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.database(), suffix)
    }

    /// Whether there is a database, or what belongs to one.
    pub(super) fn is_occupied(&self) -> bool {
        let database = self.database();
        exists(&database) || COMPANIONS.iter().any(|companion| exists(&with_suffix(&database, companion)))
    }

    /// Gives a whole, synced file its name, and makes sure that a power cut does not take that back.
    pub(super) fn put(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        fs::rename(from, to).map_err(StoreError::file("cannot rename", from))?;
        sync_directory(&self.path)
    }

    /// Whether a file beside the database is there, and is another one.
    pub(super) fn holds_another(&self, name: &str, content: &[u8]) -> bool {
        let path = self.path.join(name);
        exists(&path) && crate::files::read(&path, content.len() as u64).ok().as_deref() != Some(content)
    }

    /// Puts a file beside the database. Another one that is there is moved aside.
    pub(super) fn replace(&self, name: &str, content: &[u8], wall_seconds: i64) -> Result<(), StoreError> {
        let path = self.path.join(name);
        if exists(&path) && !self.holds_another(name, content) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.path);
        let making = StoreError::file("cannot make", folder);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(making)?;
        let draft = with_suffix(&path, ".new");
        remove_if_there(&draft)?;
        let mut file = make_private(&draft)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(StoreError::file("cannot write", &draft))?;
        if exists(&path) {
            let names = (0u32..1_000).map(|n| with_suffix(&path, &format!(".replaced-{wall_seconds}{}", numbered(n))));
            let aside = names.into_iter().find(|aside| !exists(aside));
            let aside = aside.ok_or_else(|| StoreError::Occupied { path: self.path.clone() })?;
            fs::rename(&path, aside).map_err(StoreError::file("cannot rename", &path))?;
        }
        fs::rename(&draft, &path).map_err(StoreError::file("cannot rename", &draft))?;
        sync_directory(folder)?;
        sync_directory(&self.path)
    }

    /// Moves the database, and what belongs to it, out of the way.
    pub(super) fn move_aside(&self, wall_seconds: i64) -> Result<Option<PathBuf>, StoreError> {
        if !self.is_occupied() {
            return Ok(None);
        }
        let names = (0u32..).map(|n| self.beside(&format!(".replaced-{wall_seconds}{}", numbered(n))));
        let free = |aside: &PathBuf| !exists(aside) && COMPANIONS.iter().all(|c| !exists(&with_suffix(aside, c)));
        let Some(aside) = names.take(1_000).find(free) else {
            return Err(StoreError::Occupied { path: self.path.clone() });
        };
        let database = self.database();
        for suffix in COMPANIONS.iter().chain(&[""]) {
            let from = with_suffix(&database, suffix);
            if exists(&from) {
                fs::rename(&from, with_suffix(&aside, suffix)).map_err(StoreError::file("cannot rename", &from))?;
            }
        }
        remove_if_there(&with_suffix(&database, SHARED_MEMORY))?;
        sync_directory(&self.path)?;
        Ok(Some(aside))
    }
}

fn numbered(n: u32) -> String {
    if n == 0 { String::new() } else { format!("-{n}") }
}

fn prepare(directory: &Path) -> Result<(), StoreError> {
    let failed = |doing| StoreError::file(doing, directory);
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("cannot make"))?;
        if let Some(parent) = canonical(directory)?.parent() {
            sync_directory(parent)?;
        }
    }
    let found = fs::metadata(directory).map_err(failed("cannot read"))?;
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(StoreError::Owner { path: directory.to_owned(), owner: found.uid(), user });
    }
    if found.permissions().mode() & 0o777 != 0o700 {
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed("cannot protect"))?;
    }
    Ok(())
}

/// The path from the root: SQLite takes one that begins with `file:` for something else.
pub(super) fn canonical(path: &Path) -> Result<PathBuf, StoreError> {
    path.canonicalize().map_err(StoreError::file("cannot find", path))
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

pub(super) fn database_in(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

pub(super) fn restoring_in(directory: &Path) -> PathBuf {
    with_suffix(&database_in(directory), ".restoring")
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether the name is taken, be it by a link that leads nowhere.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Makes an empty file that only the agent's user can read.
pub(super) fn make_private(path: &Path) -> Result<File, StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(StoreError::file("cannot make", path))
}

pub(super) fn remove_database(path: &Path) -> Result<(), StoreError> {
    for suffix in COMPANIONS.iter().chain(&[SHARED_MEMORY, ""]) {
        remove_if_there(&with_suffix(path, suffix))?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::file("cannot remove", path)(error)),
        _ => Ok(()),
    }
}

/// Syncs a file that SQLite has closed. While SQLite has it open this must not be called: closing any handle of a file
/// ends the process's own locks on it.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::file("cannot sync", path))
}

pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    sync_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_directory_is_locked_once_and_kept_private() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("deep").join("state");
        let first = StateDirectory::lock(&path).expect("it is free");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
        match StateDirectory::lock(&path) {
            Err(error @ StoreError::Locked { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        StateDirectory::lock(&path).expect("it is free again");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_moved_aside_is_never_overwritten() {
        let folder = TempDir::new().expect("a folder");
        let directory = StateDirectory::lock(folder.path()).expect("it is free");
        assert_eq!(directory.move_aside(7).expect("nothing to do"), None);
        for round in ["first", "second"] {
            fs::write(directory.database(), round).expect("a file");
            fs::write(directory.beside("-wal"), round).expect("a file");
            let aside = directory.move_aside(7).expect("it moves").expect("there was one");
            assert!(!directory.is_occupied());
            assert_eq!(fs::read_to_string(&aside).expect("a file"), round);
            assert_eq!(fs::read_to_string(with_suffix(&aside, "-wal")).expect("a file"), round);
        }
        assert!(exists(&directory.beside(".replaced-7")) && exists(&directory.beside(".replaced-7-1")));
    }
}
