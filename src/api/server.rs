//! Listening: HTTPS for everyone, and a socket for root on this machine.

use super::errors::Failure;
use super::forward::{answer, dispatch, is_open};
use super::handle::Api;
use super::places::{Place, Places};
use super::routes::routes;
use super::who::Who;
use crate::transport::Inbound;
use crate::trust::{Identity, TrustError, api_server, fingerprint};
use axum::Router;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONNECTION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// So many connections are served at once to people whom the cluster knows, and as many to strangers.
const CONNECTIONS: usize = 256;
/// So many of them to strangers at one address.
const STRANGERS_OF_ONE: usize = 32;
/// So many requests that were passed on are answered at once.
const PASSED_ON: usize = 128;
/// Who has not shown who he is by then is no person.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A connection on which no request comes for so long is closed, the time between two requests included.
const IDLE: Duration = Duration::from_secs(60);
/// The same for those who have shown no certificate.
const STRANGERS_IDLE: Duration = Duration::from_secs(10);
/// No request takes longer, its body included: longer than anything that is waited for in it.
const REQUEST: Duration = Duration::from_secs(90);

/// Why nobody can be answered.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The address is taken, or not of this machine.
    #[error("the operators' interface cannot listen on {place}: {source}; correct `api` in the configuration")]
    Listen {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key or certificate cannot be used.
    #[error("the operators' interface cannot use its key or certificate")]
    Trust(#[from] TrustError),
}

/// Where people are listened to.
pub struct Listeners {
    tcp: TcpListener,
    tls: TlsAcceptor,
    local: UnixListener,
}

impl Listeners {
    /// Begins to listen.
    pub async fn bind(
        address: std::net::SocketAddr,
        identity: &Identity,
        socket: &Path,
    ) -> Result<Listeners, ApiError> {
        let failed = |place: String| move |source| ApiError::Listen { place, source };
        let tcp = TcpListener::bind(address).await.map_err(failed(address.to_string()))?;
        let tls = TlsAcceptor::from(Arc::new(api_server(identity)?));
        let local = local(socket).map_err(failed(socket.display().to_string()))?;
        Ok(Listeners { tcp, tls, local })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<std::net::SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The socket of an agent that ended is no use to anyone; only its owner can reach it while it lives.
fn local(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let fresh = PathBuf::from(format!("{}.new", socket.display()));
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, socket)?;
    Ok(listener)
}

/// Answers until the runtime ends.
pub async fn serve(api: Api, listeners: Listeners, calls: mpsc::Receiver<Inbound>) {
    let routes = routes(api.clone());
    // Whoever holds places of the network must not keep root out.
    let own = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::join!(
        serve_tls(api.clone(), routes.clone(), listeners.tcp, listeners.tls),
        serve_local(api.clone(), routes.clone(), listeners.local, own),
        serve_peers(api, routes, calls),
    );
}

async fn serve_tls(api: Api, routes: Router, tcp: TcpListener, tls: TlsAcceptor) {
    let strangers = Places::new(CONNECTIONS, STRANGERS_OF_ONE);
    let known = Places::new(CONNECTIONS, CONNECTIONS);
    loop {
        let Some((stream, from)) = accepted(tcp.accept().await).await else { continue };
        let mut place = strangers.take(from.ip());
        let (api, routes, tls, known) = (api.clone(), routes.clone(), tls.clone(), known.clone());
        tokio::spawn(async move {
            let stream = tokio::select! {
                handshake = timeout(HANDSHAKE, tls.accept(stream)) => handshake,
                () = place.lost() => return,
            };
            let Ok(Ok(stream)) = stream else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let (who, idle) = match shown {
                Some(certificate) => (Who::Certificate(fingerprint(certificate)), IDLE),
                None => (Who::Nobody, STRANGERS_IDLE),
            };
            let is_known = Arc::new(Notify::new());
            if shown.is_some() {
                is_known.notify_one();
            }
            tokio::select! {
                () = seated(place, known, from.ip(), Arc::clone(&is_known)) => {}
                () = connection(Asker { api, routes, who, is_known }, idle, stream) => {}
            }
        });
    }
}

/// Keeps a connection's place, and ends when that is lost. The cluster's authority has signed whatever certificate is
/// shown; who shows a token sits among the strangers until it is seen to be one.
async fn seated(mut place: Place, known: Places, from: IpAddr, is_known: Arc<Notify>) {
    tokio::select! {
        () = place.lost() => return,
        () = is_known.notified() => {}
    }
    place = known.take(from);
    place.lost().await;
}

async fn serve_local(api: Api, routes: Router, local: UnixListener, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some((stream, _)) = accepted(local.accept().await).await else { continue };
        let (api, routes) = (api.clone(), routes.clone());
        // The socket's own permissions let nobody in but its owner and root.
        let who = Who::Local { host: api.host.clone() };
        tokio::spawn(async move {
            connection(Asker { api, routes, who, is_known: Arc::default() }, IDLE, stream).await;
            drop(place);
        });
    }
}

/// A connection that came. Where none can be taken, for want of file descriptors say, it is not tried in a hurry.
async fn accepted<T>(stream: io::Result<T>) -> Option<T> {
    match stream {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "a connection to the operators' interface could not be taken");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_peers(api: Api, routes: Router, mut calls: mpsc::Receiver<Inbound>) {
    let places = Arc::new(Semaphore::new(PASSED_ON));
    while let Some(inbound) = calls.recv().await {
        let Inbound::Call { from, body, answer: reply } = inbound else { continue };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (api, routes) = (api.clone(), routes.clone());
        tokio::spawn(async move {
            // Who asked may have gone.
            let _ = reply.send(answer(&api, routes, from, &body).await);
            drop(place);
        });
    }
}

/// Who asks by one connection, and what answers.
#[derive(Clone)]
struct Asker {
    api: Api,
    routes: Router,
    who: Who,
    /// Is told as soon as a request was answered as that of somebody whom the cluster knows.
    is_known: Arc<Notify>,
}

impl Asker {
    async fn answer(self, request: Request) -> Response {
        let is_open = is_open(request.uri());
        let who = bearer(&request).unwrap_or(self.who);
        let answered = timeout(REQUEST, dispatch(&self.api, self.routes, who, request)).await;
        let mut answer = answered.unwrap_or_else(|_| too_slow());
        if answer.status() == StatusCode::UNAUTHORIZED {
            // Whom nobody knows has nothing more to ask.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        } else if answer.status().is_success() && !is_open {
            self.is_known.notify_one();
        }
        answer
    }
}

async fn connection<S>(asker: Asker, idle: Duration, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = asker.clone().answer(request.map(axum::body::Body::new));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the operators' interface ended");
    }
}

fn too_slow() -> Response {
    Failure::unanswered("the request took too long").into_response()
}

/// The token that a request shows.
fn bearer(request: &Request) -> Option<Who> {
    let shown = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let token = shown.strip_prefix("Bearer ")?;
    Some(Who::Token(fingerprint(token.as_bytes())))
}
