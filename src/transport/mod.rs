//! How packets get from node to node: QUIC with mutual TLS, over one UDP port.
//!
//! ```text
//!   owner ── send ──▶ outbox of the peer ──▶ its links, one for each network ──▶ QUIC
//!   owner ◀── recv ── inbox, a lane for each peer ◀── connections that peers dialled ◀── QUIC
//! ```
//!
//! Heartbeats and their like go as datagrams over all links of a peer at once; all else in order over its best link,
//! snapshots on streams of their own. Nothing is promised: a packet may be lost, come twice or late, and the protocols
//! above are made for that. What is promised is that a packet is from whom it says, that it was sent in this cluster,
//! and that nobody can make another's packets wait: each peer has queues of its own, and all are bounded.
//!
//! The owner calls [`Transport::send`] from anywhere, for it never waits, and takes what came in from its [`Inbox`].

mod accept;
mod call;
mod dial;
mod greet;
mod inbox;
mod options;
mod outbox;
mod peer;
mod quic;
mod read;
mod shared;
mod socket;
mod stats;
mod tell;
#[cfg(test)]
mod tests;
mod write;

pub use call::CallError;
pub use inbox::{Inbound, Inbox};
pub use options::{Patience, TransportError, TransportOptions};
pub use stats::{PeerStats, TransportStats};

use crate::core::ids::Address;
use crate::node::Packet;
use crate::wire::{Build, Hello, Roster, Speaks};
use shared::{Local, Named, Parts, Shared};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// One node's end of all its connections. They end when it is dropped.
pub struct Transport {
    shared: Arc<Shared>,
}

impl Transport {
    /// Begins to listen, on the tokio runtime that this is called from.
    pub fn start(options: TransportOptions) -> Result<(Transport, Inbox), TransportError> {
        let runtime = Handle::try_current()?;
        if options.listen.is_empty() {
            return Err(TransportError::NoEndpoint);
        }
        let version = options.roster.version();
        let roster = watch::Sender::new(Arc::new(options.roster));
        let named = Arc::new(Named(roster.subscribe()));
        let (identity, patience) = (&options.identity, options.patience);
        let client = quic::client(identity, named.clone(), &patience)?;
        let authority = identity.authority().to_vec();
        let mut locals = Vec::new();
        for address in options.listen {
            let server = quic::server(identity, named.clone(), &patience)?;
            let failed = |source| TransportError::Listen { address, source };
            let socket = socket::bind(address).map_err(failed)?;
            let runtime = Arc::new(quinn::TokioRuntime);
            let endpoint = quinn::Endpoint::new(quic::endpoint(identity)?, Some(server), socket, runtime);
            let endpoint = endpoint.map_err(failed)?;
            let address = endpoint.local_addr().map_err(failed)?;
            locals.push(Local { address, endpoint });
        }
        let hello = Hello {
            cluster: options.cluster,
            speaks: Speaks::OURS,
            address: options.me,
            session: options.session,
            boot: options.boot,
            build: Build::new(&options.build),
            endpoints: locals.iter().map(|local| local.address).collect(),
            roster: version,
        };
        // It must be possible to write it, or no connection would ever come to be.
        hello.encode()?;
        let shared = Arc::new(Shared::new(Parts { hello, patience, locals, client, roster, authority, runtime }));
        for local in &shared.locals {
            shared.runtime.spawn(accept::accept(shared.clone(), local.endpoint.clone()));
        }
        let inbox = Inbox::new(shared.mailroom.clone());
        Ok((Transport { shared }, inbox))
    }

    /// Sends a packet. This never waits. A packet to this node itself comes in through the inbox, in order.
    pub fn send(&self, to: Address, packet: Packet) {
        if to == self.shared.me {
            let taken = self.shared.mailroom.put_own(Inbound::Packet { from: to, packet });
            self.shared.counters.received(taken);
            return;
        }
        match self.shared.peer(to) {
            Some(peer) => peer.send(packet),
            None => {
                self.shared.counters.unaddressed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Asks a node something and waits for the answer, which comes as [`Inbound::Call`] to its owner.
    pub async fn call(&self, to: Address, body: Vec<u8>, patience: Duration) -> Result<Vec<u8>, CallError> {
        call::call(&self.shared, to, body, patience).await
    }

    /// Uses a newer roster; `false`: it is not newer. Who is not in it any more is cut off before this returns, and
    /// the others are told of it.
    pub fn set_roster(&self, roster: Roster) -> bool {
        self.shared.set_roster(roster)
    }

    /// The roster in use.
    pub fn roster(&self) -> Arc<Roster> {
        self.shared.roster.borrow().clone()
    }

    /// Where this node listens.
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        self.shared.locals.iter().map(|local| local.address).collect()
    }

    /// What was counted so far.
    pub fn stats(&self) -> TransportStats {
        stats::stats(&self.shared)
    }

    /// Says goodbye to all, and waits a little that they hear it. What is queued is dropped.
    pub async fn shutdown(self) {
        self.shared.close();
        for local in &self.shared.locals {
            // Who does not hear it finds out by himself.
            let _ = tokio::time::timeout(self.shared.patience.retry_max, local.endpoint.wait_idle()).await;
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Locks; a task that panicked while it held the lock leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
