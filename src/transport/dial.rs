//! One link: dial, say hello, watch, and dial again.

use crate::clock;
use crate::transport::greet::{self, GreetError};
use crate::transport::peer::{Live, Peer};
use crate::transport::quic;
use crate::transport::read::{ReadEnd, read_connection};
use crate::transport::shared::Shared;
use crate::wire::Goodbye;
use quinn::Connection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// A connection that lasted so long was a good one: the next try comes soon.
const LASTED: Duration = Duration::from_secs(1);
/// Hosts that lost the same peer at the same time try again at different times, spread over so many milliseconds.
const SPREAD: u32 = 32;

/// Keeps a link to one endpoint of a peer up, for as long as the peer is needed and the roster names the endpoint.
pub(super) async fn keep_linked(shared: Arc<Shared>, peer: Arc<Peer>, endpoint: SocketAddr) {
    let spread = Duration::from_millis(u64::from(shared.me.0 % SPREAD));
    let mut pause = shared.patience.retry;
    let mut told = String::new();
    for attempt in 0_usize.. {
        peer.until_wanted(shared.patience.unused).await;
        match dial(&shared, &peer, endpoint, attempt).await {
            Ok(live) => {
                told.clear();
                let begun = clock::boottime();
                let Some(end) = run(&shared, &peer, endpoint, &live).await else { return };
                tracing::info!(peer = %peer.address, %endpoint, reason = end, "link lost");
                if clock::boottime().since(begun) > LASTED {
                    pause = shared.patience.retry;
                }
            }
            Err(error) => {
                let text = error.to_string();
                shared.counters.dials_failed.fetch_add(1, Ordering::Relaxed);
                // A host that is down for a week is told of once.
                if told != text {
                    tracing::warn!(peer = %peer.address, %endpoint, reason = text, "no link; trying on");
                    told = text;
                }
            }
        }
        sleep(pause + spread).await;
        pause = (pause * 2).min(shared.patience.retry_max);
    }
}

async fn dial(
    shared: &Arc<Shared>,
    peer: &Peer,
    endpoint: SocketAddr,
    attempt: usize,
) -> Result<Arc<Live>, GreetError> {
    let local = shared.local_for(endpoint, attempt).ok_or(quinn::ConnectError::InvalidRemoteAddress(endpoint))?;
    // The name is no part of the proof: see `trust`.
    let connecting = local.endpoint.connect_with(shared.client.clone(), endpoint, "holdfast")?;
    let connection = timeout(shared.patience.dial, connecting).await.map_err(|_| GreetError::Late)??;
    if greet::shown(&connection) != Some(peer.fingerprint) {
        quic::close(&connection, Goodbye::WrongNumber);
        return Err(GreetError::Refused(Goodbye::WrongNumber));
    }
    let agreed = greet::greet(&connection, &shared.hello(), peer.address, shared.patience.hello).await?;
    tracing::info!(
        peer = %peer.address, %endpoint, protocol = agreed.version.number(), build = agreed.hello.build.as_str(),
        "link up"
    );
    Ok(Arc::new(Live {
        number: shared.next_connection(),
        connection,
        version: agreed.version,
        session: agreed.hello.session,
        roster: agreed.hello.roster,
        heard: AtomicBool::new(true),
    }))
}

/// Uses the link until it ends; says how. `None`: it is not wanted any more.
async fn run(shared: &Arc<Shared>, peer: &Arc<Peer>, endpoint: SocketAddr, live: &Arc<Live>) -> Option<String> {
    let _registration = peer.link_up(endpoint, live.clone())?;
    let end = tokio::select! {
        end = read_connection(shared, peer, live) => end,
        () = watch(shared, peer, live) => ReadEnd::Over,
    };
    Some(say_end(shared, &live.connection, &end))
}

/// Closes a connection that is not read any more; says why it ended.
pub(super) fn say_end(shared: &Shared, connection: &Connection, end: &ReadEnd) -> String {
    match end {
        ReadEnd::Broken(_) | ReadEnd::Stalled => {
            shared.counters.broken.fetch_add(1, Ordering::Relaxed);
            quic::close(connection, Goodbye::Broken);
            end.to_string()
        }
        ReadEnd::Over => {
            let reason = connection.close_reason().map(GreetError::from);
            quic::close(connection, Goodbye::Surplus);
            reason.map_or_else(|| end.to_string(), |reason| reason.to_string())
        }
    }
}

/// Notices that a link is silent long before QUIC finds it dead, where there is another one to go over to. Ends, and
/// closes the link, when nothing was sent over it for long.
async fn watch(shared: &Shared, peer: &Peer, live: &Live) {
    let silence = shared.patience.silence;
    let mut tick = interval((silence / 3).max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut received = (0, clock::boottime());
    loop {
        tick.tick().await;
        if peer.is_unused(shared.patience.unused) {
            quic::close(&live.connection, Goodbye::Unused);
            return;
        }
        if !peer.has_choice() {
            live.heard.store(true, Ordering::Relaxed);
            continue;
        }
        let now = clock::boottime();
        let count = live.connection.stats().udp_rx.datagrams;
        if count != received.0 {
            received = (count, now);
        }
        let heard = now.since(received.1) <= silence;
        if live.heard.swap(heard, Ordering::Relaxed) != heard {
            peer.reconsider();
        }
    }
}
