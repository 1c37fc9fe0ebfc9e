//! Why something could not be written down or read.

use crate::wire::frame::Kind;
use crate::wire::roster::RosterError;
use thiserror::Error;

/// Why bytes are not a frame. Whoever sent them is damaged, hostile, or of a version that was not agreed on.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The frame ends before its header or body does.
    #[error("a frame has {present} bytes where it must have {wanted}")]
    Short {
        /// How many bytes there are.
        present: usize,
        /// How many there must be.
        wanted: usize,
    },
    /// The frame is of another version than was agreed on.
    #[error("a frame is of protocol version {found} where version {wanted} was agreed on")]
    Version {
        /// What the frame says.
        found: u8,
        /// What it must say.
        wanted: u8,
    },
    /// There is no such kind of frame.
    #[error("a frame is of kind {0}, which does not exist")]
    UnknownKind(u8),
    /// Such a frame does not belong here.
    #[error("a frame of kind {0:?} came where it does not belong")]
    Misplaced(Kind),
    /// The frame is longer than its kind may be.
    #[error("a frame of kind {kind:?} has {length} bytes, {limit} is the limit")]
    TooLong {
        /// Its kind.
        kind: Kind,
        /// Its length, as it says.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Bytes are left over.
    #[error("a frame is followed by {0} bytes that belong to nothing")]
    LeftOver(usize),
    /// The checksum is wrong.
    #[error("a frame of kind {0:?} does not match its checksum")]
    Checksum(Kind),
    /// The body cannot be read.
    #[error("the body of a frame of kind {0:?} cannot be read")]
    Body(Kind, #[source] postcard::Error),
    /// The body says what cannot be.
    #[error("a frame of kind {kind:?} cannot be: {what}")]
    Unfit {
        /// Its kind.
        kind: Kind,
        /// What is wrong.
        what: &'static str,
    },
    /// A roster contradicts itself.
    #[error("a roster was sent that cannot be")]
    Roster(#[source] RosterError),
}

/// Why something was not written down.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// It is longer than its kind of frame may be.
    #[error("what is to be sent as {kind:?} has {length} bytes, {limit} is the limit")]
    TooLong {
        /// As what it would be sent.
        kind: Kind,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// It cannot be written down.
    #[error("what is to be sent as {0:?} cannot be written down")]
    Body(Kind, #[source] postcard::Error),
}
