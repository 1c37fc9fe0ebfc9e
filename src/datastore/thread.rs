//! A thread for each datastore, that may hang alone.

use crate::core::ids::Ticket;
use crate::core::record::{DatastoreOp, DatastoreResult};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The operations that may wait while one is under way.
pub(super) const WAITING: usize = 64;

/// Carries out operations, one after another, however long each takes.
pub trait Perform: Send {
    /// Carries out one.
    fn perform(&mut self, op: DatastoreOp) -> DatastoreResult;
}

/// Takes the results.
type Answer = Box<dyn Fn(Ticket, DatastoreResult) + Send + Sync>;

/// The handle of a datastore's thread.
///
/// Every operation that is submitted is answered exactly once, unless it hangs for ever or the handle is dropped first.
/// Those that fail because too many wait are answered at once, all others in the order of submission. After the drop
/// nothing is begun, and nothing is answered any more.
pub struct DatastoreThread {
    queue: SyncSender<(Ticket, DatastoreOp)>,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Answer,
    is_dropped: AtomicBool,
}

impl DatastoreThread {
    /// Starts a thread.
    ///
    /// `answer` is called by that thread, and by whoever submits more than can wait. It must not block, so it wants a
    /// queue with room for all that its owner has submitted and not yet seen answered: no more than that ever comes.
    pub fn start(
        name: &str,
        performer: impl Perform + 'static,
        answer: impl Fn(Ticket, DatastoreResult) + Send + Sync + 'static,
    ) -> io::Result<DatastoreThread> {
        let shared = Arc::new(Shared { answer: Box::new(answer), is_dropped: AtomicBool::new(false) });
        let (queue, waiting) = sync_channel(WAITING);
        let of_thread = shared.clone();
        // Nobody ever joins it: it may hang for as long as the machine runs.
        thread::Builder::new().name(name.to_owned()).spawn(move || run(&waiting, performer, &of_thread))?;
        Ok(DatastoreThread { queue, shared })
    }

    /// Hands over an operation, without ever waiting. If too many wait already, it is answered with `Failed` at once.
    pub fn submit(&self, ticket: Ticket, op: DatastoreOp) {
        if self.queue.try_send((ticket, op)).is_err() {
            (self.shared.answer)(ticket, DatastoreResult::Failed);
        }
    }
}

fn run(waiting: &Receiver<(Ticket, DatastoreOp)>, mut performer: impl Perform, shared: &Shared) {
    for (ticket, op) in waiting {
        if shared.is_dropped.load(Ordering::Acquire) {
            return;
        }
        // Those that wait behind it must be answered all the same.
        let result = catch_unwind(AssertUnwindSafe(|| performer.perform(op))).unwrap_or_else(|_| {
            tracing::error!(
                thread = thread::current().name(),
                "an operation on a datastore panicked; it counts as failed"
            );
            DatastoreResult::Failed
        });
        if shared.is_dropped.load(Ordering::Acquire) {
            return;
        }
        (shared.answer)(ticket, result);
    }
}

impl Drop for DatastoreThread {
    fn drop(&mut self) {
        self.shared.is_dropped.store(true, Ordering::Release);
    }
}

impl fmt::Debug for DatastoreThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatastoreThread").finish_non_exhaustive()
    }
}
