//! Hosts are shut down by people, in good order.

use crate::rig::Rig;
use holdfast::demo::Cluster;
use holdfast::machine::Power;

/// Shuts a host down, sees that its VMs do not wait for a judgement of it, and that nobody shoots it.
async fn leaves_in_order(rig: &Rig, host: &str) {
    let vms = rig.on(host).await;
    assert!(!vms.is_empty());
    let machine = rig.machine(host);
    machine.shut_down().unwrap();
    rig.until_moved(&vms, host).await;
    let figures = rig.figures().await;
    for vm in &vms {
        let row = figures.iter().find(|row| row.name == *vm).unwrap();
        assert!(row.planned_ms > 0 && row.unplanned_ms == 0, "{vm}: {row:?}");
        let view = rig.vms().await.into_iter().find(|view| view.name == *vm).unwrap();
        let last = view.proofs.last().map(|proof| (proof.host.as_str(), proof.proof.as_str()));
        assert_eq!(last, Some((host, "released")), "{vm}");
    }
    let off = |_: &Cluster| {
        let status = machine.status();
        async move { Ok(status?.power == Power::Off) }
    };
    rig.must(rig.cluster.until("the machine to be off", off).await);
    // That it is off is read, and nothing more.
    rig.until_host(host, "dead").await;
    assert_eq!(machine.status().unwrap().resets, 0, "it was shot while it left");
    rig.must(machine.revive().await);
    rig.until_host(host, "alive").await;
    let status = machine.status().unwrap();
    assert_eq!((status.resets, status.watchdog_expiries, status.boots), (0, 0, 2), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_shut_down_lets_its_vms_go_first() {
    let rig = Rig::with_vms(6, |_| {}).await;
    let host = rig.other().await;
    leaves_in_order(&rig, &host).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_masters_host_can_be_shut_down_too() {
    let rig = Rig::with_vms(3, |_| {}).await;
    let host = rig.master().await;
    leaves_in_order(&rig, &host).await;
    rig.end().await;
}
