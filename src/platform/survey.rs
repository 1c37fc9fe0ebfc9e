//! What a hypervisor has, whether or not the cluster knows of it.

use crate::core::state::Shape;

/// A VM that a hypervisor has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its UUID.
    pub uuid: u128,
    /// Whether it runs.
    pub runs: bool,
    /// What it is.
    pub shape: Shape,
}

/// Looks at all that a hypervisor has. It may block, for as long as it says, on any thread.
pub trait Survey: Send + Sync {
    /// All VMs, or why they cannot be told.
    fn found(&self) -> Result<Vec<Found>, String>;
}
