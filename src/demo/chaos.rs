//! Random faults on a cluster of real processes, for as long as one likes; what must hold is checked all the while.

use super::cluster::Cluster;
use super::host::{Machine, Wanted};
use super::relay::Network;
use super::story::all_run;
use crate::client::Note;
use crate::clock;
use crate::core::ids::Epoch;
use crate::ledger::{Entry, What};
use crate::process::disk::examine;
use crate::sim::dice::Dice;
use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After so many faults all are mended, and everything must run.
const ROUND: u32 = 5;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// For how long.
    pub lasts: Duration,
    /// Where every choice comes from.
    pub seed: u64,
    /// So many VMs.
    pub vms: usize,
}

/// What was done, and that it went well.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// How often each fault befell the cluster.
    pub faults: BTreeMap<&'static str, u32>,
    /// How often everything was mended, and ran again.
    pub rounds: u32,
    /// How often a VM was started, beyond its first start.
    pub restarts: usize,
}

/// The faults, each by its name.
const FAULTS: [&str; 10] =
    ["kill", "freeze", "agent", "isolate", "one-way", "loss", "stop", "crash-two", "storage", "no-storage"];

/// Brings up a cluster, and lets faults befall it. An error says what did not hold.
pub async fn chaos(wanted: Wanted, plan: &Chaos, mut say: impl FnMut(&str)) -> anyhow::Result<Ended> {
    let planned = Cluster::plan(Wanted { relayed: true, ..wanted })?;
    let network = Network::between(&planned).await?;
    let mut cluster = planned.build().await?;
    let result = befall(&cluster, &network, plan, &mut say).await;
    cluster.end().await?;
    result
}

async fn befall(
    cluster: &Cluster,
    network: &Network,
    plan: &Chaos,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Ended> {
    cluster.arm().await?;
    for number in 1..=plan.vms {
        cluster.add_vm(&format!("vm-{number}"), None, false).await?;
    }
    all_run(cluster, plan.vms).await?;
    let mut dice = Dice::new(plan.seed);
    let mut ended = Ended::default();
    let begun = clock::boottime();
    while clock::boottime().since(begun) < plan.lasts {
        for _ in 0..ROUND {
            let fault = dice.pick(&FAULTS).copied().unwrap_or("kill");
            *ended.faults.entry(fault).or_default() += 1;
            one(cluster, network, fault, &mut dice, say).await?;
            pause(&mut dice, 200, 4_000).await;
            never_two(cluster, plan.vms)?;
        }
        mend(cluster, network).await?;
        all_run(cluster, plan.vms).await?;
        records_agree(cluster, plan.vms).await?;
        ended.rounds += 1;
        say(&format!("round {}: all {} VMs run, no disk was written by two", ended.rounds, plan.vms));
    }
    for number in 1..=plan.vms {
        ended.restarts += examine(&cluster.disk(&format!("vm-{number}")))?.starts.len() - 1;
    }
    Ok(ended)
}

async fn pause(dice: &mut Dice, least: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(dice.range(least, most))).await;
}

async fn one(
    cluster: &Cluster,
    network: &Network,
    fault: &str,
    dice: &mut Dice,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let machines = cluster.machines();
    let victim = dice.pick(machines).context("there are no hosts")?;
    let other = dice.pick(machines).context("there are no hosts")?;
    say(&format!("{fault}: {}", victim.name));
    match fault {
        // What does not run can not be killed, nor frozen.
        "kill" => drop(victim.kill()),
        "crash-two" => {
            drop(victim.kill());
            drop(other.kill());
        }
        "freeze" => {
            drop(victim.signal_all(Signal::STOP));
            pause(dice, 100, 9_000).await;
            drop(victim.signal_all(Signal::CONT));
        }
        "agent" => drop(victim.signal_agent(Signal::KILL)),
        "isolate" => cut_for(network, victim, machines, dice).await,
        "one-way" => {
            network.cut(victim, other);
            pause(dice, 100, 6_000).await;
            network.mend();
        }
        "loss" => {
            network.disturb(dice.range(1, 30), Duration::from_millis(dice.range(0, 60)));
            pause(dice, 500, 6_000).await;
            network.mend();
        }
        "storage" => {
            lead(cluster, std::slice::from_ref(victim), Storage::Gone)?;
            if dice.chance(50) {
                // Both channels at once, as when a whole rack goes dark.
                cut_for(network, victim, machines, dice).await;
            }
            pause(dice, 100, 9_000).await;
            lead(cluster, std::slice::from_ref(victim), Storage::There)?;
        }
        "no-storage" => {
            lead(cluster, machines, Storage::Gone)?;
            pause(dice, 100, 9_000).await;
            lead(cluster, machines, Storage::There)?;
        }
        "stop" => stop_and_start(cluster, dice).await,
        _ => bail!("nobody knows the fault {fault}"),
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    There,
    Gone,
}

/// Has hosts find their heartbeat datastores, or not.
fn lead(cluster: &Cluster, machines: &[Machine], storage: Storage) -> anyhow::Result<()> {
    for name in cluster.datastores() {
        let there = match storage {
            Storage::There => cluster.shared(&name),
            Storage::Gone => cluster.directory().join("nowhere").join(&name),
        };
        for machine in machines {
            machine.lead(&name, &there)?;
        }
    }
    Ok(())
}

async fn cut_for(network: &Network, victim: &Machine, machines: &[Machine], dice: &mut Dice) {
    network.isolate(victim, machines);
    pause(dice, 100, 9_000).await;
    network.mend();
}

/// A person stops a VM, and starts it again. Without a majority nothing comes of it.
async fn stop_and_start(cluster: &Cluster, dice: &mut Dice) {
    let Ok(client) = cluster.client().await else { return };
    let Ok(vms) = cluster.vms().await else { return };
    let Some(vm) = dice.pick(&vms) else { return };
    let stop = format!("/v1/vms/{}/stop", vm.name);
    let _: Result<Value, _> = client.post(&stop, &json!({ "force": dice.chance(50) }), &Note::default()).await;
    pause(dice, 0, 2_000).await;
    let start = format!("/v1/vms/{}/start", vm.name);
    let _: Result<Value, _> = client.post(&start, &json!({}), &Note::default()).await;
}

/// Mends everything: the network, hosts that stand still, hosts that crashed and stay dead, VMs that a person stopped.
async fn mend(cluster: &Cluster, network: &Network) -> anyhow::Result<()> {
    network.mend();
    for machine in cluster.machines() {
        // One that does not run stands not still.
        drop(machine.signal_all(Signal::CONT));
        machine.revive().await?;
    }
    let wanted = |cluster| async move {
        let client = Cluster::client(cluster).await?;
        for vm in Cluster::vms(cluster).await? {
            if vm.want != crate::core::command::Want::Running {
                let path = format!("/v1/vms/{}/start", vm.name);
                let _: Value = client.post(&path, &json!({}), &Note::default()).await?;
            }
        }
        for host in client.get::<Vec<Value>>("/v1/hosts").await? {
            if host.get("quarantined") == Some(&Value::Bool(true)) {
                let name = host.get("name").and_then(Value::as_str).unwrap_or_default();
                let path = format!("/v1/hosts/{name}/end-quarantine");
                let _: Value = client.post(&path, &json!({}), &Note::default()).await?;
            }
        }
        Ok(true)
    };
    cluster.until("a master to take up what was mended", wanted).await
}

fn never_two(cluster: &Cluster, vms: usize) -> anyhow::Result<()> {
    for number in 1..=vms {
        let name = format!("vm-{number}");
        let clashes = examine(&cluster.disk(&name))?.clashes;
        ensure!(clashes.is_empty(), "{name} was written by two: {clashes:?}");
    }
    Ok(())
}

/// What the disks saw is what the log allowed: each start of a VM has an epoch of its own, greater than all before, and
/// the ledger has placed the VM on that very host under it.
async fn records_agree(cluster: &Cluster, vms: usize) -> anyhow::Result<()> {
    let placed = placements(cluster).await?;
    for number in 1..=vms {
        let name = format!("vm-{number}");
        let mut last = None;
        for start in examine(&cluster.disk(&name))?.starts {
            ensure!(Some(start.epoch) > last, "{name} was started under {} after {last:?}", start.epoch);
            last = Some(start.epoch);
            let key = (name.clone(), start.host.clone(), start.epoch);
            ensure!(
                placed.contains(&key),
                "{name} was started on {} under {}, where the log never put it",
                key.1,
                key.2
            );
        }
    }
    Ok(())
}

/// Which VM was put where under which epoch, by the ledger.
async fn placements(cluster: &Cluster) -> anyhow::Result<BTreeSet<(String, String, Epoch)>> {
    let client = cluster.client().await?;
    let (mut vms, mut hosts, mut found) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut after = String::new();
    loop {
        let facts: Vec<Entry> = client.get(&format!("/v1/ledger?limit=1000{after}")).await?;
        let Some(last) = facts.last().map(|fact| fact.key) else { break };
        after = format!("&after={}.{}.{}", last.generation, last.index.0, last.part);
        for fact in facts {
            match fact.what {
                What::VmProtected { vm, name, .. } => drop(vms.insert(vm, name)),
                What::HostJoined { host, name } => drop(hosts.insert(host, name)),
                What::VmPlaced { vm, host, epoch, .. } => drop(found.insert((vm, host, epoch))),
                _ => {}
            }
        }
    }
    // The first host was there before the ledger.
    let first = cluster.machines().first().map(|machine| machine.name.clone()).unwrap_or_default();
    let host_name = |host| hosts.get(&host).cloned().unwrap_or_else(|| first.clone());
    let vm_name = |vm| vms.get(&vm).cloned().unwrap_or_default();
    Ok(found.into_iter().map(|(vm, host, epoch)| (vm_name(vm), host_name(host), epoch)).collect())
}
