//! Definitions: told when they change, brought to a host, and who starts a VM with its host.

use crate::host::inside;
use crate::rig::{Adapter, Host, ONE, TWO, pass, succeed, until};
use holdfast::core::action::Outcome;
use holdfast::core::command::Want;
use holdfast::libvirt::definition::ObstacleKind;
use holdfast::platform::Platform;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_definition_is_told_travels_and_is_started_from() {
    inside("definitions::a_definition_is_told_travels_and_is_started_from", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        succeed(&["start", &ONE.to_string()]);
        let mut adapter = Adapter::new(&host, pass());
        let told = adapter.definitions.recv_timeout(SOON).unwrap();
        assert_eq!((told.vm, told.is_active, told.described.memory_mib), (ONE, true, 8));
        assert!(told.obstacles.is_empty(), "{:?}", told.obstacles);
        // An edit is told, and its like is not.
        host.define_as(ONE, &host.xml(ONE, "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"));
        let edited = adapter.definitions.recv_timeout(SOON).unwrap();
        assert_ne!(edited.payload, told.payload);
        let local = host.xml(ONE, "").replace("cache='none'", "").replace(host.datastore().to_str().unwrap(), "/root");
        host.define_as(ONE, &local);
        let local = adapter.definitions.recv_timeout(SOON).unwrap();
        let kinds: Vec<ObstacleKind> = local.obstacles.iter().map(|obstacle| obstacle.kind).collect();
        assert_eq!(kinds, [ObstacleKind::LocalFile, ObstacleKind::UnsafeCache]);
        // Elsewhere it would begin like this.
        assert_eq!(adapter.stop(ONE, Want::Killed), Outcome::Done);
        adapter.ended(ONE);
        succeed(&["undefine", &ONE.to_string()]);
        adapter.platform.lock().unwrap().define(ONE, edited.payload);
        assert_eq!(adapter.start(ONE), Outcome::Done);
        assert!(succeed(&["dumpxml", "--inactive", &ONE.to_string()]).contains("/dev/urandom"));
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
        let surveyor = adapter.platform.lock().unwrap().surveyor();
        let all = surveyor.survey(SOON).unwrap();
        assert!(all.len() == 1 && all[0].name == "vm-1" && !all[0].starts_with_host && !all[0].is_active, "{all:?}");
        adapter.know(&[TWO]);
        until("it is given back", || starts().then_some(()));
    });
}
