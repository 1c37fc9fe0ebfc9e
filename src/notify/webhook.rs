//! A server that takes notifications over HTTP.

use super::sender::chain;
use super::{Notification, Unsent, Webhook};
use crate::clock;
use crate::trust::use_ring;
use reqwest::{Certificate, Client, Response, StatusCode, header, redirect};
use ring::hmac;
use std::time::Duration;

/// A connection is made within this.
const CONNECTS: Duration = Duration::from_secs(5);
/// No more of an answer is read: it only says why not.
const ANSWER: usize = 2 * 1024;

/// Speaks to one of them.
pub(super) struct WebhookClient {
    http: Client,
    url: String,
    key: Option<hmac::Key>,
}

impl WebhookClient {
    pub(super) fn new(webhook: &Webhook, patience: Duration) -> Result<WebhookClient, String> {
        use_ring();
        // It is reached directly, whatever the environment says of proxies, and sends nobody elsewhere.
        let mut http = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECTS)
            .timeout(patience)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        if let Some(authorities) = &webhook.authorities {
            let known = Certificate::from_pem_bundle(authorities.pem());
            http = http.tls_certs_only(known.map_err(|error| format!("its authorities: {}", chain(&error)))?);
        }
        let key = webhook.secret.as_ref().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()));
        let http = http.build().map_err(|error| format!("no client can be made for it: {}", chain(&error)))?;
        Ok(WebhookClient { http, url: webhook.url.clone(), key })
    }

    pub(super) async fn send(&self, told: &Notification, attempt: u64) -> Result<(), Unsent> {
        let body = told.body();
        let mut request = self
            .http
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Holdfast-Id", &told.id)
            .header("Holdfast-Attempt", attempt);
        if let Some(key) = &self.key {
            request = request.header("Holdfast-Signature", signature(key, clock::wall_milliseconds() / 1_000, &body));
        }
        // The address may have a secret in it, which an error is not to show.
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|error| Unsent::Down(chain(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = format!("it answered {status}: {}", complaint(answer).await);
        Err(if refuses(status) { Unsent::Refused(text) } else { Unsent::Down(text) })
    }
}

/// Whether an answer says that asking again is of no use.
fn refuses(status: StatusCode) -> bool {
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    (status.is_redirection() || status.is_client_error()) && !later.contains(&status)
}

/// The HMAC of the time, a point and the body.
fn signature(key: &hmac::Key, seconds: i64, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(key);
    signed.update(format!("{seconds}.").as_bytes());
    signed.update(body);
    let digits: String = signed.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={digits}")
}

/// The beginning of what the server says.
async fn complaint(mut answer: Response) -> String {
    let mut text = Vec::new();
    while text.len() < ANSWER
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        text.extend(chunk.iter().take(ANSWER - text.len()));
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Secret;

    #[test]
    fn the_signature_is_the_one_that_is_documented() {
        // As `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret` says.
        let key = hmac::Key::new(hmac::HMAC_SHA256, Secret::new("secret").unwrap().expose().as_bytes());
        let expected = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        assert_eq!(signature(&key, 1_700_000_000, b"{}"), expected);
    }

    #[test]
    fn only_what_will_never_be_taken_is_refused() {
        let refused = |code| refuses(StatusCode::from_u16(code).unwrap());
        assert!([301, 307, 400, 401, 404, 410, 422].into_iter().all(refused));
        assert!(![408, 425, 429, 500, 502, 503].into_iter().any(refused));
    }
}
