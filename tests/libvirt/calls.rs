//! Calls, and what they come to.

use crate::host::inside;
use crate::rig::{Adapter, Host, ONE, TWO, fail, pass, process, state, succeed};
use holdfast::core::action::{Ended, Outcome, PlatformCall, ProcessState};
use holdfast::core::command::Want;

#[test]
fn calls_come_to_what_they_should() {
    inside("calls::calls_come_to_what_they_should", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let mut adapter = Adapter::new(&host, pass());
        let probe = |adapter: &mut Adapter| adapter.call(PlatformCall::ProbeLock { vm: ONE });
        assert_eq!(adapter.start(TWO), Outcome::Failed, "it is not defined");
        assert_eq!(probe(&mut adapter), Outcome::Done);
        assert_eq!(adapter.stop(ONE, Want::Stopped), Outcome::Failed, "it does not run");
        assert_eq!(adapter.start(ONE), Outcome::Done);
        assert_eq!(probe(&mut adapter), Outcome::Locked);
        assert_eq!(adapter.start(ONE), Outcome::Failed, "it runs");
        assert_eq!(adapter.call(PlatformCall::Undefine { vm: ONE }), Outcome::Failed, "it runs");
        // A second VM on the same disk.
        let xml = host.xml(TWO, "").replace(host.disk(TWO).to_str().unwrap(), host.disk(ONE).to_str().unwrap());
        host.define_as(TWO, &xml);
        assert_eq!(adapter.start(TWO), Outcome::Locked);
        // The guest has no system that could heed it.
        assert_eq!(adapter.stop(ONE, Want::Stopped), Outcome::TimedOut);
        assert_eq!(state(&adapter.look(), ONE), Some(ProcessState::Executing));
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        assert!(process(ONE).is_none());
        assert_eq!(adapter.ended(ONE), Ended::Crashed);
        assert_eq!(probe(&mut adapter), Outcome::Done);
    });
}

#[test]
fn undefining_deletes_nothing() {
    inside("calls::undefining_deletes_nothing", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let mut adapter = Adapter::new(&host, pass());
        let name = ONE.to_string();
        assert_eq!(adapter.start(ONE), Outcome::Done);
        succeed(&["managedsave", &name]);
        let undefine = PlatformCall::Undefine { vm: ONE };
        assert_eq!(adapter.call(undefine), Outcome::Failed, "what was saved would be lost");
        assert_eq!(adapter.start(ONE), Outcome::Done, "it goes on from what was saved");
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        assert_eq!(adapter.ended(ONE), Ended::Crashed);
        assert_eq!(adapter.call(undefine), Outcome::Done);
        assert!(fail(&["dominfo", &name]).contains("failed to get domain"));
        assert_eq!(adapter.call(undefine), Outcome::Done, "there is nothing to do");
        assert!(host.disk(ONE).exists());
    });
}
