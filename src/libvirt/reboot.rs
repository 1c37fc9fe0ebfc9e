//! Forcing this machine down and up again.

use rustix::system::{RebootCommand, reboot};
use std::fs;
use std::path::Path;
use tracing::error;

/// What the kernel calls the namespace of processes that has all of them.
const MACHINE: &str = "pid:[4026531836]";

/// Forces the machine down, without any orderly end. It returns only if that fails.
///
/// The magic key is the surest: it waits for no driver. But it means the machine as a whole, also in a container, where
/// the system call means the container alone.
pub(super) fn force() {
    let is_machine = fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace == Path::new(MACHINE));
    if is_machine && let Err(error) = fs::write("/proc/sysrq-trigger", "b") {
        error!("the kernel's magic key cannot be pressed: {error}");
    }
    if let Err(error) = reboot(RebootCommand::Restart) {
        error!("this machine cannot be forced down: {error}; the agent must run as root");
    }
}
