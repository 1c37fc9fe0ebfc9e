//! The way of facts into the ledger on disk: none is lost because the disk refuses it for a while.
//!
//! Facts go to the writer at once, so that they are on disk before whatever the node has written after them: a
//! compaction drops the entries from which they could be derived again. Only what the disk refused waits here.

use crate::ledger;
use crate::store::{LedgerKey, LedgerRow};
use tokio::sync::oneshot;

/// So many facts wait at most. A disk that takes nothing for so long has taken the voter out already.
const LIMIT: usize = 100_000;
/// So many are handed over at once.
const PORTION: usize = 512;

/// Facts on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What the disk refused.
    waiting: Vec<LedgerRow>,
    /// How many portions the writer was given, which it takes in order.
    given: u64,
    /// How many of them it has written, or given back.
    done: u64,
    /// Who wants to know when so many are done.
    asking: Vec<(u64, oneshot::Sender<bool>)>,
}

impl Facts {
    /// The writer was given a portion.
    pub(super) fn handed_over(&mut self) {
        self.given += 1;
    }

    /// The writer has done what it could with a portion.
    pub(super) fn came_back(&mut self) {
        self.done += 1;
        let done = self.done;
        for (_, reply) in self.asking.extract_if(.., |(given, _)| *given <= done) {
            // Who asked may have gone.
            let _ = reply.send(self.waiting.is_empty());
        }
    }

    /// Tells when all that there is now is on disk, or was refused; and whether none was.
    pub(super) fn tell_recorded(&mut self, reply: oneshot::Sender<bool>) {
        if self.done == self.given {
            let _ = reply.send(self.waiting.is_empty());
            return;
        }
        self.asking.retain(|(_, reply)| !reply.is_closed());
        self.asking.push((self.given, reply));
    }

    /// Keeps facts for another try. Whether there was none before, so that somebody must come back to them.
    pub(super) fn keep(&mut self, rows: Vec<LedgerRow>) -> bool {
        let was_empty = self.waiting.is_empty();
        let room = LIMIT.saturating_sub(self.waiting.len());
        if rows.len() > room {
            let lost = rows.len() - room;
            tracing::error!(lost, "facts are not in this node's ledger: too many wait; another voter's has them");
        }
        self.waiting.extend(rows.into_iter().take(room));
        was_empty
    }

    /// How many the disk refused, that wait for another try.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What is to be tried again, in portions.
    pub(super) fn take(&mut self) -> Vec<Vec<LedgerRow>> {
        std::mem::take(&mut self.waiting).chunks(PORTION).map(<[LedgerRow]>::to_vec).collect()
    }
}

/// A fact as a row.
pub fn row(entry: &ledger::Entry) -> Option<LedgerRow> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_when_all_before_is_done_and_nothing_else_is_waited_for() {
        let mut facts = Facts::default();
        let ask = |facts: &mut Facts| {
            let (reply, told) = oneshot::channel();
            facts.tell_recorded(reply);
            told
        };
        assert_eq!(ask(&mut facts).try_recv(), Ok(true), "there is nothing to wait for");
        facts.handed_over();
        facts.handed_over();
        let mut early = ask(&mut facts);
        facts.handed_over();
        let mut late = ask(&mut facts);
        facts.came_back();
        assert!(early.try_recv().is_err());
        facts.came_back();
        assert_eq!(early.try_recv(), Ok(true));
        assert!(late.try_recv().is_err());
        facts.came_back();
        assert_eq!(late.try_recv(), Ok(true));
        let key = LedgerKey::default();
        let row = LedgerRow { key, at_milliseconds: 0, vm: None, host: None, kind: String::new(), body: String::new() };
        facts.keep(vec![row]);
        assert_eq!(ask(&mut facts).try_recv(), Ok(false), "the disk has refused one");
    }
}
