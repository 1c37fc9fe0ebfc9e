//! Frames: limits, order, and what does not belong.

use super::samples::{APPEND, HEARTBEAT, election, heartbeat, incarnation, snapshot};
use super::*;
use crate::core::ids::{ConfigVersion, VmId};
use crate::core::message::{Message, Report};
use crate::node::Packet;

fn report(strangers: usize) -> Packet {
    Packet::Cluster(Message::Report(Report {
        incarnation: incarnation(),
        session: 1,
        version: 2,
        config: ConfigVersion(3),
        vms: Vec::new(),
        strangers: vec![VmId(u32::MAX); strangers],
        hypervisor: true,
        features: Default::default(),
    }))
}

fn header(kind: u8, length: u32) -> [u8; HEADER_LENGTH] {
    let [a, b, c, d] = length.to_le_bytes();
    [newest().number(), kind, a, b, c, d]
}

#[test]
fn the_longest_heartbeat_fits_into_any_datagram() {
    let bytes = encode_datagram(newest(), &Packet::Cluster(Message::Heartbeat(heartbeat()))).unwrap();
    assert!(bytes.len() < 100, "{} bytes", bytes.len());
}

#[test]
fn datagrams_and_streams_share_the_packets_by_what_they_say() {
    let heart = Packet::Cluster(Message::Heartbeat(heartbeat()));
    assert_eq!(Delivery::of(&heart), Delivery::Datagram);
    assert_eq!(Delivery::of(&report(0)), Delivery::Stream);
    assert_eq!(Delivery::of(&snapshot(1)), Delivery::Bulk);
    assert_eq!(Delivery::of(&election(HEARTBEAT)), Delivery::Datagram);
    assert_eq!(Delivery::of(&election(APPEND)), Delivery::Stream);
}

#[test]
fn what_is_too_long_for_a_datagram_is_not_sent_as_one() {
    assert!(encode_datagram(newest(), &report(200)).is_ok());
    assert!(matches!(encode_datagram(newest(), &report(300)), Err(EncodeError::TooLong { .. })));
    assert!(matches!(encode_datagram(newest(), &snapshot(1)), Err(EncodeError::TooLong { .. })));
    assert!(matches!(decode_datagram(newest(), &[1; DATAGRAM_LIMIT + 1]), Err(DecodeError::TooLong { .. })));
}

#[test]
fn a_packet_has_a_limit_and_a_snapshot_a_greater_one() {
    let long = report(PACKET_LIMIT / 5 + 1);
    assert!(matches!(encode_packet(newest(), &long), Err(EncodeError::TooLong { kind: Kind::Packet, .. })));
    assert!(encode_packet(newest(), &report(PACKET_LIMIT / 5 - 100)).is_ok());
    let bytes = encode_packet(newest(), &snapshot(2 * PACKET_LIMIT)).unwrap();
    assert!(Frame::decode(newest(), &bytes).is_ok());
    assert!(Header::decode(newest(), header(4, SNAPSHOT_LIMIT as u32)).is_ok());
    let error = Header::decode(newest(), header(4, SNAPSHOT_LIMIT as u32 + 1)).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { kind: Kind::Snapshot, .. }), "{error}");
    let error = Header::decode(newest(), header(3, PACKET_LIMIT as u32 + 1)).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { kind: Kind::Packet, .. }), "{error}");
    assert!(Header::decode(newest(), header(3, u32::MAX)).is_err());
}

#[test]
fn an_ordinary_packet_does_not_get_the_limit_of_a_snapshot() {
    let mut bytes = Frame::Packet(report(3)).encode(OLDEST).unwrap();
    bytes[1] = 4;
    assert!(matches!(Frame::decode(OLDEST, &bytes), Err(DecodeError::Unfit { kind: Kind::Snapshot, .. })));
    let mut bytes = Frame::Packet(snapshot(3)).encode(OLDEST).unwrap();
    bytes[1] = 3;
    assert!(matches!(Frame::decode(OLDEST, &bytes), Err(DecodeError::Unfit { kind: Kind::Packet, .. })));
}

#[test]
fn strange_headers_are_refused() {
    let error = Header::decode(newest(), [9, 3, 0, 0, 0, 0]).unwrap_err();
    assert!(matches!(error, DecodeError::Version { found: 9, .. }), "{error}");
    for kind in [0, 8, 255] {
        assert!(matches!(Header::decode(newest(), header(kind, 0)), Err(DecodeError::UnknownKind(_))));
    }
    for kind in [1, 2] {
        let error = Header::decode(newest(), header(kind, 0)).unwrap_err();
        assert!(matches!(error, DecodeError::Misplaced(_)), "a hello comes once, first: {error}");
    }
}

#[test]
fn a_frame_ends_where_it_says() {
    let bytes = Frame::Call { id: 7, body: b"GET /hosts".to_vec() }.encode(newest()).unwrap();
    for cut in 0..bytes.len() {
        assert!(Frame::decode(newest(), &bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(matches!(Frame::decode(newest(), &[&bytes[..], &[0]].concat()), Err(DecodeError::LeftOver(1))));
    // The length covers a byte more, and that byte is there, but the body does not need it.
    let mut longer = Frame::Call { id: 7, body: b"GET /hosts".to_vec() }.encode(OLDEST).unwrap();
    longer[2] += 1;
    longer.push(0);
    assert!(matches!(Frame::decode(OLDEST, &longer), Err(DecodeError::LeftOver(1))));
}

#[test]
fn calls_have_a_limit() {
    let call = |bytes: usize| Frame::Call { id: u64::MAX, body: vec![1; bytes] };
    let bytes = call(CALL_LIMIT).encode(newest()).unwrap();
    assert_eq!(Frame::decode(newest(), &bytes).unwrap(), call(CALL_LIMIT));
    assert!(call(CALL_LIMIT + 100).encode(newest()).is_err());
    let id_1 = Frame::Call { id: 1, body: vec![1; CALL_LIMIT + 1] };
    let error = Frame::decode(newest(), &id_1.encode(newest()).unwrap()).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { limit: CALL_LIMIT, .. }), "{error}");
}

#[test]
fn a_list_that_claims_to_be_endless_takes_no_memory() {
    // Kind `Voters` of a cluster message, with a length of 2^63 and nothing behind it.
    let body = [0, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let mut bytes = vec![newest().number(), 3, body.len() as u8, 0, 0, 0];
    bytes.extend_from_slice(&body);
    assert!(matches!(decode_datagram(newest(), &bytes), Err(DecodeError::Body(Kind::Packet, _))));
}

#[test]
fn the_length_for_queues_is_near_the_truth() {
    for packet in [report(0), report(500), snapshot(10_000)] {
        assert_eq!(encoded_length(&packet), encode_packet(OLDEST, &packet).unwrap().len());
    }
}

#[cfg(feature = "next-protocol")]
#[test]
fn the_next_version_differs_and_the_older_one_is_still_spoken() {
    let frame = Frame::Packet(report(2));
    let older = Speaks { oldest: 1, newest: 1 };
    let (old, new) = (Speaks::OURS.agree(older).unwrap(), newest());
    assert_eq!((old, new), (OLDEST, NEWEST));
    let (short, long) = (frame.encode(old).unwrap(), frame.encode(new).unwrap());
    assert_eq!(long.len(), short.len() + 4, "a checksum follows");
    assert_eq!(Frame::decode(old, &short).unwrap(), Frame::decode(new, &long).unwrap());
    assert!(Frame::decode(old, &long).is_err() && Frame::decode(new, &short).is_err());
    for at in HEADER_LENGTH..long.len() {
        let mut damaged = long.clone();
        damaged[at] ^= 1;
        assert!(matches!(Frame::decode(new, &damaged), Err(DecodeError::Checksum(Kind::Packet))), "byte {at}");
    }
}
