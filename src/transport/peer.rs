//! One peer: its links, which of them is the best, and what waits for it.
//!
//! ```text
//!   send ─┬─ datagram: over every link that is up
//!         ├─ outbox: ordered ───┐
//!         └─ outbox: snapshot ──┴── over the best link
//! ```
//!
//! A *link* is what this node dials: one for each endpoint that the roster names. What this node sends goes over its
//! links; what it receives comes over connections that others dialled. So two nodes that dial each other at the same
//! moment simply have a link each.

use crate::clock;
use crate::core::ids::Address;
use crate::core::time::Instant;
use crate::node::Packet;
use crate::transport::inbox::{Inbound, Mailroom, Source};
use crate::transport::locked;
use crate::transport::outbox::Outbox;
use crate::transport::quic;
use crate::wire::{Delivery, Fingerprint, Goodbye, Member, RosterVersion, Version, encode_datagram};
use quinn::{Connection, SendDatagramError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;

/// A peer may have so many connections to this node: a host with eight networks has eight, and eight more may still
/// be dying.
const ACCEPTED: usize = 16;

/// A connection over which hello has been said.
#[derive(Debug)]
pub(super) struct Live {
    /// Greater than that of any connection before.
    pub(super) number: u64,
    pub(super) connection: Connection,
    pub(super) version: Version,
    /// The run of the peer's agent.
    pub(super) session: u64,
    /// The roster that the peer had when it said hello.
    pub(super) roster: RosterVersion,
    /// Whether something was received over it lately.
    pub(super) heard: AtomicBool,
}

#[derive(Default)]
struct Link {
    live: Option<Arc<Live>>,
    /// Ends the task that dials.
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Links {
    /// In the order of the roster.
    order: Vec<SocketAddr>,
    dialled: BTreeMap<SocketAddr, Link>,
    accepted: BTreeMap<u64, Arc<Live>>,
    /// Tasks that write.
    writers: Vec<AbortHandle>,
    closed: bool,
}

impl Links {
    fn count(&self) -> usize {
        self.accepted.len() + self.dialled.values().filter(|link| link.live.is_some()).count()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.accepted.values().chain(self.dialled.values().filter_map(|link| link.live.as_ref()))
    }
}

/// One peer.
pub(super) struct Peer {
    pub(super) address: Address,
    pub(super) fingerprint: Fingerprint,
    pub(super) outbox: Outbox,
    /// The room that its lane in the mailroom has.
    pub(super) room: Arc<Semaphore>,
    /// The newest roster that it is known to have.
    pub(super) told: Mutex<RosterVersion>,
    /// Held while it is being told.
    pub(super) telling: tokio::sync::Mutex<()>,
    /// At most one snapshot of it is received at a time.
    pub(super) snapshot: Semaphore,
    mailroom: Arc<Mailroom>,
    links: Mutex<Links>,
    best: watch::Sender<Option<Arc<Live>>>,
    /// When something was last sent to it, in microseconds of this machine's clock; zero for never.
    used: AtomicU64,
    wanted: Notify,
}

impl Peer {
    pub(super) fn new(member: &Member, mailroom: Arc<Mailroom>, patience: Duration) -> Peer {
        Peer {
            address: member.address,
            fingerprint: member.fingerprint,
            outbox: Outbox::new(patience),
            room: mailroom.open(Source::Peer(member.fingerprint)),
            told: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            snapshot: Semaphore::new(1),
            mailroom,
            links: Mutex::default(),
            best: watch::Sender::new(None),
            used: AtomicU64::new(0),
            wanted: Notify::new(),
        }
    }

    /// Its lane in the mailroom.
    pub(super) fn source(&self) -> Source {
        Source::Peer(self.fingerprint)
    }

    /// Sends a packet, or queues it, or drops it.
    pub(super) fn send(&self, packet: Packet) {
        let now = clock::boottime();
        self.want(now);
        match Delivery::of(&packet) {
            Delivery::Datagram => self.send_datagram(now, packet),
            Delivery::Stream => self.outbox.push_ordered(now, packet),
            Delivery::Bulk => self.outbox.push_snapshot(now, packet),
        }
    }

    /// Over every link that is up, so that the loss of a network loses no heartbeat. The receiver ignores what it has
    /// seen before.
    fn send_datagram(&self, now: Instant, packet: Packet) {
        let links = locked(&self.links);
        let mut best = Departure::NoLink;
        for live in links.dialled.values().filter_map(|link| link.live.as_ref()) {
            best = best.max(live.send_datagram(&packet));
        }
        match best {
            Departure::Left => (),
            Departure::TooLong => self.outbox.push_ordered(now, packet),
            // Still under the lock: a link that comes up now finds it.
            Departure::NoLink => self.outbox.hold(now, packet),
        }
    }

    /// Notes that the peer is needed, so that its links are dialled.
    pub(super) fn want(&self, now: Instant) {
        self.used.store(now.as_micros(), Ordering::Relaxed);
        self.wanted.notify_waiters();
    }

    /// Whether nothing was sent to it for so long.
    pub(super) fn is_unused(&self, patience: Duration) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        used == 0 || clock::boottime().since(Instant::from_micros(used)) > patience
    }

    /// Waits until the peer is needed, if it was not for so long.
    pub(super) async fn until_wanted(&self, patience: Duration) {
        loop {
            let wanted = self.wanted.notified();
            if !self.is_unused(patience) {
                return;
            }
            wanted.await;
        }
    }

    /// The link for all that goes over streams, as it changes.
    pub(super) fn best(&self) -> watch::Receiver<Option<Arc<Live>>> {
        self.best.subscribe()
    }

    /// The endpoints to dial have changed: `dial` is called for each new one, and gives the task that dials it.
    pub(super) fn set_endpoints(&self, endpoints: &[SocketAddr], mut dial: impl FnMut(SocketAddr) -> AbortHandle) {
        let mut links = locked(&self.links);
        if links.closed {
            return;
        }
        links.order = endpoints.to_vec();
        let gone: Vec<SocketAddr> = links.dialled.keys().copied().filter(|old| !endpoints.contains(old)).collect();
        for endpoint in gone {
            if let Some(link) = links.dialled.remove(&endpoint) {
                link.end(Goodbye::Moved);
            }
        }
        for endpoint in endpoints {
            links.dialled.entry(*endpoint).or_insert_with(|| Link { live: None, task: Some(dial(*endpoint)) });
        }
        self.choose(&links);
    }

    /// Tasks that end with the peer.
    pub(super) fn keep_writers(&self, writers: Vec<AbortHandle>) {
        let mut links = locked(&self.links);
        if links.closed {
            writers.iter().for_each(AbortHandle::abort);
        }
        links.writers.extend(writers);
    }

    /// A link is up. `None`: it is not wanted any more.
    pub(super) fn link_up(self: &Arc<Self>, endpoint: SocketAddr, live: Arc<Live>) -> Option<Registration> {
        let mut links = locked(&self.links);
        let count = links.count();
        let link = links.dialled.get_mut(&endpoint)?;
        link.live = Some(live.clone());
        *locked(&self.told) = live.roster;
        for packet in self.outbox.take_held(clock::boottime()) {
            if live.send_datagram(&packet) == Departure::TooLong {
                self.outbox.push_ordered(clock::boottime(), packet);
            }
        }
        self.end_earlier_runs(&links, live.session);
        self.choose(&links);
        self.report_first(count);
        Some(Registration { peer: self.clone(), number: live.number })
    }

    /// A connection of the peer was accepted. `None`: the peer is no member any more.
    pub(super) fn accepted(self: &Arc<Self>, live: Arc<Live>) -> Option<Registration> {
        let mut links = locked(&self.links);
        if links.closed {
            return None;
        }
        let count = links.count();
        while links.accepted.len() >= ACCEPTED {
            let Some((_, oldest)) = links.accepted.pop_first() else { break };
            quic::close(&oldest.connection, Goodbye::Surplus);
        }
        links.accepted.insert(live.number, live.clone());
        *locked(&self.told) = live.roster;
        self.end_earlier_runs(&links, live.session);
        self.report_first(count);
        Some(Registration { peer: self.clone(), number: live.number })
    }

    /// Connections to an earlier run of the peer's agent lead nowhere, and would be found dead much later.
    fn end_earlier_runs(&self, links: &Links, session: u64) {
        for live in links.all().filter(|live| live.session < session) {
            quic::close(&live.connection, Goodbye::Restarted);
        }
    }

    fn report_first(&self, count: usize) {
        if count == 0 {
            self.mailroom.put_datagram(self.source(), Inbound::Connected(self.address));
        }
    }

    fn down(&self, number: u64) {
        let mut links = locked(&self.links);
        let count = links.count();
        links.accepted.remove(&number);
        for link in links.dialled.values_mut() {
            link.live.take_if(|live| live.number == number);
        }
        self.choose(&links);
        if count > 0 && links.count() == 0 && !links.closed {
            self.mailroom.put_datagram(self.source(), Inbound::Disconnected(self.address));
        }
    }

    /// A link was heard, or was not, so another one may be the best now.
    pub(super) fn reconsider(&self) {
        self.choose(&locked(&self.links));
    }

    /// The first in the roster's order that is heard. The one in use stays as long as it is heard, or none is.
    fn choose(&self, links: &Links) {
        let up = || links.order.iter().filter_map(|endpoint| links.dialled.get(endpoint)?.live.as_ref());
        let heard = |live: &&Arc<Live>| live.heard.load(Ordering::Relaxed);
        self.best.send_if_modified(|best| {
            let current = best.as_ref().and_then(|best| up().find(|live| live.number == best.number));
            let chosen = current.filter(heard).or_else(|| up().find(heard)).or(current).or_else(|| up().next());
            let changed = chosen.map(|live| live.number) != best.as_ref().map(|live| live.number);
            if changed {
                *best = chosen.cloned();
            }
            changed
        });
    }

    /// The peer is no member any more, or this node ends.
    pub(super) fn close(&self, goodbye: Goodbye) {
        let mut links = locked(&self.links);
        links.closed = true;
        for live in links.all() {
            quic::close(&live.connection, goodbye);
        }
        std::mem::take(&mut links.accepted);
        std::mem::take(&mut links.dialled).into_values().for_each(|link| link.end(goodbye));
        links.writers.drain(..).for_each(|writer| writer.abort());
        self.choose(&links);
    }

    /// How many links are up, and how many connections were accepted.
    pub(super) fn connections(&self) -> (usize, usize) {
        let links = locked(&self.links);
        (links.count() - links.accepted.len(), links.accepted.len())
    }

    /// Whether there is more than one way to it.
    pub(super) fn has_choice(&self) -> bool {
        locked(&self.links).order.len() > 1
    }
}

impl Link {
    fn end(self, goodbye: Goodbye) {
        if let Some(live) = self.live {
            quic::close(&live.connection, goodbye);
        }
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

impl Live {
    /// Where too many datagrams wait, the library drops the oldest.
    fn send_datagram(&self, packet: &Packet) -> Departure {
        let Ok(bytes) = encode_datagram(self.version, packet) else { return Departure::TooLong };
        match self.connection.send_datagram(bytes.into()) {
            Ok(()) => Departure::Left,
            Err(SendDatagramError::ConnectionLost(_)) => Departure::NoLink,
            Err(_) => Departure::TooLong,
        }
    }
}

/// What became of a datagram, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Departure {
    NoLink,
    TooLong,
    Left,
}

/// A connection that is in use, until this is dropped.
pub(super) struct Registration {
    peer: Arc<Peer>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.peer.down(self.number);
    }
}
