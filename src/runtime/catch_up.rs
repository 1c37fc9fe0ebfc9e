//! A voter that came late lacks the facts from before its time: it copies them from the master's ledger.
//!
//! Facts are derived from the log, and a new voter begins with a snapshot that holds none of them. They are the same on
//! every voter and never change, so what is missing can be fetched in any order, and what is there twice is there once.

use super::hands::Glance;
use super::input::Call;
use super::ledger::row;
use crate::api::{Api, fetch_facts};
use crate::core::ids::Address;
use crate::core::state::ClusterState;
use crate::ledger::Entry;
use crate::store::LedgerRow;
use std::time::Duration;
use tokio::sync::watch;

/// How often a voter that lacks something tries to get it.
const LOOK: Duration = Duration::from_secs(1);
/// The disk takes what was fetched within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many facts are fetched at once, and fewer after a failure.
const PORTION: usize = 500;

/// Fetches what is missing, for as long as the node runs. It tells with which beginning nothing was missing any more.
pub(super) async fn keep_up(api: Api, whole: watch::Sender<Option<u64>>) {
    let mut complete = None;
    let mut portion = PORTION;
    loop {
        tokio::time::sleep(LOOK).await;
        let glance = *api.handle.glance.borrow();
        // Each store and each snapshot begins with a state whose facts this node may never have seen.
        let begun = glance.votes.then_some(glance.beginnings);
        if begun.is_none() || complete == begun {
            continue;
        }
        match fetch_from_any(&api, glance, portion).await {
            true => {
                (complete, portion) = (begun, PORTION);
                whole.send_replace(complete);
            }
            // An answer may have been too long to be passed on.
            false => portion = (portion / 2).max(1),
        }
    }
}

/// The master has what all others have. A master that came late itself asks all others.
async fn fetch_from_any(api: &Api, glance: Glance, portion: usize) -> bool {
    let sources = match glance.master {
        Some(master) if !glance.is_master => vec![master],
        Some(_) => api
            .handle
            .look(|node, _| node.state().map(ClusterState::voter_addresses))
            .await
            .flatten()
            .unwrap_or_default(),
        None => return false,
    };
    let mut complete = true;
    for source in sources.into_iter().filter(|source| *source != api.me) {
        if let Err(why) = fetch(api, source, portion).await {
            tracing::debug!(why, "the history is not complete yet");
            complete = false;
        }
    }
    complete
}

async fn fetch(api: &Api, source: Address, portion: usize) -> Result<(), String> {
    let mut written = api.handle.facts.clone();
    let mut after: Option<String> = None;
    loop {
        let facts: Vec<Entry> = fetch_facts(api, source, after.as_deref(), portion).await?;
        let Some(last) = facts.last() else { return Ok(()) };
        after = Some(last.key.to_string());
        let rows: Vec<LedgerRow> = facts.iter().filter_map(row).collect();
        written.borrow_and_update();
        api.handle.calls.send(Call::Facts(rows)).await.map_err(|error| error.to_string())?;
        // The next ones when these are on disk, or the disk would be handed more than it takes.
        let taken = tokio::time::timeout(PATIENCE, written.changed()).await;
        taken.map_err(|_| "the disk takes no facts".to_owned())?.map_err(|error| error.to_string())?;
    }
}
