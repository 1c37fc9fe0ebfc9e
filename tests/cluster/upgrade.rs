//! A cluster is upgraded host by host, to a build that speaks another protocol and keeps its store in another schema.
//!
//! The program under test is the newer one. The older one, which was built without the feature `next-protocol`, is
//! named by the environment; `scripts/test upgrade` builds both.

use crate::rig::Rig;
use holdfast::api::VmView;
use holdfast::demo::{Cluster, Machine};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Where the older program is.
const OLD: &str = "HOLDFAST_OLD_PROGRAM";
/// What an agent says before it has a link to anyone, and when it has come up.
const BEGUN: &str = "listening address=";
const READY: &str = "the agent is ready";

fn old_program() -> PathBuf {
    let named = std::env::var_os(OLD).map(PathBuf::from);
    named.unwrap_or_else(|| panic!("{OLD} does not name the older program: run `scripts/test upgrade`"))
}

/// Replaces the agent of a host, as a package manager and a service manager would.
async fn upgrade(rig: &Rig, host: &str) {
    let machine = rig.machine(host);
    let before = log(machine).matches(READY).count();
    machine.install(&crate::rig::program()).unwrap();
    machine.signal_agent(Signal::TERM).unwrap();
    let ended = |_: &Cluster| {
        let status = machine.status();
        async move { Ok(status?.agent_pid.is_none()) }
    };
    rig.must(rig.cluster.until("the old agent to end", ended).await);
    machine.start_agent().unwrap();
    let ready = |_: &Cluster| async { Ok(log(machine).matches(READY).count() > before) };
    rig.must(rig.cluster.until("the new agent to be ready", ready).await);
    rig.until_host(host, "alive").await;
    rig.must(rig.cluster.until("all to be alive", |cluster| async move { cluster.all_alive().await }).await);
}

fn log(machine: &Machine) -> String {
    std::fs::read_to_string(machine.log()).unwrap_or_default()
}

/// What a host's present agent speaks with each of the others.
fn spoken(machine: &Machine) -> Vec<u8> {
    let log = log(machine);
    let run = log.rsplit(BEGUN).next().unwrap_or_default();
    let word = |line: &str, key: &str| Some(line.split_once(key)?.1.split(' ').next()?.to_owned());
    let link = |line: &str| Some((word(line, " peer=")?, word(line, " protocol=")?.parse().ok()?));
    let links: BTreeMap<String, u8> = run.lines().filter(|line| line.contains("link up")).filter_map(link).collect();
    links.into_values().collect()
}

async fn until_spoken(rig: &Rig, machine: &Machine, versions: [u8; 2]) {
    let speaks = |_: &Cluster| async { Ok(spoken(machine) == versions) };
    rig.must(rig.cluster.until("the protocol to be agreed on", speaks).await);
}

/// Nobody's VM was stopped or moved, and the ledger counts nothing against anybody but those named.
///
/// A VM whose agent has just come up is in doubt until that has looked, and is shown so; it waits for nothing else.
async fn undisturbed(rig: &Rig, but: &[String]) {
    let settled = |cluster| async move {
        let vms = Cluster::vms(cluster).await?;
        let doubtful = |vm: &&VmView| vm.state != "running" && !but.contains(&vm.name);
        if let Some(vm) = vms.iter().find(|vm| doubtful(vm) && vm.waits_for != "unknown") {
            panic!("it is disturbed: {vm:?}");
        }
        Ok(!vms.iter().any(|vm| doubtful(&vm)))
    };
    rig.must(rig.cluster.until("no VM to be in doubt", settled).await);
    let figures = rig.figures().await;
    for vm in rig.vms().await.iter().filter(|vm| !but.contains(&vm.name)) {
        assert_eq!(rig.starts(&vm.name), 1, "{}", vm.name);
        let row = figures.iter().find(|row| row.name == vm.name).unwrap();
        assert_eq!((row.unplanned_ms, row.failures), (0, 0), "{row:?}");
    }
    for machine in rig.cluster.machines() {
        let status = machine.status().unwrap();
        assert_eq!(status.watchdog_expiries, 0, "{}: {status:?}", machine.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_vm_feels_an_upgrade_and_a_mixed_cluster_survives_a_host() {
    let old = old_program();
    let rig = Rig::with_vms(6, |wanted| wanted.program = old.clone()).await;
    for machine in rig.cluster.machines() {
        until_spoken(&rig, machine, [1, 1]).await;
    }
    let master = rig.master().await;
    let mut others = rig.cluster.machines().iter().map(|machine| &machine.name).filter(|name| **name != master);
    let (first, last) = (others.next().unwrap().clone(), others.next().unwrap().clone());

    upgrade(&rig, &first).await;
    undisturbed(&rig, &[]).await;
    // With the others it speaks what they understand.
    until_spoken(&rig, rig.machine(&first), [1, 1]).await;

    // Half way: one new, two old. The death of an old host is handled by an old master and a new voter.
    let lost = rig.on(&last).await;
    rig.machine(&last).kill().unwrap();
    rig.until_moved(&lost, &last).await;
    assert!(lost.iter().all(|vm| rig.starts(vm) == 2));
    rig.until_host(&last, "alive").await;
    undisturbed(&rig, &lost).await;

    upgrade(&rig, &master).await;
    undisturbed(&rig, &lost).await;
    upgrade(&rig, &last).await;
    undisturbed(&rig, &lost).await;
    for machine in rig.cluster.machines() {
        until_spoken(&rig, machine, [2, 2]).await;
    }
    let starts: Vec<usize> = lost.iter().map(|vm| rig.starts(vm)).collect();
    assert!(starts.iter().all(|starts| *starts == 2), "{starts:?}");

    let state = rig.machine(&first).state();
    assert!(state.join("holdfast.db.before-3").exists(), "what was before the new schema is kept");
    let (config, _folder) = (rig.machine(&first).config(), rig.end_and_keep().await);
    let back = Command::new(old).arg("agent").arg("--config").arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&back.stderr);
    assert!(!back.status.success() && said.contains("install the newer holdfast"), "{said}");
}
