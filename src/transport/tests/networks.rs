//! Networks that fail: loss, cuts, one of two, and peers that are started anew.

use super::relay::{Faults, Relay};
use super::*;

/// Sends numbered heartbeats until one that was sent from now on arrives.
async fn a_beat_arrives(from: &Node, to: &mut Node, next: &mut u64) {
    let first = *next;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    from.transport.send(Address(to.number()), beat(*next));
                    *next += 1;
                }
                inbound = to.inbox.recv() => {
                    let Some(Inbound::Packet { packet, .. }) = inbound else { continue };
                    if beat_in(&packet).is_some_and(|sequence| sequence >= first) { return }
                }
            }
        }
    };
    timeout(LIMIT, waiting).await.expect("no heartbeat arrives");
}

/// The packets of one stream, without what else comes.
async fn words(node: &mut Node, wanted: std::ops::Range<u32>) {
    for number in wanted {
        loop {
            let (_, packet) = node.packet().await;
            if beat_in(&packet).is_none() {
                assert_eq!(packet, word(number));
                break;
            }
        }
    }
}

/// A sender, and a receiver with two networks, each through a relay. QUIC finds no connection dead within the test.
async fn two_networks(realm: &Realm) -> (Node, Node, Vec<Relay>) {
    let (mut one, mut two) = (realm.options(1), realm.options(2));
    (one.patience.idle, two.patience.idle) = (LIMIT * 2, LIMIT * 2);
    two.listen = vec![loopback(0), loopback(0)];
    let (sender, receiver) = (Node::start(one), Node::start(two));
    let mut relays = Vec::new();
    for endpoint in receiver.transport.endpoints() {
        relays.push(Relay::to(endpoint).await);
    }
    let ways: Vec<SocketAddr> = relays.iter().map(|relay| relay.address).collect();
    let roster = roster_of(1, vec![realm.member(1, &sender.transport.endpoints()), realm.member(2, &ways)]);
    sender.transport.set_roster(roster.clone());
    receiver.transport.set_roster(roster);
    (sender, receiver, relays)
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_over_all_networks() {
    let realm = Realm::new();
    let (sender, mut receiver, _relays) = two_networks(&realm).await;
    let mut next = 1;
    a_beat_arrives(&sender, &mut receiver, &mut next).await;
    until("two links", || sender.peer(2).is_some_and(|peer| peer.links == 2)).await;
    sender.transport.send(Address(2), beat(1_000_000));
    let mut copies = 0;
    while copies < 2 {
        let (_, packet) = receiver.packet().await;
        copies += usize::from(beat_in(&packet) == Some(1_000_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_one_network_of_two_loses_nothing_for_good() {
    let realm = Realm::new();
    let (sender, mut receiver, relays) = two_networks(&realm).await;
    let mut next = 1;
    a_beat_arrives(&sender, &mut receiver, &mut next).await;
    until("two links", || sender.peer(2).is_some_and(|peer| peer.links == 2)).await;
    let mut said = 0;
    for (cut, other) in [(0, 1), (1, 0), (0, 1)] {
        relays[other].set(Faults::default());
        relays[cut].set(Faults::CUT);
        a_beat_arrives(&sender, &mut receiver, &mut next).await;
        // What a dying link has swallowed is lost; what comes after the change goes through.
        let (from, to) = (sender.transport.shared.peer(Address(2)).unwrap(), relays[other].address);
        let mut best = from.best();
        let other_is_best =
            best.wait_for(|best| best.as_ref().is_some_and(|live| live.connection.remote_address() == to));
        drop(timeout(LIMIT, other_is_best).await.expect("no change to the other network").unwrap());
        (said..said + 5).for_each(|number| sender.transport.send(Address(2), word(number)));
        words(&mut receiver, said..said + 5).await;
        said += 5;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lossy_network_loses_nothing_of_a_stream() {
    let realm = Realm::new();
    let (sender, mut receiver) = (realm.start(1), realm.start(2));
    let relay = Relay::to(receiver.endpoint()).await;
    relay.set(Faults { loss: 20, delay: Duration::from_millis(2), ..Faults::default() });
    let roster = roster_of(1, vec![realm.member(1, &sender.transport.endpoints()), realm.member(2, &[relay.address])]);
    sender.transport.set_roster(roster.clone());
    receiver.transport.set_roster(roster);
    (0..300).for_each(|number| sender.transport.send(Address(2), word(number)));
    words(&mut receiver, 0..300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cut_in_one_direction_or_both_it_goes_on() {
    let realm = Realm::new();
    let mut options = realm.options(1);
    options.patience.idle = Duration::from_millis(300);
    let (sender, mut receiver) = (Node::start(options), realm.start(2));
    let relay = Relay::to(receiver.endpoint()).await;
    let roster = roster_of(1, vec![realm.member(1, &sender.transport.endpoints()), realm.member(2, &[relay.address])]);
    sender.transport.set_roster(roster.clone());
    receiver.transport.set_roster(roster);
    let mut next = 1;
    let (to, from) = (Faults { cut_to: true, ..Faults::default() }, Faults { cut_from: true, ..Faults::default() });
    for faults in [to, from, Faults::CUT] {
        a_beat_arrives(&sender, &mut receiver, &mut next).await;
        relay.set(faults);
        until("the link is found dead", || sender.peer(2).is_some_and(|peer| peer.links == 0)).await;
        relay.set(Faults::default());
    }
    a_beat_arrives(&sender, &mut receiver, &mut next).await;
}

/// The peer dies without a word and is started again, so its old connections would be used until they are found
/// dead, in a minute: longer than this test waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_started_anew_says_that_old_connections_are_gone() {
    let realm = Realm::new();
    let mut options = realm.options(1);
    options.patience.idle = LIMIT * 2;
    let sender = Node::start(options);
    let mut options = realm.options(2);
    options.patience.idle = LIMIT * 2;
    let mut receiver = Node::start(options);
    let relay = Relay::to(receiver.endpoint()).await;
    let members = || vec![realm.member(1, &[]), realm.member(2, &[relay.address])];
    sender.transport.set_roster(roster_of(1, members()));
    receiver.transport.set_roster(roster_of(1, members()));
    let mut next = 1;
    a_beat_arrives(&sender, &mut receiver, &mut next).await;
    relay.set(Faults::CUT);
    drop(receiver);
    let mut again = realm.options(2);
    again.session = 2;
    again.roster = roster_of(1, members());
    let mut again = Node::start(again);
    relay.retarget(again.endpoint());
    relay.set(Faults::default());
    a_beat_arrives(&sender, &mut again, &mut next).await;
}

/// Here nothing comes back over the old connection at all; but the peer's new run has dialled us.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_run_of_a_peer_ends_the_links_to_its_earlier_one() {
    let realm = Realm::new();
    let mut options = realm.options(1);
    options.patience.idle = LIMIT * 2;
    let mut sender = Node::start(options);
    let mut options = realm.options(2);
    options.patience.idle = LIMIT * 2;
    let mut receiver = Node::start(options);
    let relay = Relay::to(receiver.endpoint()).await;
    let members = vec![realm.member(1, &sender.transport.endpoints()), realm.member(2, &[relay.address])];
    let roster = roster_of(1, members);
    sender.transport.set_roster(roster.clone());
    receiver.transport.set_roster(roster.clone());
    let mut next = 1;
    a_beat_arrives(&sender, &mut receiver, &mut next).await;
    relay.set(Faults::CUT);
    drop(receiver);
    let mut again = realm.options(2);
    again.session = 2;
    again.roster = roster;
    let again = Node::start(again);
    assert_eq!(sender.peer(2).unwrap().links, 1, "the dead link is not noticed yet");
    let mut next = 1;
    a_beat_arrives(&again, &mut sender, &mut next).await;
    until("the old link is closed", || sender.peer(2).unwrap().links == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_comes_back_elsewhere_is_found_by_a_newer_roster() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let (receiver, sender) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let mut receiver = receiver;
    let mut next = 1;
    a_beat_arrives(&sender, &mut receiver, &mut next).await;
    let old = receiver.endpoint();
    receiver.transport.shutdown().await;
    let mut options = realm.options(2);
    options.session = 2;
    let mut again = Node::start(options);
    assert_ne!(again.endpoint(), old);
    let roster = realm.roster(2, &[&sender, &again]);
    again.transport.set_roster(roster.clone());
    sender.transport.set_roster(roster);
    a_beat_arrives(&sender, &mut again, &mut next).await;
    sender.transport.send(Address(2), word(1));
    words(&mut again, 1..2).await;
}
