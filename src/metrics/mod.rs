//! Metrics for Prometheus: each node tells what it knows itself, and the master of the whole cluster, too.
//!
//! ```text
//!   loop, disk, datastores, fence devices ──▶ Counts ──┐
//!   a look at the node between two of its steps ───────┼──▶ Exporter ──▶ GET /metrics, on the operators' interface
//!   the transport ─────────────────────────────────────┘             └─▶ and on a plain listener, where one is set
//! ```
//!
//! To count costs next to nothing, and nobody waits for it. To tell costs the loop some looks, none of them long: lists
//! are looked at in portions. What is told is made once a second at most, however often it is asked for. A node answers
//! for itself whether there is a master or not; where its loop does not answer, the rest is told all the same.

mod cluster;
mod counts;
mod exporter;
mod listener;
mod meter;
mod node;
mod recoveries;
mod table;
mod text;

pub(crate) use cluster::cluster_page;
pub use counts::{Counts, DatastoreMeter};
pub use exporter::{Exporter, Sources};
pub use listener::MetricsListener;
pub use meter::{Outcome, UnderWay};
pub use recoveries::Recoveries;
pub use table::{ALL, Family, Kind, Scope, describe};
pub use text::CONTENT_TYPE;
