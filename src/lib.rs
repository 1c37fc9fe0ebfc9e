//! Holdfast keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
//!
//! [`core`] decides and does no I/O, [`election`] finds the master and keeps the log, [`node`] joins the two, and
//! [`sim`] drives whole clusters of nodes through a virtual world. Real nodes talk through [`transport`], in the
//! encoding of [`wire`], with the keys of [`trust`].

pub mod cli;
pub mod clock;
pub mod core;
pub mod election;
pub mod node;
pub mod sim;
pub mod transport;
pub mod trust;
pub mod wire;
