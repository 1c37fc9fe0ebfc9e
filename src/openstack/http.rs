//! One request and its answer: bounded in time and in length, and never with a secret in what is said of it.

use super::settings::Verify;
use crate::client::causes;
use crate::trust::use_ring;
use crate::words::span;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, Response, StatusCode, Url, redirect, retry};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use thiserror::Error;

/// A connection is made within this.
const CONNECTS: Duration = Duration::from_secs(5);
/// A connection is not kept for longer without use: what is sent into one that its server just closes has an unknown end.
const IDLE: Duration = Duration::from_secs(3);
/// No answer is longer: a page of five hundred servers has about a megabyte, and some of them tracebacks of their faults.
const LONGEST_BODY: usize = 32 << 20;
/// No more is repeated of what a cloud says of an error.
const LONGEST_MESSAGE: usize = 400;

/// Why something was not learnt or done. The names of requests in it have no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloudError {
    /// Nobody could be asked: nothing was sent.
    #[error("{place} cannot be reached: {why}")]
    Unreachable {
        /// Which server.
        place: String,
        /// Why.
        why: String,
    },
    /// The answer did not come, or not all of it: what was asked may have been done or not.
    #[error("{request} was not answered: {why}")]
    Lost {
        /// What was asked.
        request: String,
        /// Why.
        why: String,
    },
    /// The cloud said no.
    #[error("{request} was answered with {status}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// Under which status of HTTP.
        status: u16,
        /// In which words.
        message: String,
    },
    /// What was answered makes no sense.
    #[error("the answer to {request} cannot be read: {why}")]
    Nonsense {
        /// What was asked.
        request: String,
        /// What is wrong.
        why: String,
    },
    /// Keystone does not know the user, the secret or the project.
    #[error(
        "keystone at {place} refuses the credentials: {message}\n  hint: correct them, or make a new application \
         credential if this one was deleted or has expired"
    )]
    Denied {
        /// Which keystone.
        place: String,
        /// In which words.
        message: String,
    },
    /// The cloud, as it is, cannot be spoken to.
    #[error("{0}")]
    Unfit(String),
}

impl CloudError {
    /// Whether it is certain that nothing was done of what was asked.
    pub fn is_certain(&self) -> bool {
        match self {
            CloudError::Unreachable { .. } | CloudError::Denied { .. } | CloudError::Unfit(_) => true,
            CloudError::Lost { .. } | CloudError::Nonsense { .. } => false,
            // A server in between that waited in vain says so with these, and knows no more than we do.
            CloudError::Refused { status, .. } => *status < 500 && *status != StatusCode::REQUEST_TIMEOUT.as_u16(),
        }
    }

    /// The status of HTTP, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            CloudError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    /// May hold secrets: it is never shown.
    pub(super) body: Option<Body>,
    pub(super) headers: HeaderMap,
}

/// The body of a request.
#[derive(Clone)]
pub(super) struct Body(pub(super) Value);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(body)")
    }
}

impl Ask {
    pub(super) fn get(url: Url) -> Ask {
        Ask { method: Method::GET, url, body: None, headers: HeaderMap::new() }
    }

    pub(super) fn with(method: Method, url: Url, body: Value) -> Ask {
        Ask { method, url, body: Some(Body(body)), headers: HeaderMap::new() }
    }

    /// What it is called in errors.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// What was answered, whole. It may hold a token, and is never shown.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body, as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, CloudError> {
        serde_json::from_slice(&self.body).map_err(|error| nonsense(ask, error.to_string()))
    }

    /// What it says of why not.
    pub(super) fn complaint(&self) -> String {
        let said: Option<Value> = serde_json::from_slice(&self.body).ok();
        // Nova names the error by its kind, keystone does not: {"badRequest": {"message": ...}}, {"error": {...}}.
        let inner = said.as_ref().and_then(Value::as_object).and_then(|outer| outer.values().next());
        let message = inner.and_then(|inner| inner.get("message")).and_then(Value::as_str);
        let reason = self.status.canonical_reason().unwrap_or("a status without a name");
        let message = message.filter(|message| !message.is_empty()).unwrap_or(reason);
        message.chars().take(LONGEST_MESSAGE).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
    }

    /// After which time it wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
        text.trim().parse().ok().map(Duration::from_secs)
    }

    pub(super) fn refusal(&self, ask: &Ask) -> CloudError {
        CloudError::Refused { request: ask.name(), status: self.status.as_u16(), message: self.complaint() }
    }
}

pub(super) fn nonsense(ask: &Ask, why: impl Into<String>) -> CloudError {
    CloudError::Nonsense { request: ask.name(), why: why.into() }
}

/// The server of a URL, for errors.
pub(super) fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Sends requests to the servers of one cloud.
#[derive(Debug, Clone)]
pub(super) struct Http(Client);

impl Http {
    pub(super) fn new(verify: &Verify) -> Result<Http, CloudError> {
        use_ring();
        let unfit = |what: &str, error: &reqwest::Error| CloudError::Unfit(format!("{what}: {}", causes(error)));
        // It is reached directly, whatever the environment says of proxies, and sends nobody elsewhere: a token is shown to
        // no other server. Nothing is sent twice but by the session, which knows what may be.
        let mut http = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECTS)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        match verify {
            Verify::System => {}
            Verify::Authorities(pem) => {
                let known = Certificate::from_pem_bundle(pem);
                http = http.tls_certs_only(known.map_err(|error| unfit("its authorities are of no use", &error))?);
            }
            Verify::Nothing => http = http.tls_danger_accept_invalid_certs(true),
        }
        http.build().map(Http).map_err(|error| unfit("no client can be made for it", &error))
    }

    /// Asks once.
    pub(super) async fn send(&self, ask: &Ask, deadline: Duration) -> Result<Answer, CloudError> {
        let lost = |why: String| CloudError::Lost { request: ask.name(), why };
        let asked = tokio::time::timeout(deadline, self.ask(ask)).await;
        let waited = i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX);
        asked.unwrap_or_else(|_| Err(lost(format!("nothing came within {}", span(waited)))))
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, CloudError> {
        let mut request = self.0.request(ask.method.clone(), ask.url.clone()).headers(ask.headers.clone());
        request = request.header(reqwest::header::ACCEPT, "application/json");
        if let Some(body) = &ask.body {
            request = request.json(&body.0);
        }
        let answer = request.send().await.map_err(|error| {
            let no_way = error.is_connect() || error.is_builder();
            let why = causes(&error.without_url());
            match no_way {
                true => CloudError::Unreachable { place: place(&ask.url), why },
                false => CloudError::Lost { request: ask.name(), why },
            }
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: whole(answer, ask).await? })
    }
}

/// The body, to its end.
async fn whole(mut answer: Response, ask: &Ask) -> Result<Vec<u8>, CloudError> {
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await.map_err(|error| CloudError::Lost {
            request: ask.name(),
            why: format!("its answer broke off: {}", causes(&error.without_url())),
        })?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(nonsense(ask, format!("it is longer than {LONGEST_BODY} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
}
