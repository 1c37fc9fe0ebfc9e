//! Waiting with a deadline: for a descriptor, and for locks, which have no event to wait for.

use crate::clock::boottime;
use crate::core::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// A lock that is not free is tried again after so long.
pub(crate) const LOCK_RETRY: Duration = Duration::from_millis(1);
/// A probe holds a lock for microseconds; what is held for longer than this is held by somebody who means it.
const PROBES_ARE_OVER: Duration = Duration::from_millis(50);

/// Waits until a descriptor can be read or its other end is gone. Whether that came before the deadline.
pub(crate) fn readable(descriptor: impl AsFd, deadline: Instant) -> io::Result<bool> {
    let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
    loop {
        let left = deadline.since(boottime());
        let ready = wait(&mut descriptors, Some(left))?;
        if ready || left.is_zero() {
            return Ok(ready);
        }
    }
}

/// Waits until one of the descriptors is ready, at most for so long. A signal may end the wait early.
pub(crate) fn wait(descriptors: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.map(|limit| Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 3_600, tv_nsec: 0 }));
    match poll(descriptors, limit.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits a moment for what tells no one when it changes.
pub(crate) fn pause(duration: Duration) {
    // That it ends early, or at once, costs a turn of the caller's loop, which has a deadline.
    let _early = wait(&mut [], Some(duration));
}

/// Tries to take a file's exclusive lock; `false` if another holds it. Probes of other processes, which hold it shared
/// for a moment, never make it fail.
pub(crate) fn take_lock(file: &File) -> io::Result<bool> {
    let deadline = boottime() + PROBES_ARE_OVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if boottime() >= deadline => return Ok(false),
            Err(TryLockError::WouldBlock) => pause(LOCK_RETRY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whether somebody holds a file's exclusive lock. The file was opened for this question alone: the shared lock that
/// is taken for a moment ends with it, and does not look like life to another probe.
pub(crate) fn is_locked(file: File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Work that may hang for ever, on a thread of its own.
#[cfg(feature = "libvirt")]
pub(crate) struct Late;

#[cfg(feature = "libvirt")]
impl Late {
    /// Does work and waits for its end until the deadline. After that the thread is left to itself.
    pub(crate) fn run<T: Send + 'static>(
        name: &str,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // Whoever waited may have given up.
        let work = move || drop(tell.send(work()));
        std::thread::Builder::new().name(name.to_owned()).spawn(work).ok()?;
        told.recv_timeout(deadline.since(boottime())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn probes_see_life_only_and_disturb_neither_each_other_nor_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        File::create(&path).unwrap();
        let open = || File::open(&path).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let probe = || {
                let mut probes = 0;
                while !over.load(Ordering::Relaxed) {
                    assert!(!is_locked(open()).unwrap());
                    probes += 1;
                }
                probes
            };
            let probers = [scope.spawn(probe), scope.spawn(probe)];
            let deadline = boottime() + Duration::from_millis(200);
            while boottime() < deadline {
                assert!(!is_locked(open()).unwrap());
            }
            over.store(true, Ordering::Relaxed);
            assert!(probers.map(|prober| prober.join().unwrap()).iter().all(|probes| *probes > 0));
        });
        let probe = open();
        probe.try_lock_shared().unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                let file = open();
                (take_lock(&file).unwrap(), file)
            });
            pause(LOCK_RETRY * 5);
            drop(probe);
            let (taken, held) = taken.join().unwrap();
            assert!(taken && is_locked(open()).unwrap());
            assert!(!take_lock(&open()).unwrap());
            drop(held);
            assert!(!is_locked(open()).unwrap());
        });
    }
}
