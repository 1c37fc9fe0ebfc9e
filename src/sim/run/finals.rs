//! How everything stands at the end of a run.

use crate::core::ids::{HostId, VmId};
use crate::core::reason::{HostState, Wait};
use crate::sim::scenario::expect::EndState;
use std::collections::BTreeMap;

/// How everything stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalStates {
    /// The VMs.
    pub vms: BTreeMap<VmId, FinalVm>,
    /// The hosts as the master sees them; `None` where there is no master.
    pub hosts: BTreeMap<HostId, Option<HostState>>,
}

/// How a VM stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalVm {
    /// Where its processors run, in truth.
    pub host: Option<HostId>,
    /// Whether a person wants it to run.
    pub wanted: bool,
    /// What the master knows it to wait for, if there is a master.
    pub wait: Option<Wait>,
}

impl FinalVm {
    /// In one word.
    pub fn state(&self) -> EndState {
        match (self.host, self.wanted) {
            (Some(_), _) => EndState::Running,
            (None, true) => EndState::Waiting,
            (None, false) => EndState::Stopped,
        }
    }
}
