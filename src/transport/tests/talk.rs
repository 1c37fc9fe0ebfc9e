//! Packets between nodes that know each other.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn packets_arrive_both_ways() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    for number in 0..50 {
        nodes[0].transport.send(Address(2), word(number));
        nodes[1].transport.send(Address(1), word(number));
    }
    for (receiver, sender) in [(1, 1), (0, 2)] {
        for number in 0..50 {
            assert_eq!(nodes[receiver].packet().await, (sender, word(number)), "in order");
        }
    }
    nodes[0].transport.send(Address(2), beat(1));
    nodes[1].transport.send(Address(1), beat(2));
    assert_eq!(nodes[1].packet().await, (1, beat(1)));
    assert_eq!(nodes[0].packet().await, (2, beat(2)));
    let stats = nodes[0].transport.stats();
    assert_eq!((stats.refused, stats.broken), (0, 0));
}

/// What is sent before there is a connection is not lost, be it datagram or not.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_packet_waits_for_the_link() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    nodes[0].transport.send(Address(2), beat(7));
    assert_eq!(nodes[1].packet().await, (1, beat(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_a_datagram_goes_by_stream() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let long = Packet::Cluster(Message::Voters((0..2_000).map(Address).collect()));
    nodes[0].transport.send(Address(2), long.clone());
    assert_eq!(nodes[1].packet().await, (1, long));
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_to_oneself_come_in_order() {
    let realm = Realm::new();
    let mut node = realm.start(1);
    for number in 0..100 {
        node.transport.send(Address(1), word(number));
        node.transport.send(Address(1), beat(number.into()));
    }
    for number in 0..100 {
        assert_eq!(node.packet().await, (1, word(number)));
        assert_eq!(node.packet().await, (1, beat(number.into())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_to_nobody_is_counted() {
    let realm = Realm::new();
    let node = realm.start(1);
    node.transport.send(Address(9), word(1));
    assert_eq!(node.transport.stats().unaddressed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_told() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    nodes[0].transport.send(Address(2), word(1));
    assert!(matches!(nodes[1].next().await, Inbound::Connected(Address(1))));
    assert!(matches!(nodes[1].next().await, Inbound::Packet { .. }));
    nodes.remove(0).transport.shutdown().await;
    assert!(matches!(nodes[0].next().await, Inbound::Disconnected(Address(1))), "a goodbye is heard at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_ends_with_the_transport() {
    let realm = Realm::new();
    let Node { transport, mut inbox } = realm.start(1);
    transport.send(Address(1), word(1));
    transport.shutdown().await;
    assert!(inbox.recv().await.is_some());
    assert!(inbox.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told() {
    let realm = Realm::new();
    let node = realm.start(1);
    let mut options = realm.options(2);
    options.listen = vec![node.endpoint()];
    let error = Transport::start(options).map(|_| ()).unwrap_err();
    assert!(matches!(error, TransportError::Listen { address, .. } if address == node.endpoint()), "{error}");
    let mut options = realm.options(2);
    options.listen.clear();
    assert!(matches!(Transport::start(options), Err(TransportError::NoEndpoint)));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let realm = Realm::new();
    assert!(matches!(Transport::start(realm.options(1)), Err(TransportError::NoRuntime(_))));
}
