//! A BMC that speaks Redfish.
//!
//! The connection is kept, and so is where the system and its reset action are, so that in an emergency each operation
//! is one request. The state of the power and the identity are never kept: they are read at each call.

use crate::core::remote::{FenceOp, FenceResult};
use crate::fence::FenceAnswer;
use crate::fence::answers::{ActionInfo, Collection, Parameter, System, complained, local, printable, read};
use crate::fence::device::Redfish;
use crate::fence::session::{Session, TOKEN};
use crate::fence::tls;
use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode, Url, header, redirect};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// No answer about one system is longer.
const LONGEST_BODY: usize = 1024 * 1024;
/// A kept connection whose BMC went away without a word is found out by then.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// A BMC may be slow to answer, but not to take a packet. One that died with its host must not hold up the next device.
const SILENCE: Duration = Duration::from_secs(4);
/// A connection is made within this, one lost packet included. Several hosts try before a device is given up.
const CONNECTS: Duration = Duration::from_secs(2);
pub(super) const SYSTEMS: &str = "/redfish/v1/Systems";

/// Speaks to one BMC.
pub(super) struct RedfishClient {
    device: Redfish,
    http: reqwest::Client,
    base: Url,
    /// Where its system was found.
    known: Mutex<Option<Known>>,
    session: Session,
}

#[derive(Debug, Clone)]
struct Known {
    system: Url,
    reset: Url,
    /// The kinds of resets that it offers; none: it does not say.
    kinds: Vec<String>,
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
    #[error(
        "it offers no {wanted} (it offers {offered}), and nothing else cuts the power for certain: a press of the button \
         only asks the guest; use another device for this host, such as a switched outlet"
    )]
    NoSuchReset { wanted: &'static str, offered: String },
    #[error("it reports the power of {path} as {reported}, which is neither on nor off")]
    NoPower { path: String, reported: String },
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
            .connect_timeout(CONNECTS)
            .tcp_user_timeout(SILENCE)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(2)
            .pool_idle_timeout(None)
            .pool_max_idle_per_host(2)
            .build()
            .map_err(|error| RedfishError::Setup(chain(&error)))?;
        Ok(RedfishClient { device: device.clone(), http, base, known: Mutex::new(None), session: Session::default() })
    }

    pub(super) async fn perform(&self, op: FenceOp) -> FenceAnswer {
        let outcome = match op {
            FenceOp::Identity => self.identity().await,
            FenceOp::Power => self.power().await,
            FenceOp::PowerOff => self.reset(&["ForceOff"], FenceResult::Off).await,
            FenceOp::PowerOn => self.reset(&["On", "ForceOn"], FenceResult::On).await,
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

    /// Orders, in the first of these kinds that is offered. That it was taken says nothing about what became of it.
    async fn reset(&self, kinds: &[&'static str], wanted: FenceResult) -> Result<FenceResult, RedfishError> {
        let known = match self.known() {
            Some(known) => known,
            None => self.read_system().await?.0,
        };
        let order = serde_json::json!({ "ResetType": known.kind(kinds)? });
        let mut answer = self.ask(Method::POST, &known.reset, Some(&order), None).await;
        if let Err(RedfishError::Status { status, .. }) = &answer
            && matches!(*status, StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED)
        {
            // It wants to be shown that its state is known; what that is, is of no interest here.
            let state = self.ask(Method::GET, &known.system, None, None).await?;
            let tag = state.headers().get(header::ETAG).cloned();
            answer = self.ask(Method::POST, &known.reset, Some(&order), tag.as_ref()).await;
        }
        let Err(error) = answer else { return Ok(FenceResult::Taken) };
        // The next try looks anew where the action is.
        self.remember(None);
        if let RedfishError::Status { status, .. } = &error
            && matches!(*status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT)
            && self.power().await.is_ok_and(|power| power == wanted)
        {
            // There is nothing to be done. Whether it is so is read back by whoever ordered.
            return Ok(FenceResult::Taken);
        }
        Err(error)
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
        let kinds = match self.known() {
            Some(known) if known.reset == reset => known.kinds,
            _ => self.kinds(&system).await,
        };
        let known = Known { system: url, reset, kinds };
        self.remember(Some(known.clone()));
        Ok((known, system))
    }

    /// What its reset action can be told. A BMC that does not say so is tried.
    async fn kinds(&self, system: &System) -> Vec<String> {
        let Some(reset) = system.actions.as_ref().and_then(|actions| actions.reset.as_ref()) else { return Vec::new() };
        match (&reset.kinds, &reset.info) {
            (Some(kinds), _) => kinds.clone(),
            (None, Some(path)) => {
                let Ok(url) = local(&self.base, path, SYSTEMS) else { return Vec::new() };
                let info: Result<ActionInfo, RedfishError> = self.get(&url).await;
                let parameters = info.map(|info| info.parameters).unwrap_or_default();
                let named = |parameter: &Parameter| parameter.name.as_deref() == Some("ResetType");
                parameters.into_iter().find(named).and_then(|parameter| parameter.values).unwrap_or_default()
            }
            (None, None) => Vec::new(),
        }
    }

    async fn only_system(&self) -> Result<Url, RedfishError> {
        let systems: Collection = self.get(&local(&self.base, SYSTEMS, SYSTEMS)?).await?;
        systems.only(&self.base)
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, RedfishError> {
        let mut answer = self.ask(Method::GET, url, None, None).await?;
        let status = answer.status();
        if status.is_redirection() {
            // Some move a collection by a slash at its end. Nobody is sent further than that.
            let place =
                answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default();
            let path = place.strip_prefix(self.device.address.as_str()).unwrap_or(place);
            let refused = || RedfishError::Status { status, path: url.path().to_owned(), complaint: String::new() };
            let moved = local(&self.base, path, url.path()).map_err(|_| refused())?;
            answer = self.ask(Method::GET, &moved, None, None).await?;
            if answer.status().is_redirection() {
                return Err(refused());
            }
        }
        let body = read_bounded(answer, url).await?;
        read(&body, url)
    }

    async fn ask(
        &self,
        method: Method,
        url: &Url,
        body: Option<&serde_json::Value>,
        tag: Option<&HeaderValue>,
    ) -> Result<Response, RedfishError> {
        let mut answer = self.ask_once(&method, url, body, tag).await?;
        // It may want to be logged in to, or the session may be over. Who takes a name and password with each request has
        // refused these, and locks the account if that goes on.
        let offered = answer.headers().get(header::WWW_AUTHENTICATE).and_then(|offered| offered.to_str().ok());
        let refused = self.session.token().is_none() && offered.is_some_and(|offered| offered.contains("Basic"));
        if answer.status() == StatusCode::UNAUTHORIZED
            && !refused
            && self.session.begin(&self.http, &self.base, &self.device).await
        {
            answer = self.ask_once(&method, url, body, tag).await?;
        }
        match answer.status() {
            status if status.is_success() || (method == Method::GET && status.is_redirection()) => Ok(answer),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(RedfishError::Credentials(status)),
            status => {
                let complaint = complaint(answer, url).await;
                Err(RedfishError::Status { status, path: url.path().to_owned(), complaint })
            }
        }
    }

    async fn ask_once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&serde_json::Value>,
        tag: Option<&HeaderValue>,
    ) -> Result<Response, RedfishError> {
        let request = self.http.request(method.clone(), url.clone()).header(header::ACCEPT, "application/json");
        let mut request = match self.session.token() {
            Some(token) => request.header(TOKEN, token),
            None => request.basic_auth(&self.device.user, Some(self.device.password.expose())),
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(tag) = tag {
            request = request.header(header::IF_MATCH, tag);
        }
        request.send().await.map_err(|error| RedfishError::Transport(chain(&error.without_url())))
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, known: Option<Known>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl Drop for RedfishClient {
    fn drop(&mut self) {
        self.session.close(&self.http);
    }
}

impl Known {
    /// The first of these kinds of resets that is offered.
    fn kind(&self, wanted: &[&'static str]) -> Result<&'static str, RedfishError> {
        let first = wanted.first().copied().unwrap_or_default();
        if self.kinds.is_empty() {
            return Ok(first);
        }
        let found = wanted.iter().find(|kind| self.kinds.iter().any(|offered| offered == *kind));
        found.copied().ok_or_else(|| {
            let offered: Vec<String> = self.kinds.iter().take(16).map(|kind| printable(kind)).collect();
            RedfishError::NoSuchReset { wanted: first, offered: offered.join(", ") }
        })
    }
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
