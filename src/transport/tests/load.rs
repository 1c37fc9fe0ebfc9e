//! Much at once, and owners that are slow.

use super::*;
use crate::core::ids::{Authority as Term, VoterId};
use crate::election::{self, Members, StoredEntry, StoredSnapshot};
use serde::Serialize;

/// A message of the election with a snapshot, field by field as it travels.
#[derive(Serialize)]
struct Fields {
    kind: u8,
    numbers: (u64, u64, u64, u64, u64),
    entries: Vec<StoredEntry>,
    commit: (u64, u64),
    snapshot: Option<StoredSnapshot>,
    reject: (bool, u64),
    context: Vec<u8>,
}

fn snapshot(bytes: usize) -> Packet {
    let members = Members { voters: vec![VoterId(1)], ..Members::default() };
    let snapshot = StoredSnapshot { index: LogIndex(9), term: 2, members, data: vec![7; bytes] };
    let fields = Fields {
        kind: 8,
        numbers: (2, 1, 2, 0, 0),
        entries: Vec::new(),
        commit: (0, 0),
        snapshot: Some(snapshot),
        reject: (false, 0),
        context: Vec::new(),
    };
    let message: election::Message = postcard::from_bytes(&postcard::to_stdvec(&fields).unwrap()).unwrap();
    assert!(message.is_snapshot());
    let (from, to) = (VoterId(1), VoterId(2));
    Packet::Election { authority: Term::default(), from, to, message: Box::new(message) }
}

/// Each heartbeat is sent when the one before has arrived, so they show that the way is open all the time.
#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_pass_a_long_snapshot() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let long = snapshot(30 * 1024 * 1024);
    nodes[0].transport.send(Address(2), long.clone());
    let mut beats = 0;
    nodes[0].transport.send(Address(2), beat(beats));
    let (mut said, mut others) = (0, 0);
    loop {
        let (_, packet) = nodes[1].packet().await;
        match beat_in(&packet) {
            Some(sequence) => {
                assert_eq!(sequence, beats, "in order");
                beats += 1;
                nodes[0].transport.send(Address(2), beat(beats));
                nodes[0].transport.send(Address(2), word(said));
                said += 1;
            }
            None if packet == word(others) => others += 1,
            None => {
                assert!(packet == long, "the snapshot came in another shape");
                break;
            }
        }
    }
    assert!(beats > 3 && others > 3, "{beats} heartbeats and {others} others came before the snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_too_long_does_not_stop_the_next() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let too_long = Packet::Cluster(Message::Voters((0..600_000).map(|number| Address(u32::MAX - number)).collect()));
    nodes[0].transport.send(Address(2), too_long);
    nodes[0].transport.send(Address(2), word(1));
    nodes[0].transport.send(Address(2), snapshot(2 * 1024 * 1024));
    let mut seen = vec![nodes[1].packet().await.1, nodes[1].packet().await.1];
    seen.sort_by_key(|packet| matches!(packet, Packet::Election { .. }));
    assert_eq!(seen, [word(1), snapshot(2 * 1024 * 1024)]);
    assert_eq!(nodes[0].peer(2).unwrap().dropped, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_peers_reach_one_receiver() {
    const PEERS: u32 = 50;
    const WORDS: u32 = 20;
    let realm = Realm::new();
    let mut nodes = realm.cluster(&(0..=PEERS).collect::<Vec<_>>());
    for number in 0..WORDS {
        nodes[1..].iter().for_each(|node| node.transport.send(Address(0), word(number)));
    }
    let mut heard = vec![0; PEERS as usize + 1];
    for _ in 0..PEERS * WORDS {
        let (from, packet) = nodes[0].packet().await;
        assert_eq!(packet, word(heard[from as usize]), "from {from}");
        heard[from as usize] += 1;
    }
    assert!(heard[1..].iter().all(|count| *count == WORDS));
    assert_eq!(nodes[0].transport.stats().peers.len(), PEERS as usize);
}

/// The owner of 2 takes nothing for a while. What 1 keeps for it stays within bounds, and 3 does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_slow_costs_bounded_memory_and_nobody_else() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2, 3]);
    let long = Packet::Cluster(Message::Voters((0..100_000).map(Address).collect()));
    let mut most = 0;
    for number in 0..400 {
        nodes[0].transport.send(Address(2), long.clone());
        nodes[0].transport.send(Address(2), beat(number.into()));
        nodes[0].transport.send(Address(3), word(number));
        assert_eq!(nodes[2].packet().await, (1, word(number)), "the others are not held up");
        most = most.max(nodes[0].peer(2).unwrap().queued_bytes);
    }
    assert!(most <= outbox::ORDERED_BYTES, "{most} bytes");
    assert!(nodes[0].peer(2).unwrap().dropped > 0, "some could not be kept");
    // In the receiver's inbox there is room for so many bytes of one peer's streams, and no more has been read. What is
    // taken out makes room for what comes after those that wait now.
    let stats = nodes[1].transport.stats();
    let mut longs = 0;
    let mut newest = None;
    for _ in 0..stats.received - stats.displaced {
        let Some(Inbound::Packet { packet, .. }) = nodes[1].inbox.try_recv() else { continue };
        newest = newest.max(beat_in(&packet));
        longs += usize::from(packet == long);
    }
    assert!(longs > 0 && newest.is_some(), "heartbeats do not wait behind what is not read");
    assert!(longs <= inbox::LANE_BYTES / 280_000 + 2, "{longs} long packets were waiting");
    nodes[0].transport.send(Address(2), word(1));
    while nodes[1].packet().await != (1, word(1)) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_heartbeats_leaves_the_newest() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    nodes[0].transport.send(Address(2), word(0));
    nodes[1].packet().await;
    let mut sequence = 0;
    until("some are displaced", || {
        for _ in 0..20 {
            sequence += 1;
            nodes[0].transport.send(Address(2), beat(sequence));
        }
        nodes[1].transport.stats().displaced > 100
    })
    .await;
    let mut seen = Vec::new();
    while let Some(inbound) = nodes[1].inbox.try_recv() {
        if let Inbound::Packet { packet, .. } = inbound {
            seen.extend(beat_in(&packet));
        }
    }
    assert!(seen.first().is_some_and(|first| *first > 100), "the oldest went first: {seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
}
