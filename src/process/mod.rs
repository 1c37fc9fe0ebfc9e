//! The embedded hypervisor: a VM is a process that writes to a file. Whole clusters run on any Linux, without root.
//!
//! What is real in it: processes that run, hang, are killed and outlive the agent; disks that are locked, and that two
//! could write to; hosts, which are groups of processes, and lose all their VMs at once. What is not: processors and
//! memory for a guest.
//!
//! - [`life`] says what runs on a host, and cannot be wrong about it.
//! - [`disk`] proves whether two ever wrote at once.
//! - [`vm`] is the process itself; [`ProcessPlatform`] starts, stops, kills and watches such processes.
//! - [`hand`] does to a VM what people do past every platform.

mod calls;
pub mod definition;
pub mod disk;
pub mod hand;
#[cfg(any(test, fuzzing))]
mod law;
pub mod life;
mod live;
mod load;
mod platform;
mod signals;
mod table;
pub mod vm;
mod watch;

#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use platform::{HostError, HostSetup, ProcessPlatform};
