//! A node on a real machine: the one loop, and the adapters that it is joined with.
//!
//! Everything slow happens elsewhere: the disk has its writer thread, each datastore a thread of its own that may hang
//! alone, the hypervisor its threads, the network and the operators' interface the tasks of a runtime. The loop has a
//! thread to itself.

mod alerts;
mod catch_up;
mod copies;
mod engine;
mod gate;
mod guests;
mod hands;
mod input;
mod ledger;
mod pings;
mod platforms;
pub(crate) mod roster;
mod samples;
mod shutdown;
mod start;
mod storage;

pub use engine::{End, EngineError};
pub use hands::Glance;
pub use ledger::{fact, row};
pub use shutdown::{Leave, ShutdownMark};
pub use start::{Running, StartError, start};

pub(crate) use input::Call;
