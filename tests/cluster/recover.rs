//! What was lost for good, and what comes back from the past.

use crate::rig::Rig;
use holdfast::api::{ClusterView, EventView};
use holdfast::client::Client;
use holdfast::demo::Cluster;
use serde_json::{Value, json};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_restored_from_a_backup_comes_back_as_another() {
    let mut rig = Rig::with_vms(3, |wanted| wanted.watchdog = false).await;
    let host = rig.other().await;
    let place = rig.place(&host);
    let old = rig.voter(place).await.expect("it votes");
    let file = rig.folder.path().join("backup");
    let path = file.to_str().unwrap();
    rig.must(rig.cluster.command(place, &["backup", "create", path]).await);
    // What the backup does not know: a VM, where another one is, and who may join.
    rig.must(rig.cluster.add_vm("late", Some(&host), false).await);
    rig.must(holdfast::demo::all_run(&rig.cluster, 4).await);
    let busy = rig.cluster.command(place, &["backup", "restore", path, "--force"]).await;
    assert!(busy.is_err(), "an agent runs there");
    rig.machine(&host).kill().unwrap();
    let off = rig.cluster.switch_off(place).await;
    rig.must(off);
    let occupied = rig.cluster.command(place, &["backup", "restore", path]).await;
    assert!(occupied.is_err(), "its state is there still");
    let config = rig.machine(&host).config();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&format!("name = \"{host}\""), "name = \"another\"")).unwrap();
    let another = rig.cluster.command(place, &["backup", "restore", path, "--force"]).await;
    assert!(another.is_err_and(|error| error.to_string().contains("is the backup of")), "it is no other host's");
    fs::write(&config, text).unwrap();
    // Its disk is lost, with its keys and its name in the cluster.
    fs::remove_dir_all(rig.machine(&host).state()).unwrap();
    rig.must(rig.cluster.command(place, &["backup", "restore", path]).await);
    let on = rig.cluster.switch_on(place).await;
    rig.must(on);
    // It votes under a new number, as one who knows nothing of the old one's promises.
    let rig_of = &rig;
    let votes = |cluster| {
        let host = &host;
        async move {
            let view: ClusterView = Cluster::client(cluster).await?.get("/v1/status").await?;
            let is_new = rig_of.voter(place).await.is_some_and(|voter| voter > old);
            Ok(is_new && view.voters.len() == 3 && view.voters.contains(host))
        }
    };
    rig.must(rig.cluster.until("it to vote again", votes).await);
    rig.until_doctor("they take in nothing", false).await;
    let log = fs::read_to_string(rig.machine(&host).log()).unwrap();
    assert!(log.contains("a voter's store cannot be used"), "nothing was said of the old store");
    // Its vote is needed now.
    let master = rig.master().await;
    let lost = rig.on(&master).await;
    rig.machine(&master).kill().unwrap();
    rig.until_moved(&lost, &master).await;
    rig.end().await;
}

/// Why these voters are not given up.
async fn refused(client: &Client, dead: &[String]) -> String {
    let answer = client.post::<Value>("/v1/recover", &json!({ "dead": dead }), &Default::default()).await;
    answer.expect_err("nobody may be given up yet").code().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_hosts_are_lost_for_good_and_a_person_goes_on_with_the_third() {
    let mut rig = Rig::with_vms(3, |wanted| {
        wanted.watchdog = false;
        wanted.datastores = 1;
    })
    .await;
    let names: Vec<String> = rig.cluster.machines().iter().map(|machine| machine.name.clone()).collect();
    let master = rig.master().await;
    let last = names.iter().find(|name| **name != master).unwrap().clone();
    let dead: Vec<String> = names.iter().filter(|name| **name != last).cloned().collect();
    let place = rig.place(&last);
    let lost = [rig.on(&dead[0]).await, rig.on(&dead[1]).await].concat();
    let all = ["recover", "--yes", "--reason", "both burnt", "--dead", &dead[0], &dead[1]];
    let majority = rig.cluster.command(place, &all).await.unwrap_err().to_string();
    assert!(majority.contains("there is a majority"), "{majority}");
    for name in &dead {
        rig.machine(name).kill().unwrap();
    }
    // The hardware goes with them: nothing answers for their power any more.
    for name in &dead {
        let off = rig.cluster.switch_off(rig.place(name)).await;
        rig.must(off);
    }
    let client = rig.until_alone(&last).await;
    assert_eq!(refused(&client, &dead).await, "signs-of-life");
    // Now they have been silent for long enough; too few of them, or who is asked itself, are given up by nobody.
    let silent = |_| async { Ok(refused(&client, &dead[..1]).await == "nothing-to-do") };
    rig.must(rig.cluster.until("the signs of the dead to be old", silent).await);
    assert_eq!(refused(&client, &[dead[0].clone(), last.clone()]).await, "no-such-thing");
    rig.must(rig.cluster.command(place, &all).await);
    assert_eq!(rig.master().await, last);
    for vm in rig.vms().await.iter().filter(|vm| vm.host.as_deref() != Some(last.as_str())) {
        assert_eq!(rig.starts(&vm.name), 1, "nothing has proven its host dead yet: {vm:?}");
    }
    for name in &dead {
        // A master that has not watched for long enough yet takes every host for alive.
        let believed = |cluster| async move {
            let words = ["host", "confirm-dead", name, "--yes", "--reason", "burnt"];
            Cluster::command(cluster, place, &words).await.map(|()| true)
        };
        rig.must(rig.cluster.until("the word of a person to be taken", believed).await);
    }
    rig.must(holdfast::demo::all_run(&rig.cluster, 3).await);
    assert!(rig.vms().await.iter().all(|vm| vm.host.as_deref() == Some(last.as_str())));
    rig.proven(&lost, "operator").await;
    // What a person did, and why, stands in the history; and for how long nobody saw anything.
    let events: Vec<EventView> = client.get("/v1/events").await.unwrap();
    let given_up = events.iter().find(|event| event.text == "2 voters were given up by a person").unwrap();
    assert_eq!(given_up.reason.as_deref(), Some("both burnt"));
    assert!(events.iter().any(|event| event.text.starts_with(&format!("{last} is master, after "))), "{events:?}");
    // They were not burnt after all. Two of three, they would be a majority of what was; they are none of what is.
    for name in &dead {
        let on = rig.cluster.switch_on(rig.place(name)).await;
        rig.must(on);
    }
    for name in &dead {
        rig.until_host(name, "alive").await;
    }
    let whole = |cluster| async move {
        let view: ClusterView = Cluster::client(cluster).await?.get("/v1/status").await?;
        Ok(view.generation == 1 && view.voters.len() == 3)
    };
    rig.must(rig.cluster.until("three to vote in the new generation", whole).await);
    assert!(rig.vms().await.iter().all(|vm| rig.starts(&vm.name) <= 2));
    rig.end().await;
}
