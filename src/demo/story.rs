//! What the demonstration does and shows.

use super::cluster::Cluster;
use super::host::Machine;
use crate::api::{EventView, FailoversView, FiguresView, RecoveryView, VmView};
use crate::client::Client;
use crate::core::time::Instant;
use crate::process::disk::examine;
use anyhow::{Context, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Which host is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// One that runs VMs and is not the master's.
    Other,
    /// The master's.
    Master,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The host that was killed.
    pub victim: String,
    /// Whether the master lived there.
    pub was_master: bool,
    /// Each VM that ran there.
    pub vms: Vec<ToldVm>,
    /// The median over these VMs, in milliseconds.
    pub median_ms: f64,
    /// How many disks were ever written by two at once.
    pub clashes: usize,
    /// How available all VMs were.
    pub availability: FiguresView,
    /// The VMs that were brought back.
    pub recoveries: Vec<RecoveryView>,
}

/// What became of one VM.
#[derive(Debug, Clone, Serialize)]
pub struct ToldVm {
    /// Which.
    pub name: String,
    /// Where it ran.
    pub from: String,
    /// Where it runs.
    pub to: String,
    /// What proved its host dead.
    pub proof: String,
    /// From the kill until its new process held its lock and wrote.
    pub kill_to_running_ms: f64,
}

/// Kills a host of a cluster whose VMs run, and waits until they run elsewhere. `say` is told each event as it comes.
pub async fn tell(cluster: &Cluster, victim: Victim, mut say: impl FnMut(&str)) -> anyhow::Result<Told> {
    let master = cluster.master().await?;
    let victim = choose(cluster, victim, &master).await?;
    let hit: Vec<VmView> = running_on(&cluster.vms().await?, &victim.name);
    let before: BTreeMap<String, usize> = starts(cluster, &hit)?;
    let witness = cluster.machines().iter().find(|machine| machine.name != victim.name).context("one host only")?;
    let client = witness.client()?;
    let mut after = last_event(&client).await?;
    say(&format!("kill -9: everything on {} ends now, {} VMs among it", victim.name, hit.len()));
    let killed = victim.kill()?;
    follow(cluster, &client, &hit, &before, &mut after, &mut say).await?;
    let availability: FiguresView = client.get("/v1/report/availability").await?;
    let FailoversView { failovers: recoveries, .. } = client.get("/v1/report/failovers").await?;
    let vms =
        hit.iter().map(|vm| told(cluster, vm, &before, killed, &recoveries)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut times: Vec<f64> = vms.iter().map(|vm| vm.kill_to_running_ms).collect();
    Ok(Told {
        was_master: victim.name == master,
        victim: victim.name.clone(),
        median_ms: median(&mut times),
        vms,
        clashes: clashes(cluster).await?,
        availability,
        recoveries,
    })
}

async fn choose<'a>(cluster: &'a Cluster, victim: Victim, master: &str) -> anyhow::Result<&'a Machine> {
    let vms = cluster.vms().await?;
    let fits = |machine: &&Machine| {
        let is_master = machine.name == master;
        is_master == (victim == Victim::Master) && !running_on(&vms, &machine.name).is_empty()
    };
    cluster.machines().iter().find(fits).context("no host fits: none of that kind runs a VM")
}

fn running_on(vms: &[VmView], host: &str) -> Vec<VmView> {
    vms.iter().filter(|vm| vm.host.as_deref() == Some(host) && vm.state == "running").cloned().collect()
}

fn starts(cluster: &Cluster, vms: &[VmView]) -> anyhow::Result<BTreeMap<String, usize>> {
    vms.iter().map(|vm| Ok((vm.name.clone(), examine(&cluster.disk(&vm.name))?.starts.len()))).collect()
}

async fn last_event(client: &Client) -> anyhow::Result<Option<String>> {
    let mut last: Option<String> = None;
    loop {
        let events = events(client, last.as_deref(), 0).await?;
        match events.last() {
            Some(event) => last = Some(event.key.clone()),
            None => return Ok(last),
        }
    }
}

async fn events(client: &Client, after: Option<&str>, wait: u64) -> anyhow::Result<Vec<EventView>> {
    let after = after.map(|key| format!("&after={key}")).unwrap_or_default();
    Ok(client.get(&format!("/v1/events?wait={wait}{after}")).await?)
}

/// Says what happens until every VM that was hit runs again.
async fn follow(
    cluster: &Cluster,
    client: &Client,
    hit: &[VmView],
    before: &BTreeMap<String, usize>,
    after: &mut Option<String>,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let watch = async {
        loop {
            // While there is no master, a voter shows what it has.
            let Ok(news) = events(client, after.as_deref(), 1).await else { continue };
            for event in &news {
                say(&event.text);
                *after = Some(event.key.clone());
            }
            if news.is_empty() && all_again(cluster, client, hit, before).await.unwrap_or(false) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(90), watch).await.context("the VMs did not come back in time")
}

async fn all_again(
    cluster: &Cluster,
    client: &Client,
    hit: &[VmView],
    before: &BTreeMap<String, usize>,
) -> anyhow::Result<bool> {
    let now = starts(cluster, hit)?;
    let vms: Vec<VmView> = client.get("/v1/vms").await?;
    let runs = |name: &String| vms.iter().any(|vm| vm.name == *name && vm.state == "running");
    Ok(now.iter().all(|(name, count)| before.get(name).is_some_and(|old| count > old) && runs(name)))
}

fn told(
    cluster: &Cluster,
    vm: &VmView,
    before: &BTreeMap<String, usize>,
    killed: Instant,
    recoveries: &[RecoveryView],
) -> anyhow::Result<ToldVm> {
    let examination = examine(&cluster.disk(&vm.name))?;
    let place = before.get(&vm.name).copied().unwrap_or(0);
    let start = examination.starts.get(place).with_context(|| format!("{} was not started again", vm.name))?;
    let recovery = recoveries.iter().rev().find(|recovery| recovery.vm == vm.name);
    let recovery = recovery.with_context(|| format!("the ledger knows of no recovery of {}", vm.name))?;
    let proof = recovery.proof.clone().with_context(|| format!("no proof is stored for {}", vm.name))?;
    let took = Instant::from_micros(start.boottime_micros).since(killed);
    Ok(ToldVm {
        name: vm.name.clone(),
        from: vm.host.clone().unwrap_or_default(),
        to: start.host.clone(),
        proof,
        kill_to_running_ms: took.as_secs_f64() * 1_000.0,
    })
}

/// How many disks two have ever written at once.
pub async fn clashes(cluster: &Cluster) -> anyhow::Result<usize> {
    let mut found = 0;
    for vm in cluster.vms().await? {
        found += usize::from(!examine(&cluster.disk(&vm.name))?.clashes.is_empty());
    }
    Ok(found)
}

/// The middle one; between the two in the middle where their number is even.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(upper), 0) => (values.get(middle.saturating_sub(1)).unwrap_or(upper) + upper) / 2.0,
        (Some(only), _) => *only,
        (None, _) => f64::NAN,
    }
}

/// Waits until these VMs run.
pub async fn all_run(cluster: &Cluster, count: usize) -> anyhow::Result<()> {
    cluster
        .until("all VMs to run", |cluster| async move {
            let vms = cluster.vms().await?;
            Ok(vms.len() == count && vms.iter().all(|vm| vm.state == "running"))
        })
        .await?;
    ensure!(clashes(cluster).await? == 0, "a disk was written by two");
    Ok(())
}
