//! BMCs of different makers, each with its own reading of Redfish.

use crate::strange::{Bmc, LONG, UUID, one_system};
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holdfast::core::message::{FenceOp, FenceResult};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

const SYSTEM: &str = "/redfish/v1/Systems/System.Embedded.1";
const RESET: &str = "/redfish/v1/Systems/System.Embedded.1/Actions/ComputerSystem.Reset";

fn system(power: &str, reset: Value) -> Response {
    let actions = json!({ "#ComputerSystem.Reset": reset });
    Json(json!({ "UUID": UUID, "PowerState": power, "Actions": actions })).into_response()
}

fn allowed(kinds: &[&str]) -> Value {
    json!({ "target": RESET, "ResetType@Redfish.AllowableValues": kinds })
}

async fn that_offers(reset: Value, info: Value) -> Bmc {
    Bmc::start(move |method, path| match (method, path) {
        ("GET", "/redfish/v1/Systems") => one_system(SYSTEM),
        ("GET", SYSTEM) => system("On", reset.clone()),
        ("GET", "/redfish/v1/info") => Json(info.clone()).into_response(),
        ("POST", RESET) => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await
}

#[tokio::test]
async fn only_what_is_offered_is_ordered() {
    let all = that_offers(allowed(&["On", "ForceOff", "GracefulShutdown"]), json!({})).await;
    assert_eq!(all.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(all.perform(FenceOp::PowerOn).await.result, FenceResult::Taken);
    let by_force = that_offers(allowed(&["ForceOn", "ForceOff"]), json!({})).await;
    assert_eq!(by_force.perform(FenceOp::PowerOn).await.result, FenceResult::Taken);
    assert_eq!(by_force.said(), [r#"{"ResetType":"ForceOn"}"#]);
    // A press of the button asks the guest, and a guest that hangs does not hear it.
    let button = that_offers(allowed(&["On", "PushPowerButton", "GracefulShutdown"]), json!({})).await;
    button.fails(FenceOp::PowerOff, "it offers no ForceOff (it offers On, PushPowerButton, GracefulShutdown)").await;
    assert!(button.said().is_empty(), "it was ordered something");
}

#[tokio::test]
async fn what_is_offered_may_stand_elsewhere() {
    let reset = json!({ "target": RESET, "@Redfish.ActionInfo": "/redfish/v1/info" });
    let parameter = |kinds: &[&str]| json!({ "Parameters": [{ "Name": "ResetType", "AllowableValues": kinds }] });
    let bmc = that_offers(reset.clone(), parameter(&["On", "PushPowerButton"])).await;
    bmc.fails(FenceOp::PowerOff, "it offers no ForceOff").await;
    let bmc = that_offers(reset.clone(), parameter(&["On", "ForceOff"])).await;
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    // Learnt once: an emergency is no time to ask again.
    bmc.asked();
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::On);
    assert_eq!(bmc.asked(), [format!("POST {RESET}"), format!("GET {SYSTEM}")]);
    // Who does not say what it offers is tried.
    let silent = that_offers(reset, json!({ "Parameters": [] })).await;
    assert_eq!(silent.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
}

#[tokio::test]
async fn an_order_for_what_is_so_already_is_no_failure() {
    for (status, power, op, result) in [
        (StatusCode::CONFLICT, "Off", FenceOp::PowerOff, FenceResult::Taken),
        (StatusCode::BAD_REQUEST, "Off", FenceOp::PowerOff, FenceResult::Taken),
        (StatusCode::CONFLICT, "On", FenceOp::PowerOn, FenceResult::Taken),
        (StatusCode::CONFLICT, "On", FenceOp::PowerOff, FenceResult::Unreachable),
        (StatusCode::CONFLICT, "PoweringOff", FenceOp::PowerOff, FenceResult::Unreachable),
        (StatusCode::INTERNAL_SERVER_ERROR, "Off", FenceOp::PowerOff, FenceResult::Unreachable),
        (StatusCode::SERVICE_UNAVAILABLE, "Off", FenceOp::PowerOff, FenceResult::Unreachable),
    ] {
        let bmc = Bmc::start(move |method, path| match (method, path) {
            ("POST", _) => status.into_response(),
            (_, "/redfish/v1/Systems") => one_system(SYSTEM),
            _ => system(power, json!({ "target": RESET })),
        })
        .await;
        assert_eq!(bmc.perform(op).await.result, result, "{status} {power} {op:?}");
    }
}

#[tokio::test]
async fn a_task_is_an_order_that_was_taken() {
    let bmc = Bmc::start(|method, path| match (method, path) {
        ("POST", _) => (StatusCode::ACCEPTED, [(header::LOCATION, "/redfish/v1/Tasks/1")]).into_response(),
        (_, "/redfish/v1/Systems") => one_system(SYSTEM),
        _ => system("On", json!({ "target": RESET })),
    })
    .await;
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::On);
}

#[tokio::test]
async fn who_wants_to_see_a_tag_is_shown_it() {
    for refusal in [StatusCode::PRECONDITION_FAILED, StatusCode::PRECONDITION_REQUIRED] {
        let bmc = Bmc::start_with_headers(move |method, path, headers: &HeaderMap| match (method, path) {
            ("POST", _) if headers.get(header::IF_MATCH).is_some_and(|tag| tag == "\"7\"") => {
                StatusCode::NO_CONTENT.into_response()
            }
            ("POST", _) => refusal.into_response(),
            (_, "/redfish/v1/Systems") => one_system(SYSTEM),
            _ => ([(header::ETAG, "\"7\"")], system("On", json!({ "target": RESET }))).into_response(),
        })
        .await;
        assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken, "{refusal}");
    }
}

#[tokio::test]
async fn a_slash_at_the_end_makes_no_difference() {
    let bmc = Bmc::start(|method, path| match (method, path) {
        ("GET", "/redfish/v1/Systems") => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "/redfish/v1/Systems/")]).into_response()
        }
        ("GET", "/redfish/v1/Systems/") => one_system("/redfish/v1/Systems/1/"),
        ("GET", "/redfish/v1/Systems/1/") => Json(json!({ "UUID": UUID, "PowerState": "Off" })).into_response(),
        ("POST", "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset") => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::Off);
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
}

#[tokio::test]
async fn who_wants_sessions_is_logged_in_to_and_out_of() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let (open, forgets) = (Arc::new(Mutex::new(None::<String>)), Arc::new(AtomicBool::new(false)));
    let (counted, known, forget) = (Arc::clone(&sessions), Arc::clone(&open), Arc::clone(&forgets));
    let bmc = Bmc::start_with_headers(move |method, path, headers: &HeaderMap| {
        let mut known = known.lock().expect("nobody panicked");
        if (method, path) == ("POST", "/redfish/v1/SessionService/Sessions") {
            let token = format!("token-{}", counted.fetch_add(1, Ordering::SeqCst));
            *known = Some(token.clone());
            let place = (header::LOCATION, "/redfish/v1/SessionService/Sessions/1".to_owned());
            return (StatusCode::CREATED, [place], [("X-Auth-Token", token)]).into_response();
        }
        if forget.swap(false, Ordering::SeqCst) {
            *known = None;
        }
        let shown = headers.get("X-Auth-Token").and_then(|token| token.to_str().ok());
        if known.is_none() || shown != known.as_deref() {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        match (method, path) {
            ("DELETE", "/redfish/v1/SessionService/Sessions/1") => *known = None,
            ("GET", "/redfish/v1/Systems") => return one_system(SYSTEM),
            ("GET", _) => return system("On", json!({ "target": RESET })),
            _ => {}
        }
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::On);
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(sessions.load(Ordering::SeqCst), 1, "one session does for all");
    // It has restarted, and knows of no session any more.
    forgets.store(true, Ordering::SeqCst);
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(sessions.load(Ordering::SeqCst), 2);
    // BMCs have room for a few sessions only.
    bmc.forget_clients();
    let deadline = Instant::now() + LONG;
    while open.lock().expect("nobody panicked").is_some() {
        assert!(Instant::now() < deadline, "it stays logged in");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_twice() {
    let bmc = Bmc::start(|_, _| {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"BMC\"")]).into_response()
    })
    .await;
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::Refused);
    assert_eq!(bmc.asked(), ["GET /redfish/v1/Systems"]);
}
