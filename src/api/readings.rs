//! Reading the whole ledger for a report, and keeping what was read for those who fetch it in parts.
//!
//! What befell somebody before a period tells how he was in it, and what was noted after it may tell that he had been down:
//! so all of the ledger is read. One thread fetches rows while another reads what they say.

use crate::ledger::{History, Scope, Told};
use crate::runtime::fact;
use crate::store::{LedgerKey, LedgerReader, LedgerRow, QueryError};
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// So many rows are fetched at once.
const PORTION: usize = 10_000;
/// So many portions are fetched ahead.
const AHEAD: usize = 2;
/// So many readings are kept, each with a few hundred bytes for each VM.
const KEPT: usize = 3;

/// The last readings, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Readings(Arc<Mutex<VecDeque<Reading>>>);

#[derive(Debug, Clone)]
struct Reading {
    scope: Scope,
    /// Up to where the ledger was read.
    last: Option<LedgerKey>,
    told: Arc<Told>,
}

/// Whether an answer goes on with one that was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is the first of its kind.
    Anew,
    /// The parts of a report are of one reading, whatever was written down meanwhile.
    ForMore,
}

impl Readings {
    /// What the ledger tells of a period.
    pub(super) fn told(&self, ledger: &LedgerReader, scope: Scope, asked: Asked) -> Result<Arc<Told>, QueryError> {
        let newest = ledger.span()?.map(|(_, last)| last);
        let is_it = |reading: &&Reading| reading.scope == scope && (asked == Asked::ForMore || reading.last == newest);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(reading) = kept.iter().find(is_it) {
            return Ok(Arc::clone(&reading.told));
        }
        let (told, last) = read(ledger, scope)?;
        let told = Arc::new(told);
        kept.push_front(Reading { scope, last, told: Arc::clone(&told) });
        kept.truncate(KEPT);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(told)
    }
}

fn read(ledger: &LedgerReader, scope: Scope) -> Result<(Told, Option<LedgerKey>), QueryError> {
    let (give, portions) = sync_channel(AHEAD);
    std::thread::scope(|threads| {
        let fetching = threads.spawn(move || fetch(ledger, &give));
        let mut history = History::new(scope);
        for row in portions.into_iter().flatten() {
            add(&mut history, &row);
        }
        let last = fetching.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok((history.end(), last))
    })
}

fn fetch(ledger: &LedgerReader, give: &SyncSender<Vec<LedgerRow>>) -> Result<Option<LedgerKey>, QueryError> {
    let mut after = None;
    loop {
        let rows = ledger.after(after, PORTION)?;
        let Some(last) = rows.last() else { return Ok(after) };
        after = Some(last.key);
        if give.send(rows).is_err() {
            // Nobody reads on.
            return Ok(after);
        }
    }
}

/// Most of the time goes into understanding what a row says: one that means nothing here is only told to have been.
fn add(history: &mut History, row: &LedgerRow) {
    match history.reads(&row.kind).then(|| fact(row)).flatten() {
        Some(entry) => history.add(&entry),
        None => history.pass(row.at_milliseconds),
    }
}
