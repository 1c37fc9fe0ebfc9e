//! The demonstration: a cluster on this machine loses a host, and gets its VMs back.

mod chaos;
mod cluster;
mod ground;
mod host;
pub mod measure;
mod relay;
mod story;

pub use chaos::{Chaos, Ended, chaos};
pub use cluster::Cluster;
pub use host::{Machine, Wanted};
pub use relay::Network;
pub use story::{Told, ToldVm, Victim, all_run, clashes, median, tell};
