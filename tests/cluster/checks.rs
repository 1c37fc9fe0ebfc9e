//! What must hold at the end of every test, and the proof that the check itself works.

use crate::rig::Rig;
use holdfast::api::EventView;
use holdfast::core::action::{PlatformCall, PlatformEvent};
use holdfast::core::ids::{ClusterGeneration, Epoch, Ticket, VmId};
use holdfast::platform::{Platform, Tell};
use holdfast::process::{HostSetup, ProcessPlatform};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// Whoever is asked tells the same of what happened.
pub async fn ledgers_agree(rig: &Rig) {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for machine in rig.cluster.machines() {
        let Ok(client) = machine.client() else { continue };
        let Ok(events) = client.get::<Vec<EventView>>("/v1/events").await else { continue };
        for event in events {
            let before = told.insert(event.key.clone(), event.text.clone());
            assert!(before.is_none_or(|text| text == event.text), "{} tells another history: {event:?}", machine.name);
        }
    }
    assert!(!told.is_empty(), "nobody tells what happened");
}

/// The check that ends every test must be able to fail: a VM that is started a second time, past Holdfast, is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_runs_twice_is_found() {
    let rig = Rig::with_vms(1, |_| {}).await;
    assert!(rig.examine("vm-1").clashes.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = mpsc::channel();
    let tell: Tell = {
        let tell = std::sync::Mutex::new(tell);
        Arc::new(move |event| drop(tell.lock().unwrap().send(event)))
    };
    let setup = HostSetup {
        host: "intruder".to_owned(),
        run: folder.path().join("run"),
        state: folder.path().join("state"),
        program: crate::rig::program(),
        call_deadline: Duration::from_secs(10),
    };
    let mut intruder = ProcessPlatform::new(setup, tell).unwrap();
    let vm = VmId(1);
    let definition = format!("disk = {:?}\nlock = false\n", rig.cluster.disk("vm-1"));
    intruder.define(vm, definition.into_bytes().into());
    let epoch = Epoch { generation: ClusterGeneration(0), number: 999 };
    intruder.call(Ticket(1), PlatformCall::Start { vm, epoch });
    let returned = told.iter().find(|event| matches!(event, PlatformEvent::Returned { .. }));
    assert!(returned.is_some());
    let found = |cluster: &holdfast::demo::Cluster| {
        let clashes = holdfast::process::disk::examine(&cluster.disk("vm-1")).map(|seen| seen.clashes.len());
        async move { Ok(clashes? > 0) }
    };
    rig.must(rig.cluster.until("the clash to be found", found).await);
    intruder.kill(vm);
    // It is no child of the cluster's, so the test itself sees to it that nothing of it is left.
    for ticket in 2.. {
        intruder.call(Ticket(ticket), PlatformCall::Look);
        let seen = told.iter().find_map(|event| match event {
            PlatformEvent::Looked { view, .. } => Some(view),
            _ => None,
        });
        if seen.expect("a look is answered").processes.is_empty() {
            break;
        }
    }
}
