//! Many agents on one machine: nobody is judged, nobody is elected, and a host that dies is noticed.

use super::idle::agent;
use super::process::Process;
use crate::api::{ClusterView, EventView};
use crate::client::Client;
use crate::core::timing::Profile;
use crate::demo::{Cluster, Told, Victim, Wanted, all_run, tell};
use anyhow::ensure;
use serde::Serialize;
use std::time::Duration;

/// After the last change, and before anything is measured.
const SETTLING: Duration = Duration::from_secs(5);
/// So many events are read at once.
const EVENTS: usize = 500;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// The time limits.
    pub profile: Profile,
    /// So many hosts, with a VM on each.
    pub hosts: u32,
    /// So many of them vote.
    pub voters: u32,
    /// For how long nothing may happen.
    pub lasts: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Scaled {
    /// How often a master began in that time.
    pub elections: usize,
    /// How many hosts were judged in that time.
    pub judgements: usize,
    /// All else that happened in that time, in sentences.
    pub events: Vec<String>,
    /// What each agent used, in percent of one core, the master's first.
    pub cpu_percent: Vec<f64>,
    /// The memory of each, in the same order; what is shared by several counts in part for each.
    pub pss_mib: Vec<f64>,
    /// Then a host was killed.
    pub told: Told,
}

/// Brings up many hosts, lets them be, and kills one. `say` is told how far it is.
pub async fn scale(ordinary: Wanted, plan: &Scale, mut say: impl FnMut(&str)) -> anyhow::Result<Scaled> {
    let wanted = Wanted { profile: plan.profile, hosts: plan.hosts, log: "warn".to_owned(), ..ordinary };
    let mut cluster = Cluster::raise(wanted).await?;
    let scaled = measured(&cluster, plan, &mut say).await;
    cluster.end().await?;
    scaled
}

async fn measured(cluster: &Cluster, plan: &Scale, say: &mut impl FnMut(&str)) -> anyhow::Result<Scaled> {
    say(&format!("{} hosts are up", plan.hosts));
    cluster.set_voters(plan.voters).await?;
    cluster.arm().await?;
    let machines = cluster.machines();
    for (number, machine) in (1..).zip(machines) {
        cluster.add_quiet_vm(&format!("vm-{number}"), Some(&machine.name)).await?;
    }
    all_run(cluster, machines.len()).await?;
    say(&format!("{} of them vote, {} VMs run", plan.voters, machines.len()));
    tokio::time::sleep(SETTLING).await;
    let client = cluster.client().await?;
    let before: ClusterView = client.get("/v1/status").await?;
    let seen = last(&client).await?;
    let agents = agents(cluster, before.master.as_deref())?;
    tokio::time::sleep(plan.lasts).await;
    let usages = agents.iter().map(Process::usage).collect::<anyhow::Result<Vec<_>>>()?;
    let after: ClusterView = client.get("/v1/status").await?;
    let events = since(&client, seen).await?;
    let of_kind = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    let (elections, judgements) = (of_kind("master-began"), of_kind("host-judged"));
    ensure!((before.term == after.term) == (elections == 0), "the ledger lacks an election, or has one too many");
    say("a host is killed");
    Ok(Scaled {
        elections,
        judgements,
        events: events.into_iter().map(|event| event.text).collect(),
        cpu_percent: usages.iter().map(|usage| usage.cpu_percent).collect(),
        pss_mib: usages.iter().map(|usage| usage.pss_mib).collect(),
        told: tell(cluster, Victim::Other, |_| ()).await?,
    })
}

/// All agents, the master's first.
fn agents(cluster: &Cluster, master: Option<&str>) -> anyhow::Result<Vec<Process>> {
    let mut machines: Vec<_> = cluster.machines().iter().collect();
    machines.sort_by_key(|machine| Some(machine.name.as_str()) != master);
    machines.into_iter().map(agent).collect()
}

/// The key of the last event that there is.
async fn last(client: &Client) -> anyhow::Result<Option<String>> {
    let events: Vec<EventView> = client.get("/v1/events?last=1").await?;
    Ok(events.into_iter().next_back().map(|event| event.key))
}

async fn since(client: &Client, mut key: Option<String>) -> anyhow::Result<Vec<EventView>> {
    let mut all: Vec<EventView> = Vec::new();
    loop {
        let after = key.map(|key| format!("&after={key}")).unwrap_or_default();
        let events: Vec<EventView> = client.get(&format!("/v1/events?limit={EVENTS}{after}")).await?;
        let is_whole = events.len() < EVENTS;
        all.extend(events);
        key = all.last().map(|event| event.key.clone());
        if is_whole {
            return Ok(all);
        }
    }
}
