//! The adapter of libvirt, against a real libvirtd and real QEMU.
//!
//! Each test runs in a host of its own: namespaces of processes, mounts and networks with a libvirtd that nobody else
//! has. That needs root; elsewhere the tests are skipped, and say so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where what it stands on is missing"
)]

#[cfg(feature = "libvirt")]
mod calls;
#[cfg(feature = "libvirt")]
mod daemons;
#[cfg(feature = "libvirt")]
mod definitions;
#[cfg(feature = "libvirt")]
mod ends;
#[cfg(feature = "libvirt")]
mod guest;
#[cfg(feature = "libvirt")]
mod hooks;
#[cfg(feature = "libvirt")]
mod host;
#[cfg(feature = "libvirt")]
mod live;
#[cfg(feature = "libvirt")]
mod rig;
