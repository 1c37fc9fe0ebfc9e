//! The operators' interface: HTTPS on every node, and a socket for root on the machine itself.
//!
//! ```text
//!  certificate ─┐
//!  token ───────┼─▶ who? ─▶ [here, if this is the master] ─▶ may they? ─▶ route ─▶ node, ledger
//!  local root ──┘         └▶ [else over the cluster's own links to the master] ──▲
//! ```
//!
//! Whoever is asked passes the question on to the master, so that any node will do. While there is no master, a voter
//! still shows what it knows, and says so in the header `as-known-by`; nothing is changed then.

mod accounts;
mod actions;
mod bodies;
mod channels;
mod doctor;
mod errors;
mod extract;
mod fences;
mod figure_views;
mod figures;
mod forward;
mod found;
mod handle;
mod join;
#[cfg(any(test, fuzzing))]
mod law;
mod live;
mod load;
mod metrics;
mod month;
mod openapi;
mod pieces;
mod places;
mod protect;
mod queries;
mod readings;
mod registry;
mod routes;
mod server;
mod tokens;
mod usage;
mod viewer;
mod views;
mod who;

pub use crate::ledger::Grouping;
pub use crate::samples::Measure;
pub use accounts::{NewAccount, NewTarget, Percent, TargetView};
pub use actions::{LONGEST_DISARM, sound_policy};
pub(crate) use bodies::Figuring;
pub use bodies::{Adopt, GivenAccess, Invited, JoinAnswer, JoinBody, NewVm, Token};
pub use channels::{ChannelView, Tested};
pub use doctor::{CheckView, DoctorView, Finding, Severity};
pub use errors::ErrorBody;
pub use fences::{FenceReading, FenceTest};
pub use figure_views::{CauseRow, FailoversView, FigureRow, FiguresView, RecoveryView, SpanView, StageRow};
pub(crate) use figures::figures;
pub(crate) use forward::{AS_KNOWN_BY, fetch_facts};
pub use found::{Adopted, FoundView, FoundVm, Unheard};
pub(crate) use handle::portion;
pub use handle::{Api, Handle};
#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use live::{HostLive, MoveView, VmLive, VmLoad};
pub use load::{CapacityView, HostCapacity, HostNow, Left, LoadRow, LoadView, NowView, Point, Use, VmNow};
pub use metrics::KnownPeople;
pub use month::{MadeReports, MonthPart};
pub use openapi::description;
pub(crate) use pieces::fetch_pieces;
pub use protect::{MOST_MEMORY, MOST_MILLICORES};
pub use queries::EventView;
pub use readings::Readings;
pub use server::{ApiError, Listeners, serve};
pub use viewer::Viewer;
pub use views::{ClusterView, ForecastView, HolderView, HostView, ProofView, Share, VmView};
