//! The plain listener, for whoever scrapes from this host or over a network that is trusted: it tells the page, and
//! does nothing else. It is there only where the configuration names its address.

use super::exporter::Exporter;
use super::text::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE as KIND, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// So many connections are served at once; others wait.
const CONNECTIONS: usize = 16;
/// A connection on which no request comes for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// No connection lives longer: whoever reads a page byte by byte holds up others.
const LONGEST: Duration = Duration::from_secs(600);
/// If no connection can be taken, for want of file descriptors say, it is not tried in a hurry.
const PAUSE: Duration = Duration::from_millis(100);

/// Where metrics are told to anybody.
pub struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Begins to listen.
    pub async fn bind(address: SocketAddr) -> io::Result<MetricsListener> {
        TcpListener::bind(address).await.map(MetricsListener)
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until the runtime ends.
    pub async fn serve(self, exporter: Exporter) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match self.0.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the metrics could not be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let exporter = exporter.clone();
            tokio::spawn(async move {
                // Whoever is cut off asks again.
                let _ = timeout(LONGEST, connection(exporter, stream)).await;
                drop(place);
            });
        }
    }
}

async fn connection(exporter: Exporter, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let exporter = exporter.clone();
        async move { Ok::<_, Infallible>(answer(&exporter, &request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the metrics ended");
    }
}

async fn answer(exporter: &Exporter, request: &Request<Incoming>) -> Response<String> {
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        let mut answer = Response::new("there is only GET /metrics here\n".to_owned());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return answer;
    }
    let mut answer = Response::new(exporter.page().await.to_string());
    answer.headers_mut().insert(KIND, HeaderValue::from_static(CONTENT_TYPE));
    answer
}
