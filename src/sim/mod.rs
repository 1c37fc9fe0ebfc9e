//! The simulator: a whole cluster, its hosts, networks, storage and people, in one thread under a virtual clock.

pub mod bench;
pub mod check;
pub mod coverage;
pub mod dice;
pub mod explain;
pub mod facts;
pub mod fault;
pub mod generate;
pub mod kinds;
pub mod parallel;
pub mod play;
pub mod run;
pub mod scenario;
pub mod spec;
pub mod spelling;
pub mod timeline;
pub mod trial;
pub mod world;
