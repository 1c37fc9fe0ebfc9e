//! The way of facts into the ledger on disk: none is lost because the disk refuses it for a while.

use crate::ledger;
use crate::store::{LedgerKey, LedgerRow};
use std::collections::VecDeque;
use tokio::sync::watch;

/// So many facts wait at most. A disk that takes nothing for so long has taken the voter out already.
const LIMIT: usize = 100_000;
/// So many are handed over at once.
const PORTION: usize = 512;

/// Facts that wait to be written.
pub(super) struct Facts {
    waiting: VecDeque<LedgerRow>,
    /// How many of the first ones are on their way.
    handed_over: usize,
    written: watch::Sender<u64>,
}

impl Facts {
    /// None; whoever follows the ledger is told through this channel that there is more of it.
    pub(super) fn new(written: watch::Sender<u64>) -> Facts {
        Facts { waiting: VecDeque::new(), handed_over: 0, written }
    }

    /// Takes more facts.
    pub(super) fn wait(&mut self, rows: impl Iterator<Item = LedgerRow>) {
        for row in rows {
            if self.waiting.len() >= LIMIT {
                tracing::error!(key = ?row.key, kind = row.kind, "a fact is not in this node's ledger: too many wait");
                continue;
            }
            self.waiting.push_back(row);
        }
    }

    /// What is to be written next, unless something is on its way.
    pub(super) fn take(&mut self) -> Option<Vec<LedgerRow>> {
        if self.handed_over > 0 || self.waiting.is_empty() {
            return None;
        }
        self.handed_over = self.waiting.len().min(PORTION);
        Some(self.waiting.iter().take(self.handed_over).cloned().collect())
    }

    /// What was on its way is on disk.
    pub(super) fn written(&mut self) {
        self.waiting.drain(..self.handed_over);
        self.handed_over = 0;
        self.written.send_modify(|count| *count += 1);
    }

    /// What was on its way did not get there.
    pub(super) fn failed(&mut self) {
        self.handed_over = 0;
    }
}

/// A fact as a row.
pub(super) fn row(entry: &ledger::Entry) -> Option<LedgerRow> {
    let body = serde_json::to_value(entry).ok()?;
    let kind = body.get("kind")?.as_str()?.to_owned();
    let ledger::Key { generation, index, part } = entry.key;
    Some(LedgerRow {
        key: LedgerKey { generation, log_index: index.0, part },
        at_milliseconds: entry.at_milliseconds,
        vm: entry.what.vm().map(|vm| i64::from(vm.0)),
        host: entry.what.host().map(|host| i64::from(host.0)),
        kind,
        body: body.to_string(),
    })
}

/// A row as a fact.
pub fn fact(row: &LedgerRow) -> Option<ledger::Entry> {
    serde_json::from_str(&row.body).ok()
}
