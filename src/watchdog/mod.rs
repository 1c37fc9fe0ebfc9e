//! What ends a host that stands still: the product's side of a watchdog.
//!
//! A watchdog counts down once it is open, and resets the machine when it was not fed in time. It goes on counting when
//! the process that opened it dies; only [`Watchdog::close`] stops it.

mod device;
mod embedded;
mod facts;
mod holder;
mod kept;
mod raw;
pub(crate) mod words;

pub use device::DeviceWatchdog;
pub use embedded::MachineWatchdog;

use crate::core::message;
use std::io;
use std::time::Duration;

/// A watchdog of this machine.
pub trait Watchdog: Send {
    /// Says what it would be if it were opened, and touches nothing: a count that an earlier run left going goes on.
    fn probe(&mut self) -> Result<Opened, WatchdogError>;
    /// Starts to count. The time-out is what the device grants, which need not be what was asked for.
    fn open(&mut self) -> Result<Opened, WatchdogError>;
    /// Starts to count anew. It never waits: what cannot be done at once has failed.
    fn feed(&mut self) -> Result<(), WatchdogError>;
    /// Stops counting. After an error it may count on.
    fn close(&mut self) -> Result<(), WatchdogError>;
}

/// A watchdog as its device describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// When it resets the machine after it was last fed, as read back.
    pub timeout: Duration,
    /// What counts.
    pub kind: Kind,
}

/// What counts in a watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A timer in hardware, which counts on while the host stands still.
    Hardware,
    /// A timer that stands still with the host.
    Software,
}

impl From<Opened> for message::Watchdog {
    fn from(opened: Opened) -> message::Watchdog {
        match opened.kind {
            Kind::Hardware => message::Watchdog::Hardware { timeout: opened.timeout },
            Kind::Software => message::Watchdog::Software { timeout: opened.timeout },
        }
    }
}

/// Why a watchdog did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// Nothing is there to talk to.
    #[error("the watchdog at {path} cannot be reached; without it a host that stands still is not ended")]
    Unreachable {
        /// Where it should be.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device refused.
    #[error("the watchdog at {path} refused: {why}")]
    Refused {
        /// Where it is.
        path: String,
        /// Why, in its words.
        why: String,
    },
    /// It was not opened by this process.
    #[error("the watchdog at {path} was not opened by this process, so it can neither be fed nor closed")]
    NotOpen {
        /// Where it is.
        path: String,
    },
    /// What was said before has not been taken yet.
    #[error("the watchdog at {path} takes nothing more: it was not fed, and resets this machine unless it is soon")]
    Full {
        /// Where it is.
        path: String,
    },
}
