//! Sessions with a BMC: some refuse a name and password with each request, and want to be logged in to.

use crate::fence::device::Redfish;
use reqwest::{Client, Url, header};
use serde_json::json;
use std::sync::{Mutex, PoisonError};

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
pub(super) const TOKEN: &str = "X-Auth-Token";

/// The session with a BMC, if it wants one.
#[derive(Debug, Default)]
pub(super) struct Session(Mutex<Option<Open>>);

#[derive(Clone)]
struct Open {
    token: String,
    /// Where it is closed. BMCs have room for a few sessions only.
    place: Option<Url>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(session)")
    }
}

impl Session {
    /// What is shown with each request.
    pub(super) fn token(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|open| open.token.clone())
    }

    /// Logs in. Whether that was of use shows the next request.
    pub(super) async fn begin(&self, http: &Client, base: &Url, device: &Redfish) -> bool {
        let Ok(place) = base.join(SESSIONS) else { return false };
        let body = json!({ "UserName": device.user, "Password": device.password.expose() });
        let answer = http.post(place).header(header::ACCEPT, "application/json").json(&body).send().await;
        let Ok(answer) = answer else { return false };
        if !answer.status().is_success() {
            return false;
        }
        let text = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let Some(token) = text(TOKEN) else { return false };
        // A place on another host is none to send the token to.
        let place = text("Location").and_then(|place| base.join(&place).ok());
        let place = place.filter(|place| place.origin() == base.origin());
        let old = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(Open { token, place });
        if let Some(old) = old {
            end(http.clone(), old);
        }
        true
    }

    /// Logs out, some time, if that can still be done.
    pub(super) fn close(&self, http: &Client) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            end(http.clone(), open);
        }
    }
}

fn end(http: Client, open: Open) {
    if let (Some(place), Ok(runtime)) = (open.place, tokio::runtime::Handle::try_current()) {
        // A session that is not closed ends by itself after some minutes.
        runtime.spawn(async move { http.delete(place).header(TOKEN, open.token).send().await.ok() });
    }
}
