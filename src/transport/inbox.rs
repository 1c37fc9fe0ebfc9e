//! What came in and waits for the owner.
//!
//! Each source has a lane of its own, and the owner takes from the lanes in turn, so that one source that floods or
//! stalls costs the others nothing. In a lane all goes in order of arrival. What came by datagram never waits for
//! room: the lane's oldest datagram goes. What comes over a stream is not even read before the lane has room for it.

use crate::core::ids::Address;
use crate::node::Packet;
use crate::transport::locked;
use crate::wire::{Fingerprint, Roster, RosterVersion};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// So many datagrams of one source wait at most.
const DATAGRAMS: usize = 64;
/// So many bytes of one source's streams wait at most. A snapshot counts elsewhere.
pub(super) const LANE_BYTES: usize = 4 * 1024 * 1024;
/// Even an empty packet takes so many bytes in memory.
const LEAST_BYTES: usize = 512;
/// So many packets to oneself wait at most.
const OWN_PACKETS: usize = 8_192;

/// What came in.
#[derive(Debug)]
pub enum Inbound {
    /// A packet. It is from whom it says.
    Packet {
        /// From where.
        from: Address,
        /// What it says.
        packet: Packet,
    },
    /// A node asks something and waits for the answer. To drop `answer` is to refuse.
    Call {
        /// Who.
        from: Address,
        /// What.
        body: Vec<u8>,
        /// Where the answer goes.
        answer: oneshot::Sender<Vec<u8>>,
    },
    /// A roster that is newer than the one in use. It is used once the owner has stored it and calls
    /// [`super::Transport::set_roster`].
    Roster(Roster),
    /// There is a connection with that node. Informational: not every change is told when many happen.
    Connected(Address),
    /// There is none any more.
    Disconnected(Address),
}

/// Whose lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// This node's own.
    Own,
    /// That of the node with this certificate.
    Peer(Fingerprint),
}

/// What is kept while something waits. It is given back when the owner takes it.
pub(super) type Room = OwnedSemaphorePermit;

struct Item {
    number: u64,
    inbound: Inbound,
    _room: Option<Room>,
}

struct Lane {
    datagrams: VecDeque<Item>,
    ordered: VecDeque<Item>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<Source, Lane>,
    /// The lanes in which something waits, in the order in which they are served.
    ready: VecDeque<Source>,
    roster: Option<Roster>,
    arrivals: u64,
    closed: bool,
}

/// What came in and waits for the owner, from all sources.
#[derive(Default)]
pub(super) struct Mailroom {
    state: Mutex<State>,
    arrived: Notify,
}

/// How something was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits.
    Whole,
    /// It waits, and the oldest of its kind does not any more.
    InPlaceOfOldest,
    /// The source has no lane, or no room.
    Not,
}

impl Lane {
    fn new(bytes: usize) -> Lane {
        Lane { datagrams: VecDeque::new(), ordered: VecDeque::new(), room: Arc::new(Semaphore::new(bytes)) }
    }

    fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.ordered.is_empty()
    }

    fn pop(&mut self) -> Option<Item> {
        match (self.datagrams.front(), self.ordered.front()) {
            (Some(datagram), Some(other)) if datagram.number > other.number => self.ordered.pop_front(),
            (Some(_), _) => self.datagrams.pop_front(),
            (None, _) => self.ordered.pop_front(),
        }
    }
}

impl Mailroom {
    pub(super) fn new() -> Mailroom {
        let room = Mailroom::default();
        room.open(Source::Own);
        room
    }

    /// Gives a source a lane, and the lane's room.
    pub(super) fn open(&self, source: Source) -> Arc<Semaphore> {
        let mut state = locked(&self.state);
        state.lanes.entry(source).or_insert_with(|| Lane::new(LANE_BYTES)).room.clone()
    }

    /// Takes a source's lane away, with all that waits in it: nothing of it reaches the owner any more.
    pub(super) fn forget(&self, source: Source) {
        let mut state = locked(&self.state);
        if let Some(lane) = state.lanes.remove(&source) {
            lane.room.close();
        }
        state.ready.retain(|ready| *ready != source);
    }

    /// Takes in what came by datagram, or is informational.
    pub(super) fn put_datagram(&self, source: Source, inbound: Inbound) -> Taken {
        self.put(source, inbound, |lane, item| {
            lane.datagrams.push_back(item);
            match lane.datagrams.len() > DATAGRAMS {
                true => lane.datagrams.pop_front().map_or(Taken::Whole, |_| Taken::InPlaceOfOldest),
                false => Taken::Whole,
            }
        })
    }

    /// Takes in what came over a stream. Its room was had before it was read.
    pub(super) fn put_ordered(&self, source: Source, inbound: Inbound, room: Room) -> Taken {
        self.put(source, inbound, |lane, mut item| {
            item._room = Some(room);
            lane.ordered.push_back(item);
            Taken::Whole
        })
    }

    /// Takes in what this node sends to itself, in order, as long as there is room.
    pub(super) fn put_own(&self, inbound: Inbound) -> Taken {
        self.put(Source::Own, inbound, |lane, item| match lane.ordered.len() < OWN_PACKETS {
            true => {
                lane.ordered.push_back(item);
                Taken::Whole
            }
            false => Taken::Not,
        })
    }

    /// Takes in a roster, unless a newer one waits.
    pub(super) fn put_roster(&self, roster: Roster, in_use: RosterVersion) {
        let mut state = locked(&self.state);
        let known = state.roster.as_ref().map_or(in_use, |waiting| waiting.version().max(in_use));
        if roster.version() > known && !state.closed {
            state.roster = Some(roster);
            self.arrived.notify_one();
        }
    }

    pub(super) fn close(&self) {
        locked(&self.state).closed = true;
        self.arrived.notify_one();
    }

    fn put(&self, source: Source, inbound: Inbound, push: impl FnOnce(&mut Lane, Item) -> Taken) -> Taken {
        let mut state = locked(&self.state);
        let state = &mut *state;
        state.arrivals += 1;
        let item = Item { number: state.arrivals, inbound, _room: None };
        let Some(lane) = state.lanes.get_mut(&source).filter(|_| !state.closed) else {
            return Taken::Not;
        };
        let was_empty = lane.is_empty();
        let taken = push(lane, item);
        if was_empty && !lane.is_empty() {
            state.ready.push_back(source);
            self.arrived.notify_one();
        }
        taken
    }

    fn take(&self) -> Result<Inbound, Empty> {
        let mut state = locked(&self.state);
        if let Some(roster) = state.roster.take() {
            return Ok(Inbound::Roster(roster));
        }
        while let Some(source) = state.ready.pop_front() {
            let Some(lane) = state.lanes.get_mut(&source) else { continue };
            let item = lane.pop();
            if !lane.is_empty() {
                state.ready.push_back(source);
            }
            if let Some(item) = item {
                return Ok(item.inbound);
            }
        }
        Err(if state.closed { Empty::ForGood } else { Empty::Now })
    }
}

/// Nothing waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    Now,
    ForGood,
}

/// The owner's end: all that comes in. There is one for each transport.
pub struct Inbox {
    room: Arc<Mailroom>,
}

impl Inbox {
    pub(super) fn new(room: Arc<Mailroom>) -> Inbox {
        Inbox { room }
    }

    /// Waits for what comes next; `None` once the transport has ended and nothing is left. It may be given up while it
    /// waits, and nothing is lost.
    pub async fn recv(&mut self) -> Option<Inbound> {
        loop {
            match self.room.take() {
                Ok(inbound) => return Some(inbound),
                Err(Empty::ForGood) => return None,
                Err(Empty::Now) => self.room.arrived.notified().await,
            }
        }
    }

    /// What is there already.
    pub fn try_recv(&mut self) -> Option<Inbound> {
        self.room.take().ok()
    }
}

/// How much room something of so many bytes takes in a lane. A frame that is longer than a lane is a snapshot, which
/// has its room elsewhere.
pub(super) fn room_for(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(LEAST_BYTES, LANE_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::core::message::Message;

    fn peer(number: u8) -> Source {
        Source::Peer(Fingerprint([number; 32]))
    }

    fn packet(from: u32, number: u32) -> Inbound {
        let packet = Packet::Cluster(Message::Voters(vec![Address(number)]));
        Inbound::Packet { from: Address(from), packet }
    }

    fn all(inbox: &mut Inbox) -> Vec<(u32, u32)> {
        let mut seen = Vec::new();
        while let Some(inbound) = inbox.try_recv() {
            let Inbound::Packet { from, packet: Packet::Cluster(Message::Voters(list)) } = inbound else {
                panic!("{inbound:?}")
            };
            seen.push((from.0, list[0].0));
        }
        seen
    }

    fn room() -> (Arc<Mailroom>, Inbox) {
        let room = Arc::new(Mailroom::new());
        (room.clone(), Inbox::new(room))
    }

    #[test]
    fn sources_are_served_in_turn_and_each_in_order() {
        let (room, mut inbox) = room();
        room.open(peer(1));
        room.open(peer(2));
        for number in 0..3 {
            assert_eq!(room.put_datagram(peer(1), packet(1, number)), Taken::Whole);
        }
        room.put_datagram(peer(2), packet(2, 0));
        room.put_own(packet(0, 0));
        assert_eq!(all(&mut inbox), [(1, 0), (2, 0), (0, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn a_flood_of_datagrams_displaces_its_own_oldest_only() {
        let (room, mut inbox) = room();
        let bytes = room.open(peer(1));
        room.open(peer(2));
        let ordered = bytes.clone().try_acquire_many_owned(room_for(10)).unwrap();
        assert_eq!(room.put_ordered(peer(1), packet(1, 999), ordered), Taken::Whole);
        room.put_datagram(peer(2), packet(2, 7));
        let count = DATAGRAMS as u32 * 3;
        let taken: Vec<Taken> = (0..count).map(|number| room.put_datagram(peer(1), packet(1, number))).collect();
        assert_eq!(taken.iter().filter(|taken| **taken == Taken::InPlaceOfOldest).count(), DATAGRAMS * 2);
        let seen = all(&mut inbox);
        assert_eq!(seen[..2], [(1, 999), (2, 7)], "what came first, and what came over a stream, is still there");
        let newest: Vec<(u32, u32)> = (count - DATAGRAMS as u32..count).map(|number| (1, number)).collect();
        assert_eq!(seen[2..], newest);
    }

    #[test]
    fn room_is_given_back_when_the_owner_takes_it() {
        let (room, mut inbox) = room();
        let bytes = room.open(peer(1));
        let one = bytes.clone().try_acquire_many_owned(room_for(LANE_BYTES)).unwrap();
        room.put_ordered(peer(1), packet(1, 1), one);
        assert!(bytes.clone().try_acquire_many_owned(1).is_err(), "full");
        assert_eq!(all(&mut inbox).len(), 1);
        assert!(bytes.try_acquire_many_owned(room_for(usize::MAX)).is_ok());
    }

    #[test]
    fn what_is_forgotten_never_arrives() {
        let (room, mut inbox) = room();
        let bytes = room.open(peer(1));
        room.put_datagram(peer(1), packet(1, 1));
        room.forget(peer(1));
        assert_eq!(room.put_datagram(peer(1), packet(1, 2)), Taken::Not);
        assert!(bytes.try_acquire_many_owned(1).is_err(), "who waits for room hears that there is none");
        assert!(all(&mut inbox).is_empty());
        room.open(peer(1));
        room.put_datagram(peer(1), packet(1, 3));
        assert_eq!(all(&mut inbox), [(1, 3)]);
    }

    #[test]
    fn packets_to_oneself_are_bounded() {
        let (room, mut inbox) = room();
        let kept = (0..OWN_PACKETS as u32 + 5).filter(|number| room.put_own(packet(0, *number)) == Taken::Whole);
        assert_eq!(kept.count(), OWN_PACKETS);
        assert_eq!(all(&mut inbox).len(), OWN_PACKETS);
    }

    #[test]
    fn only_the_newest_roster_waits() {
        use crate::core::ids::LogIndex;
        let (room, mut inbox) = room();
        let version = |index| RosterVersion { index: LogIndex(index), ..RosterVersion::default() };
        for index in [3, 5, 4, 2] {
            room.put_roster(Roster::new(version(index), Vec::new()).unwrap(), version(2));
        }
        let Some(Inbound::Roster(roster)) = inbox.try_recv() else { panic!("no roster") };
        assert_eq!(roster.version(), version(5));
        assert!(inbox.try_recv().is_none());
    }

    #[tokio::test]
    async fn the_end_is_told_after_the_last() {
        let (room, mut inbox) = room();
        room.put_own(packet(0, 1));
        room.close();
        assert_eq!(room.put_own(packet(0, 2)), Taken::Not);
        assert!(inbox.recv().await.is_some());
        assert!(inbox.recv().await.is_none());
    }
}
