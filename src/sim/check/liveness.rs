//! I3: what is missing in a healed world.

use crate::core::command::Want;
use crate::core::ids::VmId;
use crate::core::reason::{Unfit, Wait};
use crate::core::state::Health;
use std::fmt;

/// How a protected VM stands.
#[derive(Debug, Clone)]
pub struct Stand {
    /// Which VM.
    pub vm: VmId,
    /// What a person wants.
    pub want: Want,
    /// How it is, in truth.
    pub condition: Condition,
    /// Whether any host could take it.
    pub possible: bool,
    /// What the master says that it waits for.
    pub wait: Option<Wait>,
}

/// Whether a VM's processors run, in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// They do, somewhere.
    Executes,
    /// They do not.
    DoesNot,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// Nobody is the master.
    NoMaster,
    /// The VM should run, can, and does not.
    NotRunning(VmId, Option<Wait>),
    /// The VM should be stopped, and runs.
    NotStopped(VmId),
    /// The log would start the VM from another definition than the one that it runs with.
    Redefined(VmId),
    /// The VM's guest answers, and the log does not know it.
    Unheard(VmId, Health),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::NoMaster => write!(f, "there is no master"),
            Lack::NotRunning(vm, wait) => write!(f, "{vm} should run and does not: {wait:?}"),
            Lack::Redefined(vm) => write!(f, "{vm} runs with a definition that the log does not have"),
            Lack::Unheard(vm, health) => write!(f, "the guest of {vm} answers, and the log says: {}", health.name()),
            Lack::NotStopped(vm) => write!(f, "{vm} was stopped by a person and runs"),
        }
    }
}

impl Stand {
    /// What this VM lacks, if anything.
    pub fn lack(self) -> Option<Lack> {
        // What finds no room beside the others, or is not to be acted on yet, can not run.
        let excluded = match &self.wait {
            // In a healed world every host should be alive soon: a host that is not excuses nothing.
            Some(Wait::NoRoom(reasons)) => {
                !reasons.iter().any(|(_, unfit)| matches!(unfit, Unfit::NotAlive | Unfit::HypervisorDown | Unfit::Busy))
            }
            Some(Wait::NotArmed | Wait::LeftAlone) => true,
            _ => false,
        };
        match (self.want, self.condition) {
            (Want::Running, Condition::DoesNot) if self.possible && !excluded => {
                Some(Lack::NotRunning(self.vm, self.wait))
            }
            (Want::Stopped | Want::Killed, Condition::Executes) => Some(Lack::NotStopped(self.vm)),
            _ => None,
        }
    }
}
