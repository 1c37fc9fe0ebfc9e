//! What goes to a peer over streams: one task for what goes in order, one for snapshots.
//!
//! Both use the peer's best link, and go over to another one when that is the best. What a link had taken over when it
//! died is lost; what it had not is sent over the next one.

use crate::clock;
use crate::node::Packet;
use crate::transport::outbox::Waiting;
use crate::transport::peer::{Live, Peer};
use crate::wire::{Frame, encode_packet};
use quinn::{SendStream, VarInt};
use std::sync::Arc;
use tokio::sync::watch;

/// Snapshots give way to all else on their connection.
const SNAPSHOT_PRIORITY: i32 = -1;

type Best = watch::Receiver<Option<Arc<Live>>>;

/// Writes what goes in order, for as long as the peer is one.
pub(super) async fn write_ordered(peer: Arc<Peer>) {
    let mut best = peer.best();
    let mut open: Option<(Arc<Live>, SendStream)> = None;
    loop {
        peer.outbox.ordered_waits().await;
        let Some(live) = the_best(&mut best).await else { return };
        let Some(waiting) = peer.outbox.pop_ordered(clock::boottime()) else { continue };
        let same = open.take_if(|(on, _)| on.number == live.number);
        let stream = match same {
            Some((_, stream)) => Some(stream),
            None => tokio::select! {
                stream = live.connection.open_uni() => stream.ok(),
                () = moved(&mut best, &live) => None,
            },
        };
        open = match stream {
            Some(stream) => write_one(&peer, &live, &mut best, stream, waiting).await.map(|stream| (live, stream)),
            None => {
                put_back(&peer, &live, &mut best, waiting).await;
                None
            }
        };
    }
}

/// Writes a packet; gives the stream back if it can be used further.
async fn write_one(
    peer: &Peer,
    live: &Arc<Live>,
    best: &mut Best,
    mut stream: SendStream,
    waiting: Waiting,
) -> Option<SendStream> {
    let frame = match encode_packet(live.version, &waiting.packet) {
        Ok(frame) => frame,
        Err(error) => {
            tracing::error!(peer = %peer.address, %error, "a packet cannot be sent and is dropped");
            peer.outbox.count_dropped();
            return Some(stream);
        }
    };
    let written = tokio::select! {
        written = stream.write_all(&frame) => written.is_ok(),
        () = moved(best, live) => false,
    };
    if !written {
        // The other end drops what it has of the frame.
        let _ = stream.reset(VarInt::from_u32(1));
        put_back(peer, live, best, waiting).await;
        return None;
    }
    Some(stream)
}

/// A link that fails is not tried again: its own task notices as well, and chooses another one.
async fn put_back(peer: &Peer, live: &Live, best: &mut Best, waiting: Waiting) {
    peer.outbox.put_back(waiting);
    moved(best, live).await;
}

/// Writes snapshots, one at a time, each on a stream of its own.
pub(super) async fn write_snapshots(peer: Arc<Peer>) {
    let mut best = peer.best();
    loop {
        peer.outbox.snapshot_waits().await;
        let Some(live) = the_best(&mut best).await else { return };
        let Some(packet) = peer.outbox.pop_snapshot(clock::boottime()) else { continue };
        let sent = tokio::select! {
            sent = write_snapshot(&live, packet) => sent,
            () = moved(&mut best, &live) => false,
        };
        if !sent {
            tracing::debug!(peer = %peer.address, "a snapshot could not be sent");
            peer.outbox.count_dropped();
        }
    }
}

/// Whether the peer has received it.
async fn write_snapshot(live: &Live, packet: Packet) -> bool {
    let version = live.version;
    // Many megabytes take their time to encode, in which other tasks must run.
    let encoded = tokio::task::spawn_blocking(move || Frame::Packet(packet).encode(version)).await;
    let frame = match encoded {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => {
            tracing::error!(%error, "a snapshot cannot be sent and is dropped");
            return false;
        }
        Err(_) => return false,
    };
    let Ok(mut stream) = live.connection.open_uni().await else { return false };
    let ready = stream.set_priority(SNAPSHOT_PRIORITY).is_ok();
    ready
        && stream.write_all(&frame).await.is_ok()
        && stream.finish().is_ok()
        && matches!(stream.stopped().await, Ok(None))
}

/// Waits until there is a link; `None` when the peer is gone.
async fn the_best(best: &mut Best) -> Option<Arc<Live>> {
    best.wait_for(Option::is_some).await.ok()?.clone()
}

/// Waits until another link is the best, or none.
async fn moved(best: &mut Best, live: &Live) {
    // An error says that the peer is gone: then so is this task, soon.
    let _ = best.wait_for(|now| now.as_ref().is_none_or(|now| now.number != live.number)).await;
}
