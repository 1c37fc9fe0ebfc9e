//! What the living cluster costs, and how quick it is: measured on real processes of this machine.
//!
//! Everything shares the processors of one machine, so a cluster of real machines is quicker than this, not slower.

mod failover;
mod idle;
mod process;
mod scale;

pub use failover::{Case, Failover, failover};
pub use idle::{Cost, Idle, idle};
pub use process::{Process, Usage};
pub use scale::{Scale, Scaled, scale};
