//! What other machines and processes send.

use super::settles;
use crate::runtime::roster;
use crate::watchdog::words::{Answer, Ask};
use crate::wire::{
    DATAGRAM_LIMIT, Frame, HEADER_LENGTH, Kind, NEWEST, OLDEST, RosterAssembly, decode_datagram, decode_goodbye,
    decode_hello, encode_datagram, encoded_length,
};

/// The first and the last thing on a connection, from whoever comes.
pub(super) fn hello(bytes: &[u8]) -> bool {
    let hello = settles(bytes, |bytes| decode_hello(bytes).ok(), |hello| hello.encode());
    let goodbye = settles(bytes, |bytes| decode_goodbye(bytes).ok(), |goodbye| goodbye.encode());
    assert!(!(hello && goodbye), "a frame is of one kind");
    if let Ok(hello) = decode_hello(bytes) {
        assert!(super::is_plain(hello.build.as_str()));
    }
    hello || goodbye
}

/// A datagram of a member.
pub(super) fn datagram(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| decode_datagram(NEWEST, bytes).ok();
    let taken = settles(bytes, read, |packet| encode_datagram(NEWEST, packet));
    if let Some(packet) = read(bytes) {
        assert!(encoded_length(&packet) <= DATAGRAM_LIMIT, "what came as a datagram can leave as one");
    }
    taken
}

/// A frame on a stream of a member.
pub(super) fn stream(bytes: &[u8]) -> bool {
    let mut taken = false;
    for version in [OLDEST, NEWEST] {
        let read = |bytes: &[u8]| Frame::decode(version, bytes).ok();
        taken |= settles(bytes, read, |frame| frame.encode(version));
        match read(bytes) {
            Some(Frame::Roster(page)) => {
                if let Ok(Some(roster)) = RosterAssembly::default().add(page) {
                    let text = roster::written(&roster).expect("a roster can be kept");
                    assert_eq!(roster::read(&text), Some(roster));
                }
            }
            Some(Frame::Packet(packet)) => {
                assert_eq!(encoded_length(&packet), Frame::Packet(packet).encode(OLDEST).unwrap().len());
            }
            Some(Frame::Call { body, .. } | Frame::Answer { body, .. }) => {
                assert!(body.len() + HEADER_LENGTH <= bytes.len() && body.len() <= Kind::Call.limit());
            }
            None => {}
        }
    }
    taken
}

/// What is said to the watchdog of an embedded machine, and what it answers.
pub(super) fn watchdog(bytes: &[u8]) -> bool {
    let ask = settles(bytes, Ask::parse, |ask| Ok::<_, ()>(ask.to_string().into_bytes()));
    let answer = settles(bytes, Answer::parse, |answer| Ok::<_, ()>(answer.to_string().into_bytes()));
    ask || answer
}
