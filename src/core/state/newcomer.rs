//! How a host becomes a member.

use super::{ClusterState, Host, Life, Standing};
use crate::core::ids::{Address, ConfigVersion, Fingerprint, Generation, HostId, SocketAddr};
use crate::core::reason::Refusal;
use crate::core::state::Change;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A host that joins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Newcomer {
    /// The invitation that it uses up; none for the first host.
    pub invitation: Option<u128>,
    /// Its name.
    pub name: String,
    /// Its machine's UUID.
    pub uuid: u128,
    /// The print of its certificate.
    pub fingerprint: Fingerprint,
    /// Where its agent is reached, on each of its networks.
    pub endpoints: Vec<SocketAddr>,
    /// What fails together with it.
    pub failure_domain: String,
    /// Free words, for rules.
    pub tags: BTreeSet<String>,
    /// Memory for VMs, in MiB. None: a witness.
    pub memory_mib: u64,
    /// CPU for VMs, in thousandths of a core.
    pub millicores: u64,
}

impl ClusterState {
    pub(super) fn join(&mut self, newcomer: &Newcomer, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let is_taken = |host: &Host| host.name == newcomer.name || host.uuid == newcomer.uuid;
        if self.hosts.values().any(is_taken) {
            return Err(Refusal::NameTaken);
        }
        if let Some(invitation) = newcomer.invitation
            && self.registry.invitations.remove(&invitation).is_none()
        {
            return Err(Refusal::NotInvited);
        }
        let id = HostId(self.registry.next_host);
        self.registry.next_host += 1;
        self.hosts.insert(id, newcomer.host(id));
        self.registry.roster = self.applied;
        changes.push(Change::Host(id));
        Ok(())
    }
}

impl Newcomer {
    /// The host that it becomes.
    pub fn host(&self, id: HostId) -> Host {
        Host {
            name: self.name.clone(),
            uuid: self.uuid,
            address: Address(id.0),
            endpoints: self.endpoints.clone(),
            fingerprint: self.fingerprint,
            failure_domain: self.failure_domain.clone(),
            tags: self.tags.clone(),
            memory_mib: self.memory_mib,
            millicores: self.millicores,
            fences: Vec::new(),
            generation: Generation(0),
            life: Life::default(),
            standing: Standing::New,
            past_boots: Vec::new(),
            acknowledged: ConfigVersion(0),
            quarantined: false,
            accounted: true,
            leaving: false,
            drilled: BTreeMap::new(),
        }
    }
}
