//! What all tasks of a transport share: the roster, the peers, and the endpoints.

use crate::core::ids::Address;
use crate::transport::inbox::{Mailroom, Source};
use crate::transport::options::Patience;
use crate::transport::peer::{Live, Peer, Registration};
use crate::transport::read::SNAPSHOTS;
use crate::transport::stats::Counters;
use crate::transport::{dial, locked, socket, write};
use crate::trust::Admission;
use crate::wire::{Fingerprint, Goodbye, Hello, Member, Roster};
use quinn::{ClientConfig, Endpoint};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

/// Handshakes that may be under way at once. A rack that powers up has its turn in a moment; who only pretends holds
/// a place no longer than the hello may take.
pub(super) const HANDSHAKES: usize = 256;

/// The roster, where TLS asks whom it names.
#[derive(Debug)]
pub(super) struct Named(pub(super) watch::Receiver<Arc<Roster>>);

impl Admission for Named {
    fn admits(&self, fingerprint: &Fingerprint) -> bool {
        self.0.borrow().owner(fingerprint).is_some()
    }
}

/// One UDP socket.
pub(super) struct Local {
    pub(super) address: SocketAddr,
    pub(super) endpoint: Endpoint,
}

#[derive(Default)]
struct Peers {
    by_address: BTreeMap<Address, Arc<Peer>>,
    closed: bool,
}

/// What all tasks share.
pub(super) struct Shared {
    pub(super) me: Address,
    /// What this node says of itself. The roster's version is filled in each time.
    pub(super) hello: Hello,
    pub(super) patience: Patience,
    pub(super) locals: Vec<Local>,
    pub(super) client: ClientConfig,
    pub(super) roster: watch::Sender<Arc<Roster>>,
    /// The certificate of the cluster's authority.
    pub(super) authority: Vec<u8>,
    pub(super) mailroom: Arc<Mailroom>,
    pub(super) counters: Counters,
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) snapshots: Arc<Semaphore>,
    pub(super) runtime: Handle,
    pub(super) calls: AtomicU64,
    peers: Mutex<Peers>,
    connections: AtomicU64,
}

/// What [`Shared`] is made of.
pub(super) struct Parts {
    pub(super) hello: Hello,
    pub(super) patience: Patience,
    pub(super) locals: Vec<Local>,
    pub(super) client: ClientConfig,
    pub(super) roster: watch::Sender<Arc<Roster>>,
    pub(super) authority: Vec<u8>,
    pub(super) runtime: Handle,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Shared {
        Shared {
            me: parts.hello.address,
            hello: parts.hello,
            patience: parts.patience,
            locals: parts.locals,
            client: parts.client,
            roster: parts.roster,
            authority: parts.authority,
            mailroom: Arc::new(Mailroom::new()),
            counters: Counters::default(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            snapshots: Arc::new(Semaphore::new(SNAPSHOTS)),
            runtime: parts.runtime,
            calls: AtomicU64::new(0),
            peers: Mutex::default(),
            connections: AtomicU64::new(0),
        }
    }

    /// What this node says of itself now.
    pub(super) fn hello(&self) -> Hello {
        Hello { roster: self.roster.borrow().version(), ..self.hello.clone() }
    }

    /// The number of a new connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// The peer of that number, if the roster names one.
    pub(super) fn peer(self: &Arc<Self>, address: Address) -> Option<Arc<Peer>> {
        let mut peers = locked(&self.peers);
        if let Some(peer) = peers.by_address.get(&address) {
            return Some(peer.clone());
        }
        let roster = self.roster.borrow().clone();
        self.make_peer(&mut peers, roster.member(address)?)
    }

    /// Takes up a connection that was accepted, if its owner is a member still.
    pub(super) fn accepted(
        self: &Arc<Self>,
        owner: &Fingerprint,
        live: Arc<Live>,
    ) -> Option<(Arc<Peer>, Registration)> {
        // Under the lock under which the roster changes: nobody slips in while it does.
        let mut peers = locked(&self.peers);
        let roster = self.roster.borrow().clone();
        let member = roster.owner(owner)?;
        let peer = match peers.by_address.get(&member.address) {
            Some(peer) => peer.clone(),
            None => self.make_peer(&mut peers, member)?,
        };
        let registration = peer.accepted(live)?;
        Some((peer, registration))
    }

    fn make_peer(self: &Arc<Self>, peers: &mut Peers, member: &Member) -> Option<Arc<Peer>> {
        if peers.closed || member.address == self.me {
            return None;
        }
        let peer = Arc::new(Peer::new(member, self.mailroom.clone(), self.patience.queued));
        self.dial_endpoints(&peer, &member.endpoints);
        peer.keep_writers(vec![
            self.runtime.spawn(write::write_ordered(peer.clone())).abort_handle(),
            self.runtime.spawn(write::write_snapshots(peer.clone())).abort_handle(),
        ]);
        peers.by_address.insert(member.address, peer.clone());
        Some(peer)
    }

    fn dial_endpoints(self: &Arc<Self>, peer: &Arc<Peer>, endpoints: &[SocketAddr]) {
        peer.set_endpoints(endpoints, |endpoint| {
            self.runtime.spawn(dial::keep_linked(self.clone(), peer.clone(), endpoint)).abort_handle()
        });
    }

    /// Uses a newer roster: who is not in it any more, or has another certificate, is cut off before this returns.
    pub(super) fn set_roster(self: &Arc<Self>, roster: Roster) -> bool {
        let mut peers = locked(&self.peers);
        if roster.version() <= self.roster.borrow().version() || peers.closed {
            return false;
        }
        let roster = Arc::new(roster);
        // First, so that TLS lets nobody in who is cut off below.
        self.roster.send_replace(roster.clone());
        peers.by_address.retain(|address, peer| {
            let member = roster.member(*address).filter(|member| member.fingerprint == peer.fingerprint);
            match member {
                Some(member) => self.dial_endpoints(peer, &member.endpoints),
                None => {
                    self.mailroom.forget(Source::Peer(peer.fingerprint));
                    peer.close(Goodbye::NotAMember);
                    tracing::info!(peer = %address, roster = %roster.version(), "cut off: the roster names it no more");
                }
            }
            member.is_some()
        });
        true
    }

    /// Ends all that talks.
    pub(super) fn close(&self) {
        let mut peers = locked(&self.peers);
        peers.closed = true;
        for peer in std::mem::take(&mut peers.by_address).into_values() {
            peer.close(Goodbye::Stopping);
        }
        for local in &self.locals {
            local.endpoint.close(1_u32.into(), &Goodbye::Stopping.encode().unwrap_or_default());
        }
        self.mailroom.close();
    }

    /// All peers that there is, or was, something to say to.
    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        locked(&self.peers).by_address.values().cloned().collect()
    }

    /// The socket from which to dial that endpoint: the one that the kernel would choose, then with each try another
    /// of the same kind.
    pub(super) fn local_for(&self, remote: SocketAddr, attempt: usize) -> Option<&Local> {
        let mut fitting: Vec<&Local> =
            self.locals.iter().filter(|local| local.address.is_ipv4() == remote.is_ipv4()).collect();
        if fitting.len() > 1 {
            let source = socket::source_for(remote);
            fitting.sort_by_key(|local| Some(local.address.ip()) != source);
        }
        fitting.get(attempt.checked_rem(fitting.len())?).copied()
    }
}
