//! How QUIC is set up.
//!
//! Failover times rest on these settings. QUIC's defaults suit the open internet: there a first packet that is lost
//! is missed after a second, and a link that lost much is throttled. Between hosts that suspect each other after a
//! quarter of a second neither may be.

use crate::transport::options::{Patience, TransportError};
use crate::transport::shared::HANDSHAKES;
use crate::trust::{Admission, Identity, link_client, link_server};
use crate::wire::Goodbye;
use quinn::congestion::{Controller, ControllerFactory};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout,
    ServerConfig, TransportConfig, VarInt,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the round trip is taken for until it is measured. A first packet that is lost is sent again after three times
/// this. Hosts of one cluster are a few milliseconds apart at the most; where they are farther, some packets are sent
/// twice, which costs nothing.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(10);
/// The other end acknowledges within this: its usual 25 ms would count into each time-out.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(2);
/// However much was lost, so many bytes may be on their way: far more than heartbeats and the log's small entries
/// need, far less than hurts a data centre's network. So a link that comes back is used at once.
const LEAST_WINDOW: u64 = 256 * 1024;
/// A snapshot fills no more of the network than this.
const GREATEST_WINDOW: u64 = 4 * 1024 * 1024;

/// One stream may be this far ahead of its reader.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Streams of packets, snapshots and rosters that the other end may have open at once.
const STREAMS: u32 = 8;
/// Calls that the other end may have open at once.
pub(super) const CALLS: u32 = 16;
/// All streams of a connection together: so many that one that is not read never stops another.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS + CALLS) + STREAM_WINDOW;
/// Datagrams that wait for their reader, or to be sent. When there are more, the oldest goes.
const DATAGRAM_BUFFER: usize = 32 * 1024;

/// At both ends of a connection, or at the one that dialled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Dialled,
    Accepted,
}

fn transport(patience: &Patience, end: End) -> Result<Arc<TransportConfig>, TransportError> {
    let idle =
        IdleTimeout::try_from(patience.idle).map_err(|_| TransportError::Settings("the idle time is too long"))?;
    let mut acknowledge = AckFrequencyConfig::default();
    acknowledge.max_ack_delay(Some(ACKNOWLEDGE_WITHIN));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .initial_rtt(INITIAL_ROUND_TRIP)
        .ack_frequency_config(Some(acknowledge))
        .congestion_controller_factory(Arc::new(NeverThrottled))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(CALLS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    if end == End::Dialled {
        config.keep_alive_interval(Some(patience.keep_alive));
    }
    Ok(Arc::new(config))
}

pub(super) fn client(
    identity: &Identity,
    admission: Arc<dyn Admission>,
    patience: &Patience,
) -> Result<ClientConfig, TransportError> {
    let tls = QuicClientConfig::try_from(link_client(identity, admission)?);
    let tls = tls.map_err(|_| TransportError::Settings("TLS lacks the cipher of QUIC's first packets"))?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport(patience, End::Dialled)?);
    Ok(config)
}

pub(super) fn server(
    identity: &Identity,
    admission: Arc<dyn Admission>,
    patience: &Patience,
) -> Result<ServerConfig, TransportError> {
    let tls = QuicServerConfig::try_from(link_server(identity, admission)?);
    let tls = tls.map_err(|_| TransportError::Settings("TLS lacks the cipher of QUIC's first packets"))?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport(patience, End::Accepted)?);
    // A host keeps its address for the life of a connection; whoever shows up under another one dials anew.
    config.migration(false);
    config.max_incoming(HANDSHAKES).incoming_buffer_size(64 * 1024).incoming_buffer_size_total(8 * 1024 * 1024);
    Ok(config)
}

/// An agent that was started anew tells its peers, with a reset, that their old connections are gone; else they would
/// go on sending into them until they are found dead. They believe it only if it has the key of the earlier run, so
/// this key is derived from the host's own.
pub(super) fn endpoint(identity: &Identity) -> Result<EndpointConfig, TransportError> {
    let key = identity.derived_key(b"quic reset").ok_or(TransportError::Settings("no key for resets"))?;
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(|| Box::new(PlainIds(SystemRandom::new())));
    config.min_reset_interval(Duration::from_millis(1));
    Ok(config)
}

/// Random connection numbers. The library's own kind lets an endpoint ignore what is not its own, and what was the
/// earlier run's among it.
struct PlainIds(SystemRandom);

impl ConnectionIdGenerator for PlainIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; 8];
        // Without randomness the number is zero, and the next packet of the handshake fails in ring as well.
        let _ = self.0.fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Congestion control with a window that never gets small: it halves when packets are lost, once for those that were
/// lost together, and grows by a packet with each acknowledgement while it is what holds back the sender.
#[derive(Clone)]
struct AtLeast {
    window: u64,
    packet: u64,
    /// Packets that were sent before this have been paid for.
    halved: Option<Instant>,
}

struct NeverThrottled;

impl ControllerFactory for NeverThrottled {
    fn build(self: Arc<Self>, _now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(AtLeast { window: LEAST_WINDOW, packet: mtu.into(), halved: None })
    }
}

impl Controller for AtLeast {
    fn on_end_acks(&mut self, _now: Instant, _in_flight: u64, app_limited: bool, _largest: Option<u64>) {
        if !app_limited {
            self.window = (self.window + self.packet).min(GREATEST_WINDOW);
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, _persistent: bool, _lost: u64) {
        if self.halved.is_none_or(|halved| sent > halved) {
            self.halved = Some(now);
            self.window = (self.window / 2).max(LEAST_WINDOW);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.packet = mtu.into();
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        LEAST_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Closes a connection and says why: QUIC's own last packet carries the goodbye.
pub(super) fn close(connection: &Connection, goodbye: Goodbye) {
    connection.close(VarInt::from_u32(1), &goodbye.encode().unwrap_or_default());
}
