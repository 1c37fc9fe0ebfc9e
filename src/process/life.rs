//! Life files: how a host knows which of its VMs have a process, without races and whoever started it.
//!
//! Each VM has one file in the host's run directory. Before it makes a process, a platform takes the exclusive lock
//! (`flock`) of that file, writes the name of the start into it, and gives the open file to the child as its standard
//! input. Such a lock belongs to the open file, which the kernel closes when the last process that has it is gone. So:
//!
//! > **A process of the VM exists, or is being made, if and only if the lock is held.**
//!
//! That is true from before the fork until after the last write, whether or not the platform that made the process
//! still lives, and needs nobody who cleans up. Probes take the lock shared and for a moment, so that they see life and
//! never each other; a start tries for long enough that no probe makes it fail.
//!
//! What is written in the file only explains: it names the process, so that it can be found, and keeps what is known
//! of the last one when it is gone. It has a checksum; who reads it in the middle of a write reads nothing.
//! A life file is never removed while its machine runs, as a lock on a removed file would protect nothing.

use crate::core::action::Ended;
use crate::core::ids::{Epoch, VmId};
pub use crate::platform::pid::ProcessName;
use crate::platform::wait;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use uuid::Uuid;

/// What a life file holds, padded with blanks.
const LENGTH: usize = 512;
/// The checksum in hexadecimal digits, and a blank.
const PREFIX: usize = 9;

/// Why a life file cannot be used.
#[derive(Debug, Error)]
#[error("{path:?} cannot be {done}: {source}; see to the host's run directory")]
pub struct LifeError {
    path: PathBuf,
    done: &'static str,
    #[source]
    source: io::Error,
}

/// How far a start of a VM came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its process is about to be made.
    Spawning,
    /// Its process has not written to its disk yet.
    Starting,
    /// It writes.
    Running,
    /// It did not come to write: the disk is locked.
    Locked,
    /// It did not come to write.
    Failed,
    /// The guest has powered itself off.
    PoweredOff,
}

/// The newest start of a VM on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeRecord {
    /// Which VM.
    pub vm: VmId,
    /// The start's random name.
    pub nonce: Uuid,
    /// Under which epoch.
    pub epoch: Epoch,
    /// How far it came.
    pub stage: Stage,
    /// Its process, as soon as that has said so itself.
    pub process: Option<ProcessName>,
}

/// Where the life files of a host are.
#[derive(Debug, Clone)]
pub struct LifeDirectory(PathBuf);

impl LifeDirectory {
    /// The one in a host's run directory; it is made if it is not there.
    pub fn open(run: &Path) -> Result<LifeDirectory, LifeError> {
        let path = run.join("vms");
        let failed = |source| LifeError { path: path.clone(), done: "made", source };
        fs::create_dir_all(&path).map_err(failed)?;
        // In its true form, as the kernel shows it for a process's open files.
        let path = path.canonicalize().map_err(failed)?;
        Ok(LifeDirectory(path))
    }

    /// The life file of a VM, which need not exist.
    pub fn file(&self, vm: VmId) -> LifeFile {
        LifeFile { path: self.0.join(format!("{vm}.life")) }
    }

    /// Where the VM's processes write what they have to say.
    pub fn log(&self, vm: VmId) -> PathBuf {
        self.0.join(format!("{vm}.log"))
    }

    /// Every VM that ever had a process in this boot.
    pub fn all(&self) -> Result<Vec<VmId>, LifeError> {
        vms_in(&self.0, ".life").map_err(|source| LifeError { path: self.0.clone(), done: "listed", source })
    }

    /// Notes that this start is ended by a person, before it is.
    pub(super) fn note_destroyed(&self, vm: VmId, nonce: Uuid) -> Result<(), LifeError> {
        let path = self.destroyed(vm);
        let written = replace(&path, nonce.to_string().as_bytes());
        written.map_err(|source| LifeError { path, done: "written", source })
    }

    fn destroyed(&self, vm: VmId) -> PathBuf {
        self.0.join(format!("{vm}.destroyed"))
    }

    /// How the last process of a VM ended, which has none now.
    pub fn ended(&self, vm: VmId) -> Ended {
        // What cannot be read is not known, and so it is said.
        let Ok(Some(record)) = self.file(vm).read() else { return Ended::Unknown };
        let noted = || fs::read(self.destroyed(vm)).is_ok_and(|nonce| nonce == record.nonce.to_string().as_bytes());
        match record.stage {
            Stage::Running if noted() => Ended::Destroyed,
            Stage::Running => Ended::Crashed,
            Stage::PoweredOff => Ended::GuestPoweroff,
            Stage::Spawning | Stage::Starting | Stage::Locked | Stage::Failed => Ended::Unknown,
        }
    }
}

/// The VMs after which files with this ending are called.
pub(super) fn vms_in(directory: &Path, ending: &str) -> io::Result<Vec<VmId>> {
    let mut vms = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("vm-")?.strip_suffix(ending)?.parse().ok());
        vms.extend(number.map(VmId));
    }
    vms.sort_unstable();
    Ok(vms)
}

/// Puts a file in the place of another one, so that whoever reads it reads the one or the other.
///
/// Nothing is synced, as a start may wait for it: what is written here means nothing after the loss of power, or is
/// written anew before it is used.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}

/// The life file of a VM.
#[derive(Debug, Clone)]
pub struct LifeFile {
    path: PathBuf,
}

/// An open life file whose lock is held.
#[derive(Debug)]
pub struct Life {
    path: PathBuf,
    file: File,
}

impl LifeFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock, to make a process; `None` if there is one already.
    pub fn claim(&self) -> Result<Option<Life>, LifeError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path);
        let file = opened.map_err(self.failed("opened"))?;
        let taken = wait::take_lock(&file).map_err(self.failed("locked"))?;
        Ok(taken.then(|| Life { path: self.path.clone(), file }))
    }

    /// Whether a process of the VM exists or is being made.
    pub fn is_held(&self) -> Result<bool, LifeError> {
        match File::open(&self.path) {
            Ok(file) => wait::is_locked(file).map_err(self.failed("probed")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("opened")(error)),
        }
    }

    /// What is written in it; `None` if that is not whole, or it does not exist.
    pub fn read(&self) -> Result<Option<LifeRecord>, LifeError> {
        match File::open(&self.path) {
            Ok(file) => read(&file).map_err(self.failed("read")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("opened")(error)),
        }
    }

    /// The device and the number of the file, which tell it from all others.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    fn failed(&self, done: &'static str) -> impl FnOnce(io::Error) -> LifeError + use<> {
        let path = self.path.clone();
        move |source| LifeError { path, done, source }
    }
}

impl Life {
    /// The one that this process got as its standard input, if it is this one.
    pub(super) fn inherited(path: &Path) -> Result<Option<Life>, LifeError> {
        let failed = |source| LifeError { path: path.to_owned(), done: "taken over", source };
        let input = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().map_err(failed)?;
        let file = File::from(input);
        let (given, named) = (file.metadata().map_err(failed)?, fs::metadata(path).map_err(failed)?);
        let same = (given.dev(), given.ino()) == (named.dev(), named.ino());
        // Through the open file that has the lock this changes nothing; through any other one it fails.
        Ok((same && file.try_lock().is_ok()).then(|| Life { path: path.to_owned(), file }))
    }

    /// What is written in it.
    pub(super) fn read(&self) -> Result<Option<LifeRecord>, LifeError> {
        read(&self.file).map_err(|source| LifeError { path: self.path.clone(), done: "read", source })
    }

    /// Writes over what is there, in one piece.
    pub fn write(&self, record: &LifeRecord) -> Result<(), LifeError> {
        let line = serialise(record).and_then(|line| self.file.write_all_at(&line, 0));
        line.map_err(|source| LifeError { path: self.path.clone(), done: "written", source })
    }

    /// The open file, to be given to the child.
    pub fn into_file(self) -> File {
        self.file
    }
}

pub(super) fn serialise(record: &LifeRecord) -> io::Result<Vec<u8>> {
    let text = serde_json::to_string(record)?;
    let mut line = format!("{:08x} {text}", crc32fast::hash(text.as_bytes())).into_bytes();
    if line.len() >= LENGTH {
        return Err(io::Error::other("the record is too long"));
    }
    line.resize(LENGTH - 1, b' ');
    line.push(b'\n');
    Ok(line)
}

fn read(file: &File) -> io::Result<Option<LifeRecord>> {
    let mut bytes = [0; LENGTH];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn parse(bytes: &[u8]) -> Option<LifeRecord> {
    let text = std::str::from_utf8(bytes).ok()?;
    let checksum = u32::from_str_radix(text.get(..PREFIX - 1)?, 16).ok()?;
    let body = text.get(PREFIX..)?.trim_end();
    (crc32fast::hash(body.as_bytes()) == checksum).then(|| serde_json::from_str(body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stage: Stage) -> LifeRecord {
        let process = Some(ProcessName { pid: u32::MAX, started: u64::MAX });
        let epoch = Epoch { number: u64::MAX, ..Epoch::NONE };
        LifeRecord { vm: VmId(u32::MAX), nonce: Uuid::new_v4(), epoch, stage, process }
    }

    #[test]
    fn the_lock_is_life_and_the_record_says_how_it_ended() {
        let run = tempfile::tempdir().unwrap();
        let directory = LifeDirectory::open(run.path()).unwrap();
        let vm = VmId(7);
        let file = directory.file(vm);
        assert!(!file.is_held().unwrap() && file.read().unwrap().is_none());
        assert_eq!(directory.ended(vm), Ended::Unknown);

        let life = file.claim().unwrap().unwrap();
        assert!(file.is_held().unwrap() && file.claim().unwrap().is_none());
        assert_eq!(directory.all().unwrap(), [vm]);
        let stages = [
            (Stage::PoweredOff, Ended::GuestPoweroff),
            (Stage::Running, Ended::Crashed),
            (Stage::Spawning, Ended::Unknown),
            (Stage::Locked, Ended::Unknown),
        ];
        for (stage, ended) in stages {
            let record = record(stage);
            life.write(&record).unwrap();
            assert_eq!(file.read().unwrap().unwrap(), record);
            assert_eq!(directory.ended(vm), ended);
        }
        let destroyed = record(Stage::Running);
        life.write(&destroyed).unwrap();
        directory.note_destroyed(vm, destroyed.nonce).unwrap();
        assert_eq!(directory.ended(vm), Ended::Destroyed);
        // The note is of that start alone.
        life.write(&record(Stage::Running)).unwrap();
        assert_eq!(directory.ended(vm), Ended::Crashed);
        drop(life);
        assert!(!file.is_held().unwrap());
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        let line = serialise(&record(Stage::Running)).unwrap();
        assert_eq!(line.len(), LENGTH);
        assert!(parse(&line).is_some());
        let end = line.iter().rposition(|byte| !byte.is_ascii_whitespace()).unwrap();
        for place in 0..=end {
            let mut torn = line.clone();
            torn[place] ^= 4;
            assert!(place == PREFIX - 1 || parse(&torn).is_none(), "{place}");
        }
        assert!(parse(&[0; LENGTH]).is_none() && parse(b"").is_none() && parse(&[0xff; 20]).is_none());
    }

    #[test]
    fn only_names_of_vms_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["vm-3.life", "vm-20.life", "vm-.life", "vm-x.life", "vm-1.log", "vm-99999999999.life"] {
            File::create(folder.path().join(name)).unwrap();
        }
        assert_eq!(vms_in(folder.path(), ".life").unwrap(), [VmId(3), VmId(20)]);
    }
}
