//! How a roster spreads: whoever has a newer one tells it, after the hello and whenever it gets one.

use crate::transport::locked;
use crate::transport::peer::{Live, Peer};
use crate::transport::read::ReadEnd;
use crate::transport::shared::Shared;
use crate::trust::has_signed;
use crate::wire::{Frame, Roster};
use std::sync::Arc;

/// Tells the peer each roster that is newer than what it is known to have, until the connection ends.
pub(super) async fn tell_roster(shared: Arc<Shared>, peer: Arc<Peer>, live: Arc<Live>) -> ReadEnd {
    let mut rosters = shared.roster.subscribe();
    loop {
        let roster = rosters.borrow_and_update().clone();
        {
            // A peer with several connections is told over one of them; the others find that it was.
            let _telling = peer.telling.lock().await;
            if roster.version() > *locked(&peer.told) {
                if !send(&live, &roster).await {
                    return ReadEnd::Over;
                }
                let mut told = locked(&peer.told);
                *told = (*told).max(roster.version());
            }
        }
        if rosters.changed().await.is_err() {
            return ReadEnd::Over;
        }
    }
}

/// Whether the peer has received it.
async fn send(live: &Live, roster: &Roster) -> bool {
    let Ok(mut stream) = live.connection.open_uni().await else { return false };
    for page in roster.pages() {
        let Ok(frame) = Frame::Roster(page).encode(live.version) else { return false };
        if stream.write_all(&frame).await.is_err() {
            return false;
        }
    }
    stream.finish().is_ok() && matches!(stream.stopped().await, Ok(None))
}

/// The peer told a roster. It is for the owner to store and use it.
pub(super) fn heard_roster(shared: &Shared, peer: &Peer, roster: Roster) {
    {
        let mut told = locked(&peer.told);
        *told = (*told).max(roster.version());
    }
    let in_use = shared.roster.borrow().version();
    if roster.version() <= in_use {
        return;
    }
    // Whoever could invent one could lead this host into another cluster.
    if !has_signed(&shared.authority, &roster.to_sign(), roster.signature()) {
        tracing::error!(peer = %peer.address, version = %roster.version(), "a list of members that the cluster's authority has not signed");
        return;
    }
    shared.mailroom.put_roster(roster, in_use);
}
