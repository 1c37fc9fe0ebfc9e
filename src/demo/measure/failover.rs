//! How long it takes from the death of a host until its VMs run again.

use crate::core::timing::Profile;
use crate::demo::{Cluster, Told, Victim, Wanted, all_run, tell};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many VMs, spread over three hosts.
const VMS: usize = 6;

/// What is measured: time limits, fence device, and who dies.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The time limits.
    pub profile: Profile,
    /// How long a fence device takes; none: the lease and the watchdog must prove the death.
    pub fence: Option<Duration>,
    /// Whose host is killed.
    pub victim: Victim,
}

/// What came of it, over all VMs of all runs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Failover {
    /// From the kill until each VM wrote again.
    pub kill_to_running_ms: Vec<f64>,
    /// What proved the host dead, and how often.
    pub proofs: BTreeMap<String, usize>,
    /// How many disks were ever written by two.
    pub clashes: usize,
}

impl Failover {
    /// Adds a run.
    pub fn add(&mut self, told: &Told) {
        self.clashes += told.clashes;
        for vm in &told.vms {
            self.kill_to_running_ms.push(vm.kill_to_running_ms);
            *self.proofs.entry(vm.proof.clone()).or_default() += 1;
        }
    }
}

/// Kills a host of a new cluster once.
pub async fn failover(ordinary: Wanted, case: Case) -> anyhow::Result<Told> {
    let mut cluster = Cluster::raise(Wanted { profile: case.profile, fence: case.fence, ..ordinary }).await?;
    let told = one(&cluster, case.victim).await;
    cluster.end().await?;
    told
}

async fn one(cluster: &Cluster, victim: Victim) -> anyhow::Result<Told> {
    cluster.arm().await?;
    let machines = cluster.machines();
    for (number, machine) in (1..=VMS).zip(machines.iter().cycle()) {
        cluster.add_vm(&format!("vm-{number}"), Some(&machine.name), true).await?;
    }
    all_run(cluster, VMS).await?;
    tell(cluster, victim, |_| ()).await
}
