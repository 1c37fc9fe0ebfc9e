//! People act while things happen.

use crate::rig::{Rig, lasting, nothing};
use holdfast::api::VmView;
use holdfast::client::Note;
use holdfast::core::command::Want;
use holdfast::demo::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_is_stopped_in_the_middle_of_its_recovery_stays_stopped() {
    let rig = Rig::with_vms(3, |wanted| wanted.fence = Some(Duration::from_secs(2))).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    let stopped = vms[0].clone();
    rig.machine(&victim).kill().unwrap();
    rig.until_host(&victim, "judged").await;
    rig.post(&format!("/v1/vms/{stopped}/stop"), json!({ "force": false })).await.unwrap();
    rig.until_host(&victim, "alive").await;
    let settled = |cluster| async move {
        let vms = Cluster::vms(cluster).await?;
        Ok(vms.iter().all(|vm| vm.holders.len() == usize::from(vm.want == Want::Running)))
    };
    rig.must(rig.cluster.until("everything to be settled", settled).await);
    assert_eq!(rig.starts(&stopped), 1, "it was started though a person had stopped it");
    let started = rig.post(&format!("/v1/vms/{stopped}/start"), nothing()).await;
    assert!(started.is_ok(), "{started:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_planned_and_a_crash_is_not() {
    let rig = Rig::with_vms(2, |_| {}).await;
    rig.post("/v1/vms/vm-1/stop", json!({ "force": true })).await.unwrap();
    let stopped = |cluster| async move {
        let vms = Cluster::vms(cluster).await?;
        Ok(vms.iter().any(|vm| vm.name == "vm-1" && vm.state == "stopped"))
    };
    rig.must(rig.cluster.until("vm-1 to be stopped", stopped).await);
    rig.post("/v1/vms/vm-1/start", nothing()).await.unwrap();
    rig.must(holdfast::demo::all_run(&rig.cluster, 2).await);
    let figures = rig.figures().await;
    let row = figures.iter().find(|row| row.name == "vm-1").unwrap();
    assert!(row.planned_ms > 0 && row.unplanned_ms == 0, "{row:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_says_is_what_happens() {
    let rig = Rig::with_vms(6, |_| {}).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    let plan = rig.post("/v1/plan", json!({ "fail": [victim] })).await.unwrap();
    let planned = |vm: &String| {
        let list = plan.as_array().unwrap();
        let one = list.iter().find(|one| one["vm"] == vm.as_str()).unwrap();
        (one["to"].as_str().unwrap().to_owned(), one["proof"].as_str().unwrap().to_owned())
    };
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    let recoveries = rig.recoveries().await;
    for vm in &vms {
        let recovery = recoveries.iter().rev().find(|recovery| recovery.vm == *vm).unwrap();
        assert_eq!((recovery.to.clone(), recovery.proof.clone().unwrap()), planned(vm), "{vm}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_only_observes_restarts_nothing_until_it_is_armed() {
    let rig = Rig::with_vms(3, |_| {}).await;
    rig.post("/v1/disarm", json!({})).await.unwrap();
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_host(&victim, "judged").await;
    for vm in rig.vms().await.iter().filter(|vm| vms.contains(&vm.name)) {
        assert_eq!(vm.waits_for, "not-armed", "{vm:?}");
    }
    assert!(vms.iter().all(|vm| rig.starts(vm) == 1));
    rig.post("/v1/arm", nothing()).await.unwrap();
    rig.until_moved(&vms, &victim).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_masters_own_host_can_be_removed() {
    let rig = Rig::with_vms(0, |_| {}).await;
    let leaver = rig.master().await;
    let others: Vec<&str> = rig.cluster.machines().iter().map(|machine| machine.name.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|name| *name != leaver).collect();
    for (number, home) in others.iter().enumerate() {
        rig.cluster.add_vm(&format!("vm-{}", number + 1), Some(home), false).await.unwrap();
    }
    rig.must(holdfast::demo::all_run(&rig.cluster, 2).await);
    let path = format!("/v1/hosts/{leaver}");
    rig.must(rig.cluster.until("the host to be removed", |cluster| gone(cluster, path.clone())).await);
    rig.machine(&leaver).kill().unwrap();
    assert!(rig.starts("vm-1") == 1 && rig.starts("vm-2") == 1, "the removal disturbed a VM");
    // Of the two that remain one votes: the loss of the other stops nothing.
    let alone = |cluster| async move {
        let status = Cluster::client(cluster).await?.get::<Value>("/v1/status").await?;
        Ok(status["voters"].as_array().is_some_and(|voters| voters.len() == 1))
    };
    rig.must(rig.cluster.until("one voter to remain", alone).await);
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    rig.until_host(&victim, "alive").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_not_removed_while_its_vote_is_needed() {
    let mut rig = Rig::with_vms(0, |wanted| wanted.fence = None).await;
    let master = rig.master().await;
    let others: Vec<usize> = (0..3).filter(|place| rig.cluster.machines()[*place].name != master).collect();
    let name = |rig: &Rig, place: usize| rig.cluster.machines()[place].name.clone();
    let (leaver, dead) = (name(&rig, others[0]), name(&rig, others[1]));
    rig.machine(&dead).kill().unwrap();
    rig.until_host(&dead, "judged").await;
    let client = rig.must(rig.cluster.client().await);
    let path = format!("/v1/hosts/{leaver}");
    let asked = client.delete(&path, &Note::default()).await.unwrap();
    assert_eq!(asked["done"], false);
    // In this time its vote would move, if it could.
    lasting(Duration::from_secs(2)).await;
    rig.post("/v1/networks", json!({ "name": "guests" })).await.expect("a majority is left");
    let back = rig.cluster.power_cycle(others[1]).await;
    rig.must(back);
    rig.must(rig.cluster.until("the host to be removed", |cluster| gone(cluster, path.clone())).await);
    rig.machine(&leaver).kill().unwrap();
    rig.end().await;
}

/// Whether a host is removed by now, which this asks for.
async fn gone(cluster: &Cluster, path: String) -> anyhow::Result<bool> {
    match cluster.client().await?.delete(&path, &Note::default()).await {
        Ok(answer) => Ok(answer["done"] == true),
        Err(error) if error.code() == Some("not-found") => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_parts() {
    let rig = Rig::with_vms(5, |_| {}).await;
    let client = rig.must(rig.cluster.client().await);
    let whole: Vec<VmView> = client.get("/v1/vms").await.unwrap();
    let first: Vec<VmView> = client.get("/v1/vms?limit=3").await.unwrap();
    let rest: Vec<VmView> = client.get(&format!("/v1/vms?limit=3&after={}", first[2].uuid)).await.unwrap();
    let names = |list: &[VmView]| list.iter().map(|vm| vm.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&first), names(&rest)), (names(&whole[..3]), names(&whole[3..])));
    let unknown = client.get::<Value>("/v1/vms?after=nobody").await.unwrap_err();
    assert_eq!(unknown.code(), Some("not-found"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_unprotected_is_neither_forgotten_nor_started_a_second_time() {
    let rig = Rig::with_vms(2, |_| {}).await;
    let vm = rig.vms().await.into_iter().find(|vm| vm.name == "vm-1").unwrap();
    let host = vm.host.clone().unwrap();
    rig.post("/v1/vms/vm-1/unprotect", nothing()).await.unwrap();
    // Until every host has said what runs there, it is refused for that reason.
    let refused = |cluster| async move {
        let client = Cluster::client(cluster).await?;
        let error = client.delete("/v1/vms/vm-1", &Note::default()).await.expect_err("it runs");
        Ok(error.code() == Some("still-runs"))
    };
    rig.must(rig.cluster.until("the removal of what runs to be refused", refused).await);
    // The same disk, under another name and another UUID.
    let body = |name: &str, uuid: Option<uuid::Uuid>| {
        let definition = format!("disk = {:?}\nlock = false\n", rig.cluster.disk("vm-1"));
        json!({ "name": name, "uuid": uuid, "memory_mib": 64, "millicores": 10, "definition": definition, "start": true })
    };
    let second = rig.post("/v1/vms", body("other", None)).await.expect_err("there would be two");
    assert_eq!(second.code(), Some("runs-unprotected"));
    assert!(second.to_string().contains(&host) && second.to_string().contains(&vm.uuid.to_string()), "{second}");
    rig.post("/v1/vms", body("vm-1", Some(vm.uuid))).await.unwrap();
    rig.must(holdfast::demo::all_run(&rig.cluster, 2).await);
    assert_eq!(rig.starts("vm-1"), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_its_hypervisor_cannot_make_is_told_once_and_as_what_it_is() {
    let rig = Rig::with_vms(1, |_| {}).await;
    let vm = rig.vms().await.remove(0);
    let from = vm.host.clone().unwrap();
    let to = rig.cluster.machines().iter().map(|machine| machine.name.clone()).find(|name| *name != from).unwrap();
    rig.post("/v1/vms/vm-1/move", json!({ "to": to })).await.unwrap();
    rig.until_told(&format!("vm-1 was not moved to {to}, and runs on on {from}")).await;
    rig.must(holdfast::demo::all_run(&rig.cluster, 1).await);
    assert_eq!((rig.starts("vm-1"), rig.told("a person stopped it").await, rig.told("was not moved").await), (1, 0, 1));
    let log = std::fs::read_to_string(rig.machine(&from).log()).unwrap();
    let tries = log.matches("could not be moved").count();
    assert!((1..=2).contains(&tries), "{tries} tries");
    rig.end().await;
}
