//! BMCs that lie, stall, and answer what was not asked. None of them may be believed to be off.

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::fence::{FenceAnswer, FenceClients, FenceDevice, Redfish, Secret, Verify};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const LONG: Duration = Duration::from_secs(20);
const ALL: [FenceOp; 4] = [FenceOp::Identity, FenceOp::Power, FenceOp::PowerOff, FenceOp::PowerOn];
pub const UUID: &str = "6f2c0000-1111-2222-3333-444455556666";

fn device(address: SocketAddr, system: Option<&str>) -> FenceDevice {
    let password = Secret::new("secret").expect("a password");
    let device = Redfish::new(&format!("http://{address}"), system, "admin", password, Verify::Nothing);
    FenceDevice::Redfish(device.expect("a device"))
}

type Answers = dyn Fn(&str, &str, &HeaderMap) -> Response + Send + Sync;

/// A BMC that answers as a function does, and notes what it was asked.
pub struct Bmc {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<Vec<String>>>,
    fences: Mutex<Arc<FenceClients>>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Script {
    answers: Arc<Answers>,
    asked: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Bmc {
    pub async fn start(answers: impl Fn(&str, &str) -> Response + Send + Sync + 'static) -> Bmc {
        Bmc::start_with_headers(move |method, path, _| answers(method, path)).await
    }

    pub async fn start_with_headers(
        answers: impl Fn(&str, &str, &HeaderMap) -> Response + Send + Sync + 'static,
    ) -> Bmc {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let script = Script { answers: Arc::new(answers), asked: Arc::clone(&asked), said: Arc::clone(&said) };
        let router = Router::new().fallback(answer).with_state(script);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Bmc { address, asked, said, fences: Mutex::default(), server }
    }

    /// With one system, of which this is said.
    async fn with_system(system: Value) -> Bmc {
        Bmc::start(move |method, path| match (method, path) {
            ("GET", "/redfish/v1/Systems") => one_system("/redfish/v1/Systems/1"),
            ("GET", "/redfish/v1/Systems/1") => Json(system.clone()).into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        })
        .await
    }

    pub async fn perform(&self, op: FenceOp) -> FenceAnswer {
        self.perform_as(&device(self.address, None), op).await
    }

    async fn perform_as(&self, device: &FenceDevice, op: FenceOp) -> FenceAnswer {
        let fences = Arc::clone(&self.fences.lock().expect("nobody panicked"));
        fences.perform(device, op, LONG).await
    }

    /// Whoever asked it so far asks no more.
    pub fn forget_clients(&self) {
        *self.fences.lock().expect("nobody panicked") = Arc::default();
    }

    /// It cannot be said of it what was asked, for this reason.
    pub async fn fails(&self, op: FenceOp, reason: &str) {
        let answer = self.perform(op).await;
        assert_eq!(answer.result, FenceResult::Unreachable, "{op:?}: {answer:?}");
        let detail = answer.detail.expect("a reason");
        assert!(detail.contains(reason), "{op:?}: {detail}");
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("nobody panicked"))
    }

    /// The bodies of all requests that had one.
    pub fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().expect("nobody panicked"))
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(script): State<Script>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> Response {
    script.asked.lock().expect("nobody panicked").push(format!("{method} {}", uri.path()));
    if !body.is_empty() {
        script.said.lock().expect("nobody panicked").push(body);
    }
    (script.answers)(method.as_str(), uri.path(), &headers)
}

pub fn one_system(path: &str) -> Response {
    Json(json!({ "Members": [{ "@odata.id": path }] })).into_response()
}

#[tokio::test]
async fn an_order_is_one_request_once_the_system_is_known() {
    let target = "/redfish/v1/Systems/1/Actions/Oem.Reset";
    let actions = json!({ "#ComputerSystem.Reset": { "target": target } });
    let bmc = Bmc::with_system(json!({ "UUID": UUID, "PowerState": "On", "Actions": actions })).await;
    let uuid = 0x6f2c_0000_1111_2222_3333_4444_5555_6666;
    assert_eq!(bmc.perform(FenceOp::Identity).await.result, FenceResult::Identity(uuid));
    assert_eq!(bmc.asked(), ["GET /redfish/v1/Systems", "GET /redfish/v1/Systems/1"]);
    assert_eq!(bmc.perform(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(bmc.asked(), [format!("POST {target}")]);
    // It said that it took the order. What is read back is what counts.
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::On);
    assert_eq!(bmc.asked(), ["GET /redfish/v1/Systems/1"]);
}

#[tokio::test]
async fn what_is_not_said_to_be_off_is_not_off() {
    for (power, result) in [
        ("On", FenceResult::On),
        ("Off", FenceResult::Off),
        ("PoweringOff", FenceResult::On),
        ("PoweringOn", FenceResult::On),
        ("Paused", FenceResult::On),
        ("off", FenceResult::Unreachable),
        ("Unknown", FenceResult::Unreachable),
        ("", FenceResult::Unreachable),
    ] {
        let bmc = Bmc::with_system(json!({ "UUID": UUID, "PowerState": power })).await;
        assert_eq!(bmc.perform(FenceOp::Power).await.result, result, "{power}");
    }
    for power in [json!({}), json!({ "PowerState": null }), json!({ "PowerState": 0 })] {
        assert_eq!(Bmc::with_system(power).await.perform(FenceOp::Power).await.result, FenceResult::Unreachable);
    }
}

#[tokio::test]
async fn a_machine_without_a_name_is_not_guessed() {
    let nil = "00000000-0000-0000-0000-000000000000";
    let max = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";
    for (system, reason) in [
        (json!({ "PowerState": "On" }), "reports no UUID"),
        (json!({ "UUID": null }), "reports no UUID"),
        (json!({ "UUID": nil }), "reports no UUID"),
        (json!({ "UUID": max }), "reports no UUID"),
        (json!({ "UUID": "serial 7" }), "not what Redfish demands"),
        (json!({ "UUID": 7 }), "not what Redfish demands"),
    ] {
        Bmc::with_system(system).await.fails(FenceOp::Identity, reason).await;
    }
}

#[tokio::test]
async fn several_systems_are_a_question() {
    let members =
        json!({ "Members": [{ "@odata.id": "/redfish/v1/Systems/a" }, { "@odata.id": "/redfish/v1/Systems/b" }] });
    let bmc = Bmc::start(move |_, path| match path {
        "/redfish/v1/Systems" => Json(members.clone()).into_response(),
        "/redfish/v1/Systems/b" => Json(json!({ "UUID": UUID, "PowerState": "Off" })).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    for op in ALL {
        bmc.fails(op, "several systems: set the one that is meant, of /redfish/v1/Systems/a, /redfish/v1/Systems/b")
            .await;
    }
    assert!(bmc.asked().iter().all(|asked| asked == "GET /redfish/v1/Systems"));
    let chosen = device(bmc.address, Some("/redfish/v1/Systems/b"));
    assert_eq!(bmc.perform_as(&chosen, FenceOp::Power).await.result, FenceResult::Off);
    let gone = device(bmc.address, Some("/redfish/v1/Systems/c"));
    assert_eq!(bmc.perform_as(&gone, FenceOp::Power).await.result, FenceResult::Unreachable);
    let none = Bmc::start(|_, _| Json(json!({ "Members": [] })).into_response()).await;
    none.fails(FenceOp::Power, "controls no system").await;
}

#[tokio::test]
async fn it_leads_nobody_elsewhere() {
    let elsewhere = Bmc::with_system(json!({ "UUID": UUID, "PowerState": "Off" })).await;
    let host = elsewhere.address;
    for link in
        [format!("http://{host}/redfish/v1/Systems/1"), format!("//{host}/x"), format!("/\\{host}/x"), "x".to_owned()]
    {
        let bmc = Bmc::start(move |_, _| one_system(&link)).await;
        for op in ALL {
            bmc.fails(op, "which is no path of its own").await;
        }
    }
    let actions = json!({ "#ComputerSystem.Reset": { "target": format!("http://{host}/reset") } });
    let bmc = Bmc::with_system(json!({ "UUID": UUID, "PowerState": "Off", "Actions": actions })).await;
    bmc.fails(FenceOp::PowerOff, "which is no path of its own").await;
    let location = format!("http://{host}/redfish/v1/Systems/1");
    let bmc =
        Bmc::start(move |_, _| (StatusCode::TEMPORARY_REDIRECT, [("location", location.clone())]).into_response())
            .await;
    for op in ALL {
        bmc.fails(op, "307").await;
    }
    assert!(elsewhere.asked().is_empty(), "it was asked");
}

#[tokio::test]
async fn an_order_that_is_refused_is_not_taken() {
    let refusal = json!({ "error": { "message": "not\nnow", "code": "x" } });
    let bmc = Bmc::start(move |method, path| match (method, path) {
        ("POST", _) => (StatusCode::CONFLICT, Json(refusal.clone())).into_response(),
        (_, "/redfish/v1/Systems") => one_system("/redfish/v1/Systems/1"),
        _ => Json(json!({ "UUID": UUID })).into_response(),
    })
    .await;
    bmc.fails(
        FenceOp::PowerOff,
        "it answered 409 Conflict to /redfish/v1/Systems/1/Actions/ComputerSystem.Reset: not now",
    )
    .await;
    for (status, result) in [(401, FenceResult::Refused), (403, FenceResult::Refused), (500, FenceResult::Unreachable)]
    {
        let status = StatusCode::from_u16(status).expect("a status");
        let bmc = Bmc::start(move |_, _| status.into_response()).await;
        for op in ALL {
            assert_eq!(bmc.perform(op).await.result, result, "{status} {op:?}");
        }
    }
}

#[tokio::test]
async fn a_system_that_moved_is_found_again() {
    let moved = Arc::new(Mutex::new("/redfish/v1/Systems/old"));
    let now = Arc::clone(&moved);
    let bmc = Bmc::start(move |_, path| {
        let at = *now.lock().expect("nobody panicked");
        match path {
            "/redfish/v1/Systems" => one_system(at),
            path if path == at => Json(json!({ "UUID": UUID, "PowerState": "On" })).into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    })
    .await;
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::On);
    *moved.lock().expect("nobody panicked") = "/redfish/v1/Systems/new";
    assert_eq!(bmc.perform(FenceOp::Power).await.result, FenceResult::On);
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let bmc = Bmc::start(|_, _| format!("{{\"Members\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20)).into_response()).await;
    bmc.fails(FenceOp::Power, "longer than 1048576 bytes").await;
}

/// A server that answers every connection with these bytes, and then keeps it open.
async fn raw(bytes: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.readable().await.ok();
            stream.write_all(bytes).await.ok();
            open.push(stream);
        }
    });
    (address, server)
}

#[tokio::test]
async fn silence_garbage_and_half_an_answer_are_not_off() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"PowerState\":\"Off\",";
    let patience = Duration::from_millis(300);
    for bytes in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{x}", half] {
        let (address, server) = raw(bytes).await;
        let fences = FenceClients::new();
        for op in ALL {
            let began = tokio::time::Instant::now();
            let answer = fences.perform(&device(address, Some("/redfish/v1/Systems/1")), op, patience).await;
            assert_eq!(answer.result, FenceResult::Unreachable, "{op:?}: {answer:?}");
            assert!(answer.detail.is_some() && began.elapsed() < Duration::from_secs(5));
        }
        server.abort();
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    for op in ALL {
        let answer = FenceClients::new().perform(&device(address, None), op, LONG).await;
        assert_eq!(answer.result, FenceResult::Unreachable);
        assert!(answer.detail.is_some_and(|text| text.contains("cannot be reached") && text.contains("refused")));
    }
}
