//! What the kernel's watchdog offers by `ioctl` alone, and a descriptor that the service manager has kept.
//!
//! The only file of the watchdog with unsafe code: no crate has safe forms of these calls for a descriptor that was opened
//! by an earlier run.

#![allow(unsafe_code, reason = "these calls have no safe form; each says why it is sound")]

use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

const SET_OPTIONS: Opcode = opcode::read::<i32>(b'W', 4);
const SET_TIMEOUT: Opcode = opcode::read_write::<i32>(b'W', 6);
const GET_TIMEOUT: Opcode = opcode::read::<i32>(b'W', 7);
const DISABLE: i32 = 1;

/// Sets the time-out, in whole seconds. Drivers count it anew with that.
pub(super) fn set_timeout(device: BorrowedFd<'_>, seconds: i32) -> Result<(), Errno> {
    let mut seconds = seconds;
    // SAFETY: WDIOC_SETTIMEOUT reads and writes one int behind the pointer, which is `seconds`.
    unsafe { ioctl(device, Updater::<SET_TIMEOUT, i32>::new(&mut seconds)) }
}

/// Reads the time-out back, in seconds.
pub(super) fn timeout(device: BorrowedFd<'_>) -> Result<i32, Errno> {
    // SAFETY: WDIOC_GETTIMEOUT writes one int behind the pointer, for which the getter has room.
    unsafe { ioctl(device, Getter::<GET_TIMEOUT, i32>::new()) }
}

/// Stops counting at once, whoever else has the device open.
pub(super) fn disable(device: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: WDIOC_SETOPTIONS reads one int behind the pointer, which is the setter's own, whatever its number says.
    unsafe { ioctl(device, Setter::<SET_OPTIONS, i32>::new(DISABLE)) }
}

/// Owns a descriptor that the service manager has passed to this process.
pub(super) fn own(passed: RawFd) -> OwnedFd {
    // SAFETY: the service manager opened it before this process began, nothing else in the process knows its number, and
    // the one caller takes it once.
    unsafe { OwnedFd::from_raw_fd(passed) }
}
