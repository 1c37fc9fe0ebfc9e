//! How VMs end, and what is told of it.

use crate::host::inside;
use crate::rig::{Adapter, Host, ONE, TWO, pass, process, signal_to, state, succeed};
use holdfast::core::action::{Ended, Outcome, ProcessState};
use holdfast::core::command::Want;
use holdfast::platform::Platform;

#[test]
fn each_end_is_told_as_what_it_was() {
    inside("ends::each_end_is_told_as_what_it_was", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let mut adapter = Adapter::new(&host, pass());
        assert_eq!(adapter.ended(ONE), Ended::Unknown, "it never ran here");
        let name = ONE.to_string();
        let start = |adapter: &mut Adapter| {
            assert_eq!(adapter.start(ONE), Outcome::Done);
            let view = adapter.look();
            assert_eq!(state(&view, ONE), Some(ProcessState::Executing), "{view:?}");
            assert!(!view.inactive.iter().any(|(vm, _)| *vm == ONE));
            adapter.drain();
        };
        start(&mut adapter);
        succeed(&["destroy", &name]);
        adapter.changed(ONE);
        assert_eq!(adapter.ended(ONE), Ended::Destroyed, "virsh destroy");
        start(&mut adapter);
        signal_to(&process(ONE).unwrap(), "KILL");
        adapter.changed(ONE);
        assert_eq!(adapter.ended(ONE), Ended::Crashed, "SIGKILL");
        start(&mut adapter);
        signal_to(&process(ONE).unwrap(), "TERM");
        adapter.changed(ONE);
        assert_eq!(adapter.ended(ONE), Ended::Crashed, "SIGTERM is not the guest's doing");
        start(&mut adapter);
        succeed(&["managedsave", &name]);
        assert_eq!(adapter.ended(ONE), Ended::Destroyed, "saved");
        start(&mut adapter);
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        assert_eq!(adapter.ended(ONE), Ended::Crashed, "our own stop is no person's");
        start(&mut adapter);
        adapter.platform.lock().unwrap().kill(ONE);
        adapter.changed(ONE);
        assert_eq!(adapter.ended(ONE), Ended::Crashed, "killed");
        assert!(adapter.look().processes.is_empty());
    });
}

#[test]
fn who_holds_a_disk_keeps_its_vm_from_being_gone() {
    inside("ends::who_holds_a_disk_keeps_its_vm_from_being_gone", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        host.define(TWO);
        let mut adapter = Adapter::new(&host, pass());
        assert_eq!(adapter.start(ONE), Outcome::Done);
        let holder = std::fs::OpenOptions::new().append(true).open(host.disk(ONE)).unwrap();
        assert_eq!(state(&adapter.look(), ONE), Some(ProcessState::Executing));
        adapter.drain();
        signal_to(&process(ONE).unwrap(), "KILL");
        adapter.changed(ONE);
        crate::rig::until("its process is gone", || process(ONE).is_none().then_some(()));
        assert_eq!(state(&adapter.look(), ONE), Some(ProcessState::Dying));
        assert_eq!(state(&adapter.look(), TWO), None);
        drop(holder);
        assert_eq!(adapter.ended(ONE), Ended::Crashed);
    });
}
