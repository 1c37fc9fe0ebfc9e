//! A server that is a whole cloud, and can be told to do whatever servers do.

use crate::recorded;
use holdfast::openstack::{Cloud, Nova, Patience, Session, Surroundings, cloud};
use rustls::ServerConfig;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// With what the client shows who it is.
pub const SECRET: &str = "a-secret-of-many-words";
/// Where a token is asked for.
pub const TOKENS: &str = "/v3/auth/tokens";

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without the question.
    pub path: String,
    pub asked: BTreeMap<String, String>,
    pub head: String,
    pub body: Vec<u8>,
    /// How many of the same method and path came before.
    pub before: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It answers so, with these headers and this body.
    Answer(u16, String, String),
    /// It says nothing.
    Hang,
    /// It ends the connection.
    Close,
    /// It begins to answer well, and breaks off in the middle of the body.
    Torn,
}

impl Reply {
    pub fn json(status: u16, body: impl Into<String>) -> Reply {
        Reply::Answer(status, String::new(), body.into())
    }
}

type Answers = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

/// The server.
pub struct StubCloud {
    /// Where it is: `http://127.0.0.1:PORT`.
    base: String,
    came: Arc<Mutex<Vec<Request>>>,
    server: JoinHandle<()>,
}

impl StubCloud {
    /// One that answers as recorded.
    pub async fn start() -> StubCloud {
        StubCloud::answering(|_| None).await
    }

    /// One that answers so, and as recorded whatever this has no answer for.
    pub async fn answering(answers: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> StubCloud {
        StubCloud::begin(Arc::new(answers), None).await
    }

    /// One whose connections are encrypted.
    pub async fn encrypted(config: ServerConfig) -> StubCloud {
        StubCloud::begin(Arc::new(|_: &Request| None::<Reply>), Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn begin(answers: Arc<Answers>, tls: Option<TlsAcceptor>) -> StubCloud {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}", listener.local_addr().expect("its address"));
        let place = base.clone();
        let came: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&came);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (answers, came, place, tls) = (Arc::clone(&answers), Arc::clone(&kept), place.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &place, &came, &*answers).await,
                        // Whoever does not trust its certificate goes away.
                        Some(tls) => serve(tls.accept(stream).await.ok()?, &place, &came, &*answers).await,
                    }
                });
            }
        });
        StubCloud { base, came, server }
    }

    /// What an operator would write of it.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("OS_AUTH_URL", self.base.as_str()),
            ("OS_USERNAME", "holdfast"),
            ("OS_PASSWORD", SECRET),
            ("OS_PROJECT_NAME", "admin"),
            ("OS_USER_DOMAIN_ID", "default"),
            ("OS_PROJECT_DOMAIN_ID", "default"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    pub fn settings(&self) -> Cloud {
        cloud(None, &Surroundings { variables: self.variables(), ..Surroundings::default() }).expect("sound settings")
    }

    pub fn session(&self, patience: Patience) -> Arc<Session> {
        Arc::new(Session::new(self.settings(), patience).expect("a session"))
    }

    /// Its Nova, as a client finds it.
    pub async fn nova(&self) -> Nova {
        Nova::find(self.session(Patience::default())).await.expect("it is found")
    }

    /// The same, for whoever does not wait for long.
    pub async fn nova_briefly(&self) -> Nova {
        Nova::find(self.session(brief())).await.expect("it is found")
    }

    /// What came with this method to this path.
    pub fn came(&self, method: &str, path: &str) -> Vec<Request> {
        self.all().into_iter().filter(|request| request.is(method, path)).collect()
    }

    pub fn all(&self) -> Vec<Request> {
        self.came.lock().unwrap().clone()
    }

    /// Goes down: whoever calls is refused.
    pub async fn down(mut self) {
        self.server.abort();
        (&mut self.server).await.ok();
    }
}

/// A short patience, for what will not be answered; long enough for what will be, on a busy machine too.
pub fn brief() -> Patience {
    Patience { each: Duration::from_secs(2), whole: Duration::from_secs(3) }
}

/// Answers the requests of one connection, until it ends.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    base: &str,
    came: &Mutex<Vec<Request>>,
    answers: &Answers,
) -> Option<()> {
    loop {
        let mut request = read(&mut stream).await?;
        {
            let mut came = came.lock().unwrap();
            request.before = came.iter().filter(|other| other.is(&request.method, &request.path)).count();
            came.push(request.clone());
        }
        match answers(&request).unwrap_or_else(|| recorded::answer(&request, base)) {
            Reply::Answer(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} So\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            }
            Reply::Torn => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{\"servers\": [").await.ok()?;
                return None;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Close => return None,
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).expect("headers are text");
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (path, asked) = target.split_once('?').unwrap_or((&target, ""));
    let pair = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let asked = asked.split('&').filter_map(pair).collect();
    let mut request = Request { method, path: path.to_owned(), asked, head, body: Vec::new(), before: 0 };
    let length: usize = request.header("content-length").map_or(0, |text| text.parse().expect("a length"));
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    request.body = body;
    Some(request)
}
