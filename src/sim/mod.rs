//! The simulator: a whole cluster, its hosts, networks, storage and people, in one thread under a virtual clock.

pub mod bench;
pub mod coverage;
pub mod explain;
pub mod facts;
pub mod fault;
pub mod generate;
pub mod kinds;
pub mod names;
pub mod run;
pub mod scenario;
pub mod simulation;
pub mod spec;
pub mod spelling;
pub mod timeline;
pub mod words;
