//! The BMC of the machine: to the product's client, to one that means ill, and to a fence agent that nobody here wrote.

use crate::rig::{Rig, UUID};
use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::fence::{Agent, FenceDevice, Secret};
use holdfast::machine::Power;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";

/// A client that trusts everybody.
pub fn client() -> reqwest::Client {
    // The second time it is there already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
    builder.build().expect("a client")
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_a_wrong_certificate_is_not_spoken_to() {
    let rig = Rig::start(&[], "exec sleep 1000");
    rig.until("on", |status| status.power == Power::On).await;
    let device = rig.device_with("wrong", &rig.info.fingerprint);
    for op in [FenceOp::Identity, FenceOp::Power, FenceOp::PowerOff, FenceOp::PowerOn] {
        let answer = rig.fences.perform(&device, op, DEADLINE).await;
        assert_eq!(answer.result, FenceResult::Refused, "{answer:?}");
        assert!(answer.detail.is_some_and(|text| text.contains("password")));
    }
    let device = rig.device_with(&rig.password(), &"ab".repeat(32));
    let answer = rig.fences.perform(&device, FenceOp::PowerOff, DEADLINE).await;
    assert_eq!(answer.result, FenceResult::Unreachable);
    let detail = answer.detail.expect("a reason");
    assert!(detail.contains(&rig.info.fingerprint) && detail.contains(&"ab".repeat(32)), "{detail}");
    assert_eq!((rig.status().power, rig.status().resets), (Power::On, 0));
}

#[tokio::test]
async fn it_answers_in_the_words_of_the_standard() {
    let rig = Rig::start(&[], "exec sleep 1000");
    rig.until("on", |status| status.power == Power::On).await;
    let (client, password, base) = (client(), rig.password(), &rig.info.address);
    let root: Value =
        client.get(format!("{base}/redfish/v1/")).send().await.expect("it is open to all").json().await.expect("JSON");
    assert_eq!(root["UUID"], UUID.to_string());
    let without = client.get(format!("{base}/redfish/v1/Systems")).send().await.expect("an answer");
    assert_eq!(without.status(), 401);
    assert!(without.headers().contains_key("www-authenticate"));
    let nowhere = client.get(format!("{base}/redfish/v1/Chassis")).send().await.expect("an answer");
    assert_eq!(nowhere.status(), 404);

    let bad = [
        (json!({ "ResetType": "Nonsense" }).to_string(), "Base.1.8.ActionParameterValueNotInList"),
        (json!({ "ResetType": 7 }).to_string(), "Base.1.8.ActionParameterValueNotInList"),
        (json!({}).to_string(), "Base.1.8.ActionParameterMissing"),
        ("[]".to_owned(), "Base.1.8.MalformedJSON"),
        ("{".to_owned(), "Base.1.8.MalformedJSON"),
    ];
    for (body, code) in bad {
        let order = client.post(format!("{base}{RESET}")).basic_auth("admin", Some(&password)).body(body.clone());
        let answer = order.send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{body}");
        let said: Value = answer.json().await.expect("JSON");
        assert_eq!(said["error"]["code"], code, "{body}");
    }
    let order = client.post(format!("{base}{RESET}")).basic_auth("admin", Some("wrong"));
    let answer = order.json(&json!({ "ResetType": "ForceOff" })).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    // It may stop reading before all is sent.
    let long = client.post(format!("{base}{RESET}")).basic_auth("admin", Some(&password)).body("x".repeat(1 << 20));
    assert!(long.send().await.map_or(true, |answer| answer.status() == 413));
    assert_eq!((rig.status().power, rig.status().boots), (Power::On, 1));
}

#[tokio::test]
async fn it_shuts_down_in_good_order_and_restarts_at_once() {
    let agent = "
trap 'kill -0 $guest 2>/dev/null || echo bye > $RIG/farewell; exit 0' TERM
mkfifo $RIG/never; exec 3<>$RIG/never
sleep 1000 & guest=$!
echo ready > $RIG/run/ready
wait $guest
[ -e $RIG/run/shutting-down ] && echo marked > $RIG/seen
read line <&3";
    let rig = Rig::start(&["--restart-agent"], agent);
    let order = |kind: &'static str| {
        let request = client().post(format!("{}{RESET}", rig.info.address)).basic_auth("admin", Some(rig.password()));
        request.json(&json!({ "ResetType": kind })).send()
    };
    rig.until_file("run/ready").await;
    let first = rig.boot();
    assert_eq!(order("ForceRestart").await.expect("an answer").status(), 204);
    rig.until("another boot", |status| status.boots == 2 && status.agent_pid.is_some()).await;
    assert!(rig.boot() != first && !rig.path("farewell").exists());
    rig.until_file("run/ready").await;
    assert_eq!(order("GracefulShutdown").await.expect("an answer").status(), 204);
    rig.until("off", |status| status.power == Power::Off).await;
    // The guest goes first, and it is said before that why.
    assert_eq!((rig.until_file("seen").await.as_str(), rig.until_file("farewell").await.as_str()), ("marked", "bye"));
    assert_eq!(rig.processes(), []);
    // What is off stays off.
    assert_eq!(order("ForceRestart").await.expect("an answer").status(), 204);
    assert_eq!(rig.perform(FenceOp::Power).await, FenceResult::Off);
}

/// The fence agent of the distribution, through the product's own client of such agents.
#[tokio::test]
async fn the_distributions_fence_agent_works_it() {
    if !Path::new("/usr/sbin/fence_redfish").exists() {
        let skipped = "SKIPPED: fence_redfish is not installed (package fence-agents): it was not tried on our BMC";
        writeln!(std::io::stderr(), "{skipped}").ok();
        return;
    }
    let rig = Rig::start(&[], "exec sleep 1000");
    rig.until("an agent", |status| status.agent_pid.is_some()).await;
    let (ip, port) = rig.info.address.trim_start_matches("https://").rsplit_once(':').expect("a port");
    let password = rig.password();
    let device = |password: &str| {
        let options = [
            ("ip", ip),
            ("ipport", port),
            ("username", "admin"),
            ("password", password),
            ("ssl_insecure", "1"),
            ("systems_uri", "/redfish/v1/Systems/1"),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), Secret::new(value).expect("a value")));
        FenceDevice::Agent(Agent::new("fence_redfish", BTreeMap::from(options)).expect("an agent"))
    };
    let ask = async |op| rig.fences.perform(&device(&password), op, Duration::from_secs(60)).await;
    assert_eq!(ask(FenceOp::Power).await.result, FenceResult::On);
    let off = ask(FenceOp::PowerOff).await;
    assert_eq!(off.result, FenceResult::Taken, "{off:?}");
    assert_eq!(ask(FenceOp::Power).await.result, FenceResult::Off);
    assert_eq!(rig.processes(), []);
    assert_eq!(ask(FenceOp::PowerOn).await.result, FenceResult::Taken);
    assert_eq!(rig.until("on", |status| status.power == Power::On).await.boots, 2);
    // Fence agents have no way to ask whose device it is.
    assert_eq!(ask(FenceOp::Identity).await.result, FenceResult::Nameless);
    let wrong = rig.fences.perform(&device("hunter2"), FenceOp::Power, Duration::from_secs(60)).await;
    assert_eq!(wrong.result, FenceResult::Unreachable);
    let detail = wrong.detail.expect("a reason");
    assert!(
        detail.starts_with("fence_redfish: it ended with exit status: 1: ") && !detail.contains("hunter2"),
        "{detail}"
    );
}
