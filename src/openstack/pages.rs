//! Lists that Nova tells in parts.

use super::http::{Answer, Ask, CloudError, nonsense};
use super::session::{Again, Session};
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A list does not have more parts.
const MOST_PAGES: usize = 1_000;
/// So often a list is read anew that was torn, as what a part began with was deleted meanwhile.
const MOST_BEGINNINGS: usize = 3;

/// All of a list. `name` is that of the list in each answer; in `NAME_links` Nova says how it goes on.
pub(super) async fn all<T: DeserializeOwned>(
    session: &Session,
    headers: &HeaderMap,
    url: Url,
    name: &str,
) -> Result<Vec<T>, CloudError> {
    let mut beginnings = 1;
    loop {
        match once(session, headers, &url, name).await? {
            Reading::Whole(list) => return Ok(list),
            Reading::Torn(error) if beginnings == MOST_BEGINNINGS => return Err(error),
            Reading::Torn(_) => beginnings += 1,
        }
    }
}

enum Reading<T> {
    Whole(Vec<T>),
    Torn(CloudError),
}

async fn once<T: DeserializeOwned>(
    session: &Session,
    headers: &HeaderMap,
    url: &Url,
    name: &str,
) -> Result<Reading<T>, CloudError> {
    let mut list = Vec::new();
    let mut marker: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut ask = Ask::get(url.clone());
        ask.headers = headers.clone();
        if let Some(marker) = &marker {
            ask.url.query_pairs_mut().append_pair("marker", marker);
        }
        let answer = match session.ask(&ask, Again::Safe).await {
            Err(error) if marker.is_some() && error.status() == Some(400) => return Ok(Reading::Torn(error)),
            answer => answer?,
        };
        let (mut part, next) = page(&answer, &ask, name)?;
        list.append(&mut part);
        if next.is_none() {
            return Ok(Reading::Whole(list));
        }
        if next == marker {
            return Err(nonsense(&ask, "it goes on with itself"));
        }
        marker = next;
    }
    Err(nonsense(&Ask::get(url.clone()), format!("it has more than {MOST_PAGES} parts")))
}

/// The entries of one part, and the marker of the next one.
fn page<T: DeserializeOwned>(answer: &Answer, ask: &Ask, name: &str) -> Result<(Vec<T>, Option<String>), CloudError> {
    let mut body: Map<String, Value> = answer.read(ask)?;
    let entries = body.remove(name).ok_or_else(|| nonsense(ask, format!("it has no `{name}`")))?;
    let entries = serde_json::from_value(entries).map_err(|error| nonsense(ask, format!("`{name}`: {error}")))?;
    let links = body.get(&format!("{name}_links")).and_then(Value::as_array);
    let next = links.into_iter().flatten().find(|link| link.get("rel").and_then(Value::as_str) == Some("next"));
    let Some(link) = next else { return Ok((entries, None)) };
    // The address in it may be one that only the cloud itself knows: what counts is the marker.
    let href = link.get("href").and_then(Value::as_str).unwrap_or_default();
    let href = ask.url.join(href).map_err(|error| nonsense(ask, format!("where it goes on: {error}")))?;
    let marker = href.query_pairs().find(|(key, _)| key == "marker").map(|(_, value)| value.into_owned());
    let marker = marker.ok_or_else(|| nonsense(ask, "it goes on, and does not say from where"))?;
    Ok((entries, Some(marker)))
}
