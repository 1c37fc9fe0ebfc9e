//! What Nova tells of its services, hypervisors, servers and migrations.
//!
//! Where a cell is down, Nova tells of what lives there in a few words only. So much is left out of these then.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Whether a service takes new servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceStatus {
    /// It does.
    Enabled,
    /// A person or a program has forbidden it.
    Disabled,
    /// Nova cannot say it now.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whether a service lives, in Nova's opinion. It comes up to a minute late, and is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It does.
    Up,
    /// It was not heard of for a while, or is forced down.
    Down,
    /// Nova cannot say it now.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A nova-compute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// None where its cell is down.
    pub id: Option<Uuid>,
    /// What Nova calls its host: `OS-EXT-SRV-ATTR:host` of servers names it so.
    pub host: String,
    /// Its availability zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// Whether it takes new servers.
    #[serde(default)]
    pub status: ServiceStatus,
    /// Whether it lives.
    #[serde(default)]
    pub state: ServiceState,
    /// Whether somebody has said that it is down.
    #[serde(default)]
    pub forced_down: bool,
    /// Why it is disabled.
    #[serde(default)]
    pub disabled_reason: Option<String>,
}

/// A hypervisor, as its nova-compute knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hypervisor {
    /// Its identity.
    pub id: Uuid,
    /// Its own name, as libvirt tells it: by it an agent's host is found.
    #[serde(rename = "hypervisor_hostname")]
    pub hostname: String,
    /// Of which kind it is.
    #[serde(rename = "hypervisor_type", default)]
    pub kind: Option<String>,
    /// The nova-compute that manages it.
    pub service: HypervisorService,
}

/// The nova-compute of a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HypervisorService {
    /// Which service it is.
    pub id: Uuid,
    /// What Nova calls its host.
    pub host: String,
}

/// A server, the VM of a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// In one word: `ACTIVE`, `SHUTOFF`, `ERROR`, `REBUILD` and others. It is right before the host is: see
    /// [`Server::has_come_back_from`].
    pub status: String,
    /// Whose it is.
    #[serde(rename = "tenant_id", default)]
    pub project: Option<String>,
    /// The service host that has it; none: it has none yet, or whoever asks may not see it.
    #[serde(rename = "OS-EXT-SRV-ATTR:host", default)]
    pub host: Option<String>,
    /// The hypervisor that has it.
    #[serde(rename = "OS-EXT-SRV-ATTR:hypervisor_hostname", default)]
    pub hypervisor: Option<String>,
    /// What is being done with it just now; none: nothing.
    #[serde(rename = "OS-EXT-STS:task_state", default)]
    pub task_state: Option<String>,
    /// What it is to be: `active`, `stopped`, `error` and others.
    #[serde(rename = "OS-EXT-STS:vm_state", default)]
    pub vm_state: Option<String>,
    /// Why it is in ERROR. Nova tells of the last one, even if it is long past, only of servers in ERROR or deleted.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// What its owner has noted.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Whether its owner has locked it against changes.
    #[serde(default)]
    pub locked: bool,
    /// What it has.
    #[serde(default)]
    pub flavor: Option<Flavor>,
}

/// Why a server is in ERROR.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// In Nova's words: `No valid host was found. There are not enough hosts available.`
    #[serde(default)]
    pub message: String,
    /// Since when.
    #[serde(default)]
    pub created: Option<String>,
}

/// What a server has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Flavor {
    /// The name of the flavour of which it was made.
    #[serde(rename = "original_name")]
    pub name: String,
    /// Processors.
    pub vcpus: u64,
    /// Memory, in MiB.
    pub ram: u64,
}

/// As what a server serves when it has come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedAs {
    /// It ran, and runs.
    Running,
    /// It was stopped, and is.
    Stopped,
}

impl Server {
    /// Whether it is back from this host, with nothing left to be done. The status alone says nothing: it comes back while
    /// the server is still entered on its old host.
    pub fn has_come_back_from(&self, old_host: &str, as_what: ServedAs) -> bool {
        let status = match as_what {
            ServedAs::Running => "ACTIVE",
            ServedAs::Stopped => "SHUTOFF",
        };
        self.host.as_ref().is_some_and(|host| host != old_host) && self.task_state.is_none() && self.status == status
    }
}

/// An evacuation or migration of a server, under way or past.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Migration {
    /// Its number, in its cell.
    pub id: u64,
    /// Of which server.
    #[serde(rename = "instance_uuid")]
    pub server: Uuid,
    /// `evacuation`, `live-migration`, `migration` or `resize`.
    #[serde(rename = "migration_type", default)]
    pub kind: Option<String>,
    /// How far it is.
    #[serde(deserialize_with = "text_or_nothing", default)]
    pub status: String,
    /// The service host that it leaves.
    #[serde(rename = "source_compute", default)]
    pub from: Option<String>,
    /// The service host that it goes to; none: that is not chosen yet.
    #[serde(rename = "dest_compute", default)]
    pub to: Option<String>,
    /// When it began, by Nova's clock.
    #[serde(default)]
    pub created_at: Option<String>,
}

impl Migration {
    /// Whether it still goes on, as far as Nova knows. A word that is not known counts as going on: while one does, another
    /// evacuation would ruin the server.
    pub fn goes_on(&self) -> bool {
        let over = ["completed", "confirmed", "done", "error", "failed", "finished", "cancelled", "reverted"];
        !over.contains(&self.status.as_str())
    }
}

fn text_or_nothing<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(value)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Nova 26 has told it, shortened.
    const REBUILDING: &str = r#"{"id": "a015b23c-9624-4f94-88f2-b773949ebf00", "name": "s1", "status": "REBUILD",
        "tenant_id": "f676", "metadata": {"HA_Enabled": "True"}, "image": {"id": "c135"}, "locked": false,
        "flavor": {"vcpus": 1, "ram": 512, "disk": 1, "original_name": "m1.tiny", "extra_specs": {}},
        "OS-EXT-SRV-ATTR:host": "kvm1", "OS-EXT-SRV-ATTR:hypervisor_hostname": "kvm1",
        "OS-EXT-STS:task_state": "rebuilding", "OS-EXT-STS:vm_state": "active", "host_status": "DOWN"}"#;

    #[test]
    fn a_server_is_back_when_all_of_it_is() {
        let mut server: Server = serde_json::from_str(REBUILDING).unwrap();
        assert_eq!((server.metadata["HA_Enabled"].as_str(), server.flavor.as_ref().unwrap().ram), ("True", 512));
        let back = |server: &Server| server.has_come_back_from("kvm1", ServedAs::Running);
        assert!(!back(&server));
        "ACTIVE".clone_into(&mut server.status);
        assert!(!back(&server), "the status comes first");
        server.task_state = None;
        assert!(!back(&server), "and the host last");
        server.host = None;
        assert!(!back(&server), "whoever does not see the host knows nothing");
        server.host = Some("kvm2".to_owned());
        assert!(back(&server) && !server.has_come_back_from("kvm1", ServedAs::Stopped));
        "ERROR".clone_into(&mut server.status);
        assert!(!back(&server));
    }

    #[test]
    fn of_a_cell_that_is_down_a_few_words_are_enough() {
        let server = r#"{"id": "a015b23c-9624-4f94-88f2-b773949ebf00", "status": "UNKNOWN", "tenant_id": "f676"}"#;
        let server: Server = serde_json::from_str(server).unwrap();
        assert_eq!((server.host, server.task_state, server.name.as_str()), (None, None, ""));
        let service: Service = serde_json::from_str(r#"{"binary": "x", "host": "kvm1", "status": "UNKNOWN"}"#).unwrap();
        assert_eq!((service.id, service.status, service.state), (None, ServiceStatus::Unknown, ServiceState::Unknown));
    }

    #[test]
    fn a_migration_goes_on_until_it_is_known_to_have_ended() {
        let migration = |status: &str| {
            let text = format!(
                r#"{{"id": 4, "instance_uuid": "a015b23c-9624-4f94-88f2-b773949ebf00", "status": {status},
                "migration_type": "evacuation", "source_compute": "kvm1", "dest_compute": null}}"#
            );
            serde_json::from_str::<Migration>(&text).unwrap()
        };
        for over in ["done", "completed", "failed", "error", "cancelled"] {
            assert!(!migration(&format!("\"{over}\"")).goes_on(), "{over}");
        }
        for open in ["\"accepted\"", "\"pre-migrating\"", "\"running\"", "\"something new\"", "null"] {
            assert!(migration(open).goes_on(), "{open}");
        }
    }
}
