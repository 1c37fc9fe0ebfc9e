//! A peer that does what it likes: QUIC and a certificate, and nothing of the transport above.

use super::*;
use crate::trust::Admission;
use crate::wire::{DecodeError, Fingerprint, Frame, Goodbye, HEADER_LENGTH, HELLO_LIMIT, decode_goodbye, decode_hello};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

#[derive(Debug)]
struct Anyone;

impl Admission for Anyone {
    fn admits(&self, _fingerprint: &Fingerprint) -> bool {
        true
    }
}

#[derive(Debug)]
struct Nothing;

impl ResolvesClientCert for Nothing {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

pub(super) struct Raw {
    pub(super) connection: Connection,
    _endpoint: Endpoint,
}

impl Raw {
    /// Connects with a certificate.
    pub(super) async fn connect(identity: &Identity, to: SocketAddr) -> Raw {
        Raw::with(quic::client(identity, Arc::new(Anyone), &patience()).unwrap(), to).await
    }

    /// Connects with the certificate of a foreign authority, and takes the server for genuine all the same.
    pub(super) async fn connect_foreign(foreign: &Identity, own: &Identity, to: SocketAddr) -> Raw {
        let mut tls = crate::trust::link_client(own, Arc::new(Anyone)).unwrap();
        let shown = crate::trust::link_client(foreign, Arc::new(Anyone)).unwrap();
        tls.client_auth_cert_resolver = shown.client_auth_cert_resolver;
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        Raw::with(ClientConfig::new(Arc::new(tls)), to).await
    }

    /// Connects without any.
    pub(super) async fn nameless(identity: &Identity, to: SocketAddr) -> Raw {
        let mut tls = crate::trust::link_client(identity, Arc::new(Anyone)).unwrap();
        tls.client_auth_cert_resolver = Arc::new(Nothing);
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        Raw::with(ClientConfig::new(Arc::new(tls)), to).await
    }

    async fn with(config: ClientConfig, to: SocketAddr) -> Raw {
        let endpoint = Endpoint::client(loopback(0)).unwrap();
        let connection = endpoint.connect_with(config, to, "holdfast").unwrap().await.unwrap();
        Raw { connection, _endpoint: endpoint }
    }

    /// Says hello; gives the answer, if there is one.
    pub(super) async fn hello(&self, hello: &Hello) -> Option<Hello> {
        self.hello_bytes(&hello.encode().unwrap()).await
    }

    pub(super) async fn hello_bytes(&self, bytes: &[u8]) -> Option<Hello> {
        let (mut send, mut receive) = self.connection.open_bi().await.ok()?;
        send.write_all(bytes).await.ok()?;
        send.finish().ok()?;
        decode_hello(&receive.read_to_end(HEADER_LENGTH + HELLO_LIMIT).await.ok()?).ok()
    }

    /// Sends bytes on a stream of their own.
    pub(super) async fn stream(&self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.unwrap();
        // The other end may close in the middle: that is for the test to see.
        let _ = stream.write_all(bytes).await;
        let _ = stream.finish();
    }

    /// Waits for the end; gives the goodbye, if one was said.
    pub(super) async fn end(&self) -> Option<Goodbye> {
        match timeout(LIMIT, self.connection.closed()).await.expect("it stays open") {
            ConnectionError::ApplicationClosed(close) => decode_goodbye(&close.reason).ok(),
            _ => None,
        }
    }
}

/// The hello of an honest node of this cluster.
pub(super) fn hello(number: u32) -> Hello {
    Hello {
        cluster: CLUSTER,
        speaks: Speaks::OURS,
        address: Address(number),
        session: 1,
        boot: BootId(1),
        build: Build::new("raw"),
        endpoints: Vec::new(),
        roster: version(9),
    }
}

/// A frame in the newest version.
pub(super) fn frame(frame: &Frame) -> Vec<u8> {
    frame.encode(Speaks::OURS.agree(Speaks::OURS).unwrap()).unwrap()
}

/// A frame's header in the newest version.
pub(super) fn header(kind: u8, length: u32) -> Vec<u8> {
    let [a, b, c, d] = length.to_le_bytes();
    vec![Speaks::OURS.newest, kind, a, b, c, d]
}

#[test]
fn the_helper_writes_headers_as_they_are_written() {
    let whole = frame(&Frame::Packet(word(1)));
    assert_eq!(whole[..2], header(3, 0)[..2]);
    let error: Result<Frame, DecodeError> =
        Frame::decode(Speaks::OURS.agree(Speaks::OURS).unwrap(), &header(3, u32::MAX));
    assert!(matches!(error, Err(DecodeError::TooLong { .. })));
}
