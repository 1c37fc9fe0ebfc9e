//! The names of things, each a type of its own so that one cannot be taken for another.
//!
//! Hosts, VMs and the like are known to people by UUID and name; the log gives each a small number, which is what
//! messages and records carry.

pub use ::core::net::{SocketAddr, SocketAddrV6};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// A hypervisor host, or a witness, by the number that the log gave it.
    HostId(u32), "host-");
number!(
    /// A virtual machine, by the number that the log gave it.
    VmId(u32), "vm-");
number!(
    /// A voter's store. A store that is lost or restored comes back under a new number, never its old one.
    VoterId(u64), "voter-");
number!(
    /// A shared datastore.
    DatastoreId(u16), "datastore-");
number!(
    /// A network that guests are attached to.
    NetworkId(u16), "network-");
impl NetworkId {
    /// The number of a network by its name, the same on every host: no list of names need be known to tell it.
    pub fn of(name: &str) -> NetworkId {
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        NetworkId((hash >> 16) as u16 ^ hash as u16)
    }
}

number!(
    /// Something that a host has, and that a VM may need: a bridge, a type of machine, a secret.
    FeatureId(u64), "feature-");
impl FeatureId {
    /// The number of a feature by its name, the same on every host.
    pub fn of(name: &str) -> FeatureId {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        FeatureId(name.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
    }
}

number!(
    /// A fence device.
    FenceId(u32), "fence-");
number!(
    /// Where a node is reached: an index into the transport's own table of addresses.
    Address(u32), "address-");
number!(
    /// The random identity of one boot of a machine, as the kernel gives it.
    BootId(u64), "boot-");
number!(
    /// Counts the admissions of a host; every lease, permit and tombstone names one. Zero is "not admitted".
    Generation(u64), "generation-");
number!(
    /// A version of what a host must know: who is protected, whether the cluster is armed, who votes.
    ConfigVersion(u64), "config-");

impl ConfigVersion {
    /// The first version of a cluster generation. A forced recovery may lose versions that hosts have learnt already,
    /// so those that follow it must not be taken for them.
    pub fn first_of(generation: ClusterGeneration) -> ConfigVersion {
        ConfigVersion(u64::from(generation.0) << 32)
    }

    /// Whether both are of the same cluster generation, so that the one leads to the other.
    pub fn is_akin_to(self, other: ConfigVersion) -> bool {
        self.0 >> 32 == other.0 >> 32
    }
}

number!(
    /// Pairs the answer of something slow with the action that asked for it.
    Ticket(u64), "ticket-");
number!(
    /// A place in the replicated log.
    LogIndex(u64), "index-");
number!(
    /// Counts the forced recoveries of a cluster; it outranks every term.
    ClusterGeneration(u32), "cluster-generation-");

/// The place of a fact in the ledger: its log entry, and its number among those that follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FactKey {
    /// The cluster generation, which a forced recovery raises: its log begins anew.
    pub generation: u32,
    /// The log entry.
    pub index: LogIndex,
    /// The number within it.
    pub part: u32,
}

impl fmt::Display for FactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.generation, self.index.0, self.part)
    }
}

/// The SHA-256 of a certificate or of a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who gives an order: the cluster generation, then the term of the election. Greater outranks lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Authority {
    /// The cluster generation, which a forced recovery raises.
    pub generation: ClusterGeneration,
    /// The term of the election that made the master.
    pub term: u64,
}

/// The version of a VM's right to run. Each start, wherever, has a greater one than all before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// The cluster generation in which it was given.
    pub generation: ClusterGeneration,
    /// Its number within that generation.
    pub number: u64,
}

impl Epoch {
    /// The epoch of a VM that was never started.
    pub const NONE: Epoch = Epoch { generation: ClusterGeneration(0), number: 0 };
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation.0, self.number)
    }
}

/// One life of a host as the cluster knows it: which host, which boot, which admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Incarnation {
    /// The host.
    pub host: HostId,
    /// The boot of its machine.
    pub boot: BootId,
    /// The admission within that boot.
    pub generation: Generation,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.host, self.boot, self.generation)
    }
}
