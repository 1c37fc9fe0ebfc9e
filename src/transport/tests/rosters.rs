//! How a roster spreads.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_roster_spreads_from_node_to_node() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2, 3]);
    // 1 talks to 2, and 2 to 3.
    nodes[0].transport.send(Address(2), word(1));
    nodes[1].transport.send(Address(3), word(1));
    nodes[1].packet().await;
    nodes[2].packet().await;
    let newer = realm.roster(5, &nodes.iter().collect::<Vec<_>>());
    assert!(nodes[0].transport.set_roster(newer.clone()));
    assert_eq!(nodes[1].roster().await, newer);
    assert_eq!(nodes[1].transport.roster().version(), version(1), "it is used once its owner has stored it");
    assert!(nodes[1].transport.set_roster(newer.clone()));
    assert_eq!(nodes[2].roster().await, newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_older_roster_is_told_after_the_hello() {
    let realm = Realm::new();
    let (mut old, new) = (realm.start(1), realm.start(2));
    let roster = realm.roster(3, &[&old, &new]);
    old.transport.set_roster(realm.roster(2, &[&old, &new]));
    new.transport.set_roster(roster.clone());
    // It is the one with the older roster who dials.
    old.transport.send(Address(2), word(1));
    assert_eq!(old.roster().await, roster);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_roster_is_told() {
    let realm = Realm::new();
    let (mut old, new) = (realm.start(1), realm.start(2));
    let small = realm.roster(2, &[&old, &new]);
    let mut members: Vec<Member> = small.members().cloned().collect();
    for number in 3..=crate::wire::MEMBERS_LIMIT as u32 {
        let mut print = [0; 32];
        print[..4].copy_from_slice(&number.to_be_bytes());
        let fingerprint = crate::wire::Fingerprint(print);
        let endpoints = (1..=8).map(loopback).collect();
        members.push(Member { address: Address(number), name: "x".repeat(64), fingerprint, endpoints });
    }
    let great = realm.signed(roster_of(3, members));
    old.transport.set_roster(small);
    new.transport.set_roster(great.clone());
    old.transport.send(Address(2), word(1));
    assert_eq!(old.roster().await, great);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_that_the_authority_has_not_signed_is_ignored() {
    let (realm, other) = (Realm::new(), Realm::new());
    let mut nodes = realm.cluster(&[1, 2]);
    let all: Vec<&Node> = nodes.iter().collect();
    let (genuine, changed) = (realm.roster(6, &all), realm.roster(7, &all));
    let of_another = other.signed(roster_of(8, genuine.members().cloned().collect()));
    let members = || genuine.members().cloned();
    let more = members().chain([realm.member(3, &[])]).collect();
    let altered = roster_of(7, more).signed(changed.signature().to_vec()).unwrap();
    for forged in [roster_of(5, members().collect()), altered, of_another] {
        nodes[0].transport.set_roster(forged);
    }
    nodes[0].transport.send(Address(2), word(1));
    nodes[1].packet().await;
    // What is told after them comes after them.
    let mut last = RosterVersion { index: LogIndex(1), ..version(1) };
    last.generation.0 = 1;
    let last = realm.signed(Roster::new(last, members().collect()).unwrap());
    nodes[0].transport.set_roster(last.clone());
    assert_eq!(nodes[1].roster().await, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_roster_is_ignored() {
    let realm = Realm::new();
    let node = realm.start(1);
    let roster = |index| roster_of(index, vec![realm.member(1, &[]), realm.member(2, &[loopback(9)])]);
    assert!(node.transport.set_roster(roster(5)));
    assert!(!node.transport.set_roster(roster(5)));
    assert!(!node.transport.set_roster(roster(4)));
    assert_eq!(node.transport.roster().version(), version(5));
    let mut forced = RosterVersion { index: LogIndex(1), ..version(1) };
    forced.generation.0 = 1;
    assert!(node.transport.set_roster(Roster::new(forced, Vec::new()).unwrap()), "a new generation outranks");
}
