//! What people and programs ask for that cannot be, or not yet: they are told, and nothing is half done.

use crate::rig::{Rig, lasting};
use holdfast::client::{Client, ClientError, Note, segment};
use holdfast::demo::Cluster;
use holdfast::process::disk;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

async fn post(client: &Client, path: &str, body: Value) -> Result<Value, ClientError> {
    client.post(path, &body, &Note::default()).await
}

/// Why it was refused: the word for programs, and all that people read.
async fn refused(client: &Client, path: &str, body: Value) -> (String, String) {
    let error = post(client, path, body).await.expect_err("it cannot be");
    (error.code().unwrap_or_default().to_owned(), error.to_string())
}

async fn refused_put(client: &Client, path: &str, body: Value) -> (String, String) {
    let error = client.put::<Value>(path, &body, &Note::default()).await.expect_err("it cannot be");
    (error.code().unwrap_or_default().to_owned(), error.to_string())
}

fn vm(rig: &Rig, name: &str) -> Value {
    let disk = rig.cluster.disk("a");
    json!({ "name": name, "memory_mib": 64, "millicores": 10, "definition": format!("disk = {disk:?}\n") })
}

fn with(mut body: Value, key: &str, value: impl Into<Value>) -> Value {
    body[key] = value.into();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told_and_nothing_is_half_done() {
    let rig = Rig::raise(|wanted| wanted.hosts = 1).await;
    let client = rig.cluster.client().await.unwrap();
    disk::create(&rig.cluster.disk("a")).unwrap();
    // A cluster that only observes starts nothing: so it is said before anything is done.
    let (code, text) = refused(&client, "/v1/vms", with(vm(&rig, "a"), "start", true)).await;
    assert!(code == "not-armed" && text.contains("the VM is not protected"), "{text}");
    assert!(rig.vms().await.is_empty());
    let made = post(&client, "/v1/vms", vm(&rig, "a/b ..")).await.unwrap();
    let uuid = made["uuid"].as_str().unwrap().to_owned();
    let seen: Value = client.get(&format!("/v1/vms/{}", segment("a/b .."))).await.unwrap();
    assert_eq!(seen["uuid"], uuid.as_str());
    let (_, text) = refused(&client, "/v1/vms", with(vm(&rig, "d"), "uuid", uuid.as_str())).await;
    assert!(text.contains(&format!("the UUID {uuid} is that of a/b ..")), "{text}");
    let (_, text) = refused(&client, "/v1/vms", vm(&rig, &uuid)).await;
    assert!(text.contains("is the UUID of a/b .."), "{text}");
    for (key, value) in [
        ("name", json!("..")),
        ("memory_mib", json!(u64::MAX)),
        ("memory_mib", json!(0)),
        ("millicores", json!(0)),
        ("uuid", json!("00000000-0000-0000-0000-000000000000")),
    ] {
        let (code, text) = refused(&client, "/v1/vms", with(vm(&rig, "d"), key, value.clone())).await;
        assert_eq!(code, "bad-request", "{key} = {value}: {text}");
    }
    let (code, text) = refused(&client, "/v1/disarm", json!({ "for_seconds": 31 * 86_400 })).await;
    assert!(code == "bad-request" && text.contains("thirty days"), "{text}");
    let (_, text) = refused(&client, "/v1/access", json!({ "name": "root@host-1", "right": "viewer" })).await;
    assert!(text.contains("is no name for a person"), "{text}");
    let (_, text) = refused(&client, "/v1/access", json!({ "name": "operator", "right": "viewer" })).await;
    assert!(text.contains("somebody is called \"operator\" already"), "{text}");
    let (code, text) = refused_put(&client, "/v1/hosts/host-1/fences", json!({ "levels": [["x"], ["x"]] })).await;
    assert!(code == "bad-request" && text.contains("\"x\" is named twice"), "{text}");
    for (rule, hint) in [("voters=2", "voters 1, 3, 5 or 7"), ("isolation=never", "the rules cannot be so")] {
        let wrong = rig.cluster.command(0, &["policy", "set", rule, "--dry-run"]).await.unwrap_err().to_string();
        assert!(wrong.contains(hint), "{wrong}");
    }
    // It never ran.
    rig.must(rig.cluster.command(0, &["vm", "unprotect", &uuid, "--yes"]).await);
    rig.must(rig.cluster.command(0, &["vm", "remove", &uuid]).await);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_is_forgotten_right_after_its_protection_ends_and_a_token_can_be_taken_back() {
    let rig = Rig::with_vms(2, |_| {}).await;
    let told = |words: &'static [&'static str]| Cluster::command(&rig.cluster, 0, words);
    rig.must(told(&["vm", "stop", "vm-1", "--force", "--yes"]).await);
    let client = rig.cluster.client().await.unwrap();
    // One host is slow to learn of it.
    let master = rig.master().await;
    let slow = rig.cluster.machines().iter().find(|machine| machine.name != master).unwrap();
    slow.signal_agent(Signal::STOP).unwrap();
    post(&client, "/v1/vms/vm-1/unprotect", json!({})).await.unwrap();
    let early = client.delete("/v1/vms/vm-1", &Note::default()).await.unwrap_err();
    assert_eq!(early.code(), Some("config-behind"));
    let wakes = async {
        lasting(Duration::from_millis(300)).await;
        slow.signal_agent(Signal::CONT).unwrap();
    };
    let (removed, ()) = tokio::join!(told(&["vm", "remove", "vm-1"]), wakes);
    rig.must(removed);
    assert_eq!(rig.vms().await.len(), 1);
    let given = post(&client, "/v1/tokens", json!({ "for_seconds": 600 })).await.unwrap();
    let token = given["token"].as_str().unwrap();
    let all: Value = client.get("/v1/tokens").await.unwrap();
    let [listed] = all.as_array().unwrap().as_slice() else { panic!("those of the hosts were used: {all}") };
    let id = listed["id"].as_str().unwrap();
    assert_eq!(token.split('.').nth(1), Some(id));
    client.delete(&format!("/v1/tokens/{id}"), &Note::default()).await.unwrap();
    assert_eq!(client.get::<Value>("/v1/tokens").await.unwrap(), json!([]));
    rig.end().await;
}
