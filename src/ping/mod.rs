//! Whether a machine's kernel lives, whatever its agent does: ICMP's echo.
//!
//! A socket for pings needs no privilege where `net.ipv4.ping_group_range` names a group of the agent's; a raw one
//! needs CAP_NET_RAW. Who has neither pings nobody, and a host whose agent has stalled is judged as soon as a dead one.
//!
//! An answer counts only if it repeats what this run's requests say, comes from where one was sent, and is not one more
//! than were sent. So there are never more answers than requests.

mod echo;

use crate::core::ids::Address;
use echo::{COOKIE, Family, Framing};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// So many requests wait to be sent; what is more is lost, as on a bad network.
const QUEUE: usize = 1_024;
/// So many requests to one address may be without an answer and still get one.
const UNANSWERED: u8 = 32;
/// So many addresses are remembered: more than a cluster has.
const ADDRESSES: usize = 16_384;
/// A socket that fails is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Why nobody is pinged.
#[derive(Debug, Error)]
#[error(
    "no socket for pings ({unprivileged}), and no raw one ({raw}); let `net.ipv4.ping_group_range` name a group of the agent's"
)]
pub struct PingError {
    unprivileged: io::Error,
    raw: io::Error,
}

/// Sends pings, until it is dropped.
#[derive(Debug)]
pub struct Pinger {
    queue: mpsc::Sender<(Address, IpAddr)>,
    _tasks: JoinSet<()>,
}

impl Pinger {
    /// Pings from now on by all means that there are, and calls `pong` for each answer. It fails if there is none at all.
    pub fn start(pong: impl Fn(Address) + Clone + Send + 'static) -> Result<Pinger, PingError> {
        let (v4, v6) = match (Echoes::open(Family::V4), Echoes::open(Family::V6)) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => (v4.ok().map(Arc::new), v6.ok().map(Arc::new)),
        };
        let asked = Arc::new(Asked::default());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        for echoes in [&v4, &v6].into_iter().flatten() {
            tasks.spawn(receive(Arc::clone(echoes), Arc::clone(&asked), pong.clone()));
        }
        tasks.spawn(send(waiting, v4, v6, asked));
        Ok(Pinger { queue, _tasks: tasks })
    }

    /// Pings a host at one of its addresses. It never waits.
    pub fn ping(&self, host: Address, at: IpAddr) {
        // One that is lost here is one that the network might have lost.
        let _ = self.queue.try_send((host, at));
    }
}

/// What was sent and not answered.
#[derive(Debug)]
struct Asked {
    cookie: [u8; COOKIE],
    waiting: Mutex<BTreeMap<IpAddr, (Address, u8)>>,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked { cookie: Uuid::new_v4().into_bytes(), waiting: Mutex::default() }
    }
}

impl Asked {
    fn asks(&self, host: Address, at: IpAddr) {
        let mut waiting = self.waiting();
        if waiting.len() >= ADDRESSES {
            waiting.clear();
        }
        let entry = waiting.entry(at).or_insert((host, 0));
        *entry = (host, (entry.1 + 1).min(UNANSWERED));
    }

    /// Who has answered, if an answer was due.
    fn answered(&self, from: IpAddr) -> Option<Address> {
        let mut waiting = self.waiting();
        let (host, unanswered) = waiting.get_mut(&from)?;
        *unanswered = unanswered.checked_sub(1)?;
        Some(*host)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<IpAddr, (Address, u8)>> {
        // Nothing panics while it has the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket of one family.
#[derive(Debug)]
struct Echoes {
    socket: UdpSocket,
    family: Family,
    framing: Framing,
}

impl Echoes {
    /// A socket that needs no privilege, or else a raw one.
    fn open(family: Family) -> Result<Echoes, PingError> {
        let bare = |socket| Echoes { socket, family, framing: Framing::Bare };
        let unprivileged = match open(family, SocketType::DGRAM) {
            Ok(socket) => return Ok(bare(socket)),
            Err(error) => error,
        };
        match open(family, SocketType::RAW) {
            Ok(socket) if family == Family::V4 => Ok(Echoes { framing: Framing::WithHeader, ..bare(socket) }),
            Ok(socket) => Ok(bare(socket)),
            Err(raw) => Err(PingError { unprivileged, raw }),
        }
    }
}

fn open(family: Family, kind: SocketType) -> io::Result<UdpSocket> {
    let (family, protocol) = match family {
        Family::V4 => (AddressFamily::INET, ipproto::ICMP),
        Family::V6 => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol))?;
    // It sends and receives datagrams, and that is all that is asked of it.
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

async fn send(
    mut waiting: mpsc::Receiver<(Address, IpAddr)>,
    v4: Option<Arc<Echoes>>,
    v6: Option<Arc<Echoes>>,
    asked: Arc<Asked>,
) {
    let mut sequence = 0_u16;
    while let Some((host, at)) = waiting.recv().await {
        let Some(echoes) = (if at.is_ipv4() { &v4 } else { &v6 }) else { continue };
        sequence = sequence.wrapping_add(1);
        // First, or the answer might come before it is awaited.
        asked.asks(host, at);
        let packet = echo::request(echoes.family, &asked.cookie, sequence);
        if let Err(error) = echoes.socket.send_to(&packet, SocketAddr::new(at, 0)).await {
            tracing::debug!(%at, %error, "a ping was not sent");
        }
    }
}

async fn receive(echoes: Arc<Echoes>, asked: Arc<Asked>, pong: impl Fn(Address)) {
    let mut buffer = [0; 2_048];
    loop {
        let (length, from) = match echoes.socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "no answer to a ping could be read");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        if echo::is_reply(echoes.family, echoes.framing, packet, &asked.cookie)
            && let Some(host) = asked.answered(from.ip())
        {
            pong(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A pinger and its answers; none, loudly, where the machine forbids pings.
    fn pinger() -> Option<(Pinger, UnboundedReceiver<Address>)> {
        let (told, tell) = unbounded_channel();
        let pong = move |host| {
            let _ = told.send(host);
        };
        match Pinger::start(pong) {
            Ok(pinger) => Some((pinger, tell)),
            Err(error) => {
                writeln!(io::stderr(), "SKIPPED: {error}").ok();
                None
            }
        }
    }

    async fn next(pongs: &mut UnboundedReceiver<Address>) -> Address {
        timeout(PATIENCE, pongs.recv()).await.expect("an answer").expect("it lives")
    }

    #[tokio::test]
    async fn a_living_kernel_answers_each_ping_once() {
        let Some((pinger, mut pongs)) = pinger() else { return };
        for (number, last) in (1..=3).zip([1, 2, 2]) {
            pinger.ping(Address(number), Ipv4Addr::new(127, 9, 9, last).into());
            // The third has taken over the address of the second.
            assert_eq!(next(&mut pongs).await, Address(number));
        }
        assert!(pongs.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_newer_internet_is_pinged_too() {
        let has_it = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let Some((pinger, mut pongs)) = pinger().filter(|_| has_it) else { return };
        pinger.ping(Address(6), Ipv6Addr::LOCALHOST.into());
        assert_eq!(next(&mut pongs).await, Address(6));
    }

    #[tokio::test]
    async fn a_flood_is_lost_and_delays_nobody() {
        let Some((pinger, mut pongs)) = pinger() else { return };
        // The task that sends has no turn until this one waits.
        for _ in 0..QUEUE * 4 {
            pinger.ping(Address(2), Ipv4Addr::LOCALHOST.into());
        }
        assert_eq!(next(&mut pongs).await, Address(2));
        let mut count = 1;
        while let Ok(Some(host)) = timeout(Duration::from_millis(300), pongs.recv()).await {
            assert_eq!(host, Address(2));
            count += 1;
        }
        assert!(count <= QUEUE, "{count}");
    }

    #[test]
    fn no_more_answers_are_taken_than_were_asked_for() {
        let asked = Asked::default();
        let at = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(asked.answered(at), None);
        for _ in 0..1_000 {
            asked.asks(Address(1), at);
        }
        let taken = (0..1_000).filter(|_| asked.answered(at).is_some()).count();
        assert_eq!(taken, usize::from(UNANSWERED));
    }
}
