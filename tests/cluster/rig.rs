//! A cluster for one test, which is gone when the test ends, however it ends.

use crate::mounts::Mount;
use holdfast::api::{DoctorView, EventView, FailoversView, FigureRow, FiguresView, RecoveryView, VmView};
use holdfast::client::{Client, ClientError, Note};
use holdfast::core::ids::{HostId, VoterId};
use holdfast::demo::{Cluster, Machine, Network, Wanted, all_run};
use holdfast::ledger::{Entry, What};
use holdfast::process::disk::{Examination, examine};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_holdfast"))
}

/// A cluster and the folder in which it lies.
pub struct Rig {
    pub cluster: Cluster,
    /// Disks of hosts that are file systems of their own.
    pub disks: Vec<Mount>,
    pub folder: TempDir,
}

impl Rig {
    /// A cluster as wanted, armed, with so many VMs spread over its hosts. Their disks have no locks: what keeps two
    /// from writing is what is under test.
    pub async fn with_vms(vms: usize, change: impl FnOnce(&mut Wanted)) -> Rig {
        let rig = Rig::raise(change).await;
        rig.cluster.arm().await.expect("the cluster is armed");
        rig.add_vms(vms).await;
        rig
    }

    /// A cluster as wanted, armed, with so many VMs, whose hosts keep what they must not forget on small disks; none
    /// where such disks are not to be had.
    pub async fn with_small_disks(vms: usize, change: impl FnOnce(&mut Wanted)) -> Option<Rig> {
        let (wanted, folder) = wanted(change);
        let plan = Cluster::plan(wanted).unwrap_or_else(|error| lost(folder.path(), &error));
        let disks: Option<Vec<Mount>> = plan.machines().iter().map(|host| Mount::small(&host.state(), 32)).collect();
        let disks = disks?;
        let cluster = plan.build().await.unwrap_or_else(|error| lost(folder.path(), &error));
        let rig = Rig { cluster, disks, folder };
        rig.cluster.arm().await.expect("the cluster is armed");
        rig.add_vms(vms).await;
        Some(rig)
    }

    /// A cluster as wanted, that only observes.
    pub async fn raise(change: impl FnOnce(&mut Wanted)) -> Rig {
        let (wanted, folder) = wanted(change);
        let cluster = Cluster::raise(wanted).await.unwrap_or_else(|error| lost(folder.path(), &error));
        Rig { cluster, disks: Vec::new(), folder }
    }

    /// Adds VMs, one host after the other.
    pub async fn add_vms(&self, count: usize) {
        let hosts = self.cluster.machines();
        for number in 1..=count {
            let home = &hosts[number % hosts.len()].name;
            self.cluster.add_vm(&format!("vm-{number}"), Some(home), false).await.expect("a VM is added");
        }
        self.must(all_run(&self.cluster, count).await);
    }

    /// What is needed for a test to go on. If it is missing, the logs are shown.
    pub fn must<T>(&self, result: anyhow::Result<T>) -> T {
        result.unwrap_or_else(|error| lost(self.folder.path(), &error))
    }

    /// A host by its name.
    pub fn machine(&self, name: &str) -> &Machine {
        self.cluster.machine(name).expect("there is such a host")
    }

    /// The small disk of a host.
    pub fn disk(&self, name: &str) -> &Mount {
        self.disks.get(self.place(name)).expect("it has a small disk")
    }

    /// The host of the master.
    pub async fn master(&self) -> String {
        self.must(self.cluster.master().await)
    }

    /// A host that is not the master's, and runs VMs.
    pub async fn other(&self) -> String {
        let master = self.master().await;
        let vms = self.vms().await;
        let mut hosts = vms.iter().filter_map(|vm| vm.host.clone());
        hosts.find(|host| *host != master).expect("a host beside the master's runs a VM")
    }

    pub async fn vms(&self) -> Vec<VmView> {
        self.get("/v1/vms").await
    }

    /// Waits until the doctor finds this, or finds it no more.
    pub async fn until_doctor(&self, says: &str, there: bool) {
        let found = |cluster| async move {
            let view: DoctorView = Cluster::client(cluster).await?.get("/v1/doctor").await?;
            Ok(view.findings.iter().any(|finding| finding.text.contains(says)) == there)
        };
        self.must(self.cluster.until(&format!("the doctor on \"{says}\": {there}"), found).await);
    }

    /// How often the history says this.
    pub async fn told(&self, says: &str) -> usize {
        let events: Vec<EventView> = self.get("/v1/events").await;
        events.iter().filter(|event| event.text.contains(says)).count()
    }

    /// Waits until the history says this.
    pub async fn until_told(&self, says: &str) {
        let told = |_| async move { Ok(self.told(says).await > 0) };
        self.must(self.cluster.until(&format!("the history to say \"{says}\""), told).await);
    }

    /// How the last recovery of each of these VMs was proven.
    pub async fn proofs(&self, vms: &[String]) -> Vec<String> {
        let recoveries = self.recoveries().await;
        let last = |vm: &String| recoveries.iter().rev().find(|recovery| recovery.vm == *vm);
        vms.iter().map(|vm| last(vm).and_then(|recovery| recovery.proof.clone()).unwrap_or_default()).collect()
    }

    /// Sees to it that each of these VMs was restarted by this proof.
    pub async fn proven(&self, vms: &[String], by: &str) {
        let proofs = self.proofs(vms).await;
        assert!(proofs.iter().all(|proof| proof == by), "{vms:?} by {proofs:?}, not {by}");
    }

    /// The number of the voter that lives on a host, by its place; it was named when the host joined.
    pub async fn voter(&self, place: usize) -> Option<VoterId> {
        let facts: Vec<Entry> = self.get("/v1/ledger?limit=1000").await;
        let voters = facts.into_iter().rev().find_map(|fact| match fact.what {
            What::Voters { voters } => Some(voters),
            _ => None,
        });
        let home = HostId(u32::try_from(place).ok()?);
        voters?.into_iter().find(|(_, host)| *host == home).map(|(voter, _)| voter)
    }

    /// Waits until the last voter knows that it is alone, and asks it from then on.
    pub async fn until_alone(&self, last: &str) -> Client {
        let client = self.machine(last).client().expect("a way to it");
        let asked = &client;
        let alone = |_| async move {
            let view: Value = asked.get("/v1/status").await?;
            Ok(view.get("master").is_some_and(Value::is_null))
        };
        self.must(self.cluster.until("the last voter to know that it is alone", alone).await);
        client
    }

    /// The place of a host among the machines.
    pub fn place(&self, name: &str) -> usize {
        self.cluster.machines().iter().position(|machine| machine.name == name).expect("there is such a host")
    }

    /// Leads these hosts elsewhere where they look for a heartbeat datastore: to where it is if nothing else is said.
    pub fn lead<'a>(&self, hosts: impl IntoIterator<Item = &'a Machine>, to: Option<&Path>) {
        for host in hosts {
            for name in self.cluster.datastores() {
                let there = to.map_or_else(|| self.cluster.shared(&name), |to| to.join(&name));
                host.lead(&name, &there).expect("the link is replaced");
            }
        }
    }

    /// Asks until there is a master to answer: between two of them nobody does.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = tokio::sync::Mutex::new(None);
        let put = &answer;
        let asked = move |cluster| async move {
            *put.lock().await = Some(Cluster::client(cluster).await?.get(path).await?);
            Ok(true)
        };
        self.must(self.cluster.until(path, asked).await);
        answer.into_inner().expect("it was answered")
    }

    /// The VMs that run on a host.
    pub async fn on(&self, host: &str) -> Vec<String> {
        let vms = self.vms().await;
        vms.into_iter().filter(|vm| vm.host.as_deref() == Some(host)).map(|vm| vm.name).collect()
    }

    /// Waits until these VMs run on another host than that one.
    pub async fn until_moved(&self, vms: &[String], from: &str) {
        let moved = |cluster| async move {
            let now = Cluster::vms(cluster).await?;
            let runs = |name: &String| {
                now.iter().any(|vm| vm.name == *name && vm.state == "running" && vm.host.as_deref() != Some(from))
            };
            Ok(vms.iter().all(runs))
        };
        self.must(self.cluster.until("the VMs to run elsewhere", moved).await);
    }

    /// Waits until a host is seen so.
    pub async fn until_host(&self, host: &str, state: &str) {
        let seen = |cluster| async move {
            let view: Value = Cluster::client(cluster).await?.get(&format!("/v1/hosts/{host}")).await?;
            Ok(view.get("state").and_then(Value::as_str) == Some(state))
        };
        self.must(self.cluster.until(&format!("{host} to be {state}"), seen).await);
    }

    /// Cuts a host off until its VMs run elsewhere, and mends the network then.
    pub async fn until_evicted(&self, network: &Network) {
        let host = self.other().await;
        let vms = self.on(&host).await;
        network.isolate(self.machine(&host), self.cluster.machines());
        self.until_moved(&vms, &host).await;
        network.mend();
        self.until_host(&host, "alive").await;
    }

    /// How often a VM was started so far, by its disk.
    pub fn starts(&self, vm: &str) -> usize {
        self.examine(vm).starts.len()
    }

    pub fn examine(&self, vm: &str) -> Examination {
        examine(&self.cluster.disk(vm)).expect("the disk can be examined")
    }

    /// How available each VM was, by the ledger.
    pub async fn figures(&self) -> Vec<FigureRow> {
        self.get::<FiguresView>("/v1/report/availability?by=vm").await.rows
    }

    /// The VMs that were brought back, by the ledger.
    pub async fn recoveries(&self) -> Vec<RecoveryView> {
        self.get::<FailoversView>("/v1/report/failovers").await.failovers
    }

    /// Has something done by the master, under one name however often it is asked.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, ClientError> {
        let note = Note { id: Some(uuid::Uuid::new_v4().as_u64_pair().0 >> 2), reason: None };
        loop {
            self.must(
                self.cluster.until("a master", |cluster| async move { Ok(cluster.master().await.is_ok()) }).await,
            );
            let Ok(client) = self.cluster.client().await else { continue };
            match client.post(path, &body, &note).await {
                Err(error) if matches!(error.code(), Some("no-master" | "unanswered")) => {}
                answer => return answer,
            }
        }
    }

    /// Ends the test: no disk was ever written by two, all that should run runs, and the ledger of each voter says the
    /// same.
    pub async fn end(self) {
        self.end_and_keep().await;
    }

    /// Ends the test, and keeps what lies on the disks.
    pub async fn end_and_keep(mut self) -> TempDir {
        let settled = |cluster| async move {
            let vms = Cluster::vms(cluster).await?;
            Ok(vms.iter().all(|vm| vm.want != holdfast::core::command::Want::Running || vm.state == "running"))
        };
        self.must(self.cluster.until("everything that should run to run", settled).await);
        for vm in self.vms().await {
            let clashes = self.examine(&vm.name).clashes;
            assert!(clashes.is_empty(), "{} was written by two: {clashes:?}", vm.name);
        }
        crate::checks::ledgers_agree(&self).await;
        let ended = self.cluster.end().await;
        self.must(ended);
        self.folder
    }
}

/// A cluster with relays between its hosts, armed, with so many VMs.
pub async fn relayed(vms: usize, change: impl FnOnce(&mut Wanted)) -> (Rig, Network) {
    let (wanted, folder) = wanted(|wanted| {
        wanted.relayed = true;
        change(wanted);
    });
    let plan = Cluster::plan(wanted).unwrap_or_else(|error| lost(folder.path(), &error));
    let network = Network::between(&plan).await.unwrap_or_else(|error| lost(folder.path(), &error));
    let cluster = plan.build().await.unwrap_or_else(|error| lost(folder.path(), &error));
    let rig = Rig { cluster, disks: Vec::new(), folder };
    rig.cluster.arm().await.expect("the cluster is armed");
    rig.add_vms(vms).await;
    (rig, network)
}

/// What is wanted, and the folder for it.
pub fn wanted(change: impl FnOnce(&mut Wanted)) -> (Wanted, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wanted = Wanted::ordinary(folder.path().to_owned(), program());
    change(&mut wanted);
    (wanted, folder)
}

/// Shows what the agents said last, and gives up.
pub fn lost(folder: &Path, error: &anyhow::Error) -> ! {
    for number in 1..=9 {
        let path = folder.join(format!("host-{number}")).join("log");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("== host-{number}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    }
    panic!("{error:#}")
}

/// A body without words.
pub fn nothing() -> Value {
    json!({})
}

/// Waits on the clock, where time itself is what a fault consists of: a freeze, or a cut, that lasts so long.
pub async fn lasting(duration: Duration) {
    tokio::time::sleep(duration).await;
}
