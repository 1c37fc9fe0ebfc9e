//! Holdfast keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
//!
//! [`core`] decides and does no I/O, [`election`] finds the master and keeps the log, [`node`] joins the two, and
//! [`sim`] drives whole clusters of nodes through a virtual world. [`datastore`] keeps liveness records and mail on shared
//! storage.
//! [`sim`] drives whole clusters of nodes through a virtual world. [`store`] is what a node keeps on its own disk.
//! [`sim`] drives whole clusters of nodes through a virtual world. Real nodes talk through [`transport`], in the
//! encoding of [`wire`], with the keys of [`trust`].
//! [`sim`] drives whole clusters of nodes through a virtual world.
//! [`platform`] is what every hypervisor's adapter does, and [`process`] is the hypervisor whose VMs are processes.
//! [`sim`] drives whole clusters of nodes through a virtual world. [`fence`] and [`watchdog`] are what stops a host;
//! [`machine`] stands in for the hardware of one.

pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod datastore;
pub mod election;
pub mod explain;
pub mod ledger;
pub mod fence;
pub mod machine;
pub mod node;
pub mod reader;
pub mod platform;
pub mod process;
pub mod sim;
pub mod words;
pub mod store;
pub mod transport;
pub mod trust;
pub mod wire;
pub mod watchdog;
