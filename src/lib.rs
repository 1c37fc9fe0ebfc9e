//! Holdfast keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
//!
//! [`core`] decides and does no I/O, [`election`] finds the master and keeps the log, [`node`] joins the two, and
//! [`sim`] drives whole clusters of nodes through a virtual world.
//! [`platform`] is what every hypervisor's adapter does, and [`process`] is the hypervisor whose VMs are processes.

pub mod cli;
pub mod clock;
pub mod core;
pub mod election;
pub mod node;
pub mod platform;
pub mod process;
pub mod sim;
