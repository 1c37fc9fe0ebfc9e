//! The kernel's table of processes: finds the process of a VM, and holds on to it.
//!
//! A process number alone names nothing, as it is used again. A process is taken for a VM's only if its standard
//! input is that VM's life file, and that is looked at after a descriptor of the process (`pidfd`) was opened, which
//! never comes to mean another one.

use crate::clock::boottime;
use crate::process::life::{LifeFile, ProcessName};
use crate::process::wait;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// A process that is held on to.
#[derive(Debug)]
pub(super) struct Process(OwnedFd);

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Process {
    /// The process of this number, whichever that is just now.
    pub(super) fn open(pid: u32) -> io::Result<Process> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is no process number"))?;
        Ok(Process(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// The same one, once more.
    pub(super) fn try_clone(&self) -> io::Result<Process> {
        self.0.try_clone().map(Process)
    }

    /// Sends a signal. That the process is gone already is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether its last thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        wait::readable(&self.0, boottime()).unwrap_or(false)
    }
}

/// The process of a VM, if it can be found. One that was just forked can not, for some microseconds.
pub(super) fn find(life: &LifeFile) -> Option<Process> {
    let identity = life.identity()?;
    let registered = life.read().ok().flatten().and_then(|record| record.process);
    let by_name = registered.and_then(|name| {
        let process = open_if(name.pid, || has_as_input(name.pid, identity))?;
        (started(name.pid) == Some(name.started) && !process.has_ended()).then_some(process)
    });
    by_name.or_else(|| find_unregistered(life, identity))
}

/// Looks through all processes for the one whose standard input is the life file, and has its lock.
fn find_unregistered(life: &LifeFile, identity: (u64, u64)) -> Option<Process> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // The path is compared first: it is a look into memory, while that of another file may lie on storage that hangs.
    let named = |pid: &u32| fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|path| path == life.path());
    pids.filter(named).find_map(|pid| open_if(pid, || has_as_input(pid, identity) && has_locked_input(pid)))
}

/// Opens a process that is so. What holds of a number holds of the process that was opened under it before, if that
/// one still lives afterwards.
fn open_if(pid: u32, is_so: impl FnOnce() -> bool) -> Option<Process> {
    let process = Process::open(pid).ok()?;
    (is_so() && !process.has_ended()).then_some(process)
}

fn has_as_input(pid: u32, identity: (u64, u64)) -> bool {
    fs::metadata(format!("/proc/{pid}/fd/0")).is_ok_and(|file| (file.dev(), file.ino()) == identity)
}

fn has_locked_input(pid: u32) -> bool {
    let is_lock = |line: &str| line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE");
    fs::read_to_string(format!("/proc/{pid}/fdinfo/0")).is_ok_and(|text| text.lines().any(is_lock))
}

/// The name of this process.
pub(super) fn own_name() -> Option<ProcessName> {
    let pid = std::process::id();
    Some(ProcessName { pid, started: started(pid)? })
}

/// When a process was started, in ticks since the boot.
fn started(pid: u32) -> Option<u64> {
    field(&stat(pid)?, 22)?.parse().ok()
}

/// Whether a process was killed or is ending, and is not gone yet: it may still have writes under way.
pub(super) fn is_dying(name: ProcessName) -> bool {
    const ENDING: u64 = 0x4;
    let Some(stat) = stat(name.pid).filter(|_| started(name.pid) == Some(name.started)) else { return false };
    let is_dead = matches!(field(&stat, 3), Some("Z" | "X" | "x"));
    let ends = field(&stat, 9).and_then(|flags| flags.parse::<u64>().ok()).is_some_and(|flags| flags & ENDING != 0);
    is_dead || ends || is_kill_pending(name.pid)
}

fn is_kill_pending(pid: u32) -> bool {
    const KILL: u64 = 1 << 8;
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let pending = |line: &str| {
        let mask = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    status.lines().filter_map(pending).any(|mask| mask & KILL != 0)
}

/// What follows the program's name, which may hold anything, in the kernel's line on a process.
fn stat(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_ends = line.iter().rposition(|byte| *byte == b')')?;
    String::from_utf8(line[name_ends + 1..].to_vec()).ok()
}

/// A field by the number that the kernel's manual gives it; the third is the first after the name.
fn field(stat: &str, number: usize) -> Option<&str> {
    stat.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::VmId;
    use crate::process::life::LifeDirectory;

    #[test]
    fn this_process_lives_and_is_no_vm() {
        let own = own_name().unwrap();
        assert_eq!(started(own.pid), Some(own.started));
        assert!(!is_dying(own));
        assert!(!is_dying(ProcessName { started: own.started + 1, ..own }));
        let run = tempfile::tempdir().unwrap();
        let file = LifeDirectory::open(run.path()).unwrap().file(VmId(1));
        assert!(find(&file).is_none());
        let _claimed = file.claim().unwrap().unwrap();
        // It holds the lock, and not as its input.
        assert!(find(&file).is_none());
        assert!(Process::open(0).is_err() && Process::open(u32::MAX).is_err());
    }

    #[test]
    fn a_killed_process_is_dying_until_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let name = ProcessName { pid: child.id(), started: started(child.id()).unwrap() };
        let process = Process::open(name.pid).unwrap();
        assert!(!is_dying(name) && !process.has_ended());
        process.signal(Signal::KILL).unwrap();
        let ended = wait::readable(&process, boottime() + std::time::Duration::from_secs(20));
        let dying = is_dying(name);
        child.wait().unwrap();
        assert!(ended.unwrap() && dying);
        assert!(!is_dying(name) && process.has_ended());
        process.signal(Signal::KILL).unwrap();
    }
}
