//! The simulator: a whole cluster, its hosts, networks, storage and people, in one thread under a virtual clock.

pub mod bench;
pub mod check;
pub mod dice;
pub mod fault;
pub mod spec;
pub mod timeline;
pub mod world;
