//! The BMC of the machine: the part of Redfish that powers it on and off, in the words of the standard.

use crate::clock::boottime;
use crate::machine::power::{Event, Order};
use crate::machine::status::{Power, Shared, Status};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The one system that it controls.
pub const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
/// No request is longer.
const LONGEST_BODY: usize = 64 * 1024;
/// An order never takes longer than this to take effect.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
const RESETS: [(&str, Order); 4] = [
    ("On", Order::On),
    ("ForceOff", Order::ForceOff),
    ("ForceRestart", Order::ForceRestart),
    ("GracefulShutdown", Order::GracefulShutdown),
];

/// The one who may use it.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: String,
}

/// What it answers.
pub(super) fn router(shared: Arc<Shared>, account: Account) -> Router {
    Router::new()
        .route("/redfish/v1/Systems", get(systems))
        .route("/redfish/v1/Systems/", get(systems))
        .route(SYSTEM, get(system).patch(change_system))
        .route(RESET, post(reset))
        .layer(from_fn_with_state(Arc::new(account), authenticate))
        // What leads to the rest is open to everybody, as the standard has it.
        .route("/redfish", get(|| async { Json(json!({ "v1": "/redfish/v1/" })) }))
        .route("/redfish/v1", get(root))
        .route("/redfish/v1/", get(root))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "ResourceMissingAtURI", "there is no such resource") })
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(shared)
}

async fn authenticate(State(account): State<Arc<Account>>, request: Request, next: Next) -> Response {
    if is_known(&account, request.headers()) {
        return next.run(request).await;
    }
    let text = "the user or the password is wrong";
    let mut answer = refuse(StatusCode::UNAUTHORIZED, "InsufficientPrivilege", text);
    let realm = header::HeaderValue::from_static("Basic realm=\"BMC\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

fn is_known(account: &Account, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given.and_then(|text| text.strip_prefix("Basic ")) else { return false };
    let Ok(given) = STANDARD.decode(given) else { return false };
    // Digests are compared, so that the time it takes tells nothing of the password.
    let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec();
    digest(&given) == digest(format!("{}:{}", account.user, account.password).as_bytes())
}

async fn root(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({
        "@odata.id": "/redfish/v1/",
        "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.6.0",
        "UUID": shared.status().uuid,
        "Systems": { "@odata.id": "/redfish/v1/Systems" },
        "Links": {},
    }))
}

async fn systems() -> Json<Value> {
    Json(json!({
        "@odata.id": "/redfish/v1/Systems",
        "@odata.type": "#ComputerSystemCollection.ComputerSystemCollection",
        "Name": "Computer System Collection",
        "Members@odata.count": 1,
        "Members": [{ "@odata.id": SYSTEM }],
    }))
}

async fn system(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(describe(&shared.status()))
}

fn describe(status: &Status) -> Value {
    let power = match status.power {
        Power::On => "On",
        Power::PoweringOff => "PoweringOff",
        Power::Off => "Off",
    };
    json!({
        "@odata.id": SYSTEM,
        "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
        "Id": "1",
        "Name": "embedded machine",
        "SystemType": "Physical",
        "UUID": status.uuid,
        "PowerState": power,
        "Status": { "State": "Enabled", "Health": "OK" },
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": RESET,
                "ResetType@Redfish.AllowableValues": RESETS.map(|(name, _)| name),
            },
        },
        "Oem": { "Holdfast": { "PowerDelayMilliseconds": status.power_delay_ms } },
    })
}

/// Takes one change: how long an order takes to take effect.
async fn change_system(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let change = match object(&body) {
        Ok(change) => change,
        Err(answer) => return *answer,
    };
    let delay = change.pointer("/Oem/Holdfast/PowerDelayMilliseconds").and_then(Value::as_u64);
    match delay.filter(|delay| Duration::from_millis(*delay) <= LONGEST_DELAY) {
        Some(delay) => {
            shared.status().power_delay_ms = delay;
            shared.nudge();
            Json(describe(&shared.status())).into_response()
        }
        None => {
            let text = "only Oem.Holdfast.PowerDelayMilliseconds can be changed, to at most an hour";
            refuse(StatusCode::BAD_REQUEST, "PropertyUnknown", text)
        }
    }
}

async fn reset(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let parameters = match object(&body) {
        Ok(parameters) => parameters,
        Err(answer) => return *answer,
    };
    let Some(kind) = parameters.get("ResetType") else {
        return refuse(StatusCode::BAD_REQUEST, "ActionParameterMissing", "the parameter ResetType is missing");
    };
    let Some((_, order)) = RESETS.iter().find(|(name, _)| kind.as_str() == Some(name)) else {
        let text = format!("the parameter ResetType cannot be {kind}");
        return refuse(StatusCode::BAD_REQUEST, "ActionParameterValueNotInList", &text);
    };
    let due = boottime() + Duration::from_millis(shared.status().power_delay_ms);
    match shared.events.try_send(Event::Order(due, *order)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceTemporarilyUnavailable", "too many orders wait"),
    }
}

fn object(body: &[u8]) -> Result<Value, Box<Response>> {
    let parsed = serde_json::from_slice(body).ok().filter(Value::is_object);
    parsed.ok_or_else(|| {
        let text = "the body is not a JSON object";
        Box::new(refuse(StatusCode::BAD_REQUEST, "MalformedJSON", text))
    })
}

fn refuse(status: StatusCode, code: &str, text: &str) -> Response {
    let id = format!("Base.1.8.{code}");
    let info = json!([{ "@odata.type": "#Message.v1_0_8.Message", "MessageId": id, "Message": text }]);
    let body = json!({ "error": { "code": id, "message": text, "@Message.ExtendedInfo": info } });
    (status, Json(body)).into_response()
}
