//! Passing a request on to the master, over the cluster's own links.

use super::errors::Failure;
use super::found::{HERE, here};
use super::handle::Api;
use super::metrics::{METRICS, metrics};
use super::who::Who;
use crate::clock;
use crate::core::ids::Address;
use crate::runtime::Glance;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::timeout;
use tower::ServiceExt;

/// No body of a request or of an answer is longer.
pub(super) const BODY_LIMIT: usize = 1 << 20;
/// No answer that is passed on is longer: written as text within a text it may take twice as much, and still fits.
const ANSWER_LIMIT: usize = 480 * 1024;
/// The master answers within this: longer than anything it waits for itself.
const PATIENCE: Duration = Duration::from_secs(40);
/// A master that is lost has a successor within this, if there is a majority.
const SUCCESSION: Duration = Duration::from_secs(5);
/// Names a request for good, so that it is done once however often it is asked.
pub(super) const REQUEST_ID: &str = "request-id";
/// The one thing that is asked of a voter because there is no master.
pub(super) const RECOVER: &str = "/v1/recover";
/// What may be asked.
const OPEN_API: &str = "/openapi.json";
/// Says that there is no master, and that the answer is what this voter knows by itself, which may be old.
pub(crate) const AS_KNOWN_BY: &str = "as-known-by";
/// Why somebody asks.
pub(super) const REASON: &str = "reason";

/// A request on its way to the master.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passed {
    who: Who,
    method: String,
    path: String,
    request_id: Option<String>,
    reason: Option<String>,
    #[serde(with = "text")]
    pub(super) body: Vec<u8>,
}

/// Its answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    status: u16,
    #[serde(with = "text")]
    body: Vec<u8>,
}

/// Bodies are JSON, so they travel as the text that they are.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > super::BODY_LIMIT { Err(D::Error::custom("too long")) } else { Ok(text.into_bytes()) }
    }
}

/// Answers a request here if this node can, or has the master answer it.
pub(super) async fn dispatch(api: &Api, routes: Router, who: Who, request: Request) -> Response {
    if who == Who::Nobody && !is_open(request.uri()) {
        return Failure::unknown_person().into_response();
    }
    if request.uri().path() == METRICS {
        return metrics(api, &who, request.method()).await;
    }
    // Who only looks is told at once that there is no master, except by a voter that has just begun: it cannot know yet,
    // and what it had known when it ended is old. Who goes on without a master waits for none.
    let acts = request.method() != Method::GET;
    let waits = (acts || clock::boottime().since(api.begun) < SUCCESSION)
        && ![RECOVER, OPEN_API].contains(&request.uri().path());
    let glance = if waits { settled(api).await } else { *api.handle.glance.borrow() };
    if glance.is_master {
        return run(routes, who, request).await;
    }
    if glance.master.is_none() && glance.votes {
        let mut answer = run(routes, who, request).await;
        answer.headers_mut().insert(AS_KNOWN_BY, known_by(&api.host));
        return answer;
    }
    match glance.master {
        Some(master) => pass_on(api, master, who, request).await.unwrap_or_else(IntoResponse::into_response),
        None => Failure::no_master().into_response(),
    }
}

/// What anybody may ask.
pub(super) fn is_open(uri: &Uri) -> bool {
    ["/v1/join", OPEN_API].contains(&uri.path())
}

/// Between two masters there is none for a moment; whoever wants something done waits for the next one.
async fn settled(api: &Api) -> Glance {
    let mut glance = api.handle.glance.clone();
    let found = timeout(SUCCESSION, glance.wait_for(|glance| glance.master.is_some())).await;
    let found = found.map(|found| found.map(|glance| *glance));
    match found {
        Ok(Ok(glance)) => glance,
        // Nobody was found, or the loop has ended.
        Ok(Err(_)) | Err(_) => *api.handle.glance.borrow(),
    }
}

/// The name of a host, as a header.
fn known_by(host: &str) -> HeaderValue {
    HeaderValue::from_bytes(host.as_bytes()).unwrap_or(HeaderValue::from_static("a voter"))
}

async fn run(routes: Router, who: Who, mut request: Request) -> Response {
    request.extensions_mut().insert(who);
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Has the master answer a request.
pub(super) async fn pass_on(api: &Api, master: Address, who: Who, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let passed = Passed {
        who,
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        request_id: text(REQUEST_ID),
        reason: text(REASON),
        body: bytes(body).await?,
    };
    let message = serde_json::to_vec(&passed).map_err(|error| Failure::internal(error.to_string()))?;
    let answer = api.transport.call(master, message, PATIENCE).await;
    let answer = answer.map_err(|error| Failure::unanswered(format!("the master does not answer: {error}")))?;
    let answered: Answered =
        serde_json::from_slice(&answer).map_err(|error| Failure::internal(format!("the master's answer: {error}")))?;
    let status = StatusCode::from_u16(answered.status).map_err(|error| Failure::internal(error.to_string()))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], answered.body).into_response())
}

/// Asks another node for something that it knows by itself.
pub(super) async fn ask_node(api: &Api, node: Address, path: String, patience: Duration) -> Result<Vec<u8>, Failure> {
    let who = Who::Local { host: api.host.clone() };
    let passed = Passed { who, method: "GET".to_owned(), path, request_id: None, reason: None, body: Vec::new() };
    let message = serde_json::to_vec(&passed).map_err(|error| Failure::internal(error.to_string()))?;
    let answer = api.transport.call(node, message, patience).await;
    let answer = answer.map_err(|error| Failure::unanswered(format!("the host does not answer: {error}")))?;
    let answered: Answered =
        serde_json::from_slice(&answer).map_err(|error| Failure::internal(format!("the host's answer: {error}")))?;
    match answered.status {
        200 => Ok(answered.body),
        _ => Err(Failure::of_peer(&answered.body)),
    }
}

/// Facts from the master's ledger, after a key.
pub(crate) async fn fetch_facts(
    api: &Api,
    master: Address,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<crate::ledger::Entry>, String> {
    let after = after.map(|key| format!("&after={key}")).unwrap_or_default();
    fetch(api, master, &format!("/v1/ledger?limit={limit}{after}")).await
}

/// What another voter has to say, in this node's own name.
pub(super) async fn fetch<T: DeserializeOwned>(api: &Api, from: Address, path: &str) -> Result<T, String> {
    let body = ask_node(api, from, path.to_owned(), PATIENCE).await;
    let body = body.map_err(|failure| failure.to_string())?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

async fn bytes(body: Body) -> Result<Vec<u8>, Failure> {
    let bytes = to_bytes(body, BODY_LIMIT).await;
    bytes.map(|bytes| bytes.to_vec()).map_err(|_| Failure::bad(format!("the body is longer than {BODY_LIMIT} bytes")))
}

/// Who asks, as far as the peer that passes it on can be believed. A voter holds the log itself, so root on it may
/// anything, and what it says of others is taken for true. For whom another host vouches, that one may look.
async fn believed(api: &Api, from: Address, who: Who) -> Who {
    if who == Who::Nobody {
        return who;
    }
    let peer = api.handle.look(move |node, _| {
        let state = node.state()?;
        let host = state.hosts.values().find(|host| host.address == from)?;
        Some((host.name.clone(), state.voter_addresses().contains(&from)))
    });
    let Some((host, votes)) = peer.await.flatten() else { return Who::Nobody };
    let who = if matches!(who, Who::Local { .. }) { Who::Local { host: host.clone() } } else { who };
    if votes { who } else { Who::Vouched { host, who: Box::new(who) } }
}

/// Answers what a peer has passed on.
pub(super) async fn answer(api: &Api, routes: Router, from: Address, message: &[u8]) -> Vec<u8> {
    let answered = match serde_json::from_slice::<Passed>(message) {
        // It was sent to a master, who may only have been elected yet.
        Ok(passed) if passed.method != "GET" && !settled(api).await.is_master => Failure::no_master().into_response(),
        Ok(passed) if passed.path.starts_with(HERE) => here(api, from, &passed.path).await,
        Ok(passed) => perform(routes, Passed { who: believed(api, from, passed.who).await, ..passed }).await,
        Err(error) => Failure::bad(format!("a request that was passed on: {error}")).into_response(),
    };
    let status = answered.status().as_u16();
    let (status, body) = match to_bytes(answered.into_body(), ANSWER_LIMIT).await {
        Ok(body) => (status, body.to_vec()),
        Err(_) => too_long().await,
    };
    // Two numbers and a text can always be written.
    serde_json::to_vec(&Answered { status, body }).unwrap_or_default()
}

async fn too_long() -> (u16, Vec<u8>) {
    let failure = Failure::internal(format!("the answer is longer than the {ANSWER_LIMIT} bytes that are passed on"));
    let response = failure.hint("ask for a part of it with `?limit=`, or ask the master's own host").into_response();
    let status = response.status().as_u16();
    // A failure is short.
    (status, to_bytes(response.into_body(), ANSWER_LIMIT).await.map(|bytes| bytes.to_vec()).unwrap_or_default())
}

async fn perform(routes: Router, passed: Passed) -> Response {
    let who = passed.who.clone();
    match request(passed) {
        Ok(request) => run(routes, who, request).await,
        Err(failure) => failure.into_response(),
    }
}

/// The request as it came to the peer.
pub(super) fn request(passed: Passed) -> Result<Request, Failure> {
    let method = Method::from_bytes(passed.method.as_bytes()).map_err(|_| Failure::bad("no such method"))?;
    let mut request = Request::builder().method(method).uri(passed.path);
    request = request.header(header::CONTENT_TYPE, "application/json");
    for (name, value) in [(REQUEST_ID, passed.request_id), (REASON, passed.reason)] {
        if let Some(value) = value {
            request = request.header(name, value.into_bytes());
        }
    }
    request.body(Body::from(passed.body)).map_err(|error| Failure::bad(error.to_string()))
}
