//! Reading the whole ledger for a report, and keeping what was read for those who fetch it in parts.
//!
//! What befell somebody before a period tells how he was in it, and what was noted after it may tell that he had been down:
//! so all of the ledger is read. One thread fetches rows and reads what they say, while another works out what that means.

use crate::ledger::{History, Scope, Told, What};
use crate::store::{LedgerKey, LedgerReader, QueryError};
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
        let fetching = threads.spawn(move || fetch(ledger, scope, &give));
        let mut history = History::new(scope);
        for (at_milliseconds, what) in portions.into_iter().flatten() {
            match what {
                Some(what) => history.tell(at_milliseconds, &what),
                None => history.pass(at_milliseconds),
            }
        }
        let last = fetching.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok((history.end(), last))
    })
}

/// When something happened, and what, if that means anything here.
type Fact = (i64, Option<What>);

fn fetch(ledger: &LedgerReader, scope: Scope, give: &SyncSender<Vec<Fact>>) -> Result<Option<LedgerKey>, QueryError> {
    let mut after = None;
    loop {
        let mut facts = Vec::with_capacity(PORTION);
        ledger.each_after(after, PORTION, |row| {
            after = Some(row.key);
            let what = scope.reads(row.kind).then(|| What::read(row.kind, row.body)).flatten();
            facts.push((row.at_milliseconds, what));
        })?;
        if facts.is_empty() || give.send(facts).is_err() {
            // There is no more, or nobody reads on.
            return Ok(after);
        }
    }
}
