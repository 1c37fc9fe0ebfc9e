//! What a cloud is, and what is missing for recoveries on it, as far as it can be read.

use super::answers::{Hypervisor, Server, Service, ServiceState, ServiceStatus};
use super::http::CloudError;
use super::microversion::Microversion;
use super::nova::Nova;
use super::session::{Patience, Session};
use super::settings::{Cloud, Verify};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// The roles that Nova lets do all that a recovery needs: the first unless its policy says otherwise, the second by the
/// policy that `openstack/policy` makes, without which it could not read either.
const CAPABLE: [&str; 2] = ["admin", "holdfast"];
/// What a recovery changes. Reading does not show whether it may.
const CHANGES: &str = "os_compute_api:os-services:update, os_compute_api:os-evacuate, \
    os_compute_api:os-migrate-server:migrate_live, os_compute_api:os-admin-actions:reset_state, \
    os_compute_api:servers:start and os_compute_api:servers:stop";

/// A cloud, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloudReport {
    /// What it is called where its credentials were found.
    pub cloud: String,
    /// Where keystone is.
    pub keystone: String,
    /// Who asks.
    pub user: String,
    /// In which project.
    pub project: Option<String>,
    /// With which roles.
    pub roles: Vec<String>,
    /// Which region it is.
    pub region: String,
    /// Through which addresses of it.
    pub interface: &'static str,
    /// Where Nova is.
    pub nova: String,
    /// The version that is spoken with it.
    pub microversion: Microversion,
    /// The lowest that it speaks.
    pub microversion_lowest: Microversion,
    /// The highest that it speaks.
    pub microversion_highest: Microversion,
    /// Its compute hosts, by name; none: they may not be listed.
    pub computes: Option<Vec<Compute>>,
    /// How many servers all projects have; none: they may not be listed.
    pub servers: Option<usize>,
    /// What is amiss.
    pub findings: Vec<Finding>,
}

/// A compute host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compute {
    /// What Nova calls it.
    pub host: String,
    /// What its hypervisors call themselves; an agent's host is found by that name.
    pub hypervisors: Vec<String>,
    /// Its availability zone.
    pub zone: Option<String>,
    /// Whether its nova-compute lives, in Nova's opinion.
    pub state: ServiceState,
    /// Whether it takes new servers.
    pub status: ServiceStatus,
    /// Whether somebody has said that it is down.
    pub forced_down: bool,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// How many servers it has; none: that may not be seen.
    pub servers: Option<usize>,
}

/// Something that is amiss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub gravity: Gravity,
    /// What it is.
    pub finding: String,
    /// What to do.
    pub advice: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// Nothing can be recovered on this cloud.
    Bad,
    /// It may be as it should be.
    Weak,
}

/// Looks at a cloud. Nothing is changed.
pub async fn check(cloud: Cloud, patience: Patience) -> Result<CloudReport, CloudError> {
    let session = Arc::new(Session::new(cloud, patience)?);
    let who = session.who().await?;
    let nova = Nova::find(Arc::clone(&session)).await?;
    let mut findings = Findings::default();
    let services = nova.services().await;
    let services = findings.allowed(services, "the compute services", "os_compute_api:os-services:list")?;
    let hypervisors = nova.hypervisors().await;
    let hypervisors = findings.allowed(hypervisors, "the hypervisors", "os_compute_api:os-hypervisors:list-detail")?;
    let servers = nova.servers(None).await;
    let all_servers = "os_compute_api:servers:detail:get_all_tenants";
    let servers = findings.allowed(servers, "the servers of all projects", all_servers)?;
    // Of a server that there is not there are no migrations, and Nova says so to whoever may ask.
    let migrations = nova.migrations(Uuid::nil()).await;
    findings.allowed(migrations, "migrations", "os_compute_api:os-migrations:index")?;
    let counts = servers.as_ref().and_then(|servers| findings.counts(servers));
    findings.rights(&who.roles);
    if session.cloud().verify == Verify::Nothing {
        let finding = "the cloud's certificates are not verified: whoever can redirect the traffic can read the secret";
        findings.add(Gravity::Weak, finding, "name the cloud's authority with `cacert`, and leave out `verify`");
    }
    let computes = services.map(|services| computes(services, hypervisors.as_deref(), counts.as_ref()));
    findings.computes(computes.as_deref(), hypervisors.is_some());
    let (lowest, highest) = nova.offered();
    Ok(CloudReport {
        cloud: session.cloud().name.clone(),
        keystone: session.cloud().keystone.to_string(),
        user: who.user,
        project: who.project,
        roles: who.roles,
        region: nova.region().to_owned(),
        interface: session.cloud().interface.name(),
        nova: nova.address().to_owned(),
        microversion: nova.version(),
        microversion_lowest: lowest,
        microversion_highest: highest,
        computes,
        servers: servers.map(|servers| servers.len()),
        findings: findings.0,
    })
}

/// The compute hosts, by name.
fn computes(
    services: Vec<Service>,
    hypervisors: Option<&[Hypervisor]>,
    counts: Option<&BTreeMap<String, usize>>,
) -> Vec<Compute> {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for hypervisor in hypervisors.unwrap_or_default() {
        names.entry(&hypervisor.service.host).or_default().insert(&hypervisor.hostname);
    }
    let mut computes: Vec<Compute> = services
        .into_iter()
        .map(|service| Compute {
            hypervisors: names
                .get(service.host.as_str())
                .into_iter()
                .flatten()
                .map(|name| (*name).to_owned())
                .collect(),
            servers: counts.map(|counts| counts.get(&service.host).copied().unwrap_or(0)),
            host: service.host,
            zone: service.zone,
            state: service.state,
            status: service.status,
            forced_down: service.forced_down,
            disabled_reason: service.disabled_reason,
        })
        .collect();
    computes.sort_by(|left, right| left.host.cmp(&right.host));
    computes
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, gravity: Gravity, finding: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { gravity, finding: finding.into(), advice: advice.into() });
    }

    /// What was told, if it may be asked; a refusal is a finding.
    fn allowed<T>(&mut self, told: Result<T, CloudError>, what: &str, rule: &str) -> Result<Option<T>, CloudError> {
        match told {
            Ok(told) => Ok(Some(told)),
            Err(error) if error.status() == Some(403) => {
                let advice =
                    format!("let one of its roles do {rule} in Nova's policy, as that of openstack/policy does");
                self.add(Gravity::Bad, format!("{what} may not be listed"), advice);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How many servers each service host has, if that may be seen.
    fn counts(&mut self, servers: &[Server]) -> Option<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for host in servers.iter().filter_map(|server| server.host.clone()) {
            *counts.entry(host).or_insert(0) += 1;
        }
        if counts.is_empty() && !servers.is_empty() {
            let advice = "let one of its roles do os_compute_api:os-extended-server-attributes in Nova's policy";
            self.add(Gravity::Bad, "it is not told which host a server is on", advice);
            return None;
        }
        Some(counts)
    }

    fn rights(&mut self, roles: &[String]) {
        if !roles.iter().any(|role| CAPABLE.contains(&role.as_str())) {
            let finding =
                "whether it may recover anything shows only when it does: none of its roles is admin or holdfast";
            let advice = format!("use a credential of openstack/credential, or let one of its roles do {CHANGES}");
            self.add(Gravity::Weak, finding, advice);
        }
    }

    fn computes(&mut self, computes: Option<&[Compute]>, are_hypervisors_known: bool) {
        let Some(computes) = computes else { return };
        if computes.is_empty() {
            let advice =
                "look whether this is the region that is meant, and whether nova-manage has discovered its hosts";
            self.add(Gravity::Bad, "there is no nova-compute", advice);
        }
        for compute in computes {
            let host = &compute.host;
            match compute.hypervisors.as_slice() {
                [] if are_hypervisors_known => {
                    let advice = "start its nova-compute, or remove the service if the host is gone";
                    self.add(Gravity::Weak, format!("{host} has no hypervisor"), advice);
                }
                [_, _, ..] => {
                    let advice = "such servers are not recovered: let Ironic or the like see to them";
                    self.add(Gravity::Weak, format!("{host} stands for several hypervisors"), advice);
                }
                _ => {}
            }
            if compute.forced_down {
                let advice = "once the host is well, restart its nova-compute and unset it";
                self.add(Gravity::Weak, format!("{host} is forced down, and nothing can run there"), advice);
            }
        }
    }
}
