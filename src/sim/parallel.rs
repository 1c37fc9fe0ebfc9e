//! Many worlds at once, one to a thread, with their outcomes in the order of their numbers: what is made of them does
//! not depend on how many threads there were, or which was quicker.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

/// As many threads as there are cores, unless somebody wants another number.
pub fn jobs(wanted: Option<NonZeroUsize>) -> NonZeroUsize {
    wanted.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Does the work for each number, and hands over what came of it in the order of the numbers, until that says to break
/// off or `goes_on` says that nothing further is to be begun.
pub fn in_order<T: Send>(
    jobs: NonZeroUsize,
    numbers: RangeInclusive<u64>,
    goes_on: impl Fn() -> bool + Sync,
    work: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, T) -> ControlFlow<()>,
) {
    let next = AtomicU64::new(*numbers.start());
    let broken_off = AtomicBool::new(false);
    let worker = |results: mpsc::Sender<(u64, T)>| {
        // Whether there is time is asked before a number is taken: what was taken is done, and no number is left out.
        while !broken_off.load(Ordering::Relaxed) && goes_on() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number > *numbers.end() || results.send((number, work(number))).is_err() {
                return;
            }
        }
    };
    let (sender, receiver) = mpsc::channel::<(u64, T)>();
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            let (sender, worker) = (sender.clone(), &worker);
            scope.spawn(move || worker(sender));
        }
        drop(sender);
        let mut early: BTreeMap<u64, T> = BTreeMap::new();
        let mut due = *numbers.start();
        for (number, result) in receiver {
            early.insert(number, result);
            while let Some(result) = early.remove(&due) {
                if each(due, result).is_break() {
                    broken_off.store(true, Ordering::Relaxed);
                    return;
                }
                due += 1;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

    #[test]
    fn outcomes_come_in_order_and_whole() {
        let mut seen = Vec::new();
        in_order(
            FOUR,
            3..=200,
            || true,
            |number| number * 2,
            |number, twice| {
                seen.push((number, twice));
                ControlFlow::Continue(())
            },
        );
        assert_eq!(seen, (3..=200).map(|number| (number, number * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn it_ends_where_it_is_broken_off() {
        let mut last = 0;
        in_order(
            FOUR,
            1..=1_000_000,
            || true,
            |number| number,
            |number, _| {
                last = number;
                if number == 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert_eq!(last, 50);
        in_order(FOUR, 1..=10, || false, |number| number, |_, _| unreachable!("nothing was to be begun"));
    }
}
