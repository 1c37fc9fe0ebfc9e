//! The disk of a host is full, so that its agent can remember nothing new, and its voter neither.

use crate::rig::Rig;
use serde_json::{Value, json};

const IDLE: &str = "they take in nothing of what the others agree on";

/// Something that goes into the log, and concerns no agent.
async fn decide(rig: &Rig) {
    rig.post("/v1/tokens", json!({ "for_seconds": 60 })).await.expect("the others are a majority");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_whose_disk_is_full_is_out_until_there_is_room() {
    let Some(rig) = Rig::with_small_disks(3, |_| {}).await else { return };
    let host = rig.other().await;
    rig.disk(&host).fill();
    decide(&rig).await;
    rig.until_doctor(&format!("{IDLE}: {host}"), true).await;
    for _ in 0..5 {
        decide(&rig).await;
    }
    // Its agent had nothing to remember, so its VMs do not feel it.
    assert!(rig.vms().await.iter().all(|vm| vm.state == "running" && rig.starts(&vm.name) == 1));
    rig.disk(&host).clear();
    rig.until_doctor(IDLE, false).await;
    // Of two votes each counts: without its own the next master could not be.
    let master = rig.master().await;
    let vms = rig.on(&master).await;
    rig.machine(&master).kill().unwrap();
    rig.until_moved(&vms, &master).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_can_remember_nothing_promises_nothing() {
    let Some(rig) = Rig::with_small_disks(3, |_| {}).await else { return };
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    rig.disk(&host).fill();
    // It would have to write down that there is a VM more to keep out. So it falls silent, as any host that is lost.
    rig.must(rig.cluster.add_vm("late", None, false).await);
    rig.until_moved(&vms, &host).await;
    rig.proven(&vms, "fenced").await;
    // It may start the new one by itself when it comes up, for it never heard that it must not.
    let late = rig.vms().await.into_iter().find(|vm| vm.name == "late").unwrap();
    assert_eq!((late.waits_for.as_str(), rig.starts("late")), ("proof", 0), "{late:?}");
    assert!(late.waits.as_ref().is_some_and(|why| why.contains(&host)), "{late:?}");
    rig.disk(&host).clear();
    rig.until_host(&host, "alive").await;
    rig.until_doctor(IDLE, false).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_whose_disk_is_full_is_followed_by_another() {
    let Some(rig) = Rig::with_small_disks(3, |_| {}).await else { return };
    let master = rig.master().await;
    rig.disk(&master).fill();
    // Nothing may come of it, and nobody may be left to say so.
    let client = rig.must(rig.cluster.client().await);
    drop(client.post::<Value>("/v1/tokens", &json!({ "for_seconds": 60 }), &Default::default()).await);
    let another = |cluster| {
        let master = &master;
        async move { Ok(holdfast::demo::Cluster::master(cluster).await? != *master) }
    };
    rig.must(rig.cluster.until("another master", another).await);
    decide(&rig).await;
    rig.disk(&master).clear();
    rig.until_host(&master, "alive").await;
    rig.until_doctor(IDLE, false).await;
    rig.end().await;
}
