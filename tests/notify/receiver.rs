//! A server that takes notifications over HTTP, and can be told to do whatever servers do.

use ring::hmac;
use rustls::ServerConfig;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// With what the notifications are signed.
pub const SECRET: &str = "a secret of many words";
/// Whatever is to come, comes within this.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the server does with a notification.
#[derive(Clone)]
pub enum Mode {
    /// It takes it.
    Take,
    /// It answers so, with these headers and this text.
    Answer(u16, &'static str, String),
    /// It says nothing.
    Hang,
    /// It ends the connection.
    Close,
    /// Before it takes the one that says this, this is done; it takes all others as they are.
    When(&'static str, Arc<dyn Fn() + Send + Sync>),
    /// It refuses those that say this, and takes all others.
    Refuse(&'static str),
}

/// A notification that came.
#[derive(Debug, Clone)]
pub struct Came {
    pub id: String,
    pub attempt: u64,
    /// The bytes.
    pub body: Vec<u8>,
    /// Whether it was answered with success.
    pub taken: bool,
    /// What the signature says, if there is one: the sender's time, if it is right.
    pub signed: Option<Result<i64, String>>,
}

impl Came {
    pub fn told(&self) -> Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }

    pub fn text(&self) -> String {
        self.told()["text"].as_str().expect("a text").to_owned()
    }
}

#[derive(Default)]
struct Inside {
    mode: Mutex<Option<Mode>>,
    came: Mutex<Vec<Came>>,
}

/// The server.
pub struct Receiver {
    inside: Arc<Inside>,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    server: Option<JoinHandle<()>>,
}

impl Receiver {
    pub async fn start() -> Receiver {
        Receiver::begin(None).await
    }

    /// One whose connections are encrypted.
    pub async fn start_tls(config: ServerConfig) -> Receiver {
        Receiver::begin(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn begin(tls: Option<TlsAcceptor>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut receiver = Receiver { inside: Arc::default(), address, tls, server: None };
        receiver.serve(listener);
        receiver
    }

    fn serve(&mut self, listener: TcpListener) {
        let (inside, tls) = (Arc::clone(&self.inside), self.tls.clone());
        self.server = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (inside, tls) = (Arc::clone(&inside), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &inside).await,
                        // Whoever does not trust its certificate goes away.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &inside).await,
                            Err(_) => None,
                        },
                    };
                });
            }
        }));
    }

    pub fn url(&self) -> String {
        format!("http{}://{}/hook", if self.tls.is_some() { "s" } else { "" }, self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.inside.mode.lock().unwrap() = Some(mode);
    }

    /// Goes down: whoever calls is refused.
    pub async fn down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            server.await.ok();
        }
    }

    /// Is back, where it was.
    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is its own");
        self.serve(listener);
    }

    pub fn came(&self) -> Vec<Came> {
        self.inside.came.lock().unwrap().clone()
    }

    /// What it took, in the order in which it came.
    pub fn taken(&self) -> Vec<Came> {
        self.came().into_iter().filter(|came| came.taken).collect()
    }

    /// Waits until this is so of what came.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Came]) -> bool) {
        let look = async {
            while !holds(&self.came()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            let came: Vec<(String, u64)> = self.came().iter().map(|came| (came.text(), came.attempt)).collect();
            panic!("waited in vain for {what}; {} came, the last ones {:?}", came.len(), came.iter().rev().take(9));
        }
    }
}

/// Answers the requests of one connection, until it ends.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, inside: &Inside) -> Option<()> {
    loop {
        let (head, body) = request(&mut stream).await?;
        let mode = inside.mode.lock().unwrap().clone().unwrap_or(Mode::Take);
        let says = |text: &str| String::from_utf8_lossy(&body).contains(text);
        let answer = match &mode {
            Mode::Take => Some((204, "", String::new())),
            Mode::Answer(status, headers, text) => Some((*status, *headers, text.clone())),
            Mode::Refuse(text) if says(text) => Some((400, "", "this one is not wanted".to_owned())),
            Mode::Hang | Mode::Close => None,
            Mode::When(text, act) => {
                if says(text) {
                    act();
                }
                Some((204, "", String::new()))
            }
            Mode::Refuse(_) => Some((204, "", String::new())),
        };
        let taken = matches!(answer, Some((200..=299, ..)));
        let came = Came {
            id: header(&head, "holdfast-id").expect("an id"),
            attempt: header(&head, "holdfast-attempt").and_then(|text| text.parse().ok()).expect("an attempt"),
            signed: header(&head, "holdfast-signature").map(|signature| verify(&signature, &body)),
            body,
            taken,
        };
        inside.came.lock().unwrap().push(came);
        match answer {
            Some((status, headers, text)) => {
                let head = format!("HTTP/1.1 {status} So\r\n{headers}Content-Length: {}\r\n\r\n", text.len());
                stream.write_all(format!("{head}{text}").as_bytes()).await.ok()?;
            }
            None if matches!(mode, Mode::Hang) => std::future::pending().await,
            None => return None,
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
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
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    let length: usize = header(&head, "content-length").and_then(|text| text.parse().ok()).expect("a length");
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// The check that the documentation shows, by the test's own hand.
fn verify(signature: &str, body: &[u8]) -> Result<i64, String> {
    let part = |name: &str| signature.split(',').find_map(|part| part.strip_prefix(name)).expect("such a part");
    let (time, digits) = (part("t="), part("v1="));
    let bytes = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    let tag: Vec<u8> = (0..digits.len()).step_by(2).map(bytes).collect();
    let signed = [time.as_bytes(), b".", body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, &signed, &tag).map_err(|_| format!("{signature} is not of these bytes"))?;
    time.parse().map_err(|_| format!("{time} is no time"))
}
