//! The majority of voters is gone.

use crate::rig::{Rig, lasting};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_restarted_and_a_voter_that_returns_gets_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("alerts");
    let mut rig = Rig::with_vms(3, |wanted| {
        // A watchdog would bring a crashed host back by itself.
        wanted.watchdog = false;
        let words = ["/bin/sh", "-c", "cat >> $0; echo >> $0", told.to_str().unwrap()].map(str::to_owned);
        wanted.alert_command = words.to_vec();
    })
    .await;
    let master = rig.master().await;
    let mut names: Vec<String> = rig.cluster.machines().iter().map(|machine| machine.name.clone()).collect();
    names.retain(|name| *name != master);
    let (second, last) = (names[0].clone(), names[1].clone());
    let lost = [rig.on(&master).await, rig.on(&second).await].concat();
    let counts: Vec<usize> = lost.iter().map(|vm| rig.starts(vm)).collect();
    rig.machine(&master).kill().unwrap();
    rig.machine(&second).kill().unwrap();
    let client = rig.until_alone(&last).await;
    assert_eq!(client.known_by(), Some(last.clone()));
    let refused = client.post::<Value>("/v1/vms/vm-1/start", &json!({}), &Default::default()).await.unwrap_err();
    assert_eq!(refused.code(), Some("no-master"), "{refused}");
    // Who is not long without them, or names what is not lost, gives nobody up.
    let hasty = client.post::<Value>("/v1/recover", &json!({ "dead": [last] }), &Default::default()).await.unwrap_err();
    assert!(matches!(hasty.code(), Some("no-such-thing" | "signs-of-life")), "{hasty}");
    lasting(Duration::from_secs(5)).await;
    // Of that there is no majority no log can tell, so the last voter's own program does, and tells of nothing else.
    let alerts = || std::fs::read_to_string(&told).unwrap_or_default();
    rig.must(rig.cluster.until("an alert", |_| async { Ok(alerts().ends_with('\n')) }).await);
    let alerts: Vec<Value> = alerts().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(alerts.iter().all(|alert| alert["alert"] == "NoMajority"), "{alerts:?}");
    let now: Vec<usize> = lost.iter().map(|vm| rig.starts(vm)).collect();
    assert_eq!(now, counts, "something was started without a majority");
    let place = rig.cluster.machines().iter().position(|machine| machine.name == second).unwrap();
    let cycled = rig.cluster.power_cycle(place).await;
    rig.must(cycled);
    let running = |cluster| async move {
        let vms = holdfast::demo::Cluster::vms(cluster).await?;
        Ok(!vms.is_empty() && vms.iter().all(|vm| vm.state == "running"))
    };
    rig.must(rig.cluster.until("all VMs to run again", running).await);
    rig.end().await;
}
