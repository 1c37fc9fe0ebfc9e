//! Holdfast keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
//!
//! [`core`] decides and does no I/O, [`election`] finds the master and keeps the log, [`node`] joins the two, and
//! [`sim`] drives whole clusters of nodes through a virtual world. [`fence`] and [`watchdog`] are what stops a host;
//! [`machine`] stands in for the hardware of one.

pub mod cli;
pub mod clock;
pub mod core;
pub mod election;
pub mod fence;
pub mod machine;
pub mod node;
pub mod sim;
pub mod watchdog;
