//! Work in lanes: in order within a lane, and no lane waits for another one.

use crate::core::action::PlatformEvent;
use crate::core::ids::VmId;
use crate::platform::Tell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// In one lane no more work waits than this.
const LONGEST: usize = 64;
/// What the work here needs of a stack is little.
const STACK: usize = 512 * 1_024;

/// What waits for its turn. What it returns is told when its lane counts it as done.
pub(crate) type Work = Box<dyn FnOnce() -> Option<PlatformEvent> + Send>;

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// What is done with one VM.
    Vm(VmId),
    /// Looking, for which there is always a thread.
    Looks,
}

/// All lanes. Each in which there is work has a thread, as far as the limit allows.
#[derive(Clone)]
pub(crate) struct Lanes {
    state: Arc<Mutex<State>>,
    limit: usize,
    tell: Tell,
}

#[derive(Default)]
struct State {
    /// The work that waits in each lane that has a thread, or waits for one.
    lanes: BTreeMap<Lane, VecDeque<Work>>,
    /// Lanes that wait for a thread.
    waiting: VecDeque<Lane>,
    threads: usize,
}

impl Lanes {
    /// Lanes with at most so many threads for VMs.
    pub(crate) fn new(limit: usize, tell: Tell) -> Lanes {
        Lanes { state: Arc::default(), limit, tell }
    }

    /// Adds work to a lane; `false` if that is not possible, and the work is dropped.
    pub(crate) fn add(&self, lane: Lane, work: Work) -> bool {
        let mut state = self.state();
        if let Some(queue) = state.lanes.get_mut(&lane) {
            let fits = queue.len() < LONGEST;
            if fits {
                queue.push_back(work);
            }
            return fits;
        }
        if lane != Lane::Looks && state.threads >= self.limit {
            state.waiting.push_back(lane);
        } else if !self.spawn(lane) {
            return false;
        } else if lane != Lane::Looks {
            state.threads += 1;
        }
        state.lanes.insert(lane, VecDeque::from([work]));
        true
    }

    /// The VMs with which something is being done, or is to be.
    pub(crate) fn busy(&self) -> Vec<VmId> {
        let state = self.state();
        let vm = |lane: &Lane| match lane {
            Lane::Vm(vm) => Some(*vm),
            Lane::Looks => None,
        };
        state.lanes.keys().filter_map(vm).collect()
    }

    /// The new thread waits until whoever makes it has let go of the state.
    fn spawn(&self, lane: Lane) -> bool {
        let lanes = self.clone();
        let name = match lane {
            Lane::Vm(vm) => vm.to_string(),
            Lane::Looks => "looks".to_owned(),
        };
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || lanes.run(lane)).is_ok()
    }

    fn run(&self, mut lane: Lane) {
        loop {
            let mut waiting = self.next(lane);
            while let Some(work) = waiting {
                let event = work();
                // A look that is asked for because of this event must not find its VM busy with what it tells of.
                waiting = self.next(lane);
                if let Some(event) = event {
                    (self.tell)(event);
                }
            }
            if lane == Lane::Looks {
                return;
            }
            match self.next_lane() {
                Some(next) => lane = next,
                None => return,
            }
        }
    }

    /// The next work of a lane. If there is none the lane is closed, all at once, so that nobody adds to it in between.
    fn next(&self, lane: Lane) -> Option<Work> {
        let mut state = self.state();
        let work = state.lanes.get_mut(&lane).and_then(VecDeque::pop_front);
        if work.is_none() {
            state.lanes.remove(&lane);
        }
        work
    }

    fn next_lane(&self) -> Option<Lane> {
        let mut state = self.state();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.threads -= 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it has the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(20);

    fn lanes(limit: usize) -> Lanes {
        Lanes::new(limit, Arc::new(|_| {}))
    }

    /// Work that tells nothing.
    fn quiet(work: impl FnOnce() + Send + 'static) -> Work {
        Box::new(move || {
            work();
            None
        })
    }

    #[test]
    fn a_lane_keeps_its_order_and_one_that_hangs_holds_up_no_other() {
        let lanes = lanes(2);
        let (told, tells) = channel();
        let (release, released) = channel::<()>();
        let (one, two) = (Lane::Vm(VmId(1)), Lane::Vm(VmId(2)));
        lanes.add(one, quiet(move || released.recv_timeout(SOON).unwrap()));
        for (lane, number) in [(one, 1), (two, 2), (two, 3), (Lane::Looks, 4)] {
            let told = told.clone();
            assert!(lanes.add(lane, quiet(move || told.send(number).unwrap())));
        }
        let mut others: Vec<i32> = (0..3).map(|_| tells.recv_timeout(SOON).unwrap()).collect();
        assert!(others.iter().position(|n| *n == 2) < others.iter().position(|n| *n == 3));
        others.sort_unstable();
        assert_eq!(others, [2, 3, 4]);
        assert!(lanes.busy().contains(&VmId(1)));
        release.send(()).unwrap();
        assert_eq!(tells.recv_timeout(SOON).unwrap(), 1);
    }

    #[test]
    fn what_finds_no_thread_waits_for_one_and_looks_never_do() {
        let lanes = lanes(1);
        let (told, tells) = channel();
        let (release, released) = channel::<()>();
        lanes.add(Lane::Vm(VmId(1)), quiet(move || released.recv_timeout(SOON).unwrap()));
        for (lane, number) in [(Lane::Vm(VmId(2)), 2), (Lane::Vm(VmId(3)), 3), (Lane::Looks, 4)] {
            let told = told.clone();
            lanes.add(lane, quiet(move || told.send(number).unwrap()));
        }
        assert_eq!(tells.recv_timeout(SOON).unwrap(), 4);
        assert_eq!(lanes.busy(), [VmId(1), VmId(2), VmId(3)]);
        release.send(()).unwrap();
        assert_eq!([tells.recv_timeout(SOON).unwrap(), tells.recv_timeout(SOON).unwrap()], [2, 3]);
    }

    #[test]
    fn a_lane_is_not_endless() {
        let lanes = lanes(1);
        let (release, released) = channel::<()>();
        let lane = Lane::Vm(VmId(1));
        lanes.add(lane, quiet(move || released.recv_timeout(SOON).unwrap()));
        let added = (0..LONGEST * 2).filter(|_| lanes.add(lane, quiet(|| {}))).count();
        // The first one may wait in it, too, as long as its thread has not begun.
        assert!((LONGEST - 1..=LONGEST).contains(&added), "{added}");
        release.send(()).unwrap();
    }

    #[test]
    fn what_is_told_is_not_under_way_any_more() {
        let (told, tells) = channel();
        let lanes = Lanes::new(1, Arc::new(move |event| told.send(event).unwrap()));
        let (release, released) = channel::<()>();
        let event = PlatformEvent::Changed { vm: VmId(1) };
        let work = move || {
            released.recv_timeout(SOON).unwrap();
            Some(event)
        };
        lanes.add(Lane::Vm(VmId(1)), Box::new(work));
        assert_eq!(lanes.busy(), [VmId(1)]);
        release.send(()).unwrap();
        tells.recv_timeout(SOON).unwrap();
        assert!(lanes.busy().is_empty());
    }
}
