//! A daemon that dies, hangs, and comes back.

use crate::host::inside;
use crate::rig::{Adapter, Host, ONE, TWO, pass, process, signal_to, state, until};
use holdfast::clock::boottime;
use holdfast::core::action::{Ended, Outcome, ProcessState};
use holdfast::core::ids::Epoch;
use holdfast::platform::Platform;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn what_runs_is_seen_whatever_the_daemon_does() {
    inside("daemons::what_runs_is_seen_whatever_the_daemon_does", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        host.define(TWO);
        let mut adapter = Adapter::new(&host, pass());
        assert_eq!([adapter.start(ONE), adapter.start(TWO)], [Outcome::Done; 2]);
        host.signal_daemon("STOP");
        let view = adapter.look();
        assert!(!view.daemon && state(&view, ONE) == Some(ProcessState::Executing), "{view:?}");
        adapter.drain();
        adapter.platform.lock().unwrap().kill(ONE);
        adapter.changed(ONE);
        let view = adapter.look();
        assert_eq!((state(&view, ONE), view.daemon), (None, false), "it is not asked while it hangs");
        host.kill_daemon();
        assert!(!adapter.look().daemon);
        // The connection of the call before may not be known to be broken yet.
        let outcome = adapter.start(ONE);
        assert!(matches!(outcome, Outcome::Failed | Outcome::ConnectionLost), "{outcome:?}");
        host.start_daemon();
        assert_eq!(adapter.ended(ONE), Ended::Crashed);
        assert_eq!(state(&adapter.look(), TWO), Some(ProcessState::Executing));
        // Events come again.
        until("events come", || {
            assert_eq!(adapter.start(ONE), Outcome::Done);
            adapter.look();
            adapter.drain();
            signal_to(&process(ONE).unwrap(), "TERM");
            (adapter.ended(ONE) == Ended::Crashed).then_some(())
        });
    });
}

#[test]
fn a_start_in_a_daemon_that_hangs_is_under_way_until_it_is_over() {
    inside("daemons::a_start_in_a_daemon_that_hangs_is_under_way_until_it_is_over", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let mut adapter = Adapter::new(&host, pass());
        adapter.ended(ONE);
        host.signal_daemon("STOP");
        assert_eq!(adapter.start(ONE), Outcome::TimedOut);
        let view = adapter.look();
        assert!(!view.daemon && view.busy.contains(&ONE) && view.processes.is_empty(), "{view:?}");
        // It is killed as soon as it comes up.
        adapter.platform.lock().unwrap().kill(ONE);
        host.signal_daemon("CONT");
        until("it is killed", || {
            let view = adapter.look();
            (view.daemon && !view.busy.contains(&ONE) && view.processes.is_empty()).then_some(())
        });
        assert!(process(ONE).is_none());
        assert_eq!(adapter.start(ONE), Outcome::Done, "starts that come later are not hindered");
    });
}

/// Longer than a connection to a daemon that is silent lasts.
const BREAKS: Duration = Duration::from_secs(22);

#[test]
fn a_start_is_not_forgotten_with_the_connection_that_it_was_ordered_by() {
    inside("daemons::a_start_is_not_forgotten_with_the_connection_that_it_was_ordered_by", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        // The hook gets no answer, so the daemon is in the middle of the start.
        let answers = move |_, _| {
            flag.store(true, Ordering::SeqCst);
            None
        };
        let mut adapter = Adapter::new(&host, Arc::new(answers));
        let ticket = adapter.begin_start(ONE);
        until("the hook asks", || asked.load(Ordering::SeqCst).then_some(()));
        host.signal_daemon("STOP");
        let began = boottime();
        assert_eq!(adapter.returned(ticket), Outcome::TimedOut);
        while boottime().since(began) < BREAKS {
            let view = adapter.look();
            assert!(view.busy.contains(&ONE) && !view.daemon, "{view:?}");
        }
        host.signal_daemon("CONT");
        until("it is settled", || {
            let view = adapter.look();
            (view.daemon && !view.busy.contains(&ONE) && view.processes.is_empty()).then_some(())
        });
        assert!(process(ONE).is_none());
    });
}

#[test]
fn a_start_whose_daemon_dies_is_lost_and_not_failed() {
    inside("daemons::a_start_whose_daemon_dies_is_lost_and_not_failed", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let (asked, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (flag, passes) = (Arc::clone(&asked), Arc::clone(&told));
        // The hook is held up, so the daemon is in the middle of the start.
        let answers = Arc::new(move |_, _| {
            flag.store(true, Ordering::SeqCst);
            passes.load(Ordering::SeqCst).then_some(Ok(Epoch::NONE))
        });
        let mut adapter = Adapter::new(&host, answers);
        let ticket = adapter.begin_start(ONE);
        until("the hook asks", || asked.load(Ordering::SeqCst).then_some(()));
        host.kill_daemon();
        assert_eq!(adapter.returned(ticket), Outcome::ConnectionLost);
        told.store(true, Ordering::SeqCst);
        host.start_daemon();
        until("nothing of it is left", || {
            let view = adapter.look();
            (view.daemon && !view.busy.contains(&ONE) && view.processes.is_empty()).then_some(())
        });
        assert_eq!(adapter.start(ONE), Outcome::Done);
    });
}
