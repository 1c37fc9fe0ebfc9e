//! The demonstration: a cluster on this machine loses a host, and gets its VMs back.

mod cluster;
mod host;
mod story;

pub use cluster::Cluster;
pub use host::{Machine, Wanted};
pub use story::{Told, ToldVm, Victim, all_run, clashes, median, tell};
