//! What waits to be sent to one peer.
//!
//! Three queues, each bounded: datagrams, while there is no connection; what goes in order over a stream; and
//! snapshots. What has waited too long is dropped when it is met. The protocols above say again what matters.

use crate::core::time::Instant;
use crate::node::Packet;
use crate::transport::locked;
use crate::wire::encoded_length;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// So many datagrams are held until there is a connection; the oldest goes first.
const HELD: usize = 16;
/// So many packets wait for a stream at most.
const ORDERED: usize = 1_024;
/// They have so many bytes together at most.
pub(super) const ORDERED_BYTES: usize = 4 * 1024 * 1024;

/// A packet that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) packet: Packet,
    since: Instant,
    bytes: usize,
}

#[derive(Default)]
struct Queues {
    held: VecDeque<Waiting>,
    ordered: VecDeque<Waiting>,
    ordered_bytes: usize,
    /// One at a time: a newer snapshot makes an older one useless.
    snapshot: Option<Waiting>,
    /// Packets that were dropped here: too many, too old, or replaced.
    dropped: u64,
}

/// What waits to be sent to one peer.
pub(super) struct Outbox {
    queues: Mutex<Queues>,
    patience: Duration,
    ordered_changed: Notify,
    snapshot_changed: Notify,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) packets: usize,
    pub(super) bytes: usize,
    pub(super) dropped: u64,
}

impl Queues {
    fn drop_old(&mut self, now: Instant, patience: Duration) {
        while self.ordered.front().is_some_and(|oldest| now.since(oldest.since) > patience) {
            self.pop_ordered();
            self.dropped += 1;
        }
        let held = self.held.len();
        self.held.retain(|waiting| now.since(waiting.since) <= patience);
        self.dropped += (held - self.held.len()) as u64;
    }

    fn pop_ordered(&mut self) -> Option<Waiting> {
        let first = self.ordered.pop_front()?;
        self.ordered_bytes -= first.bytes;
        Some(first)
    }
}

impl Outbox {
    pub(super) fn new(patience: Duration) -> Outbox {
        Outbox { queues: Mutex::default(), patience, ordered_changed: Notify::new(), snapshot_changed: Notify::new() }
    }

    /// Holds a datagram until there is a connection.
    pub(super) fn hold(&self, now: Instant, packet: Packet) {
        let mut queues = locked(&self.queues);
        queues.drop_old(now, self.patience);
        if queues.held.len() == HELD {
            queues.held.pop_front();
            queues.dropped += 1;
        }
        queues.held.push_back(Waiting { packet, since: now, bytes: 0 });
    }

    /// Takes all datagrams that are held.
    pub(super) fn take_held(&self, now: Instant) -> Vec<Packet> {
        let mut queues = locked(&self.queues);
        queues.drop_old(now, self.patience);
        queues.held.drain(..).map(|waiting| waiting.packet).collect()
    }

    /// Queues a packet for the stream, if there is room.
    pub(super) fn push_ordered(&self, now: Instant, packet: Packet) {
        let bytes = encoded_length(&packet);
        let mut queues = locked(&self.queues);
        queues.drop_old(now, self.patience);
        let fits = queues.ordered.len() < ORDERED && queues.ordered_bytes + bytes <= ORDERED_BYTES;
        if !fits {
            queues.dropped += 1;
            return;
        }
        queues.ordered_bytes += bytes;
        queues.ordered.push_back(Waiting { packet, since: now, bytes });
        self.ordered_changed.notify_one();
    }

    /// Queues a snapshot, in place of one that has not left yet.
    pub(super) fn push_snapshot(&self, now: Instant, packet: Packet) {
        let mut queues = locked(&self.queues);
        if queues.snapshot.replace(Waiting { packet, since: now, bytes: 0 }).is_some() {
            queues.dropped += 1;
        }
        self.snapshot_changed.notify_one();
    }

    /// Waits until something waits for the stream.
    pub(super) async fn ordered_waits(&self) {
        while locked(&self.queues).ordered.is_empty() {
            self.ordered_changed.notified().await;
        }
    }

    /// The next one for the stream.
    pub(super) fn pop_ordered(&self, now: Instant) -> Option<Waiting> {
        let mut queues = locked(&self.queues);
        queues.drop_old(now, self.patience);
        queues.pop_ordered()
    }

    /// Puts one back that could not be sent: it is the next again, until it is too old.
    pub(super) fn put_back(&self, waiting: Waiting) {
        let mut queues = locked(&self.queues);
        queues.ordered_bytes += waiting.bytes;
        queues.ordered.push_front(waiting);
        self.ordered_changed.notify_one();
    }

    /// Waits until a snapshot waits.
    pub(super) async fn snapshot_waits(&self) {
        while locked(&self.queues).snapshot.is_none() {
            self.snapshot_changed.notified().await;
        }
    }

    /// The snapshot, unless it is too old.
    pub(super) fn pop_snapshot(&self, now: Instant) -> Option<Packet> {
        let mut queues = locked(&self.queues);
        let waiting = queues.snapshot.take()?;
        if now.since(waiting.since) > self.patience {
            queues.dropped += 1;
            return None;
        }
        Some(waiting.packet)
    }

    /// Counts a packet that was lost with its connection, or could not be written.
    pub(super) fn count_dropped(&self) {
        locked(&self.queues).dropped += 1;
    }

    pub(super) fn load(&self) -> Load {
        let queues = locked(&self.queues);
        Load {
            packets: queues.held.len() + queues.ordered.len() + usize::from(queues.snapshot.is_some()),
            bytes: queues.ordered_bytes,
            dropped: queues.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::core::ids::{Address, VmId};
    use crate::core::message::{Message, Report};

    const PATIENCE: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Instant {
        Instant::from_micros(milliseconds * 1_000)
    }

    fn packet(number: u32) -> Packet {
        Packet::Cluster(Message::Voters(vec![Address(number)]))
    }

    fn long(vms: usize) -> Packet {
        Packet::Cluster(Message::Report(Report {
            incarnation: crate::core::ids::Incarnation::default(),
            session: 0,
            version: 0,
            config: crate::core::ids::ConfigVersion(0),
            vms: Vec::new(),
            strangers: vec![VmId(u32::MAX); vms],
            hypervisor: true,
            features: Default::default(),
        }))
    }

    #[test]
    fn the_stream_keeps_order_and_what_is_put_back_comes_first() {
        let outbox = Outbox::new(PATIENCE);
        (0..3).for_each(|number| outbox.push_ordered(at(0), packet(number)));
        let first = outbox.pop_ordered(at(1)).unwrap();
        assert_eq!(first.packet, packet(0));
        outbox.put_back(first);
        for number in 0..3 {
            assert_eq!(outbox.pop_ordered(at(1)).unwrap().packet, packet(number));
        }
        assert!(outbox.pop_ordered(at(1)).is_none());
        assert_eq!(outbox.load(), Load::default());
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let outbox = Outbox::new(PATIENCE);
        (0..ORDERED as u32 + 10).for_each(|number| outbox.push_ordered(at(0), packet(number)));
        let load = outbox.load();
        assert_eq!((load.packets, load.dropped), (ORDERED, 10));
        let outbox = Outbox::new(PATIENCE);
        (0..30).for_each(|_| outbox.push_ordered(at(0), long(200_000 / 5)));
        let load = outbox.load();
        assert!(load.bytes <= ORDERED_BYTES && load.packets == 20 && load.dropped == 10, "{load:?}");
    }

    #[test]
    fn what_is_too_old_makes_room() {
        let outbox = Outbox::new(PATIENCE);
        (0..ORDERED as u32).for_each(|number| outbox.push_ordered(at(0), packet(number)));
        outbox.push_ordered(at(2_000), packet(7));
        assert_eq!(outbox.load().packets, 1);
        assert_eq!(outbox.pop_ordered(at(2_000)).unwrap().packet, packet(7));
        outbox.hold(at(0), packet(1));
        outbox.hold(at(1_500), packet(2));
        assert_eq!(outbox.take_held(at(1_600)), [packet(2)]);
        outbox.push_snapshot(at(0), packet(3));
        assert_eq!(outbox.pop_snapshot(at(5_000)), None);
    }

    #[test]
    fn of_datagrams_the_newest_are_held_and_of_snapshots_the_last() {
        let outbox = Outbox::new(PATIENCE);
        (0..HELD as u32 + 2).for_each(|number| outbox.hold(at(0), packet(number)));
        let held = outbox.take_held(at(0));
        assert_eq!((held.len(), &held[0]), (HELD, &packet(2)));
        outbox.push_snapshot(at(0), packet(1));
        outbox.push_snapshot(at(0), packet(2));
        assert_eq!(outbox.pop_snapshot(at(0)), Some(packet(2)));
        assert_eq!(outbox.pop_snapshot(at(0)), None);
        assert_eq!(outbox.load().dropped, 3);
    }
}
