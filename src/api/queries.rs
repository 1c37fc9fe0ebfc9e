//! Questions to the ledger: what happened.

use super::actions::Looking;
use super::bodies::EventsAfter;
use super::errors::Failure;
use super::extract::{Json, Query};
use super::handle::Api;
use crate::core::ids::{HostId, VmId};
use crate::explain::{NameList, Names};
use crate::ledger::Entry;
use crate::runtime::fact;
use crate::store::{LedgerKey, LedgerReader, QueryError};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So many events are given at once, at most.
const EVENTS: usize = 1_000;
/// Nobody waits longer for an event in one request.
const WAIT: u64 = 30;

/// Something that happened, with names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// Its place: `generation.index.part`.
    pub key: String,
    /// When, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// What, in a word.
    pub kind: String,
    /// The VM that it is about.
    pub vm: Option<String>,
    /// The host that it is about.
    pub host: Option<String>,
    /// Who asked for it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The whole of it, in a sentence.
    pub text: String,
}

/// `GET /v1/events`
pub(super) async fn events(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<EventsAfter>,
) -> Result<Json<Vec<EventView>>, Failure> {
    let mut after = asked.after.as_deref().map(key).transpose()?;
    let limit = asked.limit.unwrap_or(EVENTS).min(EVENTS);
    if let (None, Some(from)) = (after, asked.from) {
        after = read(&api, move |ledger| ledger.last_before(from, None, None)).await?.map(|row| row.key);
    }
    let mut facts = api.handle.facts.clone();
    facts.borrow_and_update();
    let mut rows = match asked.last {
        Some(last) => read(&api, move |ledger| ledger.newest(last.min(EVENTS))).await?,
        None => read(&api, move |ledger| ledger.after(after, limit)).await?,
    };
    if let (true, Some(wait)) = (rows.is_empty(), asked.wait) {
        // Whether there is more by then, or not: it is looked again.
        let _ = tokio::time::timeout(Duration::from_secs(wait.min(WAIT)), facts.changed()).await;
        rows = read(&api, move |ledger| ledger.after(after, limit)).await?;
    }
    let names = names(&api).await;
    Ok(Json(rows.iter().filter_map(fact).map(|entry| event(&entry, &names)).collect()))
}

/// `GET /v1/ledger`: the facts as they are, for voters that came late.
pub(super) async fn ledger(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<EventsAfter>,
) -> Result<Json<Vec<Entry>>, Failure> {
    let after = asked.after.as_deref().map(key).transpose()?;
    let limit = asked.limit.unwrap_or(EVENTS).min(EVENTS);
    let rows = read(&api, move |ledger| ledger.after(after, limit)).await?;
    Ok(Json(rows.iter().filter_map(fact).collect()))
}

/// Asks the ledger, which then has all that whoever asks may have seen before.
pub(super) async fn read<T: Send + 'static>(
    api: &Api,
    query: impl FnOnce(&LedgerReader) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, Failure> {
    if !api.handle.recorded().await {
        return Err(Failure::unanswered("the disk of the ledger takes nothing").hint("see what `holdfast doctor` says"));
    }
    let ledger = api.ledger.clone();
    let rows = tokio::task::spawn_blocking(move || query(&ledger)).await;
    rows.map_err(|error| Failure::internal(error.to_string()))?.map_err(|error| Failure::internal(error.to_string()))
}

pub(super) async fn names(api: &Api) -> NameList {
    api.handle.look(|node, _| node.state().map(NameList::of)).await.flatten().unwrap_or_default()
}

pub(super) fn key(text: &str) -> Result<LedgerKey, Failure> {
    let bad = || Failure::bad(format!("\"{text}\" is no place in the ledger")).hint("such as 0.1234.0");
    let mut parts = text.split('.');
    let generation = parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad)?;
    let log_index = parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad)?;
    let part = parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad)?;
    if parts.next().is_some() { Err(bad()) } else { Ok(LedgerKey { generation, log_index, part }) }
}

fn event(entry: &Entry, names: &dyn Names) -> EventView {
    let said = entry.said.as_ref();
    EventView {
        key: entry.key.to_string(),
        at_milliseconds: entry.at_milliseconds,
        kind: entry.what.kind(),
        vm: entry.what.vm().map(|vm: VmId| names.vm(vm)),
        host: entry.what.host().map(|host: HostId| names.host(host)),
        by: said.map(|said| said.who.clone()),
        reason: said.map(|said| said.why.clone()).filter(|why| !why.is_empty()),
        text: crate::explain::fact(&entry.what, names),
    }
}
