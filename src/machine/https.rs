//! A small HTTPS server with a certificate of its own making.

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// More connections are not served at once.
const MOST_CONNECTIONS: usize = 64;
/// A client that is slower than this is not served.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate and how to serve with it.
pub(super) struct Certificate {
    /// In DER.
    pub(super) certificate: Vec<u8>,
    pub(super) acceptor: TlsAcceptor,
}

/// Makes a certificate for this address, which it signs itself.
pub(super) fn self_signed(address: IpAddr) -> io::Result<Certificate> {
    let made = rcgen::generate_simple_self_signed([address.to_string()]).map_err(io::Error::other)?;
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .map_err(io::Error::other)?;
    Ok(Certificate { certificate: certificate.to_vec(), acceptor: TlsAcceptor::from(Arc::new(config)) })
}

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    // A client that goes away in the middle is its own affair.
                    serve_one(stream, acceptor, router).await.ok();
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("a connection to the BMC was not accepted: {error}");
                // Most likely there are no file descriptors left, and some are given back before long.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, router: Router) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let service = service_fn(move |request: hyper::Request<Incoming>| router.clone().oneshot(request.map(Body::new)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    connection.await.map_err(io::Error::other)
}
