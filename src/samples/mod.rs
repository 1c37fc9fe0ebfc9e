//! What hosts and VMs use: measured every five seconds, sent to all voters, kept in a file of its own on each of them.
//!
//! ```text
//!  hypervisor, kernel ─▶ sampler ─▶ ring of ten minutes ─▶ each voter ─▶ keeper ─▶ samples.db
//!                     (each agent)                                        │  └─▶ newest of each host
//!                                                                         └ raw by the hour ─▶ minutes ─▶ hours
//! ```
//!
//! Samples are no consensus data: nothing is decided by them, no other thing waits for them, and where they cannot be
//! kept, only they are lost. They hang on no master, so its death leaves no gap: an agent tells each voter by itself,
//! and a voter that was away is told the last ten minutes again.
//!
//! - A **slot** is five seconds of the wall clock, counted from 1970. A sample is filed under the slot at whose end it was
//!   measured, and holds the mean since the measurement before. Where measurements are further apart than a slot, those
//!   in between have that mean, too.
//! - A slot of a series is filled once: where two values come for it, as when a VM moves, or after a clock has stepped
//!   back, the greater stays. So it does not matter in which order, or how often, samples come.
//! - **Minutes** and **hours** are summaries of their slots: least, mean, greatest and 95th percentile, with the number of
//!   slots that were measured. Each percentile is of the slots themselves; see [`Summary::over`] for longer times.

mod archive;
mod batch;
mod chunk;
mod codec;
mod desk;
mod keeper;
#[cfg(any(test, fuzzing))]
mod law;
mod meter;
mod piece;
mod reader;
mod recent;
mod ring;
mod rows;
mod summary;
#[cfg(test)]
mod tests;

pub use archive::{ArchiveError, Retention};
pub use batch::{Batch, BatchError, MOST_VMS, Receipt, VmSample, decode_batches, encode_batches, is_samples};
pub use chunk::{Level, encode_summaries};
pub use desk::Desk;
pub use keeper::{Delivery, Keeper, Members};
#[cfg(test)]
pub(crate) use law::chunks;
#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use meter::Meter;
pub use piece::Piece;
pub use reader::{Look, Reader, Window};
pub use ring::Ring;
pub use summary::Summary;

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often is measured.
pub const SLOT: Duration = Duration::from_secs(5);
/// The same as a number, for the arithmetic of the wall clock.
pub const SLOT_MILLISECONDS: i64 = 5_000;
/// The slots of an hour.
pub const HOUR_SLOTS: u32 = 720;
/// The slots of a minute.
pub const MINUTE_SLOTS: u32 = 12;

/// Five seconds of the wall clock, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot in which a moment lies. Before 1970 there is none but the first.
    pub fn at(wall_milliseconds: i64) -> Slot {
        Slot(u32::try_from(wall_milliseconds.max(0) / SLOT_MILLISECONDS).unwrap_or(u32::MAX))
    }

    /// When it begins, in milliseconds since 1970.
    pub fn begins(self) -> i64 {
        i64::from(self.0) * SLOT_MILLISECONDS
    }

    /// The hour in which it lies, counted from 1970, and its place there.
    pub fn hour(self) -> (u32, usize) {
        (self.0 / HOUR_SLOTS, (self.0 % HOUR_SLOTS) as usize)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The processor time that is used, in thousandths of a core.
    Cpu,
    /// The memory of the host that is in use, in MiB. Of a VM it is what its process has in its host's memory.
    Memory,
}

impl Measure {
    /// Both.
    pub const ALL: [Measure; 2] = [Measure::Cpu, Measure::Memory];
}

/// Of what something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// A host, by its number in the cluster.
    Host(u32),
    /// A VM, by its UUID.
    Vm(u128),
}
