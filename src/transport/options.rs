//! What a transport is started with, and why it may not start.

use crate::core::ids::{Address, BootId};
use crate::core::timing::Timing;
use crate::trust::{Identity, TrustError};
use crate::wire::{EncodeError, Roster};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// What a transport is started with.
#[derive(Debug)]
pub struct TransportOptions {
    /// The number of this node.
    pub me: Address,
    /// Its key and certificate.
    pub identity: Identity,
    /// The cluster's UUID.
    pub cluster: u128,
    /// Where to listen: one address for each network, or one for all. Port 0 takes any.
    pub listen: Vec<SocketAddr>,
    /// Who is a member, as far as is known.
    pub roster: Roster,
    /// The run of the agent. Greater than any before on this machine.
    pub session: u64,
    /// The boot of this machine.
    pub boot: BootId,
    /// The build of this program, for people.
    pub build: String,
    /// How long to wait for what.
    pub patience: Patience,
}

/// How long the transport waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A link without traffic is tried this often.
    pub keep_alive: Duration,
    /// A link on which nothing was received for so long is passed over while another one is heard.
    pub silence: Duration,
    /// A connection on which nothing was received for so long is dead.
    pub idle: Duration,
    /// A connection that is not up after so long is given up.
    pub dial: Duration,
    /// A connection whose hello has not come after so long is closed.
    pub hello: Duration,
    /// The first pause between two tries to dial; each further one is twice as long.
    pub retry: Duration,
    /// No pause between two tries is longer.
    pub retry_max: Duration,
    /// A packet that could not be sent for so long is dropped.
    pub queued: Duration,
    /// A frame whose bytes stop coming for so long ends the connection.
    pub stalled: Duration,
    /// Receiving a snapshot takes no longer than this.
    pub snapshot: Duration,
    /// A link over which nothing was sent for so long is closed until it is needed.
    pub unused: Duration,
}

impl Patience {
    /// What goes with a cluster's time table.
    ///
    /// A host with two networks goes over to the other one after three heartbeats, which is before it is suspected.
    /// A packet older than that is of no use: what matters has been said again.
    pub fn of(timing: &Timing) -> Patience {
        Patience {
            keep_alive: timing.heartbeat,
            silence: timing.heartbeat * 3,
            idle: Duration::from_secs(2),
            dial: Duration::from_secs(1),
            hello: Duration::from_secs(1),
            retry: Duration::from_millis(25),
            retry_max: Duration::from_millis(250),
            queued: timing.suspect,
            stalled: Duration::from_secs(10),
            snapshot: Duration::from_secs(120),
            unused: Duration::from_secs(60),
        }
    }
}

/// Why a transport did not start.
#[derive(Debug, Error)]
pub enum TransportError {
    /// There is nowhere to listen.
    #[error("no address to listen on is given; name one for each network in the configuration")]
    NoEndpoint,
    /// The address is taken, or is not of this machine.
    #[error("cannot listen on {address}: check that this machine has the address and that nothing else uses the port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key or certificate cannot be used.
    #[error("the links between hosts cannot use this host's key or certificate")]
    Trust(#[from] TrustError),
    /// QUIC refuses the settings.
    #[error("QUIC refuses its settings: {0}")]
    Settings(&'static str),
    /// The hello cannot be written.
    #[error("the hello of this node cannot be written")]
    Hello(#[from] EncodeError),
    /// It was not called from within a runtime.
    #[error("the transport needs a tokio runtime and was started outside of one")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
}
