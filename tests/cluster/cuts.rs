//! The network is cut, or bad.

use crate::rig::{lasting, relayed};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_is_fenced() {
    let (rig, network) = relayed(3, |_| {}).await;
    rig.until_evicted(&network).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_lets_its_vms_go_when_its_lease_ends() {
    let (rig, network) = relayed(3, |wanted| wanted.fence = None).await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    network.isolate(rig.machine(&host), rig.cluster.machines());
    rig.until_moved(&vms, &host).await;
    // It has stopped itself in time, so its watchdog had nothing to do.
    assert_eq!(rig.machine(&host).status().unwrap().watchdog_expiries, 0);
    network.mend();
    rig.until_host(&host, "alive").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_cut_off_is_followed_by_another() {
    let (rig, network) = relayed(3, |_| {}).await;
    let master = rig.master().await;
    let vms = rig.on(&master).await;
    network.isolate(rig.machine(&master), rig.cluster.machines());
    rig.until_moved(&vms, &master).await;
    network.mend();
    rig.until_host(&master, "alive").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_and_delay_restart_nothing() {
    let (rig, network) = relayed(3, |_| {}).await;
    network.disturb(10, Duration::from_millis(20));
    lasting(Duration::from_secs(15)).await;
    network.mend();
    for vm in rig.vms().await {
        assert_eq!(rig.starts(&vm.name), 1, "{}", vm.name);
    }
    assert!(rig.recoveries().await.is_empty());
    rig.end().await;
}
