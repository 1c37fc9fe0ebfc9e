//! Versions of the protocol, and how two nodes agree on one.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// A version that this program speaks. It is had from [`Speaks::agree`], or is a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u8);

/// The oldest version that this program speaks.
pub const OLDEST: Version = Version(1);
/// The newest version that this program speaks.
pub const NEWEST: Version = Version(if cfg!(feature = "next-protocol") { 2 } else { 1 });

/// The versions that a node speaks: all from the oldest to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaks {
    /// The oldest.
    pub oldest: u8,
    /// The newest.
    pub newest: u8,
}

/// Two nodes that have no version in common.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("this node speaks protocol {ours} and the other one {theirs}; upgrade the older of the two")]
pub struct Disagreement {
    /// What this node speaks.
    pub ours: Speaks,
    /// What the other node speaks.
    pub theirs: Speaks,
}

impl Version {
    /// Its number, as it stands in a frame.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether frames on streams end with a checksum.
    pub(super) fn has_checksum(self) -> bool {
        self.0 >= 2
    }
}

impl Speaks {
    /// What this program speaks.
    pub const OURS: Speaks = Speaks { oldest: OLDEST.0, newest: NEWEST.0 };

    /// The newest version that both speak, where `self` is what this program speaks.
    pub fn agree(self, theirs: Speaks) -> Result<Version, Disagreement> {
        let newest = self.newest.min(theirs.newest);
        match newest >= self.oldest && newest >= theirs.oldest {
            true => Ok(Version(newest)),
            false => Err(Disagreement { ours: self, theirs }),
        }
    }
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "{}", self.newest),
            false => write!(f, "{} to {}", self.oldest, self.newest),
        }
    }
}
