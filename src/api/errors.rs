//! What goes wrong with a request: what happened, to what, and what to do.

use crate::core::reason::Refusal;
use crate::explain::{self, Names};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The body of an answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A word for programs.
    pub code: String,
    /// What went wrong.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A request that was not done.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: ErrorBody,
}

impl Failure {
    fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Failure {
        Failure { status, body: ErrorBody { code: code.to_owned(), error: error.into(), hint: None } }
    }

    /// The same, with advice.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.body.hint = Some(hint.into());
        self
    }

    /// The same, told better.
    pub(super) fn reworded(mut self, error: &str) -> Failure {
        self.body.error = error.to_owned();
        self
    }

    /// Whether the log refused it for this reason.
    pub(super) fn is(&self, refusal: Refusal) -> bool {
        self.body.code == refusal.kind()
    }

    pub(super) fn bad(error: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "bad-request", error)
    }

    /// A request that is none of ours, in whichever way.
    pub(super) fn unfit(status: StatusCode, error: impl Into<String>) -> Failure {
        let code = match status {
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "too-long",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            _ => "bad-request",
        };
        Failure::new(status, code, error)
    }

    pub(super) fn missing(error: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not-found", error)
    }

    pub(super) fn ambiguous(error: impl Into<String>) -> Failure {
        Failure::new(StatusCode::CONFLICT, "ambiguous", error)
    }

    pub(super) fn immovable(error: impl Into<String>) -> Failure {
        Failure::new(StatusCode::CONFLICT, "immovable", error)
            .hint("nothing was begun: mend that, or stop it and let it start elsewhere")
    }

    pub(super) fn unknown_person() -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, "unknown-person", "nobody knows who asks")
            .hint("show an operator's certificate or a token, or ask as root on a host of the cluster, which may act if it votes")
    }

    pub(super) fn forbidden(name: &str) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, "forbidden", format!("{name} may look, and not act"))
    }

    pub(super) fn no_master() -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "no-master", "there is no master: no majority of voters is up")
            .hint("nothing is restarted meanwhile; bring voters back, or see `holdfast recover --help`")
    }

    pub(super) fn unanswered(what: impl Into<String>) -> Failure {
        Failure::new(StatusCode::GATEWAY_TIMEOUT, "unanswered", what)
            .hint("it may have been done or not: look, and ask again under the same request id")
    }

    pub(super) fn internal(error: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error)
    }

    /// What another node has refused, in its words.
    pub(super) fn of_peer(body: &[u8]) -> Failure {
        match serde_json::from_slice(body) {
            Ok(body) => Failure { status: StatusCode::BAD_GATEWAY, body },
            Err(_) => Failure::internal("a node's answer makes no sense"),
        }
    }

    pub(super) fn refused(refusal: &Refusal, names: &dyn Names) -> Failure {
        let status = match refusal {
            Refusal::NoSuchThing => StatusCode::NOT_FOUND,
            Refusal::NoMajority => return Failure::no_master(),
            _ => StatusCode::CONFLICT,
        };
        let failure = Failure::new(status, refusal.kind(), explain::refusal(refusal, names));
        match advice(refusal) {
            Some(advice) => failure.hint(advice),
            None => failure,
        }
    }
}

/// What helps against a refusal, where that is the same each time.
fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::NotArmed => Some("see `holdfast doctor`, then `holdfast arm`"),
        Refusal::SignsOfLife => Some("see `holdfast host explain`: what shows life may still run VMs"),
        Refusal::Recovering => Some("see `holdfast vm explain` for the hosts that have not said so"),
        _ => None,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.body.error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
