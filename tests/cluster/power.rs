//! Fence devices and people: who is switched off and on, and by whom a device is asked.

use crate::rig::{Rig, nothing};
use holdfast::api::FenceTest;
use holdfast::machine::Power;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_switches_a_host_off_and_on() {
    let rig = Rig::with_vms(3, |wanted| wanted.watchdog = false).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    let master = rig.master().await;
    let off = |host: &str, force: bool| {
        let (path, body) = (format!("/v1/hosts/{host}/off"), json!({ "force": force }));
        let rig = &rig;
        async move { rig.post(&path, body).await }
    };
    assert_eq!(off(&victim, false).await.unwrap_err().code(), Some("held"));
    assert_eq!(off(&master, true).await.unwrap_err().code(), Some("busy"));
    off(&victim, true).await.unwrap();
    rig.until_moved(&vms, &victim).await;
    rig.proven(&vms, "fenced").await;
    rig.until_told(&format!("a person has {victim} switched off")).await;
    // Others that are fenced are powered on again; this one is not, and the next master, or this one anew, knows that too.
    let mastered = rig.told("is master").await;
    rig.machine(&master).signal_agent(Signal::KILL).unwrap();
    let succeeded = |_| async { Ok(rig.told("is master").await > mastered) };
    rig.must(rig.cluster.until("the next master", succeeded).await);
    rig.until_host(&master, "alive").await;
    assert_eq!(rig.machine(&victim).status().unwrap().power, Power::Off);
    rig.post(&format!("/v1/hosts/{victim}/on"), nothing()).await.unwrap();
    rig.until_host(&victim, "alive").await;
    rig.until_told(&format!("a person has {victim} switched on")).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_tested_from_every_voter() {
    let rig = Rig::with_vms(0, |_| {}).await;
    let test = || async { rig.cluster.client().await.unwrap().get::<FenceTest>("/v1/fences/bmc-of-host-2/test").await };
    let good = test().await.unwrap();
    let by: Vec<&str> = good.readings.iter().map(|reading| reading.by.as_str()).collect();
    assert_eq!((good.good, by), (true, vec!["host-1", "host-2", "host-3"]), "{good:?}");
    assert!(good.readings.iter().all(|reading| reading.right_machine == Some(true)
        && reading.power.as_deref() == Some("on")
        && reading.problem.is_none()));
    // The cables of two hosts are mixed up.
    set_up(&rig, "bmc-of-host-2", rig.machine("host-3").bmc().map(|device| json!(device)).unwrap()).await;
    let wrong = test().await.unwrap();
    assert!(!wrong.good && wrong.readings.iter().all(|reading| reading.right_machine == Some(false)), "{wrong:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_does_not_reach_a_device_has_another_host_give_the_order() {
    let rig = Rig::with_vms(3, |wanted| wanted.watchdog = false).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    let mut device = json!(rig.machine(&victim).bmc().unwrap());
    let address = device["Redfish"]["address"].as_str().unwrap().trim_start_matches("https://").parse().unwrap();
    let master = rig.master().await;
    let wall = Wall::before(address, rig.machine(&master).config()).await;
    device["Redfish"]["address"] = json!(format!("https://{}", wall.address));
    set_up(&rig, &format!("bmc-of-{victim}"), device).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    rig.proven(&vms, "fenced").await;
    assert_eq!(rig.master().await, master, "it was the master's own way that was closed");
    let (refused, passed) = (wall.refused.load(Ordering::SeqCst), wall.passed.load(Ordering::SeqCst));
    assert!(refused > 0 && passed > 0, "{refused} connections of the master were refused, {passed} passed");
    drop(wall);
    rig.end().await;
}

async fn set_up(rig: &Rig, name: &str, device: Value) {
    rig.post("/v1/fences", json!({ "name": name, "device": device })).await.unwrap();
}

/// What stands between a BMC and the agent with one configuration: the others get through.
struct Wall {
    address: SocketAddr,
    refused: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
    gate: JoinHandle<()>,
}

impl Wall {
    async fn before(bmc: SocketAddr, shut_out: PathBuf) -> Wall {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (refused, passed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&refused), Arc::clone(&passed));
        let gate = tokio::spawn(async move {
            while let Ok((mut stream, from)) = listener.accept().await {
                if runs_with(from.port(), &shut_out) {
                    counts.0.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                counts.1.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(bmc).await {
                        // Either end may go first.
                        tokio::io::copy_bidirectional(&mut stream, &mut there).await.ok();
                    }
                });
            }
        });
        Wall { address, refused, passed, gate }
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.gate.abort();
    }
}

/// Whether the process whose connection comes from this port was started with this configuration.
fn runs_with(port: u16, config: &Path) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let inode = table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1)?.ends_with(&local).then(|| words.get(9).map(|inode| format!("socket:[{inode}]")))?
    });
    let Some(inode) = inode else { return false };
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let holds = |process: &PathBuf| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(|entry| entry.ok());
        open.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link == Path::new(&inode)))
    };
    let config = config.display().to_string();
    let told = |process: PathBuf| fs::read_to_string(process.join("cmdline")).unwrap_or_default();
    processes.filter(holds).any(|process| told(process).contains(&config))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_type_says_how_it_went() {
    let rig = Rig::with_vms(0, |_| {}).await;
    let master = rig.master().await;
    let victim = if master == "host-3" { "host-2" } else { "host-3" };
    let says = |words: &[&str]| typed(&rig, words);
    let (code, told) = says(&["fence", "test", victim]);
    assert_eq!((code, told.matches("the right one").count()), (0, 3), "{told}");
    let (code, told) = says(&["fence", "test", "host-9"]);
    assert!(code == 4 && told.contains("neither a fence device nor a host \"host-9\""), "{code}: {told}");
    let (code, told) = says(&["fence", "off", &master, "--yes"]);
    assert!(code == 4 && told.contains("is master, which fences others and not itself"), "{code}: {told}");
    let (code, told) = says(&["fence", "off", victim]);
    assert!(code == 2 && told.contains("add --yes"), "{code}: {told}");
    let (code, told) = says(&["fence", "off", victim, "--yes", "--reason", "new memory"]);
    assert!(code == 0 && told.contains("it stays off until `holdfast fence on"), "{code}: {told}");
    let (code, told) = says(&["fence", "on", victim]);
    assert!(code == 0 && told.contains("is up"), "{code}: {told}");
    let (code, told) = says(&["fence", "history", victim]);
    assert!(code == 0 && told.contains("new memory") && told.contains("reads as off"), "{code}: {told}");
    // An agent that is not installed, or lacks what it needs, is no device.
    let (code, told) = says(&["fence", "add", "pdu", "--agent", "fence_nobody_has"]);
    assert!(code == 4 && told.contains("install the package fence-agents"), "{code}: {told}");
    rig.end().await;
}

/// Runs the program as a person would, on the first host.
fn typed(rig: &Rig, words: &[&str]) -> (i32, String) {
    let socket = holdfast::member::Places::of(&rig.machine("host-1").state()).socket();
    let mut command = std::process::Command::new(crate::rig::program());
    command.args(words).arg("--socket").arg(socket).stdin(std::process::Stdio::null());
    let output = command.output().expect("it runs");
    let both = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&both).into_owned())
}
