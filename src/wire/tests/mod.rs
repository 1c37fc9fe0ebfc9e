//! What is written is read back; what was not written by us is refused, and never panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod frames;
mod properties;
mod samples;

use super::*;
use crate::core::ids::SocketAddr;
use crate::core::ids::{Address, BootId, ClusterGeneration, LogIndex};

fn newest() -> Version {
    Speaks::OURS.agree(Speaks::OURS).unwrap()
}

fn member(number: u32) -> Member {
    let mut print = [0; 32];
    print[..4].copy_from_slice(&number.to_be_bytes());
    let endpoint = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 7_700));
    Member {
        address: Address(number),
        name: format!("host-{number}"),
        fingerprint: Fingerprint(print),
        endpoints: vec![endpoint],
    }
}

fn version(index: u64) -> RosterVersion {
    RosterVersion { generation: ClusterGeneration(1), index: LogIndex(index) }
}

fn hello() -> Hello {
    Hello {
        cluster: 7,
        speaks: Speaks::OURS,
        address: Address(3),
        session: 9,
        boot: BootId(11),
        build: Build::new("holdfast 0.1.0"),
        endpoints: vec!["[fd00::1]:7700".parse().unwrap(), "10.0.0.1:7700".parse().unwrap()],
        roster: version(4),
    }
}

#[test]
fn versions_agree_on_the_newest_that_both_speak() {
    let speaks = |oldest, newest| Speaks { oldest, newest };
    assert_eq!(speaks(1, 3).agree(speaks(2, 5)).unwrap().number(), 3);
    assert_eq!(speaks(2, 5).agree(speaks(1, 3)).unwrap().number(), 3);
    assert_eq!(speaks(1, 1).agree(speaks(1, 1)).unwrap().number(), 1);
    for (ours, theirs) in [(speaks(2, 3), speaks(1, 1)), (speaks(1, 1), speaks(2, 3))] {
        let error = ours.agree(theirs).unwrap_err();
        assert_eq!(error, Disagreement { ours, theirs });
        assert!(error.to_string().contains("upgrade the older"), "{error}");
    }
}

#[test]
fn a_hello_is_read_back_and_is_the_same_in_all_versions() {
    let bytes = hello().encode().unwrap();
    assert_eq!(bytes[..2], [0, 1], "its form never changes");
    assert_eq!(&bytes[HEADER_LENGTH..HEADER_LENGTH + 8], b"holdfast");
    assert_eq!(decode_hello(&bytes).unwrap(), hello());
    for cut in 0..bytes.len() {
        assert!(decode_hello(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(matches!(decode_hello(&[&bytes[..], &[0]].concat()), Err(DecodeError::LeftOver(1))));
    let mut other = bytes.clone();
    other[HEADER_LENGTH] = b'H';
    assert!(matches!(decode_hello(&other), Err(DecodeError::Unfit { kind: Kind::Hello, .. })));
    assert!(decode_goodbye(&bytes).is_err());
}

#[test]
fn a_hello_that_cannot_be_is_refused() {
    let bad = |change: &dyn Fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        decode_hello(&hello.encode().unwrap())
    };
    assert!(bad(&|_| ()).is_ok());
    assert!(bad(&|hello| hello.speaks = Speaks { oldest: 2, newest: 1 }).is_err());
    assert!(bad(&|hello| hello.speaks = Speaks { oldest: 0, newest: 1 }).is_err());
    let many: Vec<SocketAddr> = (1..100).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
    let kept = bad(&|hello| hello.endpoints.clone_from(&many)).unwrap();
    assert_eq!(kept.endpoints.len(), ENDPOINTS_LIMIT);
}

#[test]
fn a_builds_name_is_short_and_plain() {
    assert_eq!(Build::new("a\nb\u{1b}[1m").as_str(), "ab[1m");
    assert_eq!(Build::new(&"é".repeat(100)).as_str().len(), Build::LIMIT);
}

#[test]
fn every_goodbye_fits_and_is_read_back() {
    let all = [
        Goodbye::Stopping,
        Goodbye::OtherCluster,
        Goodbye::Versions(Speaks { oldest: 255, newest: 255 }),
        Goodbye::NotAMember,
        Goodbye::WrongNumber,
        Goodbye::NoHello,
        Goodbye::Broken,
        Goodbye::Surplus,
        Goodbye::Unused,
        Goodbye::Moved,
        Goodbye::Restarted,
    ];
    for goodbye in all {
        assert_eq!(decode_goodbye(&goodbye.encode().unwrap()).unwrap(), goodbye);
        assert!(!goodbye.to_string().is_empty());
    }
}

#[test]
fn a_roster_keeps_its_rules() {
    let with = |change: &dyn Fn(&mut Member)| {
        let mut second = member(2);
        change(&mut second);
        Roster::new(version(1), vec![member(1), second])
    };
    assert!(with(&|_| ()).is_ok());
    assert_eq!(with(&|m| m.address = Address(1)), Err(RosterError::SameNumber(Address(1))));
    let same = RosterError::SameCertificate(Address(1), Address(2));
    assert_eq!(with(&|m| m.fingerprint = member(1).fingerprint), Err(same));
    for name in ["", "a\tb", &"x".repeat(NAME_LIMIT + 1)] {
        assert_eq!(with(&|m| name.clone_into(&mut m.name)), Err(RosterError::Name(Address(2))));
    }
    for endpoint in ["0.0.0.0:1", "10.0.0.1:0", "224.0.0.1:1", "[::]:1"] {
        let endpoint: SocketAddr = endpoint.parse().unwrap();
        assert_eq!(with(&|m| m.endpoints = vec![endpoint]), Err(RosterError::Endpoint(Address(2), endpoint)));
    }
    let many = (1..10).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
    assert_eq!(with(&|m| m.endpoints = many.clone().collect()), Err(RosterError::Endpoints(Address(2))));
    assert_eq!(with(&|m| m.endpoints.extend_from_within(..)), Err(RosterError::Endpoints(Address(2))));
    assert!(with(&|m| m.endpoints.clear()).is_ok(), "who dials need not be dialled");
    let members = (0..=MEMBERS_LIMIT as u32).map(member).collect();
    assert_eq!(Roster::new(version(1), members), Err(RosterError::TooMany(MEMBERS_LIMIT + 1)));
}

#[test]
fn members_are_found_by_number_and_by_certificate() {
    let roster = Roster::new(version(1), vec![member(1), member(2)]).unwrap();
    assert_eq!(roster.member(Address(2)), Some(&member(2)));
    assert_eq!(roster.owner(&member(1).fingerprint), Some(&member(1)));
    assert_eq!(roster.owner(&member(3).fingerprint), None);
}

#[test]
fn the_greatest_roster_travels_in_pages() {
    let full = |number| {
        let endpoints = (1..=8).map(|port| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 1], u16::MAX - port)));
        Member { name: "x".repeat(NAME_LIMIT), endpoints: endpoints.collect(), ..member(u32::MAX - number) }
    };
    let members = (0..MEMBERS_LIMIT as u32).map(full).collect();
    let roster = Roster::new(version(u64::MAX), members).unwrap();
    let mut assembly = RosterAssembly::default();
    let pages = roster.pages();
    let count = pages.len();
    for (at, page) in pages.into_iter().enumerate() {
        let bytes = Frame::Roster(page).encode(newest()).unwrap();
        let Frame::Roster(page) = Frame::decode(newest(), &bytes).unwrap() else { panic!("no page") };
        let whole = assembly.add(page).unwrap();
        assert_eq!(whole.is_some(), at + 1 == count);
        assert!(whole.is_none_or(|whole| whole == roster));
    }
    assert_eq!(Roster::default().pages().len(), 1, "an empty roster can be sent too");
}

#[test]
fn pages_of_different_rosters_do_not_mix() {
    let roster = |index| Roster::new(version(index), (0..600).map(member).collect()).unwrap().pages();
    let (old, new) = (roster(1), roster(2));
    let mut assembly = RosterAssembly::default();
    assert_eq!(assembly.add(old[1].clone()), Err(RosterError::Pages), "the first page is missing");
    assert_eq!(assembly.add(old[0].clone()), Ok(None));
    assert_eq!(assembly.add(new[1].clone()), Err(RosterError::Pages));
    assert_eq!(assembly.add(new[0].clone()), Ok(None), "a first page begins anew");
    assert_eq!(assembly.add(new[2].clone()), Err(RosterError::Pages));
    assert_eq!(assembly.add(new[1].clone()), Ok(None));
    assert!(assembly.add(new[2].clone()).unwrap().is_some());
}

#[test]
fn a_stored_roster_is_checked_when_it_is_read() {
    let roster = Roster::new(version(1), vec![member(1), member(2)]).unwrap();
    let text = serde_json::to_string(&roster).unwrap();
    assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), roster);
    let error = serde_json::from_str::<Roster>(&text.replace("host-2", "")).unwrap_err();
    assert!(error.to_string().contains("the name of address-2"), "{error}");
}

#[test]
fn generations_outrank_entries() {
    let of = |generation, index| RosterVersion { generation: ClusterGeneration(generation), index: LogIndex(index) };
    assert!(of(2, 1) > of(1, 900) && of(1, 2) > of(1, 1));
}
