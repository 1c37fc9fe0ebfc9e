//! How what nodes say to each other is written down: frames, the hello, and the roster.
//!
//! ```text
//!   byte 0       version of the protocol, or 0 for the two frames that are read before one is agreed
//!   byte 1       kind
//!   bytes 2 to 5 length of the body, little endian
//!   body         postcard
//!   CRC-32       of all before it, little endian: on streams, from version 2 on
//! ```
//!
//! Everything here is pure. Decoders take bytes that anyone may have written: they check every length before they
//! take memory, refuse bytes that are left over, and never panic.

mod error;
mod frame;
mod hello;
mod packet;
mod roster;
#[cfg(test)]
mod tests;
mod version;

pub use error::{DecodeError, EncodeError};
pub use frame::{Frame, HEADER_LENGTH, Header, Kind};
pub use hello::{Build, GOODBYE_LIMIT, Goodbye, HELLO_LIMIT, Hello, decode_goodbye, decode_hello};
pub use packet::{
    DATAGRAM_LIMIT, Delivery, PACKET_LIMIT, SNAPSHOT_LIMIT, decode_datagram, encode_datagram, encode_packet,
    encoded_length,
};
pub use roster::{
    ENDPOINTS_LIMIT, Fingerprint, MEMBERS_LIMIT, Member, NAME_LIMIT, Roster, RosterAssembly, RosterError, RosterPage,
    RosterVersion,
};
pub use version::{Disagreement, NEWEST, OLDEST, Speaks, Version};

/// The body of a call, or of its answer, has at most so many bytes.
pub const CALL_LIMIT: usize = 1024 * 1024;
