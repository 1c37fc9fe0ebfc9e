//! What holds for whatever agents send and files hold: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::batch::{MOST_BYTES, Receipt, decode_batches, encode_batches};
use super::chunk::{Level, decode_raw, decode_summaries, encode_raw, encode_summaries, minutes};
use crate::laws::settles;

/// A request with samples, its answer, and each kind of chunk.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let written = |bytes: Vec<u8>| Ok::<_, ()>(bytes);
    let batches = settles(bytes, |bytes| decode_batches(bytes).ok(), |batches| written(encode_batches(batches)));
    if let Ok(batches) = decode_batches(bytes) {
        assert!(batches.iter().map(|batch| batch.vms.len()).sum::<usize>() <= MOST_BYTES);
    }
    let receipt = settles(bytes, |bytes| Receipt::decode(bytes).ok(), |receipt| written(receipt.encode()));
    let raw = settles(bytes, |bytes| decode_raw(bytes).ok(), |slots| written(encode_raw(slots)));
    let of_level = |level| {
        let read = |bytes: &[u8]| decode_summaries(bytes, level).ok();
        settles(bytes, read, |summaries| written(encode_summaries(summaries)))
    };
    batches | receipt | raw | of_level(Level::Minutes) | of_level(Level::Hours)
}

/// Chunks of these slots: as they are, and as minutes.
#[cfg(test)]
pub(crate) fn chunks(slots: &[Option<u32>]) -> [Vec<u8>; 2] {
    [encode_raw(slots), encode_summaries(&minutes(slots))]
}
