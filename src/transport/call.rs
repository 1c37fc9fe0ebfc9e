//! Calls: a question to one node, and its answer.

use crate::clock;
use crate::core::ids::Address;
use crate::transport::inbox::{Inbound, Taken};
use crate::transport::shared::Shared;
use crate::wire::{CALL_LIMIT, Frame, HEADER_LENGTH, Kind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Why there is no answer.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// The roster does not name it.
    #[error("{0} is no member of this cluster")]
    NotAMember(Address),
    /// The body is too long.
    #[error("a request of {0} bytes is too long, {CALL_LIMIT} is the limit")]
    TooLong(usize),
    /// There was no link, or no answer, in time. What was asked may have been done or not.
    #[error("{0} did not answer in time; look what became of the request before it is repeated")]
    TimedOut(Address),
    /// The node refused, or went away in the middle. What was asked may have been done or not.
    #[error("{0} gave no answer; look what became of the request before it is repeated")]
    Unanswered(Address),
}

/// Asks a node, and waits for its answer.
pub(super) async fn call(
    shared: &Arc<Shared>,
    to: Address,
    body: Vec<u8>,
    patience: Duration,
) -> Result<Vec<u8>, CallError> {
    if body.len() > CALL_LIMIT {
        return Err(CallError::TooLong(body.len()));
    }
    let answer = timeout(patience, async {
        if to == shared.me { call_own(shared, body).await } else { call_peer(shared, to, body).await }
    });
    answer.await.unwrap_or(Err(CallError::TimedOut(to)))
}

async fn call_own(shared: &Shared, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let (answer, answered) = oneshot::channel();
    match shared.mailroom.put_own(Inbound::Call { from: shared.me, body, answer }) {
        Taken::Not => Err(CallError::Unanswered(shared.me)),
        _ => answered.await.map_err(|_| CallError::Unanswered(shared.me)),
    }
}

async fn call_peer(shared: &Arc<Shared>, to: Address, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let peer = shared.peer(to).ok_or(CallError::NotAMember(to))?;
    peer.want(clock::boottime());
    let lost = CallError::Unanswered(to);
    let live = {
        let mut best = peer.best();
        // The peer may be cut off while this waits: then its end of the channel goes.
        drop(peer);
        let live = best.wait_for(Option::is_some).await.map_err(|_| CallError::NotAMember(to))?.clone();
        live.ok_or(lost)?
    };
    let id = shared.calls.fetch_add(1, Ordering::Relaxed);
    let frame = Frame::Call { id, body }.encode(live.version).map_err(|_| lost)?;
    let (mut send, mut receive) = live.connection.open_bi().await.map_err(|_| lost)?;
    send.write_all(&frame).await.map_err(|_| lost)?;
    send.finish().map_err(|_| lost)?;
    let most = HEADER_LENGTH + Kind::Answer.limit() + HEADER_LENGTH;
    let bytes = receive.read_to_end(most).await.map_err(|_| lost)?;
    match Frame::decode(live.version, &bytes) {
        Ok(Frame::Answer { id: of, body }) if of == id => Ok(body),
        _ => Err(lost),
    }
}
