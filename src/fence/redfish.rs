//! A BMC that speaks Redfish.
//!
//! The connection is kept, and so is where the system and its reset action are, so that in an emergency each operation
//! is one request. The state of the power and the identity are never kept: they are read at each call.

use crate::core::remote::{FenceOp, FenceResult};
use crate::fence::FenceAnswer;
use crate::fence::device::{self, Redfish};
use crate::fence::tls;
use reqwest::{Method, Response, StatusCode, Url, header, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// No answer about one system is longer.
const LONGEST_BODY: usize = 1024 * 1024;
/// What a BMC says of an error is cut there.
const LONGEST_COMPLAINT: usize = 300;
/// A kept connection whose BMC went away without a word is found out by then.
const KEEPALIVE: Duration = Duration::from_secs(5);
const SYSTEMS: &str = "/redfish/v1/Systems";

/// Speaks to one BMC.
pub(super) struct RedfishClient {
    device: Redfish,
    http: reqwest::Client,
    base: Url,
    /// Where its system was found.
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    system: Url,
    reset: Url,
}

/// Why an operation has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedfishError {
    #[error("no client could be made for it: {0}")]
    Setup(String),
    #[error("it cannot be reached: {0}")]
    Transport(String),
    #[error("it refuses the user or the password ({0}): correct them, or give the user the right to switch the power")]
    Credentials(StatusCode),
    #[error("it answered {status} to {path}{complaint}")]
    Status { status: StatusCode, path: String, complaint: String },
    #[error("its answer to {path} is longer than {LONGEST_BODY} bytes")]
    TooLong { path: String },
    #[error("its answer to {path} is not what Redfish demands: {problem}")]
    Garbage { path: String, problem: String },
    #[error("it controls no system")]
    NoSystem,
    #[error("it controls several systems: set the one that is meant, of {0}")]
    SeveralSystems(String),
    #[error("it reports no UUID for {0}, so it is not known which machine it controls")]
    NoUuid(String),
    #[error("it reports the power of {path} as {reported}, which is neither on nor off")]
    NoPower { path: String, reported: String },
}

#[derive(Deserialize)]
pub(super) struct Collection {
    #[serde(rename = "Members")]
    members: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "@odata.id")]
    id: String,
}

#[derive(Deserialize)]
pub(super) struct System {
    #[serde(rename = "UUID")]
    uuid: Option<String>,
    #[serde(rename = "PowerState")]
    power: Option<String>,
    #[serde(rename = "Actions")]
    actions: Option<Actions>,
}

#[derive(Deserialize)]
struct Actions {
    #[serde(rename = "#ComputerSystem.Reset")]
    reset: Option<Reset>,
}

#[derive(Deserialize)]
struct Reset {
    target: Option<String>,
}

#[derive(Deserialize)]
struct Complaint {
    error: ComplaintText,
}

#[derive(Deserialize)]
struct ComplaintText {
    message: Option<String>,
}

impl RedfishClient {
    pub(super) fn new(device: &Redfish) -> Result<RedfishClient, RedfishError> {
        let base = Url::parse(&device.address).map_err(|error| RedfishError::Setup(error.to_string()))?;
        let config = tls::client_config(device).map_err(RedfishError::Setup)?;
        // A BMC is reached directly, whatever the environment says of proxies, and sends nobody elsewhere.
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(2)
            .pool_idle_timeout(None)
            .pool_max_idle_per_host(2)
            .build()
            .map_err(|error| RedfishError::Setup(chain(&error)))?;
        Ok(RedfishClient { device: device.clone(), http, base, known: Mutex::new(None) })
    }

    pub(super) async fn perform(&self, op: FenceOp) -> FenceAnswer {
        let outcome = match op {
            FenceOp::Identity => self.identity().await,
            FenceOp::Power => self.power().await,
            FenceOp::PowerOff => self.reset("ForceOff").await,
            FenceOp::PowerOn => self.reset("On").await,
        };
        match outcome {
            Ok(result) => FenceAnswer { result, detail: None },
            Err(error) => {
                let refused = matches!(error, RedfishError::Credentials(_));
                let result = if refused { FenceResult::Refused } else { FenceResult::Unreachable };
                FenceAnswer { result, detail: Some(format!("the BMC at {}: {error}", self.device.address)) }
            }
        }
    }

    async fn identity(&self) -> Result<FenceResult, RedfishError> {
        let (known, system) = self.read_system().await?;
        system.identity(&known.system)
    }

    async fn power(&self) -> Result<FenceResult, RedfishError> {
        let (known, system) = self.read_system().await?;
        system.power(&known.system)
    }

    /// Orders. That it was taken says nothing about what became of it.
    async fn reset(&self, kind: &str) -> Result<FenceResult, RedfishError> {
        let known = match self.known() {
            Some(known) => known,
            None => self.read_system().await?.0,
        };
        let order = serde_json::json!({ "ResetType": kind });
        let answer = self.ask(Method::POST, &known.reset, Some(&order)).await;
        if answer.is_err() {
            // The next try looks anew where the action is.
            self.remember(None);
        }
        answer.map(|_| FenceResult::Taken)
    }

    /// Reads the system, from where it was found before, or else from where it is now.
    async fn read_system(&self) -> Result<(Known, System), RedfishError> {
        let kept = self.known().map(|known| known.system);
        if let Some(url) = kept {
            match self.read_system_at(url).await {
                Err(RedfishError::Status { status: StatusCode::NOT_FOUND, .. }) => self.remember(None),
                answer => return answer,
            }
        }
        let url = match &self.device.system {
            Some(path) => local(&self.base, path, SYSTEMS)?,
            None => self.only_system().await?,
        };
        self.read_system_at(url).await
    }

    async fn read_system_at(&self, url: Url) -> Result<(Known, System), RedfishError> {
        let system: System = self.get(&url).await?;
        let reset = system.reset(&self.base, &url)?;
        let known = Known { system: url, reset };
        self.remember(Some(known.clone()));
        Ok((known, system))
    }

    async fn only_system(&self) -> Result<Url, RedfishError> {
        let systems: Collection = self.get(&local(&self.base, SYSTEMS, SYSTEMS)?).await?;
        systems.only(&self.base)
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, RedfishError> {
        let answer = self.ask(Method::GET, url, None).await?;
        let body = read_bounded(answer, url).await?;
        read(&body, url)
    }

    async fn ask(&self, method: Method, url: &Url, body: Option<&serde_json::Value>) -> Result<Response, RedfishError> {
        let mut request = self
            .http
            .request(method, url.clone())
            .basic_auth(&self.device.user, Some(self.device.password.expose()))
            .header(header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| RedfishError::Transport(chain(&error.without_url())))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(RedfishError::Credentials(status)),
            status => {
                let complaint = complaint(answer, url).await;
                Err(RedfishError::Status { status, path: url.path().to_owned(), complaint })
            }
        }
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, known: Option<Known>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl Collection {
    /// The one system that there is.
    pub(super) fn only(&self, base: &Url) -> Result<Url, RedfishError> {
        match self.members.as_slice() {
            [] => Err(RedfishError::NoSystem),
            [one] => local(base, &one.id, SYSTEMS),
            several => {
                let names: Vec<String> = several.iter().take(8).map(|link| printable(&link.id)).collect();
                Err(RedfishError::SeveralSystems(names.join(", ")))
            }
        }
    }
}

impl System {
    pub(super) fn identity(&self, url: &Url) -> Result<FenceResult, RedfishError> {
        let none = || RedfishError::NoUuid(url.path().to_owned());
        let text = self.uuid.as_ref().ok_or_else(none)?;
        let uuid = Uuid::parse_str(text.trim()).map_err(|error| garbage(url, &error))?;
        // What a board reports that was never given one.
        if uuid.is_nil() || uuid.is_max() { Err(none()) } else { Ok(FenceResult::Identity(uuid.as_u128())) }
    }

    pub(super) fn power(&self, url: &Url) -> Result<FenceResult, RedfishError> {
        match self.power.as_deref() {
            Some("Off") => Ok(FenceResult::Off),
            // Until it is off, something may still run in it.
            Some("On" | "PoweringOff" | "PoweringOn" | "Paused") => Ok(FenceResult::On),
            other => {
                let reported = other.map_or_else(|| "unknown".to_owned(), printable);
                Err(RedfishError::NoPower { path: url.path().to_owned(), reported })
            }
        }
    }

    /// Where its power is switched.
    pub(super) fn reset(&self, base: &Url, url: &Url) -> Result<Url, RedfishError> {
        match self.actions.as_ref().and_then(|actions| actions.reset.as_ref()?.target.as_deref()) {
            Some(target) => local(base, target, url.path()),
            None => {
                let path = format!("{}/Actions/ComputerSystem.Reset", url.path().trim_end_matches('/'));
                local(base, &path, url.path())
            }
        }
    }
}

/// A path that a BMC named in its answer to another, on this BMC and no other host.
fn local(base: &Url, path: &str, named_by: &str) -> Result<Url, RedfishError> {
    let url = device::is_local_path(path).then(|| base.join(path).ok()).flatten();
    url.filter(|url| url.origin() == base.origin()).ok_or_else(|| RedfishError::Garbage {
        path: named_by.to_owned(),
        problem: format!("it names \"{}\", which is no path of its own", printable(path)),
    })
}

/// Reads the body of an answer. It must be an object: a list would be read too, each value by its place, and by its
/// place nothing is off.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], url: &Url) -> Result<T, RedfishError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(RedfishError::Garbage { path: url.path().to_owned(), problem: "it is no JSON object".to_owned() });
    }
    serde_json::from_slice(body).map_err(|error| garbage(url, &error))
}

async fn read_bounded(mut answer: Response, url: &Url) -> Result<Vec<u8>, RedfishError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| RedfishError::Transport(chain(&error.without_url())))?
    {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(RedfishError::TooLong { path: url.path().to_owned() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What the BMC says of an error, if it says so in the way that Redfish demands.
async fn complaint(answer: Response, url: &Url) -> String {
    let Ok(body) = read_bounded(answer, url).await else { return String::new() };
    complained(&body)
}

pub(super) fn complained(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Complaint>(body).ok().and_then(|complaint| complaint.error.message);
    said.map_or_else(String::new, |message| format!(": {}", printable(&message)))
}

fn garbage(url: &Url, problem: &dyn Error) -> RedfishError {
    RedfishError::Garbage { path: url.path().to_owned(), problem: printable(&problem.to_string()) }
}

/// Text from outside, as a person may see it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_COMPLAINT).collect()
}

/// An error and its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
