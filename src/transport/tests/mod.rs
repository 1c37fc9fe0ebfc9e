//! Real transports over real sockets, all on loopback.
//!
//! Where a test waits, it waits for an event; the time limit only turns a hang into a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod load;
mod networks;
mod raw;
mod relay;
mod rosters;
mod strangers;
mod talk;

use super::*;
use crate::core::ids::{BootId, ConfigVersion, Incarnation, LogIndex};
use crate::core::message::{Heartbeat, Message};
use crate::core::timing::{Profile, Timing};
use crate::trust::{Authority, Identity, PrivateKey, SigningRequest};
use crate::wire::{Member, RosterVersion};
use tempfile::TempDir;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);
const CLUSTER: u128 = 7;

/// An authority, and the hosts that it has certified.
struct Realm {
    authority: Authority,
    folder: TempDir,
}

impl Realm {
    fn new() -> Realm {
        Realm { authority: Authority::create(CLUSTER).unwrap(), folder: TempDir::new().unwrap() }
    }

    /// The identity of a host: the same each time.
    fn identity(&self, number: u32) -> Identity {
        let name = format!("host-{number}");
        if let Ok(known) = Identity::load(self.folder.path(), &name) {
            return known;
        }
        let key = PrivateKey::generate().unwrap();
        let request = SigningRequest::parse(&key.request().unwrap()).unwrap();
        let certificate = self.authority.issue_host(&request, &name).unwrap();
        let identity = Identity::new(key, &certificate, self.authority.certificate()).unwrap();
        identity.store(self.folder.path(), &name).unwrap();
        identity
    }

    fn member(&self, number: u32, endpoints: &[SocketAddr]) -> Member {
        Member {
            address: Address(number),
            name: format!("host-{number}"),
            fingerprint: self.identity(number).fingerprint(),
            endpoints: endpoints.to_vec(),
        }
    }

    fn options(&self, number: u32) -> TransportOptions {
        TransportOptions {
            me: Address(number),
            identity: self.identity(number),
            cluster: CLUSTER,
            listen: vec![loopback(0)],
            roster: Roster::default(),
            session: 1,
            boot: BootId(1),
            build: "test".to_owned(),
            patience: patience(),
        }
    }

    fn start(&self, number: u32) -> Node {
        Node::start(self.options(number))
    }

    /// A roster in which each node is reached where it listens.
    fn roster(&self, version: u64, nodes: &[&Node]) -> Roster {
        let members = nodes.iter().map(|node| self.member(node.number(), &node.transport.endpoints()));
        self.signed(roster_of(version, members.collect()))
    }

    fn signed(&self, roster: Roster) -> Roster {
        let signature = self.authority.sign_message(&roster.to_sign()).unwrap();
        roster.signed(signature).unwrap()
    }

    /// Nodes that know each other.
    fn cluster(&self, numbers: &[u32]) -> Vec<Node> {
        let nodes: Vec<Node> = numbers.iter().map(|number| self.start(*number)).collect();
        let roster = self.roster(1, &nodes.iter().collect::<Vec<_>>());
        nodes.iter().for_each(|node| assert!(node.transport.set_roster(roster.clone())));
        nodes
    }
}

/// Patient with a machine that is busy with other tests, where the product is not.
fn patience() -> Patience {
    Patience {
        dial: Duration::from_secs(5),
        hello: Duration::from_secs(5),
        idle: Duration::from_secs(10),
        queued: Duration::from_secs(60),
        ..Patience::of(&Timing::of(Profile::Lan))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn version(index: u64) -> RosterVersion {
    RosterVersion { index: LogIndex(index), ..RosterVersion::default() }
}

fn roster_of(index: u64, members: Vec<Member>) -> Roster {
    Roster::new(version(index), members).unwrap()
}

/// A transport and its owner's end.
struct Node {
    transport: Transport,
    inbox: Inbox,
}

impl Node {
    fn start(options: TransportOptions) -> Node {
        let (transport, inbox) = Transport::start(options).unwrap();
        Node { transport, inbox }
    }

    fn number(&self) -> u32 {
        self.transport.shared.me.0
    }

    fn endpoint(&self) -> SocketAddr {
        self.transport.endpoints()[0]
    }

    async fn next(&mut self) -> Inbound {
        timeout(LIMIT, self.inbox.recv()).await.expect("nothing came").expect("the transport ended")
    }

    /// The next packet, whatever else comes before it.
    async fn packet(&mut self) -> (u32, Packet) {
        loop {
            if let Inbound::Packet { from, packet } = self.next().await {
                return (from.0, packet);
            }
        }
    }

    async fn roster(&mut self) -> Roster {
        loop {
            if let Inbound::Roster(roster) = self.next().await {
                return roster;
            }
        }
    }

    fn peer(&self, number: u32) -> Option<PeerStats> {
        self.transport.stats().peers.into_iter().find(|peer| peer.address == Address(number))
    }
}

/// A packet for the stream.
fn word(number: u32) -> Packet {
    Packet::Cluster(Message::Voters(vec![Address(number)]))
}

/// A packet for a datagram.
fn beat(sequence: u64) -> Packet {
    Packet::Cluster(Message::Heartbeat(Heartbeat {
        incarnation: Incarnation::default(),
        admitted: true,
        session: 1,
        sequence,
        report: 0,
        leaving: false,
        config: ConfigVersion(0),
    }))
}

/// The number in a [`beat`].
fn beat_in(packet: &Packet) -> Option<u64> {
    match packet {
        Packet::Cluster(Message::Heartbeat(heartbeat)) => Some(heartbeat.sequence),
        _ => None,
    }
}

/// Waits until that is so. For what is told by no event.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            tick.tick().await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}
