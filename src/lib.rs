//! Holdfast keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
//!
//! What decides does no I/O: [`core`] decides, [`election`] finds the master and keeps the log, [`node`] joins the two,
//! [`ledger`] derives the history from the log. [`sim`] drives whole clusters of nodes through a virtual world.
//!
//! What does I/O decides nothing: [`transport`] carries packets in the encoding of [`wire`], with the keys of [`trust`];
//! [`store`] keeps what a node must not forget, [`datastore`] the liveness records and mail on shared storage;
//! [`platform`] calls hypervisors, [`ping`] asks kernels, [`fence`] and [`watchdog`] stop hosts. [`runtime`] joins a node with all of these, and
//! [`api`] lets people in, and [`metrics`] tells Prometheus what there is to count and measure.
//!
//! [`files`] reads what people name, never more than fits.
//!
//! `libvirt` is the hypervisor of KVM hosts, in builds with that feature. [`openstack`] speaks with a cloud's keystone and Nova.
//! [`process`] and [`machine`] are an embedded hypervisor and an embedded machine, of real processes, for any Linux.

pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod core;
pub mod datastore;
pub mod demo;
pub mod election;
pub mod explain;
pub mod fence;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod laws;
pub mod ledger;
#[cfg(feature = "libvirt")]
pub mod libvirt;
pub mod machine;
pub mod member;
pub mod metrics;
pub mod node;
pub mod notify;
pub mod openstack;
pub mod ping;
pub mod platform;
pub mod process;
pub mod reader;
pub mod report;
pub mod runtime;
pub mod samples;
pub mod sim;
pub mod store;
pub mod top;
pub mod transport;
pub mod trust;
pub mod watchdog;
pub mod wire;
pub mod words;
