//! Hosts die.

use crate::rig::Rig;

/// What became of the VMs of a host that died, by the ledger: each has one recovery, from there, by this proof.
async fn recovered(rig: &Rig, vms: &[String], from: &str, proof: &str) {
    let figures = rig.figures().await;
    let recoveries = rig.recoveries().await;
    for vm in vms {
        let recovery = recoveries.iter().rev().find(|recovery| recovery.vm == *vm);
        let recovery = recovery.unwrap_or_else(|| panic!("the ledger knows of no recovery of {vm}"));
        assert_eq!((recovery.from.as_deref(), recovery.proof.as_deref()), (Some(from), Some(proof)), "{vm}");
        let row = figures.iter().find(|row| row.name == *vm).unwrap();
        assert!(row.unplanned_ms > 0 && row.failures == 1, "{vm}: {row:?}");
    }
    for row in figures.iter().filter(|row| !vms.contains(&row.name)) {
        assert_eq!((row.unplanned_ms, row.failures), (0, 0), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_dies_and_its_vms_run_elsewhere() {
    let rig = Rig::with_vms(6, |_| {}).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    recovered(&rig, &vms, &victim, "fenced").await;
    assert!(vms.iter().all(|vm| rig.starts(vm) == 2));
    rig.until_host(&victim, "alive").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_dies_and_another_goes_on() {
    let rig = Rig::with_vms(6, |_| {}).await;
    let victim = rig.master().await;
    let vms = rig.on(&victim).await;
    assert!(!vms.is_empty());
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    recovered(&rig, &vms, &victim, "fenced").await;
    assert_ne!(rig.master().await, victim);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_and_another_host_die_at_once() {
    let rig = Rig::with_vms(5, |wanted| wanted.hosts = 5).await;
    let (master, other) = (rig.master().await, rig.other().await);
    let (first, second) = (rig.on(&master).await, rig.on(&other).await);
    rig.machine(&master).kill().unwrap();
    rig.machine(&other).kill().unwrap();
    rig.until_moved(&first, &master).await;
    rig.until_moved(&second, &other).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fence_the_lease_and_the_watchdog_prove_the_death() {
    let rig = Rig::with_vms(3, |wanted| wanted.fence = None).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    recovered(&rig, &vms, &victim, "lease-expired").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_fence_is_waited_for() {
    let rig = Rig::with_vms(3, |wanted| wanted.fence = Some(std::time::Duration::from_secs(3))).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    let recoveries = rig.recoveries().await;
    let recovery = recoveries.iter().rev().find(|recovery| vms.contains(&recovery.vm)).unwrap();
    // By whichever proof came first: the watchdog's lease may overtake a device that takes three seconds.
    assert!(["fenced", "lease-expired"].contains(&recovery.proof.as_deref().unwrap()), "{recovery:?}");
    rig.end().await;
}
