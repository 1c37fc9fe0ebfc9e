//! Definitions: told when they change, brought to a host, and who starts a VM with its host.

use crate::host::inside;
use crate::rig::{Adapter, Host, ONE, TWO, pass, succeed, until};
use holdfast::core::action::Outcome;
use holdfast::core::command::Want;
use holdfast::core::ids::{DatastoreId, FeatureId};
use holdfast::libvirt::definition::payload::unpack;
use holdfast::platform::Platform;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_definition_is_told_travels_and_is_started_from() {
    inside("definitions::a_definition_is_told_travels_and_is_started_from", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        succeed(&["start", &ONE.to_string()]);
        let mut adapter = Adapter::new(&host, pass());
        let (vm, told) = adapter.definitions.recv_timeout(SOON).unwrap();
        assert_eq!((vm, told.memory_mib, told.millicores), (ONE, 8, 1_000));
        assert_eq!((told.datastores.clone(), told.bonds.clone()), ([DatastoreId(7)].into(), vec![]));
        let offers = adapter.offers();
        let missing: Vec<&String> = told.needs.iter().filter(|need| !offers.contains(&FeatureId::of(need))).collect();
        assert!(told.needs.len() >= 3 && missing.is_empty(), "{:?}: {missing:?}", told.needs);
        // An edit is told, and its like is not.
        host.define_as(ONE, &host.xml(ONE, "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"));
        let (_, edited) = adapter.definitions.recv_timeout(SOON).unwrap();
        assert_ne!(edited.payload, told.payload);
        adapter.platform.lock().unwrap().describe(ONE, false);
        assert_eq!(
            adapter.definitions.recv_timeout(SOON).unwrap(),
            (ONE, edited.clone()),
            "asked for, it is told again"
        );
        let local = host.xml(ONE, "").replace(host.datastore().to_str().unwrap(), "/root");
        host.define_as(ONE, &local);
        let (_, local) = adapter.definitions.recv_timeout(SOON).unwrap();
        assert!(local.bonds.len() == 1 && local.bonds[0].contains("not on a shared datastore"), "{:?}", local.bonds);
        // Elsewhere it would begin like this.
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        adapter.ended(ONE);
        succeed(&["undefine", &ONE.to_string()]);
        adapter.platform.lock().unwrap().define(ONE, Arc::clone(&edited.payload));
        assert_eq!(adapter.start(ONE), Outcome::Done);
        assert!(succeed(&["dumpxml", "--inactive", &ONE.to_string()]).contains("/dev/urandom"));
        // The log knows what it sent, and is told of the next edit only.
        adapter.platform.lock().unwrap().describe(ONE, false);
        host.define_as(ONE, &host.xml(ONE, ""));
        let (_, plain) = adapter.definitions.recv_timeout(SOON).unwrap();
        assert!(!unpack(&plain.payload).unwrap().xml.contains("/dev/urandom"));
        adapter.platform.lock().unwrap().define(ONE, told.payload.iter().copied().rev().collect());
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        assert_eq!(adapter.start(ONE), Outcome::Failed, "its newest definition is none");
    });
}

#[test]
fn a_protected_vm_does_not_start_with_its_host_and_does_so_again_afterwards() {
    inside("definitions::a_protected_vm_does_not_start_with_its_host_and_does_so_again_afterwards", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let starts = || {
            succeed(&["dominfo", &ONE.to_string()])
                .lines()
                .any(|line| line.starts_with("Autostart") && line.ends_with("enable"))
        };
        succeed(&["autostart", &ONE.to_string()]);
        assert!(starts());
        let mut adapter = Adapter::new(&host, pass());
        until("it is taken over", || (!starts()).then_some(()));
        let survey = adapter.platform.lock().unwrap().survey().unwrap();
        let all = survey.found().unwrap();
        assert!(all.len() == 1 && all[0].shape.name == "vm-1" && !all[0].runs, "{all:?}");
        adapter.know(&[TWO]);
        until("it is given back", || starts().then_some(()));
    });
}

#[test]
fn a_start_that_fails_leaves_no_definition_that_was_brought_for_it() {
    inside("definitions::a_start_that_fails_leaves_no_definition_that_was_brought_for_it", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let mut adapter = Adapter::new(&host, pass());
        let (_, told) = adapter.definitions.recv_timeout(SOON).unwrap();
        let is_defined = || succeed(&["list", "--all", "--name"]) == ONE.to_string();
        let start = |adapter: &mut Adapter| {
            adapter.platform.lock().unwrap().define(ONE, Arc::clone(&told.payload));
            adapter.start(ONE)
        };
        let aside = host.folder.join("aside");
        std::fs::rename(host.disk(ONE), &aside).unwrap();
        assert_eq!(start(&mut adapter), Outcome::Failed, "its disk is missing");
        assert!(is_defined(), "it was there before");
        succeed(&["undefine", &ONE.to_string()]);
        for _ in 0..2 {
            assert_eq!(start(&mut adapter), Outcome::Failed);
            assert!(!is_defined());
        }
        std::fs::rename(&aside, host.disk(ONE)).unwrap();
        assert_eq!(start(&mut adapter), Outcome::Done);
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        std::fs::rename(host.disk(ONE), &aside).unwrap();
        assert_eq!(start(&mut adapter), Outcome::Failed);
        assert!(is_defined(), "it has run here");
    });
}

#[test]
fn a_vm_does_not_go_on_with_a_memory_that_is_older_than_its_disk() {
    inside("definitions::a_vm_does_not_go_on_with_a_memory_that_is_older_than_its_disk", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        succeed(&["start", &ONE.to_string()]);
        let mut adapter = Adapter::new(&host, pass());
        let (_, running) = adapter.definitions.recv_timeout(SOON).unwrap();
        succeed(&["managedsave", &ONE.to_string()]);
        let (_, saved) = adapter.definitions.recv_timeout(SOON).unwrap();
        assert!(saved.bonds.iter().any(|bond| bond.contains("saved")), "{:?}", saved.bonds);
        // It ran elsewhere since, where nobody had saved it.
        adapter.platform.lock().unwrap().define(ONE, Arc::clone(&running.payload));
        assert_eq!(adapter.start(ONE), Outcome::Failed);
        adapter.platform.lock().unwrap().define(ONE, Arc::clone(&saved.payload));
        assert_eq!(adapter.start(ONE), Outcome::Done);
    });
}
