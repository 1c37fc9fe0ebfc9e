//! Heartbeat datastores: what they save, and what their own faults do not break.

use crate::mounts::Mount;
use crate::rig::{Rig, lasting, relayed};
use serde_json::json;
use std::time::Duration;

/// Longer than any lease of the profile.
const LONG: Duration = Duration::from_secs(7);

/// What befell the hosts: nothing was fenced, reset by its watchdog, or started again.
async fn untouched(rig: &Rig) {
    for machine in rig.cluster.machines() {
        let status = machine.status().unwrap();
        assert_eq!((status.resets, status.watchdog_expiries), (0, 0), "{}", machine.name);
    }
    for vm in rig.vms().await {
        assert_eq!((rig.starts(&vm.name), vm.state.as_str()), (1, "running"), "{}", vm.name);
    }
    assert!(rig.recoveries().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_network_lives_by_its_records_and_keeps_its_vms() {
    let (rig, network) = relayed(3, |wanted| wanted.datastores = 2).await;
    let host = rig.other().await;
    network.isolate(rig.machine(&host), rig.cluster.machines());
    rig.until_host(&host, "isolated").await;
    lasting(LONG).await;
    rig.until_host(&host, "isolated").await;
    assert_eq!(rig.told(&format!("{host} is alive on storage only")).await, 1);
    network.mend();
    rig.until_host(&host, "alive").await;
    untouched(&rig).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_network_lets_its_vms_go_where_policy_says_so() {
    let (rig, network) = relayed(3, |wanted| wanted.datastores = 1).await;
    let policy = json!({ "isolation": "release" });
    let client = rig.must(rig.cluster.client().await);
    client.put::<serde_json::Value>("/v1/policy", &policy, &Default::default()).await.unwrap();
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    network.isolate(rig.machine(&host), rig.cluster.machines());
    rig.until_moved(&vms, &host).await;
    rig.proven(&vms, "released").await;
    let status = rig.machine(&host).status().unwrap();
    assert_eq!((status.resets, status.watchdog_expiries), (0, 0));
    network.mend();
    rig.until_host(&host, "alive").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_network_and_storage_a_lease_ends() {
    let (rig, network) = relayed(3, |wanted| {
        wanted.datastores = 2;
        wanted.fence = None;
    })
    .await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    network.isolate(rig.machine(&host), rig.cluster.machines());
    rig.lead([rig.machine(&host)], Some(&rig.folder.path().join("nowhere")));
    rig.until_moved(&vms, &host).await;
    rig.proven(&vms, "lease-expired").await;
    // It has stopped itself in time, so its watchdog had nothing to do.
    assert_eq!(rig.machine(&host).status().unwrap().watchdog_expiries, 0);
    // Its storage comes back before its network does: the tombstones that lie there hold.
    rig.lead([rig.machine(&host)], None);
    lasting(Duration::from_secs(2)).await;
    network.mend();
    rig.until_host(&host, "alive").await;
    assert!(vms.iter().all(|vm| rig.starts(vm) == 2));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_network_and_with_storage_that_hangs_a_host_is_fenced() {
    let (rig, network) = relayed(3, |wanted| {
        wanted.datastores = 1;
        wanted.watchdog = false;
    })
    .await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    if let Some(hanging) = Mount::hanging(&rig.folder.path().join("hanging")) {
        rig.lead([rig.machine(&host)], Some(hanging.path()));
        network.isolate(rig.machine(&host), rig.cluster.machines());
        rig.until_moved(&vms, &host).await;
        rig.proven(&vms, "fenced").await;
        rig.lead([rig.machine(&host)], None);
        network.mend();
    }
    rig.until_host(&host, "alive").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_is_gone_for_all_is_said_and_disturbs_nobody() {
    let rig = Rig::with_vms(3, |wanted| wanted.datastores = 2).await;
    rig.until_doctor("storage-", false).await;
    rig.lead(rig.cluster.machines(), Some(&rig.folder.path().join("nowhere")));
    rig.until_doctor("storage-2 can be read by no host", true).await;
    lasting(LONG).await;
    assert_eq!(rig.told("storage-2 can be read by no host").await, 1);
    rig.lead(rig.cluster.machines(), None);
    rig.until_doctor("storage-", false).await;
    untouched(&rig).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_hangs_for_all_is_said_and_disturbs_nobody() {
    let rig = Rig::with_vms(3, |wanted| wanted.datastores = 1).await;
    if let Some(hanging) = Mount::hanging(&rig.folder.path().join("hanging")) {
        rig.lead(rig.cluster.machines(), Some(hanging.path()));
        rig.until_doctor("storage-1 can be read by no host", true).await;
        lasting(LONG).await;
        for machine in rig.cluster.machines() {
            let log = std::fs::read_to_string(machine.log()).unwrap();
            assert!(!log.contains("not written"), "it did not hang: {log}");
        }
        rig.lead(rig.cluster.machines(), None);
        // Whoever hangs gets an error now, and looks where the path leads.
        drop(hanging);
        rig.until_doctor("storage-", false).await;
        // What hung for so long renews nothing, and hurts nothing.
        assert_eq!(rig.told("storage-1 can be read by no host").await, 1);
    }
    untouched(&rig).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_is_gone_for_one_host_is_said_of_that_host() {
    let rig = Rig::with_vms(3, |wanted| wanted.datastores = 1).await;
    let host = rig.other().await;
    rig.lead([rig.machine(&host)], Some(&rig.folder.path().join("nowhere")));
    rig.until_doctor(&format!("{host} writes no liveness record on storage-1"), true).await;
    rig.until_told(&format!("{host} writes no liveness record on storage-1")).await;
    rig.lead([rig.machine(&host)], None);
    rig.until_doctor("storage-", false).await;
    untouched(&rig).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_up_before_its_storage_finds_it_later() {
    let rig = Rig::with_vms(3, |wanted| wanted.datastores = 1).await;
    let host = rig.other().await;
    rig.lead([rig.machine(&host)], Some(&rig.folder.path().join("nowhere")));
    rig.machine(&host).signal_agent(rustix::process::Signal::KILL).unwrap();
    rig.until_doctor("it keeps no liveness record on storage-1, as others do", true).await;
    rig.lead([rig.machine(&host)], None);
    rig.until_doctor("storage-1", false).await;
    rig.until_host(&host, "alive").await;
    untouched(&rig).await;
    rig.end().await;
}
