//! The newest replicated state that any node has shown, kept by the checkers for themselves.

use crate::core::ids::{ClusterGeneration, Generation, HostId, LogIndex, VmId, VoterId};
use crate::core::state::{Armed, ClusterState, Holder, Intent, Standing};
use std::collections::BTreeMap;

/// What the checkers need of the newest state.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) generation: ClusterGeneration,
    pub(super) applied: Option<LogIndex>,
    pub(super) armed: Armed,
    pub(super) vms: BTreeMap<VmId, ShadowVm>,
    pub(super) hosts: BTreeMap<HostId, (Generation, Standing)>,
    pub(super) voters: BTreeMap<VoterId, HostId>,
}

/// A VM.
#[derive(Debug, Clone)]
pub(super) struct ShadowVm {
    pub(super) version: u64,
    pub(super) protected: bool,
    pub(super) intent: Intent,
    pub(super) holders: BTreeMap<HostId, Holder>,
}

impl Shadow {
    /// Whether this state is newer than any that was seen.
    pub(super) fn is_behind(&self, state: &ClusterState) -> bool {
        self.applied.is_none_or(|applied| (state.generation, state.applied) > (self.generation, applied))
    }

    /// Takes over what changed.
    pub(super) fn follow(&mut self, state: &ClusterState) {
        self.generation = state.generation;
        self.applied = Some(state.applied);
        self.armed = state.armed;
        if self.voters != state.voters {
            self.voters.clone_from(&state.voters);
        }
        for (id, host) in &state.hosts {
            self.hosts.insert(*id, (host.generation, host.standing));
        }
        self.vms.retain(|id, _| state.vms.contains_key(id));
        for (id, vm) in &state.vms {
            if self.vms.get(id).is_some_and(|known| known.version == vm.version) {
                continue;
            }
            let shadow = ShadowVm {
                version: vm.version,
                protected: vm.protected,
                intent: vm.intent,
                holders: vm.holders.clone(),
            };
            self.vms.insert(*id, shadow);
        }
    }
}
