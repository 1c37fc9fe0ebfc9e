//! QEMU's own lock on an image, seen without being taken.
//!
//! QEMU locks one byte of an image for each thing that it does with it, and one for each thing that it lets nobody else
//! do. Who writes has the byte of writing. To ask the kernel for it neither takes a lock nor disturbs one.

use crate::core::time::Instant;
use crate::libvirt::raw;
use crate::platform::wait::Late;
use std::fs::File;
use std::io;
use std::path::Path;

/// Where QEMU's bytes of what it does begin.
const DOES: i64 = 100;
/// Which of them is writing.
const WRITES: i64 = 1;

/// Whether some process has an image open for writing, by QEMU's lock. Its storage may hang: then this fails.
pub(super) fn is_held(path: &Path, deadline: Instant) -> io::Result<bool> {
    let path = path.to_owned();
    Late::run("image-lock", deadline, move || look(&path))
        .unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::TimedOut, "its storage does not answer in time")))
}

fn look(path: &Path) -> io::Result<bool> {
    raw::is_byte_locked(&File::open(path)?, DOES + WRITES)
}
