//! Every decision of Holdfast, and no I/O.
//!
//! ```text
//!  Event ──▶ Agent (every host)  ──▶ Action      lease, guards, starts, the hook
//!        └─▶ Master (the leader) ──▶ Action      judgement, proofs, fencing, placement
//!                  │ proposes ▲ reads
//!                  ▼          │
//!             Command ──▶ ClusterState           what a majority has; the veto lives here
//! ```
//!
//! Nothing here reads a clock, a file or a socket: the time is an argument, and what is to be done is returned.

pub mod action;
pub mod agent;
pub mod command;
pub mod ears;
pub mod ids;
pub mod kinds;
pub mod master;
pub mod message;
pub mod permission;
pub mod placement;
pub mod reason;
pub mod record;
mod refusal;
pub mod remote;
pub mod request;
pub mod sabotage;
pub mod state;
pub mod time;
pub mod timing;
