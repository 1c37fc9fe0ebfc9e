//! What operators ask for.

use crate::core::command::Want;
use crate::core::ids::{FactKey, HostId, VmId, VoterId};
use crate::core::state::{AccountChange, Policy, Registration, Telling, VmDefinition};
use std::time::Duration;

/// What an operator may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A VM should run, be stopped, or be stopped at once.
    Intend {
        /// Which.
        vm: VmId,
        /// How.
        want: Want,
    },
    /// Move a VM alive.
    Move {
        /// Which.
        vm: VmId,
        /// To which host.
        to: HostId,
    },
    /// Put a VM under protection.
    Protect(Box<VmDefinition>),
    /// End a VM's protection.
    Unprotect(VmId),
    /// Forget an unprotected VM.
    Remove(VmId),
    /// From observing to acting.
    Arm,
    /// From acting to observing.
    Disarm,
    /// A cluster that only observes acts again after this; none: not by itself.
    RearmAfter(Option<Duration>),
    /// A host is dead, by a person's word.
    ConfirmDead(HostId),
    /// Have a host that runs nothing powered off and on, to see that its fence devices work.
    Drill(HostId),
    /// Have a host powered off, for good, and what it holds restarted elsewhere.
    SwitchOff {
        /// Which.
        host: HostId,
        /// Whether that is to be done although it holds VMs.
        force: bool,
    },
    /// Have a host powered on that is off.
    SwitchOn(HostId),
    /// Only one machine with this host's UUID is left.
    ResolveConflict(HostId),
    /// A host may have VMs again.
    EndQuarantine(HostId),
    /// The cluster's rules.
    SetPolicy(Box<Policy>),
    /// A change of what people have named, and of who may speak.
    Register(Box<Registration>),
    /// A channel was told of facts: the master's own notifier asks for that, no person.
    Notified {
        /// Which channel.
        channel: String,
        /// Up to which fact.
        upto: FactKey,
        /// What became of them.
        telling: Telling,
    },
    /// By what a VM's time is accounted for.
    Account {
        /// Which.
        vm: VmId,
        /// What changes.
        change: Box<AccountChange>,
    },
    /// The majority is lost for good: these voters are dead.
    Recover {
        /// Which.
        dead: Vec<VoterId>,
    },
}
