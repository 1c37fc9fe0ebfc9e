//! What a person does to a VM past its platform, as with a hypervisor's own tools.

use crate::core::ids::VmId;
use crate::process::life::{LifeDirectory, LifeError};
use crate::process::table;
use rustix::process::Signal;
use std::io;
use thiserror::Error;

/// Why nothing could be done to a VM.
#[derive(Debug, Error)]
pub enum HandError {
    /// There is nothing to do it to.
    #[error("{0} has no process on this host, or none that has come up so far")]
    NoProcess(VmId),
    /// Its life file is unusable.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// It cannot be reached.
    #[error("the process of {vm} cannot be sent a signal: {source}")]
    Signal {
        /// Which VM.
        vm: VmId,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What is done to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A person ends it at once.
    Destroy,
    /// Its guest powers itself off.
    PowerOff,
    /// It crashes.
    Crash,
    /// It reads the load in its definition anew.
    ReadLoad,
}

/// Does something to the process of a VM. That it is done is not waited for.
pub fn act(directory: &LifeDirectory, vm: VmId, deed: Deed) -> Result<(), HandError> {
    let file = directory.file(vm);
    let record = file.read()?.filter(|record| record.process.is_some()).ok_or(HandError::NoProcess(vm))?;
    let process = table::find(&file).ok_or(HandError::NoProcess(vm))?;
    let signal = match deed {
        Deed::Destroy => {
            directory.note_destroyed(vm, record.nonce)?;
            Signal::KILL
        }
        Deed::Crash => Signal::KILL,
        Deed::PowerOff => Signal::USR1,
        Deed::ReadLoad => Signal::HUP,
    };
    process.signal(signal).map_err(|source| HandError::Signal { vm, source })
}
