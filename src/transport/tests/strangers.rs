//! Who does not belong gets nowhere, and what cannot be read ends the connection. An honest node goes on all the while.

use super::raw::{Raw, frame, header, hello};
use super::*;
use crate::wire::{Frame, Goodbye, Speaks, encode_datagram};

/// An honest receiver and an honest sender, and a roster that names a third.
struct Scene {
    realm: Realm,
    receiver: Node,
    sender: Node,
}

const THIRD: u32 = 3;

impl Scene {
    fn new() -> Scene {
        let realm = Realm::new();
        let (receiver, sender) = (realm.start(1), realm.start(2));
        let mut members: Vec<Member> = realm.roster(1, &[&receiver, &sender]).members().cloned().collect();
        members.push(realm.member(THIRD, &[]));
        let roster = roster_of(1, members);
        receiver.transport.set_roster(roster.clone());
        sender.transport.set_roster(roster);
        Scene { realm, receiver, sender }
    }

    async fn third(&self) -> Raw {
        Raw::connect(&self.realm.identity(THIRD), self.receiver.endpoint()).await
    }

    /// The honest sender is heard, and nothing was heard of anyone else.
    async fn only_the_honest_is_heard(&mut self) {
        self.sender.transport.send(Address(1), word(77));
        assert_eq!(self.receiver.packet().await, (2, word(77)), "something else reached the owner");
        while let Some(inbound) = self.receiver.inbox.try_recv() {
            assert!(!matches!(inbound, Inbound::Packet { .. } | Inbound::Call { .. } | Inbound::Roster(_)));
        }
    }

    async fn refused(&self, count: u64) {
        until("refused", || self.receiver.transport.stats().refused >= count).await;
    }
}

/// All that a peer could say, before anyone has asked.
async fn shout(raw: &Raw) {
    let version = Speaks::OURS.agree(Speaks::OURS).unwrap();
    let _ = raw.connection.send_datagram(encode_datagram(version, &beat(666)).unwrap().into());
    if let Ok(mut stream) = raw.connection.open_uni().await {
        let _ = stream.write_all(&frame(&Frame::Packet(word(666)))).await;
    }
    if let Ok((mut send, _receive)) = raw.connection.open_bi().await {
        let _ = send.write_all(&frame(&Frame::Call { id: 1, body: b"x".to_vec() })).await;
        let _ = send.finish();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_is_heard_if_it_behaves() {
    let mut scene = Scene::new();
    let third = scene.third().await;
    assert_eq!(third.hello(&hello(THIRD)).await.unwrap().address, Address(1));
    third.stream(&frame(&Frame::Packet(word(5)))).await;
    assert_eq!(scene.receiver.packet().await, (THIRD, word(5)), "else the other tests here would show nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_authority_gets_nowhere_though_the_roster_names_it() {
    let mut scene = Scene::new();
    let foreign = Realm::new();
    let mut members: Vec<Member> = scene.receiver.transport.roster().members().cloned().collect();
    members.push(foreign.member(4, &[]));
    scene.receiver.transport.set_roster(roster_of(2, members));
    let raw = Raw::connect_foreign(&foreign.identity(4), &scene.realm.identity(THIRD), scene.receiver.endpoint()).await;
    shout(&raw).await;
    assert_eq!(raw.hello(&hello(4)).await, None);
    assert_eq!(raw.end().await, None, "TLS itself refuses");
    scene.refused(1).await;
    scene.only_the_honest_is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_certificate_gets_nowhere() {
    let mut scene = Scene::new();
    let raw = Raw::nameless(&scene.realm.identity(THIRD), scene.receiver.endpoint()).await;
    shout(&raw).await;
    assert_eq!(raw.hello(&hello(THIRD)).await, None);
    raw.end().await;
    scene.refused(1).await;
    scene.only_the_honest_is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_in_the_roster_gets_nowhere() {
    let mut scene = Scene::new();
    let raw = Raw::connect(&scene.realm.identity(5), scene.receiver.endpoint()).await;
    shout(&raw).await;
    assert_eq!(raw.hello(&hello(5)).await, None);
    raw.end().await;
    scene.refused(1).await;
    scene.only_the_honest_is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_does_not_fit_is_answered_with_the_reason() {
    let mut scene = Scene::new();
    let newer = Speaks { oldest: 200, newest: 201 };
    let cases = [
        (Hello { cluster: CLUSTER + 1, ..hello(THIRD) }, Goodbye::OtherCluster),
        (hello(2), Goodbye::WrongNumber),
        (Hello { speaks: newer, ..hello(THIRD) }, Goodbye::Versions(Speaks::OURS)),
    ];
    for (count, (bad, goodbye)) in cases.into_iter().enumerate() {
        let raw = scene.third().await;
        assert_eq!(raw.hello(&bad).await, None);
        assert_eq!(raw.end().await, Some(goodbye));
        scene.refused(count as u64 + 1).await;
    }
    scene.only_the_honest_is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_cannot_be_read_ends_the_connection() {
    let mut scene = Scene::new();
    let good = hello(THIRD).encode().unwrap();
    let call = frame(&Frame::Call { id: 1, body: b"x".to_vec() });
    let bad: [&[u8]; 5] = [b"", b"GET / HTTP/1.1\r\n\r\n", &good[..good.len() - 1], &[&good[..], b"x"].concat(), &call];
    for bytes in bad {
        let raw = scene.third().await;
        assert_eq!(raw.hello_bytes(bytes).await, None);
        assert_eq!(raw.end().await, Some(Goodbye::Broken), "{bytes:?}");
    }
    let raw = scene.third().await;
    assert_eq!(raw.hello_bytes(&vec![0; 1_000_000]).await, None, "it is not read to its end");
    raw.end().await;
    scene.only_the_honest_is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_never_comes_is_not_waited_for() {
    let realm = Realm::new();
    let mut options = realm.options(1);
    options.patience.hello = Duration::from_millis(50);
    options.roster = roster_of(1, vec![realm.member(THIRD, &[])]);
    let mut node = Node::start(options);
    let raw = Raw::connect(&realm.identity(THIRD), node.endpoint()).await;
    // Everything but a hello.
    let version = Speaks::OURS.agree(Speaks::OURS).unwrap();
    let _ = raw.connection.send_datagram(encode_datagram(version, &beat(666)).unwrap().into());
    raw.stream(&frame(&Frame::Packet(word(666)))).await;
    assert_eq!(raw.end().await, Some(Goodbye::NoHello));
    assert!(node.inbox.try_recv().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ends_the_connection() {
    let mut scene = Scene::new();
    let good = frame(&Frame::Packet(word(666)));
    let roster = frame(&Frame::Roster(roster_of(9, Vec::new()).pages()[0].clone()));
    let bad: Vec<Vec<u8>> = vec![
        b"garbage, garbage, garbage".to_vec(),
        good[..good.len() - 1].to_vec(),
        good[..3].to_vec(),
        header(3, u32::MAX),
        header(3, 1024 * 1024 + 1),
        header(4, 64 * 1024 * 1024 + 1),
        header(1, 10),
        [header(4, good.len() as u32), good.clone()].concat(),
        frame(&Frame::Answer { id: 1, body: Vec::new() }),
        [&roster[..roster.len() - 2], &[9, 9]].concat(),
    ];
    let count = bad.len() as u64;
    for bytes in bad {
        let raw = scene.third().await;
        raw.hello(&hello(THIRD)).await.unwrap();
        raw.stream(&bytes).await;
        assert_eq!(raw.end().await, Some(Goodbye::Broken), "{bytes:?}");
    }
    let raw = scene.third().await;
    raw.hello(&hello(THIRD)).await.unwrap();
    raw.connection.send_datagram(b"garbage"[..].into()).unwrap();
    assert_eq!(raw.end().await, Some(Goodbye::Broken));
    until("counted", || scene.receiver.transport.stats().broken == count + 1).await;
    scene.only_the_honest_is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_whose_end_never_comes_is_not_waited_for() {
    let realm = Realm::new();
    let mut options = realm.options(1);
    options.patience.stalled = Duration::from_millis(50);
    options.roster = roster_of(1, vec![realm.member(THIRD, &[])]);
    let node = Node::start(options);
    for kind in [3, 4] {
        let raw = Raw::connect(&realm.identity(THIRD), node.endpoint()).await;
        raw.hello(&hello(THIRD)).await.unwrap();
        let mut stream = raw.connection.open_uni().await.unwrap();
        stream.write_all(&header(kind, 1_000_000)).await.unwrap();
        assert_eq!(raw.end().await, Some(Goodbye::Broken));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_from_the_roster_is_cut_off() {
    let mut scene = Scene::new();
    let third = scene.third().await;
    third.hello(&hello(THIRD)).await.unwrap();
    third.stream(&frame(&Frame::Packet(word(5)))).await;
    assert_eq!(scene.receiver.packet().await, (THIRD, word(5)));
    // These wait for the owner when the roster changes.
    third.stream(&frame(&Frame::Packet(word(6)))).await;
    until("received", || scene.receiver.transport.stats().received == 2).await;
    let left = scene.receiver.transport.roster().members().filter(|m| m.address.0 != THIRD).cloned().collect();
    assert!(scene.receiver.transport.set_roster(roster_of(2, left)));
    assert_eq!(third.end().await, Some(Goodbye::NotAMember));
    let again = scene.third().await;
    assert_eq!(again.hello(&hello(THIRD)).await, None);
    scene.refused(1).await;
    scene.only_the_honest_is_heard().await;
    assert_eq!(scene.receiver.peer(THIRD), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_ends_what_the_old_one_began() {
    let mut scene = Scene::new();
    let third = scene.third().await;
    third.hello(&hello(THIRD)).await.unwrap();
    let mut members: Vec<Member> = scene.receiver.transport.roster().members().cloned().collect();
    members
        .iter_mut()
        .filter(|m| m.address.0 == THIRD)
        .for_each(|m| m.fingerprint = scene.realm.identity(8).fingerprint());
    assert!(scene.receiver.transport.set_roster(roster_of(2, members)));
    assert_eq!(third.end().await, Some(Goodbye::NotAMember));
    let renewed = Raw::connect(&scene.realm.identity(8), scene.receiver.endpoint()).await;
    assert!(renewed.hello(&hello(THIRD)).await.is_some());
    renewed.stream(&frame(&Frame::Packet(word(5)))).await;
    assert_eq!(scene.receiver.packet().await, (THIRD, word(5)));
}

/// The one who dials looks as closely as the one who is dialled.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_who_only_sits_at_the_right_place() {
    let realm = Realm::new();
    let (sender, mut other) = (realm.start(1), realm.start(2));
    let mut wrong = realm.options(4);
    wrong.cluster = CLUSTER + 1;
    let mut wrong = Node::start(wrong);
    // The roster has the endpoints of 2 and 3 exchanged, and 4 is of another cluster.
    let third = realm.start(3);
    let members = vec![
        realm.member(1, &[]),
        realm.member(2, &third.transport.endpoints()),
        realm.member(3, &other.transport.endpoints()),
        realm.member(4, &wrong.transport.endpoints()),
    ];
    let roster = roster_of(1, members);
    for node in [&sender, &other, &wrong, &third] {
        node.transport.set_roster(roster.clone());
    }
    for to in 2..5 {
        sender.transport.send(Address(to), word(1));
        sender.transport.send(Address(to), beat(1));
    }
    until("refused", || sender.transport.stats().dials_failed >= 6).await;
    assert!(sender.transport.stats().peers.iter().all(|peer| peer.links == 0));
    assert!(other.inbox.try_recv().is_none() && wrong.inbox.try_recv().is_none());
}

#[cfg(feature = "next-protocol")]
#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_is_spoken_with_who_speaks_no_newer() {
    let mut scene = Scene::new();
    let older = Speaks { oldest: 1, newest: 1 };
    let raw = scene.third().await;
    raw.hello(&Hello { speaks: older, ..hello(THIRD) }).await.unwrap();
    let version = Speaks::OURS.agree(older).unwrap();
    raw.stream(&Frame::Packet(word(5)).encode(version).unwrap()).await;
    assert_eq!(scene.receiver.packet().await, (THIRD, word(5)));
    raw.stream(&frame(&Frame::Packet(word(6)))).await;
    assert_eq!(raw.end().await, Some(Goodbye::Broken), "the version that was agreed on, and no other");
}
