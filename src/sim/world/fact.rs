//! What the world tells its checkers: facts, in the order in which they came true.

use crate::core::action::{ProcessState, Request};
use crate::core::ids::{BootId, Epoch, HostId, LogIndex, VmId, VoterId};
use crate::core::reason::Alert;
use crate::core::record::Tombstone;

/// A fact. Machines are named by their place in the world, as two machines may claim to be the same host.
#[derive(Debug, Clone)]
pub enum Fact {
    /// A VM's process on a machine has this state from now on; `None`: it is gone.
    Process {
        /// Which VM.
        vm: VmId,
        /// On which machine.
        machine: usize,
        /// Which host that machine is.
        host: HostId,
        /// In what state; `None`: there is none.
        state: Option<ProcessState>,
        /// Under which epoch it was let in, if it was not a stranger.
        epoch: Option<Epoch>,
        /// How it came to this.
        by: Cause,
    },
    /// A machine has come up in a new boot.
    Booted {
        /// Which machine.
        machine: usize,
        /// Which boot.
        boot: BootId,
    },
    /// An agent has worked its machine's watchdog.
    Watchdog {
        /// On which machine.
        machine: usize,
        /// The moment of true time at which it fires, if nothing feeds it again; `None`: it is closed.
        fires_at: Option<u64>,
    },
    /// A hypervisor lets in what people start there or send there, because nobody forbids it.
    LetPass {
        /// Which VM.
        vm: VmId,
        /// On which machine.
        machine: usize,
        /// Which host that machine is.
        host: HostId,
    },
    /// An agent called for a start.
    StartCalled {
        /// Of which VM.
        vm: VmId,
        /// On which host.
        host: HostId,
        /// Under which epoch.
        epoch: Epoch,
        /// Up to which epoch this host refuses for ever, as its agent has saved.
        floor: Epoch,
    },
    /// A node ordered a fence device to switch a machine off.
    PowerOffOrdered {
        /// The entry of the log that gives the right.
        index: LogIndex,
        /// By whom.
        machine: usize,
    },
    /// A node began to write a tombstone.
    TombstoneOrdered {
        /// To which host.
        to: HostId,
        /// What it says.
        tombstone: Tombstone,
    },
    /// A voter's disk holds the log up to here.
    Durable {
        /// Which store.
        voter: VoterId,
        /// Up to where.
        index: LogIndex,
    },
    /// An operator was told that it is done.
    Accepted(Request),
    /// A node raised an alert.
    Alert(Alert),
    /// From here on nothing can be promised: the guarantee leaves this out.
    Excused,
}

/// How a process came to its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was started.
    Started,
    /// A live migration moved it.
    Migrated,
    /// Anything else.
    Other,
}
