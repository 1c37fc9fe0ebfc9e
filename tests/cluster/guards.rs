//! Hosts that have nothing to stop them but their own agents, where an operator accepts that by name.
//!
//! What software stops, a freeze stops too: a frozen host that thaws still has its VMs in memory, and until its agent
//! has killed them nothing but their disks' locks keeps them from writing.

use crate::rig::{Rig, lasting, relayed};
use holdfast::client::Note;
use holdfast::demo::{Cluster, Wanted, all_run};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

fn guardless(wanted: &mut Wanted) {
    wanted.fence = None;
    wanted.watchdog = false;
}

/// Lets leases count that only software enforces.
async fn accept(rig: &Rig) {
    let client = rig.must(rig.cluster.client().await);
    let mut policy: Value = client.get("/v1/policy").await.unwrap();
    policy["accept_software_guards"] = json!(true);
    let _: Value = client.put("/v1/policy", &policy, &Note::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_stops_its_vms_by_itself() {
    let (rig, network) = relayed(0, guardless).await;
    accept(&rig).await;
    rig.add_vms(3).await;
    rig.until_evicted(&network).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_freezes_and_thaws_keeps_the_locks_until_its_vms_are_gone() {
    let rig = Rig::with_vms(0, guardless).await;
    accept(&rig).await;
    for (place, machine) in (1..).zip(rig.cluster.machines()) {
        rig.must(rig.cluster.add_vm(&format!("vm-{place}"), Some(&machine.name), true).await);
    }
    rig.must(all_run(&rig.cluster, 3).await);
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    rig.machine(&host).signal_all(Signal::STOP).unwrap();
    // The lease has run out, by the clock of those who wait for it.
    rig.until_host(&host, "dead").await;
    lasting(Duration::from_secs(3)).await;
    assert!(vms.iter().all(|vm| rig.starts(vm) == 1), "it was started though the frozen one has its disk");
    rig.machine(&host).signal_all(Signal::CONT).unwrap();
    rig.until_host(&host, "alive").await;
    // Anywhere: by now the thawed host is as good as any other.
    let again = |_: &Cluster| async { Ok(vms.iter().all(|vm| rig.starts(vm) == 2)) };
    rig.must(rig.cluster.until("the VMs to be started again", again).await);
    rig.must(all_run(&rig.cluster, 3).await);
    rig.end().await;
}
