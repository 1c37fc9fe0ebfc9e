//! What one voter copies from another: chunks, each with the series that it is of.

use super::archive::ArchiveError;
use super::chunk::{Level, MOST_NUMBER, Place, decode_raw, decode_summaries, encode_raw, encode_summaries, merge};
use super::reader::Look;
use super::rows::{located, put, raw, series_of, summaries, summarise};
use super::{HOUR_SLOTS, Measure, Subject};
use rusqlite::Transaction;
use std::collections::BTreeMap;

/// So many chunks are handed over at once, and so many bytes of them.
const MOST_PIECES: usize = 500;
const MOST_BYTES: usize = 192 * 1_024;

/// A chunk, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Of whom.
    pub subject: Subject,
    /// Of what.
    pub measure: Measure,
    /// How fine.
    pub level: Level,
    /// Its time, counted in chunks of this level from 1970.
    pub number: u32,
    /// As it is kept.
    pub data: Vec<u8>,
}

impl Look {
    /// Chunks since this hour, and after this place; and the place after which there may be more.
    pub fn pieces(&self, since: u32, after: Option<i64>) -> Result<(Vec<Piece>, Option<i64>), ArchiveError> {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        let kinds = Level::ALL.into_iter().flat_map(|level| Measure::ALL.map(|measure| (level, measure)));
        for (level, measure) in kinds {
            let place = |number| Place { level, measure, number, series: 0 }.key();
            let begin = place(since / (level.chunk_slots() / HOUR_SLOTS));
            let begin = after.map_or(begin, |after| begin.max(after.saturating_add(1)));
            let left = MOST_PIECES - pieces.len();
            for (key, subject, data) in self.ask(|connection| located(connection, [begin, place(MOST_NUMBER)], left))? {
                bytes += data.len();
                pieces.push(Piece { subject, measure, level, number: Place::number(key), data });
                if bytes >= MOST_BYTES || pieces.len() >= MOST_PIECES {
                    return Ok((pieces, Some(key)));
                }
            }
        }
        Ok((pieces, None))
    }
}

/// Adds a piece to what there is. One that cannot be read is left out, as if the other had lacked it, too.
pub(super) fn add(
    transaction: &Transaction<'_>,
    known: &mut BTreeMap<Subject, u32>,
    piece: &Piece,
    summarised: u32,
) -> rusqlite::Result<()> {
    let place = |series| Place { level: piece.level, measure: piece.measure, number: piece.number, series };
    if piece.level == Level::Raw {
        let Ok(theirs) = decode_raw(&piece.data) else { return Ok(()) };
        let place = place(series_of(transaction, known, piece.subject)?);
        let mut slots = raw(transaction, place)?;
        merge(&mut slots, &theirs);
        put(transaction, place, &encode_raw(&slots))?;
        return if piece.number <= summarised { summarise(transaction, place, &slots) } else { Ok(()) };
    }
    let Ok(theirs) = decode_summaries(&piece.data, piece.level) else { return Ok(()) };
    let place = place(series_of(transaction, known, piece.subject)?);
    let mut values = summaries(transaction, place)?;
    if values.is_empty() {
        return put(transaction, place, &piece.data);
    }
    values.resize(values.len().max(theirs.len()), None);
    for (mine, theirs) in values.iter_mut().zip(theirs) {
        // That of more slots counts.
        *mine = (*mine).max(theirs);
    }
    put(transaction, place, &encode_summaries(&values))
}
