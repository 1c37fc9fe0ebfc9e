//! What is done at the far end of a wire: by a fence device, or by a host in the master's place.

use crate::core::action::Warrant;
use crate::core::ids::{DatastoreId, FenceId};
use crate::core::record::{DatastoreOp, DatastoreResult};
use serde::{Deserialize, Serialize};

/// What a host may be asked to do for the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteOp {
    /// On a datastore.
    Datastore(DatastoreId, DatastoreOp),
    /// With a fence device, by this warrant.
    Fence(Warrant, FenceId, FenceOp),
}

/// How that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteResult {
    /// On a datastore.
    Datastore(DatastoreResult),
    /// With a fence device.
    Fence(FenceResult),
}

/// What a fence device is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FenceOp {
    /// Say which machine it controls.
    Identity,
    /// Switch it off.
    PowerOff,
    /// Switch it on.
    PowerOn,
    /// Say whether it is on.
    Power,
}

/// How a fence device answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FenceResult {
    /// It controls the machine with this UUID.
    Identity(u128),
    /// It took the order.
    Taken,
    /// The machine is on.
    On,
    /// The machine is off.
    Off,
    /// It could not be reached.
    Unreachable,
    /// It refused the credentials.
    Refused,
    /// It controls a machine, and cannot say which.
    Nameless,
}
