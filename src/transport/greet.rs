//! The hello at the beginning of a connection.
//!
//! ```text
//!   dials                     is dialled
//!     │── TLS, both certificates ──│   not in the roster: closed
//!     │── hello, on a stream ─────▶│   wrong cluster, number or version: goodbye
//!     │◀───────────── hello ───────│   the same the other way round
//! ```
//!
//! In TLS 1.3 the one who dials takes the connection for good before the other one has seen the certificate. So
//! nothing counts before the other one's hello is there.

use crate::core::ids::Address;
use crate::transport::quic;
use crate::trust::fingerprint;
use crate::wire::{
    DecodeError, Fingerprint, Goodbye, HEADER_LENGTH, HELLO_LIMIT, Hello, Version, decode_goodbye, decode_hello,
};
use quinn::{Connection, ConnectionError, ReadToEndError, WriteError};
use rustls::pki_types::CertificateDer;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Why a connection did not come to be.
#[derive(Debug, Error)]
pub(super) enum GreetError {
    #[error("{0}")]
    Dial(#[from] quinn::ConnectError),
    #[error("the other node says: {0}")]
    Goodbye(Goodbye),
    #[error("the connection failed: {0}")]
    Connection(ConnectionError),
    #[error("the connection broke off within the hello")]
    BrokenOff,
    #[error("no answer came in time")]
    Late,
    #[error("its hello cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("refused: {0}")]
    Refused(Goodbye),
}

impl From<ConnectionError> for GreetError {
    fn from(error: ConnectionError) -> Self {
        match &error {
            ConnectionError::ApplicationClosed(close) => {
                decode_goodbye(&close.reason).map_or(GreetError::Connection(error.clone()), GreetError::Goodbye)
            }
            _ => GreetError::Connection(error),
        }
    }
}

impl From<WriteError> for GreetError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            _ => GreetError::BrokenOff,
        }
    }
}

impl From<ReadToEndError> for GreetError {
    fn from(error: ReadToEndError) -> Self {
        match error {
            ReadToEndError::Read(quinn::ReadError::ConnectionLost(error)) => error.into(),
            _ => GreetError::BrokenOff,
        }
    }
}

/// What both ends agreed on.
pub(super) struct Agreed {
    pub(super) version: Version,
    pub(super) hello: Hello,
}

/// The certificate with which the other end has shown itself.
pub(super) fn shown(connection: &Connection) -> Option<Fingerprint> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.first().map(|certificate| fingerprint(certificate))
}

/// Says hello first. A connection that comes to nothing is closed, with the reason.
pub(super) async fn greet(
    connection: &Connection,
    ours: &Hello,
    expected: Address,
    patience: Duration,
) -> Result<Agreed, GreetError> {
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await?;
        say(&mut send, ours).await?;
        let theirs = decode_hello(&receive.read_to_end(HEADER_LENGTH + HELLO_LIMIT).await?)?;
        check(ours, theirs, expected)
    };
    closing(connection, timeout(patience, exchange).await)
}

/// Waits for the hello and answers it.
pub(super) async fn answer(
    connection: &Connection,
    ours: &Hello,
    expected: Address,
    patience: Duration,
) -> Result<Agreed, GreetError> {
    let exchange = async {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let theirs = decode_hello(&receive.read_to_end(HEADER_LENGTH + HELLO_LIMIT).await?)?;
        let agreed = check(ours, theirs, expected)?;
        say(&mut send, ours).await?;
        Ok(agreed)
    };
    closing(connection, timeout(patience, exchange).await)
}

async fn say(send: &mut quinn::SendStream, hello: &Hello) -> Result<(), GreetError> {
    // A hello of our own always fits: its parts are bounded.
    let bytes = hello.encode().map_err(|_| GreetError::BrokenOff)?;
    send.write_all(&bytes).await?;
    send.finish().map_err(|_| GreetError::BrokenOff)
}

fn check(ours: &Hello, theirs: Hello, expected: Address) -> Result<Agreed, GreetError> {
    if theirs.cluster != ours.cluster {
        return Err(GreetError::Refused(Goodbye::OtherCluster));
    }
    if theirs.address != expected {
        return Err(GreetError::Refused(Goodbye::WrongNumber));
    }
    match ours.speaks.agree(theirs.speaks) {
        Ok(version) => Ok(Agreed { version, hello: theirs }),
        Err(disagreement) => Err(GreetError::Refused(disagreement.into())),
    }
}

fn closing(
    connection: &Connection,
    result: Result<Result<Agreed, GreetError>, tokio::time::error::Elapsed>,
) -> Result<Agreed, GreetError> {
    let result = result.unwrap_or(Err(GreetError::Late));
    match &result {
        Ok(_) => (),
        Err(GreetError::Refused(goodbye)) => quic::close(connection, *goodbye),
        Err(GreetError::Late) => quic::close(connection, Goodbye::NoHello),
        Err(_) => quic::close(connection, Goodbye::Broken),
    }
    result
}
