//! The watchdog's descriptor in the hands of the service manager, so that it outlasts the agent.
//!
//! Without it an agent that crashes leaves a device that is closed and counts, and the next one opens it again: that does
//! as well. With it nobody else can take the device in between.

use super::raw;
use sd_notify::{NotifyState, listen_fds_with_names, notify, notify_with_fds};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "holdfast-watchdog";

/// What an earlier run of the agent has left with the service manager. It can be taken once.
pub(super) fn take() -> Option<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    let passed = listen_fds_with_names().ok()?;
    let mut ours = passed.filter(|(_, name)| name == NAME).map(|(number, _)| raw::own(number));
    // A device that is open cannot be opened again, so there is one at most.
    ours.next()
}

/// Leaves the descriptor with the service manager, if there is one that wants it.
pub(super) fn leave(device: BorrowedFd<'_>) -> io::Result<()> {
    // It is no file that a service manager could wait for, and must not be dropped for that.
    let states = [NotifyState::FdStore, NotifyState::FdName(NAME), NotifyState::Custom("FDPOLL=0")];
    notify_with_fds(&states, &[device])
}

/// Has the service manager close what it keeps.
pub(super) fn withdraw() -> io::Result<()> {
    notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(NAME)])
}
