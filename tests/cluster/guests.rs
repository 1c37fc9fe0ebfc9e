//! What guests answer: asked by the host that runs them, told to the master, kept in the ledger.

use crate::rig::Rig;
use holdfast::api::VmView;
use holdfast::client::Note;
use holdfast::core::state::Health;
use holdfast::demo::Cluster;
use holdfast::ledger::{Entry, What};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};

/// What stands in the ledger of whether a VM's guest answers: each with its time before the entry, in milliseconds.
async fn told(rig: &Rig) -> Vec<(bool, u64)> {
    let client = rig.cluster.client().await.expect("a way to the cluster");
    let facts: Vec<Entry> = client.get("/v1/ledger?limit=1000").await.expect("the ledger");
    let answers = |fact: Entry| match fact.what {
        What::VmAnswers { answers, ago_milliseconds, .. } => Some((answers, ago_milliseconds)),
        _ => None,
    };
    facts.into_iter().filter_map(answers).collect()
}

async fn until_health(rig: &Rig, health: Health) {
    let so = |cluster| async move {
        let vm: VmView = Cluster::client(cluster).await?.get("/v1/vms/vm-1").await?;
        Ok(vm.health == health)
    };
    rig.must(rig.cluster.until(&format!("the guest to be seen: {}", health.name()), so).await);
}

/// Somebody who takes connections, for as long as this is kept.
fn service(at: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(at).expect("a port of this machine");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_probe_finds_is_told_once_and_outlives_who_asks() {
    let rig = Rig::with_vms(2, |_| {}).await;
    let (listener, address) = service("127.0.0.1:0");
    let account = json!({
        "tags": ["web"],
        "up": { "probe": { "tcp": { "address": address.to_string() } } },
        "target": 99.95,
    });
    let client = rig.cluster.client().await.unwrap();
    client.put::<Value>("/v1/vms/vm-1/account", &account, &Note::default()).await.unwrap();
    until_health(&rig, Health::Answers).await;
    let vm: VmView = client.get("/v1/vms/vm-1").await.unwrap();
    assert_eq!(vm.target.map(|target| target.0.to_string()).as_deref(), Some("99.95"));

    drop(listener);
    until_health(&rig, Health::Silent).await;
    let facts = told(&rig).await;
    assert!(matches!(facts.as_slice(), [(true, _), (false, 5_000..)]), "it counts from the last answer: {facts:?}");

    // Whoever asks begins anew, and finds what is known already.
    let host = vm.host.expect("it runs");
    let before = rig.machine(&host).status().unwrap().agent_pid;
    rig.machine(&host).signal_agent(Signal::KILL).unwrap();
    let back = |cluster: &Cluster| {
        let status = cluster.machine(&host).and_then(|machine| machine.status());
        async move { Ok(status?.agent_pid.is_some_and(|pid| Some(pid) != before)) }
    };
    rig.must(rig.cluster.until("the agent to be back", back).await);
    rig.until_host(&host, "alive").await;
    let (_listener, _) = service(&address.to_string());
    until_health(&rig, Health::Answers).await;
    let words: Vec<bool> = told(&rig).await.into_iter().map(|(answers, _)| answers).collect();
    assert_eq!(words, [true, false, true]);
    // A machine under load may take longer to bring an agent back than a host may be silent.
    let facts: Vec<Entry> = client.get("/v1/ledger?limit=1000").await.expect("the ledger");
    let is_judged =
        |host| facts.iter().any(|fact| matches!(fact.what, What::HostJudged { host: judged, .. } if judged == host));
    let is_lost = |fact: &&Entry| matches!(fact.what, What::VmGone { host, ran: true, .. } if is_judged(host));
    let restarts: usize = ["vm-1", "vm-2"].iter().map(|vm| rig.starts(vm) - 1).sum();
    assert_eq!(restarts, facts.iter().filter(is_lost).count(), "nothing is restarted for what a guest says");
    rig.end().await;
}
