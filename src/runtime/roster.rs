//! The list of members: made from the log on voters, learnt by all others, and kept on disk by everyone.

use crate::core::ids::LogIndex;
use crate::core::state::ClusterState;
use crate::node::Node;
use crate::store::{Operation, Store};
use crate::transport::Transport;
use crate::trust::{Authority, TrustError};
use crate::wire::{Member, Roster, RosterError, RosterVersion};
use thiserror::Error;

/// The setting that holds the list.
pub(crate) const ROSTER: &str = "roster";

/// Keeps the list up to date.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    made: Option<RosterVersion>,
}

impl Keeper {
    /// Makes a new list if the log has changed it.
    pub(super) fn follow(&mut self, node: &Node, store: &Store, transport: &Transport) {
        let Some(state) = node.state() else { return };
        let version = version(state);
        // A voter that has just begun has applied nothing, and knows nobody.
        if self.made == Some(version) || version.index == LogIndex(0) {
            return;
        }
        self.made = Some(version);
        match roster(state) {
            Ok(roster) => {
                // The snapshot that a voter begins with may be older than what it has learnt since.
                if transport.set_roster(roster.clone()) {
                    keep(store, &roster);
                }
            }
            Err(error) => tracing::error!(%error, "the log's list of members cannot be used"),
        }
    }

    /// A peer tells of a newer one. Who votes believes only the log.
    pub(super) fn learnt(&self, store: &Store, transport: &Transport, roster: Roster, votes: bool) {
        if votes && self.made.is_some() {
            return;
        }
        if transport.set_roster(roster.clone()) {
            keep(store, &roster);
        }
    }
}

/// The version of the list that the log holds.
pub fn version(state: &ClusterState) -> RosterVersion {
    RosterVersion { generation: state.generation, index: state.registry.roster }
}

/// Why the log's list of members cannot be used.
#[derive(Debug, Error)]
pub enum MakeError {
    /// It is no roster.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// It cannot be signed.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// The list that the log holds, signed by the authority whose key the log holds too.
pub fn roster(state: &ClusterState) -> Result<Roster, MakeError> {
    let member = |host: &crate::core::state::Host| Member {
        address: host.address,
        name: host.name.clone(),
        fingerprint: host.fingerprint,
        endpoints: host.endpoints.clone(),
    };
    let roster = Roster::new(version(state), state.hosts.values().map(member).collect())?;
    let cluster = &state.registry.cluster;
    let authority = Authority::restore(&cluster.certificate, &cluster.key.0)?;
    let signature = authority.sign_message(&roster.to_sign())?;
    Ok(roster.signed(signature)?)
}

/// The list as it is kept.
pub fn written(roster: &Roster) -> Option<String> {
    serde_json::to_string(roster).ok()
}

/// The list as it was kept.
pub fn read(text: &str) -> Option<Roster> {
    serde_json::from_str(text).ok()
}

fn keep(store: &Store, roster: &Roster) {
    let Some(value) = written(roster) else { return };
    // If it is lost, a peer tells it again.
    let _ = store.submit(Operation::Mark { key: ROSTER.to_owned(), value }, |result| {
        if let Err(error) = result {
            tracing::warn!(%error, "the list of members could not be kept");
        }
    });
}
