//! Agents die while their VMs run on.

use crate::rig::{Rig, lasting};
use holdfast::client::{ClientError, Note};
use holdfast::demo::Cluster;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_back_in_time_finds_its_vms_as_they_were() {
    let rig = Rig::with_vms(3, |_| {}).await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    let before = rig.machine(&host).status().unwrap().agent_pid;
    rig.machine(&host).signal_agent(Signal::KILL).unwrap();
    let back = |cluster: &Cluster| {
        let status = cluster.machine(&host).and_then(|machine| machine.status());
        async move { Ok(status?.agent_pid.is_some_and(|pid| Some(pid) != before)) }
    };
    rig.must(rig.cluster.until("the agent to be back", back).await);
    rig.until_host(&host, "alive").await;
    let all = rig.vms().await;
    assert!(all.iter().filter(|vm| vms.contains(&vm.name)).all(|vm| vm.host.as_deref() == Some(host.as_str())));
    assert!(vms.iter().all(|vm| rig.starts(vm) == 1), "a VM was started again though it had never stopped");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_come_back_leaves_nothing_running_behind() {
    let rig = Rig::with_vms(3, |wanted| {
        wanted.restart_agents = false;
        wanted.fence = None;
    })
    .await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    rig.machine(&host).signal_agent(Signal::KILL).unwrap();
    rig.until_moved(&vms, &host).await;
    assert!(rig.machine(&host).status().unwrap().watchdog_expiries > 0, "only the watchdog could end them");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_end_takes_its_guards_off_the_books_first() {
    let rig = Rig::with_vms(3, |_| {}).await;
    let host = rig.other().await;
    let vms = rig.on(&host).await;
    rig.machine(&host).signal_agent(Signal::TERM).unwrap();
    let parted = |cluster: &Cluster| {
        let status = cluster.machine(&host).and_then(|machine| machine.status());
        async move {
            let status = status?;
            Ok(status.agent_pid.is_none() && status.watchdog_ms.is_none())
        }
    };
    rig.must(rig.cluster.until("the agent to end with its watchdog closed", parted).await);
    // Far longer than a host that dies is waited for.
    lasting(Duration::from_secs(5)).await;
    assert!(vms.iter().all(|vm| rig.starts(vm) == 1 && rig.examine(vm).clashes.is_empty()));
    rig.machine(&host).start_agent().unwrap();
    rig.until_host(&host, "alive").await;
    assert_eq!(rig.on(&host).await, vms);
    assert_eq!(rig.told(&format!("{host} judged")).await, 0);
    assert!(vms.iter().all(|vm| rig.starts(vm) == 1 && rig.examine(vm).clashes.is_empty()));
    rig.end().await;
}

/// It votes, and what it knew when it ended is on its disk: it has to hear of a master first.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_just_begun_tells_nothing_that_is_old() {
    let rig = Rig::with_vms(1, |_| {}).await;
    let host = rig.other().await;
    for percent in [41, 42, 43] {
        rig.machine(&host).signal_agent(Signal::TERM).unwrap();
        let ended = |cluster: &Cluster| {
            let status = cluster.machine(&host).and_then(|machine| machine.status());
            async move { Ok(status?.agent_pid.is_none()) }
        };
        rig.must(rig.cluster.until("the agent to end", ended).await);
        let policy = json!({ "brake_percent": percent });
        let there = rig.cluster.client().await.unwrap();
        there.put::<Value>("/v1/policy", &policy, &Note::default()).await.unwrap();
        let asked = rig.machine(&host).client().unwrap();
        rig.machine(&host).start_agent().unwrap();
        // Without a pause: the very first answer counts.
        let first = async {
            loop {
                match asked.get::<Value>("/v1/policy").await {
                    Err(ClientError::Unreachable { .. }) => {}
                    answer => break answer.unwrap(),
                }
            }
        };
        let first = tokio::time::timeout(Duration::from_secs(60), first).await.expect("the agent answers");
        assert_eq!(first["brake_percent"], percent, "{first}");
        assert_eq!(asked.known_by(), None);
    }
    rig.end().await;
}
