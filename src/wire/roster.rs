//! The roster: who is a member of the cluster, by which certificate, and where each is reached.
//!
//! The replicated log holds it; from the voters it spreads to all nodes. A newer one replaces an older one as a whole.
//! The cluster's authority signs it, whose key only voters have: no other host can invent a cluster around one that has
//! not heard the news.

use crate::core::ids::{Address, ClusterGeneration, LogIndex};
use crate::core::ids::{SocketAddr, SocketAddrV6};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use thiserror::Error;

/// A roster has at most so many members.
pub const MEMBERS_LIMIT: usize = 4_096;
/// A member has at most so many endpoints, one in each of its networks.
pub const ENDPOINTS_LIMIT: usize = 8;
/// A member's name has at most so many bytes.
pub const NAME_LIMIT: usize = 64;

/// A signature has at most so many bytes.
const SIGNATURE_LIMIT: usize = 128;
/// A page holds at most so many members.
const PAGE_MEMBERS: usize = 256;
/// A page has at most so many bytes: a member has at most some 300.
pub(super) const PAGE_LIMIT: usize = 128 * 1024;

pub use crate::core::ids::Fingerprint;

/// Which roster is newer: a forced recovery outranks every entry of the log before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct RosterVersion {
    /// The cluster generation.
    pub generation: ClusterGeneration,
    /// The entry of the log that made it.
    pub index: LogIndex,
}

impl fmt::Display for RosterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation.0, self.index.0)
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub address: Address,
    /// Its name, for people.
    pub name: String,
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// Where it is reached, the best first. None: it is not dialled, and may dial.
    pub endpoints: Vec<SocketAddr>,
}

/// Who is a member.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Roster {
    version: RosterVersion,
    members: BTreeMap<Address, Member>,
    owners: BTreeMap<Fingerprint, Address>,
    signature: Vec<u8>,
}

/// Why a list of members is no roster.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RosterError {
    /// There are too many members.
    #[error("a roster of {0} members is too long, {MEMBERS_LIMIT} is the limit")]
    TooMany(usize),
    /// Two members have one number.
    #[error("{0} stands twice in the roster")]
    SameNumber(Address),
    /// Two members have one certificate.
    #[error("{0} and {1} have the same certificate; each host needs one of its own")]
    SameCertificate(Address, Address),
    /// A name is empty, too long, or holds control characters.
    #[error("the name of {0} is empty, longer than {NAME_LIMIT} bytes, or no plain text")]
    Name(Address),
    /// There are too many endpoints, or one stands twice.
    #[error("{0} has more than {ENDPOINTS_LIMIT} endpoints, or one of them twice")]
    Endpoints(Address),
    /// Nobody can be reached there.
    #[error("{0} cannot be reached at {1}: name an address and a port")]
    Endpoint(Address, SocketAddr),
    /// The signature cannot be one.
    #[error("a signature of {0} bytes is none, {SIGNATURE_LIMIT} is the limit")]
    Signature(usize),
    /// A page is missing, or belongs to another roster.
    #[error("the pages of a roster do not fit together")]
    Pages,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    version: RosterVersion,
    members: Vec<Member>,
    signature: Vec<u8>,
}

impl TryFrom<Raw> for Roster {
    type Error = RosterError;
    fn try_from(raw: Raw) -> Result<Self, RosterError> {
        Roster::new(raw.version, raw.members)?.signed(raw.signature)
    }
}

impl From<Roster> for Raw {
    fn from(roster: Roster) -> Self {
        Raw { version: roster.version, members: roster.members.into_values().collect(), signature: roster.signature }
    }
}

impl Roster {
    /// A roster of these members, which nobody has signed yet.
    pub fn new(version: RosterVersion, list: Vec<Member>) -> Result<Roster, RosterError> {
        if list.len() > MEMBERS_LIMIT {
            return Err(RosterError::TooMany(list.len()));
        }
        let mut roster = Roster { version, ..Roster::default() };
        for member in list {
            let member = member.checked()?;
            if let Some(other) = roster.owners.insert(member.fingerprint, member.address) {
                return Err(match other == member.address {
                    true => RosterError::SameNumber(other),
                    false => RosterError::SameCertificate(other, member.address),
                });
            }
            let address = member.address;
            if roster.members.insert(address, member).is_some() {
                return Err(RosterError::SameNumber(address));
            }
        }
        Ok(roster)
    }

    /// The roster with a signature of what [`Roster::to_sign`] says.
    pub fn signed(self, signature: Vec<u8>) -> Result<Roster, RosterError> {
        match signature.len() <= SIGNATURE_LIMIT {
            true => Ok(Roster { signature, ..self }),
            false => Err(RosterError::Signature(signature.len())),
        }
    }

    /// The signature; empty if there is none.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// What is signed: all that counts, in one form for all builds.
    pub fn to_sign(&self) -> Vec<u8> {
        let mut text = format!("holdfast roster {}\n", self.version);
        for member in self.members.values() {
            let Member { address, name, fingerprint, endpoints } = member;
            // The length keeps a name from passing for something else.
            text.push_str(&format!("{} {fingerprint} {} {name}", address.0, name.len()));
            endpoints.iter().for_each(|endpoint| text.push_str(&format!(" {endpoint}")));
            text.push('\n');
        }
        text.into_bytes()
    }

    /// Which one it is.
    pub fn version(&self) -> RosterVersion {
        self.version
    }

    /// The member of that number.
    pub fn member(&self, address: Address) -> Option<&Member> {
        self.members.get(&address)
    }

    /// The member with that certificate.
    pub fn owner(&self, fingerprint: &Fingerprint) -> Option<&Member> {
        self.member(*self.owners.get(fingerprint)?)
    }

    /// All members, by number.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The roster in pages that fit into frames. There is always one.
    pub fn pages(&self) -> Vec<RosterPage> {
        let members: Vec<Member> = self.members.values().cloned().collect();
        let mut parts: Vec<Vec<Member>> = members.chunks(PAGE_MEMBERS).map(<[Member]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let last = parts.len() - 1;
        let pages = parts.into_iter().enumerate();
        let page = |(at, members)| {
            let signature = if at == last { self.signature.clone() } else { Vec::new() };
            RosterPage { version: self.version, number: at as u16, last: last as u16, members, signature }
        };
        pages.map(page).collect()
    }
}

impl Member {
    /// Zone and flow of an IPv6 address mean something on one machine only, so they are not kept.
    fn checked(mut self) -> Result<Member, RosterError> {
        let address = self.address;
        if self.name.is_empty() || self.name.len() > NAME_LIMIT || self.name.chars().any(char::is_control) {
            return Err(RosterError::Name(address));
        }
        for endpoint in &mut self.endpoints {
            if let SocketAddr::V6(v6) = endpoint {
                *endpoint = SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0));
            }
            if endpoint.port() == 0 || endpoint.ip().is_unspecified() || endpoint.ip().is_multicast() {
                return Err(RosterError::Endpoint(address, *endpoint));
            }
        }
        let distinct: BTreeSet<&SocketAddr> = self.endpoints.iter().collect();
        match self.endpoints.len() <= ENDPOINTS_LIMIT && distinct.len() == self.endpoints.len() {
            true => Ok(self),
            false => Err(RosterError::Endpoints(address)),
        }
    }
}

/// A part of a roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterPage {
    version: RosterVersion,
    number: u16,
    last: u16,
    members: Vec<Member>,
    /// That of the whole roster, on the last page.
    signature: Vec<u8>,
}

/// Pages that came, until the last one has.
#[derive(Debug, Default)]
pub struct RosterAssembly {
    version: RosterVersion,
    next: u16,
    members: Vec<Member>,
}

impl RosterAssembly {
    /// Adds the next page; gives the roster with the last one.
    pub fn add(&mut self, page: RosterPage) -> Result<Option<Roster>, RosterError> {
        if page.number == 0 {
            *self = RosterAssembly { version: page.version, ..RosterAssembly::default() };
        }
        if page.number != self.next || page.number > page.last || page.version != self.version {
            return Err(RosterError::Pages);
        }
        self.members.extend(page.members);
        if self.members.len() > MEMBERS_LIMIT {
            return Err(RosterError::TooMany(self.members.len()));
        }
        if page.number < page.last {
            self.next += 1;
            return Ok(None);
        }
        let whole = std::mem::take(self);
        Roster::new(whole.version, whole.members)?.signed(page.signature).map(Some)
    }
}
