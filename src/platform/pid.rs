//! The kernel's table of processes: names a process, and holds on to it.
//!
//! A process number alone names nothing, as it is used again: with the moment of its start it does. A descriptor of a
//! process (`pidfd`) never comes to mean another one.

use crate::clock::boottime;
use crate::platform::wait;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process, by more than its number, which is used again when it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessName {
    /// Its number.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the boot.
    pub started: u64,
}

/// A process that is held on to.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Process {
    /// The process of this number, whichever that is just now.
    pub(crate) fn open(pid: u32) -> io::Result<Process> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is no process number"))?;
        Ok(Process(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// The same one, once more.
    pub(crate) fn try_clone(&self) -> io::Result<Process> {
        self.0.try_clone().map(Process)
    }

    /// Sends a signal. That the process is gone already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether its last thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        wait::readable(&self.0, boottime()).unwrap_or(false)
    }
}

/// Opens a process that is so. What holds of a number holds of the process that was opened under it before, if that
/// one still lives afterwards.
pub(crate) fn open_if(pid: u32, is_so: impl FnOnce() -> bool) -> Option<Process> {
    let process = Process::open(pid).ok()?;
    (is_so() && !process.has_ended()).then_some(process)
}

/// The name of this process.
pub(crate) fn own_name() -> Option<ProcessName> {
    let pid = std::process::id();
    Some(ProcessName { pid, started: started(pid)? })
}

/// When a process was started, in ticks since the boot.
pub(crate) fn started(pid: u32) -> Option<u64> {
    field(&stat(pid)?, 22)?.parse().ok()
}

/// Whether a process was killed or is ending, and is not gone yet: it may still have writes under way.
pub(crate) fn is_dying(name: ProcessName) -> bool {
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
pub(crate) fn stat(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_ends = line.iter().rposition(|byte| *byte == b')')?;
    String::from_utf8(line[name_ends + 1..].to_vec()).ok()
}

/// A field by the number that the kernel's manual gives it; the third is the first after the name.
pub(crate) fn field(stat: &str, number: usize) -> Option<&str> {
    stat.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
