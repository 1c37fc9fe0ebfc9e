//! Packets between nodes, and in which way each is to be carried.

use crate::core::message::Message;
use crate::node::Packet;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::frame::{self, Form, HEADER_LENGTH, Kind};
use crate::wire::version::Version;

/// A datagram, header and all, has at most so many bytes.
pub const DATAGRAM_LIMIT: usize = 1_200;
/// A packet on a stream has at most so many bytes.
pub const PACKET_LIMIT: usize = 1024 * 1024;
/// A packet that carries a whole snapshot has at most so many bytes.
pub const SNAPSHOT_LIMIT: usize = 64 * 1024 * 1024;

/// In which way a packet is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Soon or not at all: what it says is said again, and sooner than a lost packet would be noticed.
    Datagram,
    /// In order, and again if it is lost on the way.
    Stream,
    /// As on a stream, but out of the way of all others.
    Bulk,
}

impl Delivery {
    /// The way for this packet.
    pub fn of(packet: &Packet) -> Delivery {
        match packet {
            Packet::Cluster(message) => match message {
                Message::Heartbeat(_) | Message::Ack(_) | Message::Challenge(_) => Delivery::Datagram,
                // A master asks again with each scan, and is answered each time.
                Message::Hello(_) | Message::Outranked(_) => Delivery::Datagram,
                _ => Delivery::Stream,
            },
            Packet::Election { message, .. } if message.is_heartbeat() => Delivery::Datagram,
            Packet::Election { message, .. } if message.is_snapshot() => Delivery::Bulk,
            Packet::Election { .. } => Delivery::Stream,
        }
    }
}

fn kind(packet: &Packet) -> Kind {
    match packet {
        Packet::Election { message, .. } if message.is_snapshot() => Kind::Snapshot,
        _ => Kind::Packet,
    }
}

/// Writes a packet for a stream.
pub fn encode_packet(version: Version, packet: &Packet) -> Result<Vec<u8>, EncodeError> {
    frame::encode(Form::Stream(version), kind(packet), packet)
}

/// Writes a packet for a datagram. What is too long for one goes over a stream.
pub fn encode_datagram(version: Version, packet: &Packet) -> Result<Vec<u8>, EncodeError> {
    let kind = kind(packet);
    let datagram = frame::encode(Form::Datagram(version), kind, packet)?;
    match datagram.len() <= DATAGRAM_LIMIT && kind == Kind::Packet {
        true => Ok(datagram),
        false => Err(EncodeError::TooLong { kind, length: datagram.len(), limit: DATAGRAM_LIMIT }),
    }
}

/// Reads a packet from a datagram.
pub fn decode_datagram(version: Version, bytes: &[u8]) -> Result<Packet, DecodeError> {
    if bytes.len() > DATAGRAM_LIMIT {
        return Err(DecodeError::TooLong { kind: Kind::Packet, length: bytes.len(), limit: DATAGRAM_LIMIT });
    }
    let packet = frame::decode(Form::Datagram(version), Kind::Packet, bytes)?;
    fits(Kind::Packet, packet)
}

/// How many bytes a packet has on a stream, near enough to bound a queue by. Nothing is written for it.
pub fn encoded_length(packet: &Packet) -> usize {
    postcard::experimental::serialized_size(packet).map_or(PACKET_LIMIT, |length| length + HEADER_LENGTH)
}

pub(super) fn decode_body(kind: Kind, body: &[u8]) -> Result<Packet, DecodeError> {
    fits(kind, frame::decode_body(kind, body)?)
}

/// The greater limit of a snapshot is for snapshots only.
fn fits(said: Kind, packet: Packet) -> Result<Packet, DecodeError> {
    match said == kind(&packet) {
        true => Ok(packet),
        false => Err(DecodeError::Unfit { kind: said, what: "a snapshot is a kind of its own" }),
    }
}
