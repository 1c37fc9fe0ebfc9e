//! A client of the operators' interface: what the command line, the demo and the tests speak through.

use crate::api::{AS_KNOWN_BY, ErrorBody};
use crate::trust::{Identity, TrustError, api_client, use_ring};
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// An answer comes within this: longer than anything that a node waits for itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// No answer is longer.
const ANSWER_LIMIT: u64 = 256 << 20;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("{place} does not answer: {why}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// The answer did not come: what was asked may have been done or not.
    #[error("{place} was asked and has not answered: {why}")]
    Lost {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// The cluster said no.
    #[error("{}{}", body.error, body.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
    Refused {
        /// In which words.
        body: ErrorBody,
        /// Under which status.
        status: u16,
    },
    /// What was answered makes no sense.
    #[error("the answer of {place} cannot be read: {why}")]
    Nonsense {
        /// Whose.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The key or certificate cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl ClientError {
    /// The word for programs, if the cluster said no.
    pub fn code(&self) -> Option<&str> {
        match self {
            ClientError::Refused { body, .. } => Some(&body.code),
            _ => None,
        }
    }
}

/// How a person shows who he is.
#[derive(Debug)]
pub enum Credentials {
    /// By a key with its certificate.
    Certificate(Box<Identity>),
    /// By a token.
    Token(String),
}

/// What a request is called, and why it is made.
#[derive(Debug, Clone, Default)]
pub struct Note {
    /// Names the request for good: asked again under the same number, it is done once.
    pub id: Option<u64>,
    /// Why.
    pub reason: Option<String>,
}

/// The way to a cluster.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    place: String,
    token: Option<String>,
    /// Who gave the last answer, if there was no master to give it.
    known_by: Arc<Mutex<Option<String>>>,
}

impl Client {
    /// Through the socket of the agent on this machine.
    pub fn local(socket: &Path) -> Result<Client, ClientError> {
        let place = socket.display().to_string();
        let http = reqwest::Client::builder().unix_socket(socket.to_owned()).timeout(PATIENCE).no_proxy();
        Client::of(http, "http://holdfast".to_owned(), place, None)
    }

    /// Over the network, to any host of the cluster: `address:port`. The host must show a certificate of this authority.
    pub fn remote(server: &str, authority: &[u8], credentials: Credentials) -> Result<Client, ClientError> {
        let (person, token) = match credentials {
            Credentials::Certificate(identity) => (Some(identity), None),
            Credentials::Token(token) => (None, Some(token)),
        };
        let tls = api_client(authority, person.as_deref())?;
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).no_proxy();
        Client::of(http, format!("https://{server}"), server.to_owned(), token)
    }

    fn of(
        http: reqwest::ClientBuilder,
        base: String,
        place: String,
        token: Option<String>,
    ) -> Result<Client, ClientError> {
        use_ring();
        let failed = |error: reqwest::Error| ClientError::Unreachable { place: place.clone(), why: causes(&error) };
        let http = http.build().map_err(failed)?;
        Ok(Client { http, base, place, token, known_by: Arc::default() })
    }

    /// Where this leads.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The host that gave the last answer, if it did so without a master: what it knows may be old.
    pub fn known_by(&self) -> Option<String> {
        self.known_by.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let request = self.http.request(Method::GET, format!("{}{path}", self.base));
        self.send(request, &Note::default()).await
    }

    /// Looks at something that is told as plain text.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let request = self.http.request(Method::GET, format!("{}{path}", self.base));
        self.told(request, &Note::default()).await
    }

    /// Has something done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        note: &Note,
    ) -> Result<T, ClientError> {
        self.send(self.http.request(Method::POST, format!("{}{path}", self.base)).json(body), note).await
    }

    /// Sets something.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        note: &Note,
    ) -> Result<T, ClientError> {
        self.send(self.http.request(Method::PUT, format!("{}{path}", self.base)).json(body), note).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str, note: &Note) -> Result<Value, ClientError> {
        self.send(self.http.request(Method::DELETE, format!("{}{path}", self.base)), note).await
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder, note: &Note) -> Result<T, ClientError> {
        let text = self.told(request, note).await?;
        serde_json::from_str(&text).map_err(|error| self.nonsense(error.to_string()))
    }

    async fn told(&self, request: RequestBuilder, note: &Note) -> Result<String, ClientError> {
        let mut request = request;
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = note.id {
            request = request.header("request-id", id.to_string());
        }
        if let Some(reason) = &note.reason {
            // People write in their own languages; a header takes any bytes but control characters.
            let reason: String = reason.chars().filter(|letter| !letter.is_control()).collect();
            if let Ok(value) = HeaderValue::from_bytes(reason.as_bytes()) {
                request = request.header("reason", value);
            }
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            let no_way = error.is_connect() || error.is_builder();
            let (place, why) = (self.place.clone(), causes(&error.without_url()));
            match no_way {
                true => ClientError::Unreachable { place, why },
                false => ClientError::Lost { place, why },
            }
        })?;
        self.read(answer).await
    }

    fn nonsense(&self, why: String) -> ClientError {
        ClientError::Nonsense { place: self.place.clone(), why }
    }

    async fn read(&self, answer: Response) -> Result<String, ClientError> {
        let status = answer.status();
        let known_by =
            answer.headers().get(AS_KNOWN_BY).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        *self.known_by.lock().unwrap_or_else(PoisonError::into_inner) = known_by;
        if answer.content_length().is_some_and(|length| length > ANSWER_LIMIT) {
            return Err(self.nonsense("it is too long".to_owned()));
        }
        let text = answer.text().await;
        let text = text.map_err(|error| ClientError::Lost { place: self.place.clone(), why: causes(&error) })?;
        if status.is_success() {
            return Ok(text);
        }
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Err(ClientError::Refused { body, status: status.as_u16() }),
            Err(_) => Err(self.nonsense(format!("{status}: {text}"))),
        }
    }
}

/// A name as a part of a path.
pub fn segment(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// What went wrong, down to the cause.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        assert_eq!(segment("vm-1"), "vm-1");
        assert_eq!(segment("a/b?c#d e%"), "a%2Fb%3Fc%23d%20e%25");
        assert_eq!(segment("ä"), "%C3%A4");
    }
}
