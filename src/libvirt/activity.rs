//! Which VMs the daemon may have work for that we know of: calls that have not returned, and starts whose answer was lost.

use crate::core::ids::VmId;
use crate::platform::pid::ProcessName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The books of it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// Grows with every entry and every end of one.
    serial: u64,
    under_way: BTreeMap<VmId, u32>,
    /// When something last began or ended.
    touched: BTreeMap<VmId, u64>,
    /// Starts whose answer was lost, with the daemons that lived then.
    lost: BTreeMap<VmId, BTreeSet<ProcessName>>,
}

/// Something that is under way on a VM, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    vm: VmId,
}

impl Activity {
    /// Something begins that may bring up a process of this VM.
    pub(super) fn begin(self: &Arc<Self>, vm: VmId) -> UnderWay {
        let mut books = self.books();
        *books.under_way.entry(vm).or_default() += 1;
        books.touch(vm);
        UnderWay { activity: Arc::clone(self), vm }
    }

    /// The moment at which a look begins.
    pub(super) fn now(&self) -> u64 {
        self.books().serial
    }

    /// What was under way at any time since then.
    pub(super) fn since(&self, moment: u64) -> BTreeSet<VmId> {
        let books = self.books();
        let touched = books.touched.iter().filter(|(_, at)| **at > moment).map(|(vm, _)| *vm);
        books.under_way.keys().chain(books.lost.keys()).copied().chain(touched).collect()
    }

    /// Whether anything is under way on a VM.
    pub(super) fn is_busy(&self, vm: VmId) -> bool {
        let books = self.books();
        books.under_way.contains_key(&vm) || books.lost.contains_key(&vm)
    }

    /// The answer of a start was lost: as long as one of these daemons lives, it may still come about.
    pub(super) fn lose(&self, vm: VmId, daemons: BTreeSet<ProcessName>) {
        let mut books = self.books();
        books.touch(vm);
        books.lost.entry(vm).or_default().extend(daemons);
    }

    /// Starts whose answer was lost, of which one of the daemons still lives. The others are forgotten.
    pub(super) fn lost(&self, living: &BTreeSet<ProcessName>) -> Vec<VmId> {
        let mut books = self.books();
        let dead: Vec<VmId> =
            books.lost.iter().filter(|(_, daemons)| daemons.is_disjoint(living)).map(|(vm, _)| *vm).collect();
        for vm in dead {
            books.settle(vm);
        }
        books.lost.keys().copied().collect()
    }

    /// A start whose answer was lost is over.
    pub(super) fn settle(&self, vm: VmId) {
        self.books().settle(vm);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Nothing panics while it has the lock.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn touch(&mut self, vm: VmId) {
        self.serial += 1;
        self.touched.insert(vm, self.serial);
    }

    fn settle(&mut self, vm: VmId) {
        if self.lost.remove(&vm).is_some() {
            self.touch(vm);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut books = self.activity.books();
        if let Some(count) = books.under_way.get_mut(&self.vm) {
            *count -= 1;
            if *count == 0 {
                books.under_way.remove(&self.vm);
            }
        }
        books.touch(self.vm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: VmId = VmId(1);

    #[test]
    fn what_ends_during_a_look_was_under_way_for_that_look_only() {
        let activity = Arc::new(Activity::default());
        let first = activity.now();
        let (call, again) = (activity.begin(ONE), activity.begin(ONE));
        drop(call);
        assert!(activity.is_busy(ONE));
        drop(again);
        assert!(!activity.is_busy(ONE) && activity.since(first).contains(&ONE));
        assert!(activity.since(activity.now()).is_empty());
    }

    #[test]
    fn a_lost_start_is_over_with_its_daemon() {
        let activity = Activity::default();
        let (old, new) = (ProcessName { pid: 7, started: 1 }, ProcessName { pid: 7, started: 2 });
        activity.lose(ONE, BTreeSet::from([old]));
        assert!(activity.is_busy(ONE));
        assert_eq!(activity.lost(&BTreeSet::from([old, new])), [ONE]);
        let look = activity.now();
        assert!(activity.lost(&BTreeSet::from([new])).is_empty() && !activity.is_busy(ONE));
        assert!(activity.since(look).contains(&ONE), "a look that began before does not settle it");
        // Where no daemon was seen, none can have it.
        activity.lose(ONE, BTreeSet::new());
        assert!(activity.lost(&BTreeSet::from([new])).is_empty());
    }
}
