//! Keystone, version 3: tokens, and the catalogue that comes with them.

use super::http::{Ask, CloudError, Http, nonsense, place};
use super::settings::{ApplicationCredential, Cloud, Domain, Login, Named};
use crate::core::time::Instant;
use crate::words::listed;
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A token is renewed so long before its end, or at three quarters of its life if that is later: whoever holds it needs it
/// for a recovery, and keystone may stand still just then.
const EARLY: Duration = Duration::from_secs(10 * 60);
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// A token, and what keystone said with it.
#[derive(Debug)]
pub(super) struct Token {
    /// Marked as sensitive: it is not shown.
    pub(super) secret: HeaderValue,
    pub(super) renew_at: Instant,
    pub(super) ends_at: Instant,
    pub(super) said: Said,
}

/// What keystone says of a token.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    #[serde(deserialize_with = "moment")]
    expires_at: Timestamp,
    #[serde(deserialize_with = "moment")]
    issued_at: Timestamp,
    #[serde(default)]
    pub(super) roles: Vec<Title>,
    pub(super) user: Title,
    pub(super) project: Option<Title>,
    #[serde(default)]
    catalog: Vec<CatalogueEntry>,
}

/// Something with a name.
#[derive(Debug, Deserialize)]
pub(super) struct Title {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
struct CatalogueEntry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    interface: String,
    region_id: Option<String>,
    region: Option<String>,
    url: String,
}

fn moment<'de, D: Deserializer<'de>>(text: D) -> Result<Timestamp, D::Error> {
    String::deserialize(text)?.parse().map_err(serde::de::Error::custom)
}

impl Endpoint {
    fn region(&self) -> &str {
        self.region_id.as_deref().or(self.region.as_deref()).unwrap_or_default()
    }
}

/// Asks for a token, once. `now` is read before, so that the token ends no later than it is thought to.
pub(super) async fn issue(http: &Http, cloud: &Cloud, now: Instant, deadline: Duration) -> Result<Token, CloudError> {
    #[derive(Deserialize)]
    struct Body {
        token: Said,
    }
    let mut url = cloud.keystone.clone();
    url.set_path(&format!("{}/auth/tokens", cloud.keystone.path()));
    let ask = Ask::with(Method::POST, url, identity(&cloud.login));
    let answer = http.send(&ask, deadline).await?;
    match answer.status {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(CloudError::Denied { place: place(&cloud.keystone), message: answer.complaint() });
        }
        _ => return Err(answer.refusal(&ask)),
    }
    let said = answer.read::<Body>(&ask)?.token;
    let secret = answer.headers.get(SUBJECT_TOKEN).ok_or_else(|| nonsense(&ask, "it has no token"))?;
    let mut secret = secret.clone();
    secret.set_sensitive(true);
    // Both are times of keystone's own clock: it may differ from ours by any amount.
    let life = Duration::try_from(said.expires_at.duration_since(said.issued_at)).unwrap_or_default();
    Ok(Token { secret, renew_at: now + renewal(life), ends_at: now + life, said })
}

/// At which age a token of so long a life is renewed.
fn renewal(life: Duration) -> Duration {
    life.saturating_sub(EARLY).max(life / 4 * 3)
}

/// Who asks, in keystone's words.
fn identity(login: &Login) -> Value {
    match login {
        Login::Password { user, password, project } => {
            let mut user = named(user);
            user["password"] = password.expose().into();
            json!({ "auth": {
                "identity": { "methods": ["password"], "password": { "user": user } },
                "scope": { "project": named(project) },
            } })
        }
        Login::Application { credential, secret } => {
            let mut credential = match credential {
                ApplicationCredential::Id(id) => json!({ "id": id }),
                ApplicationCredential::Name { name, user } => json!({ "name": name, "user": named(user) }),
            };
            credential["secret"] = secret.expose().into();
            let identity = json!({ "methods": ["application_credential"], "application_credential": credential });
            json!({ "auth": { "identity": identity } })
        }
    }
}

fn named(named: &Named) -> Value {
    match named {
        Named::Id(id) => json!({ "id": id }),
        Named::Name { name, domain: Domain::Id(id) } => json!({ "name": name, "domain": { "id": id } }),
        Named::Name { name, domain: Domain::Name(domain) } => json!({ "name": name, "domain": { "name": domain } }),
    }
}

impl Said {
    /// Where a kind of service is, in the region and through the interface that are meant; and in which region.
    pub(super) fn endpoint(&self, kind: &str, cloud: &Cloud) -> Result<(Url, String), CloudError> {
        let unfit = |what: String| CloudError::Unfit(format!("the catalogue of {}: {what}", place(&cloud.keystone)));
        let entries = self.catalog.iter().filter(|entry| entry.kind == kind);
        let all: Vec<&Endpoint> = entries.flat_map(|entry| &entry.endpoints).collect();
        let ours: Vec<&Endpoint> = all.iter().copied().filter(|one| one.interface == cloud.interface.name()).collect();
        let regions: BTreeSet<&str> = ours.iter().map(|one| one.region()).collect();
        let regions: Vec<&str> = regions.into_iter().collect();
        let there = listed(&regions, "and");
        let region = match (&cloud.region, regions.as_slice()) {
            (_, []) if all.is_empty() => return Err(unfit(format!("it has no {kind} service"))),
            (_, []) => {
                let what = format!("it has no {} address of the {kind} service", cloud.interface.name());
                return Err(unfit(format!(
                    "{what}\n  hint: set `interface` or OS_INTERFACE to public, internal or admin"
                )));
            }
            (Some(region), known) if known.contains(&region.as_str()) => region.as_str(),
            (Some(region), _) => {
                return Err(unfit(format!(
                    "it has no {kind} service in region \"{region}\"\n  hint: there is {there}"
                )));
            }
            (None, [only]) => *only,
            (None, _) => {
                let hint = format!("set `region_name` or OS_REGION_NAME; there is {there}");
                return Err(unfit(format!("it is not said which region is meant\n  hint: {hint}")));
            }
        };
        let text = ours.iter().find(|one| one.region() == region).map(|one| one.url.as_str()).unwrap_or_default();
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| unfit(format!("\"{text}\" is no address of the {kind} service")))?;
        Ok((url, region.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_while_there_is_time_to_try_again() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(renewal(minutes(60)), minutes(50));
        assert_eq!(renewal(minutes(4)), minutes(3));
        assert_eq!(renewal(Duration::ZERO), Duration::ZERO);
    }
}
