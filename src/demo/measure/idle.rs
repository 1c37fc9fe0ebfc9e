//! What an agent costs while nothing happens.

use super::process::{Process, Usage};
use crate::core::timing::Profile;
use crate::demo::{Cluster, Machine, Wanted, all_run};
use anyhow::Context;
use serde::Serialize;
use std::time::Duration;

/// After the last VM has started, and before anything is measured.
const SETTLING: Duration = Duration::from_secs(10);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// The time limits.
    pub profile: Profile,
    /// So many VMs on the master's host, and as many on another; none on the third.
    pub vms: usize,
    /// For how long.
    pub lasts: Duration,
}

/// What one agent used.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Which.
    pub who: String,
    /// What.
    pub usage: Usage,
}

/// Lets a cluster of three be idle.
pub async fn idle(ordinary: Wanted, plan: &Idle) -> anyhow::Result<Vec<Cost>> {
    let mut cluster = Cluster::raise(Wanted { profile: plan.profile, ..ordinary }).await?;
    let costs = measured(&cluster, plan).await;
    cluster.end().await?;
    costs
}

async fn measured(cluster: &Cluster, plan: &Idle) -> anyhow::Result<Vec<Cost>> {
    cluster.arm().await?;
    let master = cluster.master().await?;
    let (leads, others): (Vec<&Machine>, Vec<&Machine>) =
        cluster.machines().iter().partition(|machine| machine.name == master);
    let busy = [leads.first(), others.first()];
    for (place, machine) in busy.iter().enumerate() {
        let machine = machine.with_context(|| format!("{master} is no host of this cluster"))?;
        for number in 1..=plan.vms {
            let name = format!("vm-{}", place * plan.vms + number);
            cluster.add_quiet_vm(&name, Some(&machine.name)).await?;
        }
    }
    all_run(cluster, 2 * plan.vms).await?;
    tokio::time::sleep(SETTLING).await;
    let agents = leads.iter().chain(&others).map(|machine| agent(machine)).collect::<anyhow::Result<Vec<_>>>()?;
    tokio::time::sleep(plan.lasts).await;
    let names =
        [format!("master with {} VMs", plan.vms), format!("host with {} VMs", plan.vms), "host without VMs".to_owned()];
    names.into_iter().zip(agents).map(|(who, agent)| Ok(Cost { who, usage: agent.usage()? })).collect()
}

/// The agent of a host.
pub(super) fn agent(machine: &Machine) -> anyhow::Result<Process> {
    let pid = machine.status()?.agent_pid.with_context(|| format!("{} has no agent", machine.name))?;
    Process::look(pid)
}
