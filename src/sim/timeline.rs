//! What happened in a simulated world, as data: the output of every simulation.

use crate::core::action::Note;
use crate::core::ids::{Epoch, HostId, VmId};
use crate::sim::fault::Fault;

/// Something that happened at a moment of true time.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Microseconds of true time since the world began.
    pub at_micros: u64,
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A fault befell the world.
    Fault(Fault),
    /// A fault that was asked for could not befall the world, as it is.
    FaultSkipped(Fault),
    /// A node had something to say.
    Note(HostId, Note),
    /// A VM's processors began to run, in truth.
    VmUp(VmId, HostId, Option<Epoch>),
    /// A VM's processors ceased to run, in truth.
    VmDown(VmId, HostId, &'static str),
    /// A machine got power or booted, or lost it, in truth.
    Power(HostId, &'static str),
    /// An invariant was violated.
    Violation(Violation),
}

/// A violation of an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: "I1" to "I6".
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// Whether it followed from what the guarantee leaves out: a fence device that lies, a guard that policy accepts
    /// though it is known to be weak.
    pub excused: bool,
}
