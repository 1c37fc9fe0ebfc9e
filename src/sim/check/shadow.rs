//! The newest replicated state that any node has shown, kept by the checkers for themselves.

use crate::core::ids::{ClusterGeneration, ConfigVersion, Generation, HostId, LogIndex, VmId, VoterId};
use crate::core::reason::JudgeCause;
use crate::core::state::{Armed, ClusterState, Holder, Intent, Response, Standing};
use std::collections::BTreeMap;

/// What the checkers need of the newest state.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) generation: ClusterGeneration,
    pub(super) applied: Option<LogIndex>,
    pub(super) armed: Armed,
    pub(super) vms: BTreeMap<VmId, ShadowVm>,
    pub(super) hosts: BTreeMap<HostId, (Generation, Standing)>,
    /// None: nothing that it was told counts.
    pub(super) acknowledged: BTreeMap<HostId, Option<ConfigVersion>>,
    pub(super) armed_at: ConfigVersion,
    pub(super) brake_percent: u32,
    pub(super) voters: BTreeMap<VoterId, HostId>,
}

/// A VM.
#[derive(Debug, Clone)]
pub(super) struct ShadowVm {
    pub(super) version: u64,
    pub(super) protected: bool,
    /// Whether it must not outlive its host's lease.
    pub(super) leased: bool,
    pub(super) config: ConfigVersion,
    pub(super) intent: Intent,
    pub(super) holders: BTreeMap<HostId, Holder>,
}

impl Shadow {
    /// Whether this state is newer than any that was seen.
    pub(super) fn is_behind(&self, state: &ClusterState) -> bool {
        self.applied.is_none_or(|applied| (state.generation, state.applied) > (self.generation, applied))
    }

    /// Whether a start that came without a permit should have been refused by the hook: the host knew that the cluster
    /// is armed and that the VM is protected. Where it did not, people answer for what they start.
    pub(super) fn is_guarded(&self, vm: VmId, host: HostId) -> bool {
        let Some(known) = self.acknowledged.get(&host).copied().unwrap_or(Some(ConfigVersion(0))) else { return false };
        self.armed == Armed::Armed
            && self.vms.get(&vm).is_some_and(|vm| vm.protected && known >= vm.config.max(self.armed_at))
    }

    /// Whether so many hosts are judged and unproven that no order to power off may be given.
    pub(super) fn is_braked(&self) -> bool {
        let judged = self
            .hosts
            .values()
            .filter(|(_, standing)| matches!(standing, Standing::Judged { cause: JudgeCause::Silent }))
            .count();
        let counted = |standing: &Standing| !matches!(standing, Standing::New | Standing::Proven { .. });
        let hosts = self.hosts.values().filter(|(_, standing)| counted(standing)).count();
        judged > 1 && judged * 100 > hosts * self.brake_percent as usize
    }

    /// Takes over what changed.
    pub(super) fn follow(&mut self, state: &ClusterState) {
        if self.generation != state.generation {
            // Versions of a state that was given up say nothing of this one.
            self.vms.clear();
        }
        self.generation = state.generation;
        self.applied = Some(state.applied);
        self.armed = state.armed;
        self.armed_at = state.armed_at;
        self.brake_percent = state.policy.brake_percent;
        if self.voters != state.voters {
            self.voters.clone_from(&state.voters);
        }
        for (id, host) in &state.hosts {
            self.hosts.insert(*id, (host.generation, host.standing));
            // What a forced recovery lost may have told it otherwise, until it has been heard again.
            self.acknowledged.insert(*id, host.accounted.then_some(host.acknowledged));
        }
        self.vms.retain(|id, _| state.vms.contains_key(id));
        for (id, vm) in &state.vms {
            if self.vms.get(id).is_some_and(|known| known.version == vm.version) {
                continue;
            }
            let shadow = ShadowVm {
                version: vm.version,
                protected: vm.protected,
                leased: vm.definition.response == Response::Restart,
                config: vm.config,
                intent: vm.intent,
                holders: vm.holders.clone(),
            };
            self.vms.insert(*id, shadow);
        }
    }
}
