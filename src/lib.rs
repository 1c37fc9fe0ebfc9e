//! Holdfast keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
//!
//! [`core`] decides and does no I/O, [`election`] finds the master and keeps the log, [`node`] joins the two, and
//! [`sim`] drives whole clusters of nodes through a virtual world. [`datastore`] keeps liveness records and mail on shared
//! storage; [`store`] is what a node keeps on its own disk.

pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod datastore;
pub mod election;
pub mod explain;
pub mod ledger;
pub mod node;
pub mod reader;
pub mod sim;
pub mod store;
pub mod words;
