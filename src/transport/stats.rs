//! What the transport counts.

use crate::core::ids::Address;
use crate::transport::inbox::Taken;
use crate::transport::shared::Shared;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) displaced: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) dials_failed: AtomicU64,
    pub(super) unaddressed: AtomicU64,
}

impl Counters {
    pub(super) fn received(&self, taken: Taken) {
        if taken != Taken::Not {
            self.received.fetch_add(1, Ordering::Relaxed);
        }
        if taken == Taken::InPlaceOfOldest {
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the transport has counted since it was started, and how its peers are at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransportStats {
    /// Packets that were received for the owner.
    pub received: u64,
    /// Datagrams among them that a slow owner has never seen.
    pub displaced: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Connections that were refused: no member, another cluster, no common version, no hello.
    pub refused: u64,
    /// Connections that were ended because what came over them could not be read.
    pub broken: u64,
    /// Tries to dial that failed.
    pub dials_failed: u64,
    /// Packets that were to be sent to nobody the roster names.
    pub unaddressed: u64,
    /// Each peer that something was sent to, or that is connected.
    pub peers: Vec<PeerStats>,
}

/// One peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStats {
    /// Its number.
    pub address: Address,
    /// Links to it that are up.
    pub links: usize,
    /// Connections that it has to this node.
    pub accepted: usize,
    /// Packets that wait to be sent to it.
    pub queued: usize,
    /// How many bytes they have; a snapshot is not counted.
    pub queued_bytes: usize,
    /// Packets to it that were dropped: too many, too old, or lost with their link.
    pub dropped: u64,
}

pub(super) fn stats(shared: &Shared) -> TransportStats {
    let counters = &shared.counters;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let peers = shared.peers().into_iter().map(|peer| {
        let (load, (links, accepted)) = (peer.outbox.load(), peer.connections());
        PeerStats {
            address: peer.address,
            links,
            accepted,
            queued: load.packets,
            queued_bytes: load.bytes,
            dropped: load.dropped,
        }
    });
    TransportStats {
        received: read(&counters.received),
        displaced: read(&counters.displaced),
        answered: read(&counters.answered),
        refused: read(&counters.refused),
        broken: read(&counters.broken),
        dials_failed: read(&counters.dials_failed),
        unaddressed: read(&counters.unaddressed),
        peers: peers.collect(),
    }
}
