//! The first and the last thing on a connection.
//!
//! Both are read before a version is agreed on, or without one. So their form is the same in all versions.

use crate::core::ids::SocketAddr;
use crate::core::ids::{Address, BootId};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::frame::{self, Form, Kind};
use crate::wire::roster::{ENDPOINTS_LIMIT, RosterVersion};
use crate::wire::version::{Disagreement, Speaks};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The body of a hello has at most so many bytes.
pub const HELLO_LIMIT: usize = 1_024;
/// The body of a goodbye has at most so many bytes.
pub const GOODBYE_LIMIT: usize = 16;

const MAGIC: [u8; 8] = *b"holdfast";

/// How a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Of which cluster it is, by UUID.
    pub cluster: u128,
    /// What it speaks.
    pub speaks: Speaks,
    /// Its number.
    pub address: Address,
    /// Which run of the agent this is. Greater than any before on that machine.
    pub session: u64,
    /// The boot of its machine.
    pub boot: BootId,
    /// The build of its program, for people.
    pub build: Build,
    /// Where it listens, for people: it is dialled where the roster says.
    pub endpoints: Vec<SocketAddr>,
    /// The roster that it has.
    pub roster: RosterVersion,
}

/// The name of a build: at most [`Build::LIMIT`] bytes, and nothing that could upset a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build(String);

impl Build {
    /// It has at most so many bytes.
    pub const LIMIT: usize = 64;

    /// The name, as far as it fits.
    pub fn new(name: &str) -> Build {
        let mut kept: String = name.chars().filter(|c| !c.is_control()).collect();
        while kept.len() > Build::LIMIT {
            kept.pop();
        }
        Build(kept)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
struct Raw {
    magic: [u8; 8],
    cluster: u128,
    speaks: Speaks,
    address: Address,
    session: u64,
    boot: BootId,
    build: String,
    endpoints: Vec<SocketAddr>,
    roster: RosterVersion,
}

impl Hello {
    /// Writes it. Endpoints beyond what fits are left out.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let raw = Raw {
            magic: MAGIC,
            cluster: self.cluster,
            speaks: self.speaks,
            address: self.address,
            session: self.session,
            boot: self.boot,
            build: self.build.0.clone(),
            endpoints: self.endpoints.iter().copied().take(ENDPOINTS_LIMIT).collect(),
            roster: self.roster,
        };
        frame::encode(Form::Timeless, Kind::Hello, &raw)
    }
}

/// Reads a hello.
pub fn decode_hello(bytes: &[u8]) -> Result<Hello, DecodeError> {
    let raw: Raw = frame::decode(Form::Timeless, Kind::Hello, bytes)?;
    let build = Build::new(&raw.build);
    let checks = [
        (raw.magic != MAGIC, "it is not of Holdfast"),
        (raw.speaks.oldest == 0 || raw.speaks.oldest > raw.speaks.newest, "it speaks no version"),
        (build.0 != raw.build, "its build has no proper name"),
        (raw.endpoints.len() > ENDPOINTS_LIMIT, "it listens in too many places"),
    ];
    if let Some((_, what)) = checks.into_iter().find(|(wrong, _)| *wrong) {
        return Err(DecodeError::Unfit { kind: Kind::Hello, what });
    }
    Ok(Hello {
        cluster: raw.cluster,
        speaks: raw.speaks,
        address: raw.address,
        session: raw.session,
        boot: raw.boot,
        build,
        endpoints: raw.endpoints,
        roster: raw.roster,
    })
}

/// Why a connection is ended, or not taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goodbye {
    /// The program ends.
    Stopping,
    /// The hello was of another cluster.
    OtherCluster,
    /// The other one speaks only this.
    Versions(Speaks),
    /// The certificate is not that of a member, or not any more.
    NotAMember,
    /// The number in the hello is not that of the certificate's owner.
    WrongNumber,
    /// No hello came in time.
    NoHello,
    /// What came cannot be.
    Broken,
    /// A newer connection took its place.
    Surplus,
    /// Nothing was sent for long.
    Unused,
    /// The other one is not reached this way any more.
    Moved,
    /// It leads to an earlier run of the other one's program.
    Restarted,
}

impl Goodbye {
    /// Writes it.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        frame::encode(Form::Timeless, Kind::Goodbye, self)
    }
}

impl From<Disagreement> for Goodbye {
    fn from(disagreement: Disagreement) -> Self {
        Goodbye::Versions(disagreement.ours)
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goodbye::Stopping => f.write_str("the program ends"),
            Goodbye::OtherCluster => f.write_str("the hello was of another cluster"),
            Goodbye::Versions(speaks) => write!(f, "there only protocol {speaks} is spoken: upgrade the older one"),
            Goodbye::NotAMember => f.write_str("the certificate is not that of a member"),
            Goodbye::WrongNumber => f.write_str("the number in the hello is not that of the certificate's owner"),
            Goodbye::NoHello => f.write_str("no hello came in time"),
            Goodbye::Broken => f.write_str("what came could not be read"),
            Goodbye::Surplus => f.write_str("newer connections took its place"),
            Goodbye::Unused => f.write_str("nothing was sent for long"),
            Goodbye::Moved => f.write_str("the roster names other endpoints"),
            Goodbye::Restarted => f.write_str("it led to an earlier run of the program"),
        }
    }
}

/// Reads a goodbye.
pub fn decode_goodbye(bytes: &[u8]) -> Result<Goodbye, DecodeError> {
    frame::decode(Form::Timeless, Kind::Goodbye, bytes)
}
