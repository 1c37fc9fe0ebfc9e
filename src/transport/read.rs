//! What comes over a connection: datagrams, streams of frames, and calls.
//!
//! Nothing here is trusted to be well-formed, though it comes from a member: what cannot be read ends the connection.

use crate::node::Packet;
use crate::transport::inbox::{Inbound, Room, Taken, room_for};
use crate::transport::peer::{Live, Peer};
use crate::transport::shared::Shared;
use crate::transport::tell;
use crate::wire::{DecodeError, Frame, HEADER_LENGTH, Header, Kind, PACKET_LIMIT, RosterAssembly, decode_datagram};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, VarInt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// So many snapshots are received at once, from all peers together: it bounds the memory that they take.
pub(super) const SNAPSHOTS: usize = 2;

/// Why a connection is not read any further.
#[derive(Debug, Error)]
pub(super) enum ReadEnd {
    /// It has ended, or the peer is no member any more.
    #[error("the connection has ended")]
    Over,
    /// It cannot be read.
    #[error("what came cannot be read: {0}")]
    Broken(#[from] DecodeError),
    /// The bytes stopped in the middle.
    #[error("a frame began and did not end")]
    Stalled,
}

/// Reads a connection until it ends.
pub(super) async fn read_connection(shared: &Arc<Shared>, peer: &Arc<Peer>, live: &Arc<Live>) -> ReadEnd {
    let mut tasks = JoinSet::new();
    tasks.spawn(read_datagrams(shared.clone(), peer.clone(), live.clone()));
    tasks.spawn(read_streams(shared.clone(), peer.clone(), live.clone()));
    tasks.spawn(answer_calls(shared.clone(), peer.clone(), live.clone()));
    tasks.spawn(tell::tell_roster(shared.clone(), peer.clone(), live.clone()));
    // The first one that ends has met the end of the connection, or a reason to end it.
    match tasks.join_next().await {
        Some(Ok(end)) => end,
        _ => ReadEnd::Over,
    }
}

async fn read_datagrams(shared: Arc<Shared>, peer: Arc<Peer>, live: Arc<Live>) -> ReadEnd {
    loop {
        let Ok(bytes) = live.connection.read_datagram().await else { return ReadEnd::Over };
        match decode_datagram(live.version, &bytes) {
            Ok(packet) => {
                let inbound = Inbound::Packet { from: peer.address, packet };
                let taken = shared.mailroom.put_datagram(peer.source(), inbound);
                shared.counters.received(taken);
            }
            Err(error) => return error.into(),
        }
    }
}

/// Each stream has a task of its own; how many there may be is for QUIC to bound.
async fn read_streams(shared: Arc<Shared>, peer: Arc<Peer>, live: Arc<Live>) -> ReadEnd {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = live.connection.accept_uni() => match stream {
                Ok(stream) => { streams.spawn(read_stream(shared.clone(), peer.clone(), live.clone(), stream)); }
                Err(_) => return ReadEnd::Over,
            },
            Some(ended) = streams.join_next() => if let Ok(Err(end)) = ended { return end },
        }
    }
}

/// A frame, and what must be kept while it waits.
struct Read {
    frame: Frame,
    room: Room,
}

async fn read_stream(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    live: Arc<Live>,
    mut stream: RecvStream,
) -> Result<(), ReadEnd> {
    let mut pages = RosterAssembly::default();
    while let Some(Read { frame, room }) = read_frame(&shared, &peer, &live, &mut stream).await? {
        match frame {
            Frame::Packet(packet) => deliver(&shared, &peer, packet, room)?,
            Frame::Roster(page) => {
                if let Some(roster) = pages.add(page).map_err(DecodeError::Roster)? {
                    tell::heard_roster(&shared, &peer, roster);
                }
            }
            Frame::Call { .. } => return Err(DecodeError::Misplaced(Kind::Call).into()),
            Frame::Answer { .. } => return Err(DecodeError::Misplaced(Kind::Answer).into()),
        }
    }
    Ok(())
}

fn deliver(shared: &Shared, peer: &Peer, packet: Packet, room: Room) -> Result<(), ReadEnd> {
    let inbound = Inbound::Packet { from: peer.address, packet };
    let taken = shared.mailroom.put_ordered(peer.source(), inbound, room);
    shared.counters.received(taken);
    if taken == Taken::Not { Err(ReadEnd::Over) } else { Ok(()) }
}

/// Reads one frame; `None` at the stream's end, or where the sender gave it up.
async fn read_frame(
    shared: &Shared,
    peer: &Peer,
    live: &Live,
    stream: &mut RecvStream,
) -> Result<Option<Read>, ReadEnd> {
    let mut header = [0; HEADER_LENGTH];
    match stream.read_exact(&mut header).await {
        Ok(()) => (),
        Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(ReadError::Reset(_))) => return Ok(None),
        Err(ReadExactError::FinishedEarly(present)) => {
            return Err(DecodeError::Short { present, wanted: HEADER_LENGTH }.into());
        }
        Err(ReadExactError::ReadError(_)) => return Err(ReadEnd::Over),
    }
    let header = Header::decode(live.version, header)?;
    let long = header.kind() == Kind::Snapshot && header.rest() > PACKET_LIMIT;
    let (rest, room) = match long {
        true => read_snapshot(shared, peer, stream, header.rest()).await?,
        false => {
            // Not before there is room for it is a frame's body read, so its sender waits.
            let room = peer.room.clone().acquire_many_owned(room_for(header.rest())).await;
            let room = room.map_err(|_| ReadEnd::Over)?;
            (read_rest(shared, stream, header.rest()).await?, room)
        }
    };
    let Some(rest) = rest else { return Ok(None) };
    let frame = match header.kind() {
        // Many megabytes take their time to decode, in which other tasks must run.
        Kind::Snapshot => {
            let decoded = tokio::task::spawn_blocking(move || Frame::decode_rest(header, &rest)).await;
            decoded.map_err(|_| ReadEnd::Over)??
        }
        _ => Frame::decode_rest(header, &rest)?,
    };
    Ok(Some(Read { frame, room }))
}

/// A long one, for which there are few places. It keeps its place until the owner takes it.
async fn read_snapshot(
    shared: &Shared,
    peer: &Peer,
    stream: &mut RecvStream,
    length: usize,
) -> Result<(Option<Vec<u8>>, Room), ReadEnd> {
    let _one = peer.snapshot.acquire().await.map_err(|_| ReadEnd::Over)?;
    let place = shared.snapshots.clone().acquire_owned().await.map_err(|_| ReadEnd::Over)?;
    let read = timeout(shared.patience.snapshot, read_rest(shared, stream, length)).await;
    Ok((read.unwrap_or(Err(ReadEnd::Stalled))?, place))
}

/// Memory is taken as the bytes come, not as the header promises.
async fn read_rest(shared: &Shared, stream: &mut RecvStream, length: usize) -> Result<Option<Vec<u8>>, ReadEnd> {
    let mut rest = Vec::new();
    while rest.len() < length {
        let chunk = timeout(shared.patience.stalled, stream.read_chunk(length - rest.len(), true)).await;
        match chunk {
            Ok(Ok(Some(chunk))) => rest.extend_from_slice(&chunk.bytes),
            Ok(Ok(None)) => return Err(DecodeError::Short { present: rest.len(), wanted: length }.into()),
            Ok(Err(ReadError::Reset(_))) => return Ok(None),
            Ok(Err(_)) => return Err(ReadEnd::Over),
            Err(_) => return Err(ReadEnd::Stalled),
        }
    }
    Ok(Some(rest))
}

async fn answer_calls(shared: Arc<Shared>, peer: Arc<Peer>, live: Arc<Live>) -> ReadEnd {
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            stream = live.connection.accept_bi() => match stream {
                Ok((send, receive)) => {
                    calls.spawn(answer_call(shared.clone(), peer.clone(), live.clone(), send, receive));
                }
                Err(_) => return ReadEnd::Over,
            },
            Some(ended) = calls.join_next() => if let Ok(Err(end)) = ended { return end },
        }
    }
}

async fn answer_call(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    live: Arc<Live>,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), ReadEnd> {
    let Some(Read { frame, room }) = read_frame(&shared, &peer, &live, &mut receive).await? else { return Ok(()) };
    let Frame::Call { id, body } = frame else { return Err(DecodeError::Misplaced(Kind::Packet).into()) };
    let (answer, answered) = oneshot::channel();
    shared.mailroom.put_ordered(peer.source(), Inbound::Call { from: peer.address, body, answer }, room);
    let answered = tokio::select! {
        answered = answered => answered.ok(),
        // The caller has given up.
        _ = send.stopped() => None,
    };
    let frame = answered.and_then(|body| Frame::Answer { id, body }.encode(live.version).ok());
    let sent = match &frame {
        Some(frame) => send.write_all(frame).await.is_ok() && send.finish().is_ok(),
        // Refused, or too long.
        None => send.reset(VarInt::from_u32(1)).is_ok(),
    };
    if sent {
        shared.counters.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
