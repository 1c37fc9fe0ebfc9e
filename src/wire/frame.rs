//! Frames: the header that says what follows and how long it is, and the body.

use crate::node::Packet;
use crate::wire::CALL_LIMIT;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::hello::{GOODBYE_LIMIT, HELLO_LIMIT};
use crate::wire::packet::{self, PACKET_LIMIT, SNAPSHOT_LIMIT};
use crate::wire::roster::{PAGE_LIMIT, RosterPage};
use crate::wire::version::Version;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The header has so many bytes.
pub const HEADER_LENGTH: usize = 6;
/// The checksum, where there is one, has so many bytes.
const CHECKSUM_LENGTH: usize = 4;
/// The number and the length of a call's body have at most so many bytes.
const CALL_OVERHEAD: usize = 16;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first thing on a connection.
    Hello,
    /// The last thing on a connection.
    Goodbye,
    /// A packet between nodes.
    Packet,
    /// A packet that carries a whole snapshot.
    Snapshot,
    /// A part of a roster.
    Roster,
    /// A request for the operator's API.
    Call,
    /// Its answer.
    Answer,
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::Hello, Kind::Goodbye, Kind::Packet, Kind::Snapshot, Kind::Roster, Kind::Call, Kind::Answer];

    fn number(self) -> u8 {
        match self {
            Kind::Hello => 1,
            Kind::Goodbye => 2,
            Kind::Packet => 3,
            Kind::Snapshot => 4,
            Kind::Roster => 5,
            Kind::Call => 6,
            Kind::Answer => 7,
        }
    }

    /// A body of this kind has at most so many bytes.
    pub fn limit(self) -> usize {
        match self {
            Kind::Hello => HELLO_LIMIT,
            Kind::Goodbye => GOODBYE_LIMIT,
            Kind::Packet => PACKET_LIMIT,
            Kind::Snapshot => SNAPSHOT_LIMIT,
            Kind::Roster => PAGE_LIMIT,
            Kind::Call | Kind::Answer => CALL_LIMIT + CALL_OVERHEAD,
        }
    }

    /// Read before a version is agreed on, so their form never changes.
    fn is_timeless(self) -> bool {
        matches!(self, Kind::Hello | Kind::Goodbye)
    }
}

/// In which form a frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// That of hello and goodbye. What later versions want to say first, they say in a frame after the hello.
    Timeless,
    /// In a datagram, which is whole or not there at all.
    Datagram(Version),
    /// On a stream.
    Stream(Version),
}

impl Form {
    fn number(self) -> u8 {
        match self {
            Form::Timeless => 0,
            Form::Datagram(version) | Form::Stream(version) => version.number(),
        }
    }

    fn has_checksum(self) -> bool {
        matches!(self, Form::Stream(version) if version.has_checksum())
    }
}

/// A frame's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    form: Form,
    kind: Kind,
    length: usize,
}

impl Header {
    /// Reads the header of a frame on a stream.
    pub fn decode(version: Version, bytes: [u8; HEADER_LENGTH]) -> Result<Header, DecodeError> {
        Header::of(Form::Stream(version), bytes)
    }

    /// What the frame holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes follow the header.
    pub fn rest(&self) -> usize {
        self.length + if self.form.has_checksum() { CHECKSUM_LENGTH } else { 0 }
    }

    fn of(form: Form, bytes: [u8; HEADER_LENGTH]) -> Result<Header, DecodeError> {
        let [found, number, length @ ..] = bytes;
        if found != form.number() {
            return Err(DecodeError::Version { found, wanted: form.number() });
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number);
        let kind = kind.ok_or(DecodeError::UnknownKind(number))?;
        if kind.is_timeless() != (form == Form::Timeless) {
            return Err(DecodeError::Misplaced(kind));
        }
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        match length <= kind.limit() {
            true => Ok(Header { form, kind, length }),
            false => Err(DecodeError::TooLong { kind, length, limit: kind.limit() }),
        }
    }

    fn encode(self) -> Option<[u8; HEADER_LENGTH]> {
        let [a, b, c, d] = u32::try_from(self.length).ok()?.to_le_bytes();
        Some([self.form.number(), self.kind.number(), a, b, c, d])
    }

    /// The body out of the bytes that follow the header.
    fn body(self, rest: &[u8]) -> Result<&[u8], DecodeError> {
        match rest.len().checked_sub(self.rest()) {
            Some(0) => (),
            Some(left) => return Err(DecodeError::LeftOver(left)),
            None => return Err(DecodeError::Short { present: rest.len(), wanted: self.rest() }),
        }
        let (body, checksum) = rest.split_at(self.length);
        match !self.form.has_checksum() || self.checksum(body).is_some_and(|sum| sum == *checksum) {
            true => Ok(body),
            false => Err(DecodeError::Checksum(self.kind)),
        }
    }

    fn checksum(self, body: &[u8]) -> Option<[u8; CHECKSUM_LENGTH]> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.encode()?);
        sum.update(body);
        Some(sum.finalize().to_le_bytes())
    }
}

/// A frame that came over a stream, once hello has been said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A packet between nodes.
    Packet(Packet),
    /// A part of a roster.
    Roster(RosterPage),
    /// A request for the operator's API.
    Call {
        /// Pairs the answer.
        id: u64,
        /// The request.
        body: Vec<u8>,
    },
    /// Its answer.
    Answer {
        /// To which call.
        id: u64,
        /// The answer.
        body: Vec<u8>,
    },
}

impl Frame {
    /// Writes a frame for a stream.
    pub fn encode(&self, version: Version) -> Result<Vec<u8>, EncodeError> {
        let form = Form::Stream(version);
        match self {
            Frame::Packet(packet) => packet::encode_packet(version, packet),
            Frame::Roster(page) => encode(form, Kind::Roster, page),
            Frame::Call { id, body } => encode(form, Kind::Call, &(id, body)),
            Frame::Answer { id, body } => encode(form, Kind::Answer, &(id, body)),
        }
    }

    /// Reads a frame from all the bytes it has.
    pub fn decode(version: Version, bytes: &[u8]) -> Result<Frame, DecodeError> {
        let (header, rest) = split(Form::Stream(version), bytes)?;
        Frame::decode_rest(header, rest)
    }

    /// Reads a frame from its header and the bytes that follow it, [`Header::rest`] of them.
    pub fn decode_rest(header: Header, rest: &[u8]) -> Result<Frame, DecodeError> {
        let body = header.body(rest)?;
        match header.kind {
            Kind::Packet | Kind::Snapshot => packet::decode_body(header.kind, body).map(Frame::Packet),
            Kind::Roster => decode_body(Kind::Roster, body).map(Frame::Roster),
            Kind::Call => call(Kind::Call, body).map(|(id, body)| Frame::Call { id, body }),
            Kind::Answer => call(Kind::Answer, body).map(|(id, body)| Frame::Answer { id, body }),
            Kind::Hello | Kind::Goodbye => Err(DecodeError::Misplaced(header.kind)),
        }
    }
}

fn call(kind: Kind, body: &[u8]) -> Result<(u64, Vec<u8>), DecodeError> {
    let (id, body): (u64, Vec<u8>) = decode_body(kind, body)?;
    match body.len() <= CALL_LIMIT {
        true => Ok((id, body)),
        false => Err(DecodeError::TooLong { kind, length: body.len(), limit: CALL_LIMIT }),
    }
}

/// Writes a whole frame.
pub(super) fn encode<T: Serialize + ?Sized>(form: Form, kind: Kind, value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut frame =
        postcard::to_extend(value, vec![0; HEADER_LENGTH]).map_err(|error| EncodeError::Body(kind, error))?;
    let header = Header { form, kind, length: frame.len() - HEADER_LENGTH };
    let too_long = EncodeError::TooLong { kind, length: header.length, limit: kind.limit() };
    if header.length > kind.limit() {
        return Err(too_long);
    }
    let Some(bytes) = header.encode() else { return Err(too_long) };
    frame[..HEADER_LENGTH].copy_from_slice(&bytes);
    if form.has_checksum() {
        let sum = crc32fast::hash(&frame);
        frame.extend_from_slice(&sum.to_le_bytes());
    }
    Ok(frame)
}

/// Takes a whole frame apart. The rest is still to be checked, by [`Header::body`].
pub(super) fn split(form: Form, bytes: &[u8]) -> Result<(Header, &[u8]), DecodeError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LENGTH>() else {
        return Err(DecodeError::Short { present: bytes.len(), wanted: HEADER_LENGTH });
    };
    Ok((Header::of(form, *header)?, rest))
}

/// Reads a whole frame that must be of one kind.
pub(super) fn decode<T: DeserializeOwned>(form: Form, kind: Kind, bytes: &[u8]) -> Result<T, DecodeError> {
    let (header, rest) = split(form, bytes)?;
    match header.kind == kind {
        true => decode_body(kind, header.body(rest)?),
        false => Err(DecodeError::Misplaced(header.kind)),
    }
}

/// Reads a body to its end.
///
/// A list's length is never trusted: serde takes no more than 1 MiB ahead for it, and what is not there ends it.
pub(super) fn decode_body<T: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, DecodeError> {
    let (value, left) = postcard::take_from_bytes(body).map_err(|error| DecodeError::Body(kind, error))?;
    match left.len() {
        0 => Ok(value),
        left => Err(DecodeError::LeftOver(left)),
    }
}

/// The header must be able to name every length that is allowed.
const _: () = assert!(SNAPSHOT_LIMIT < u32::MAX as usize);
