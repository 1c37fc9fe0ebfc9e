//! A host stands still past every limit, and goes on.

use crate::rig::{Rig, lasting};
use holdfast::demo::Cluster;
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// Longer than any limit of the profile.
const LONG: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_host_is_fenced_and_does_not_thaw() {
    let rig = Rig::with_vms(3, |wanted| wanted.watchdog = false).await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    rig.machine(&host).signal_all(Signal::STOP).unwrap();
    rig.until_moved(&vms, &host).await;
    assert!(rig.machine(&host).status().unwrap().resets > 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_host_is_ended_by_its_watchdog() {
    let rig = Rig::with_vms(3, |wanted| wanted.fence = None).await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    rig.machine(&host).signal_all(Signal::STOP).unwrap();
    rig.until_moved(&vms, &host).await;
    assert!(rig.machine(&host).status().unwrap().watchdog_expiries > 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_guard_nothing_is_restarted_and_a_thawed_host_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("alerts");
    let rig = Rig::with_vms(3, |wanted| {
        wanted.fence = None;
        wanted.watchdog = false;
        let words = ["/bin/sh", "-c", "cat >> $0; echo >> $0", told.to_str().unwrap()].map(str::to_owned);
        wanted.commands = [("page".to_owned(), words.to_vec())].into();
    })
    .await;
    rig.must(rig.cluster.command(0, &["notify", "add", "pager", "--command", "page", "--least", "critical"]).await);
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    let frozen = rig.machine(&host);
    frozen.signal_all(Signal::STOP).unwrap();
    rig.until_host(&host, "judged").await;
    lasting(LONG).await;
    for vm in rig.vms().await.iter().filter(|vm| vms.contains(&vm.name)) {
        assert_eq!((vm.state.as_str(), vm.waits_for.as_str()), ("waiting", "proof"), "{vm:?}");
        assert!(vm.waits.as_ref().is_some_and(|why| why.contains("no fence device")), "{vm:?}");
    }
    let alerted = |_: &Cluster| async { Ok(is_alerted(&told, &vms)) };
    rig.must(rig.cluster.until("people to be told of each VM", alerted).await);
    frozen.signal_all(Signal::CONT).unwrap();
    rig.until_host(&host, "alive").await;
    assert!(vms.iter().all(|vm| rig.starts(vm) == 1));
    rig.end().await;
}

/// Whether the alert program was told of each of these VMs.
fn is_alerted(told: &Path, vms: &[String]) -> bool {
    let text = std::fs::read_to_string(told).unwrap_or_default();
    let texts: Vec<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|alert| Some(alert.get("text")?.as_str()?.to_owned()))
        .collect();
    let is_of =
        |text: &str, vm: &str| text.contains(&format!(" {vm} should run,")) && text.contains("it waits for a proof");
    vms.iter().all(|vm| texts.iter().any(|text| is_of(text, vm)))
}
