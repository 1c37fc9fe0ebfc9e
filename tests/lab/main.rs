//! The lab itself: that its hosts are real, that its faults are what they are called, and that nothing is left of it.
//! And on it the product: VMs of libvirt on hosts that die, are cut off, or hang.
//!
//! It needs root, namespaces and FUSE. Where it cannot be, each test says loudly that it was skipped.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where what it stands on is missing"
)]

mod cluster;
mod cuts;
mod daemons;
mod deaths;
mod faults;
mod fences;
mod guests;
mod hosts;
mod kvm;
mod load;
mod metrics;
mod moves;
mod people;
mod rig;
