//! What hosts and VMs use over a time: as the kernel says it, and without a gap when the master dies.

use crate::rig::Rig;
use holdfast::api::{HostNow, LoadRow, LoadView, NowView};
use holdfast::clock::wall_milliseconds;
use holdfast::process::disk;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// How long a sample is.
const SLOT: i64 = 5_000;
/// So many of them are compared with what the kernel says.
const SLOTS: i64 = 5;
/// The share of a processor that the VM keeps busy.
const PERCENT: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn load_is_what_the_kernel_says_and_has_no_gap_when_the_master_dies() {
    let rig = Rig::with_vms(0, |_| {}).await;
    let master = rig.master().await;
    let host = rig.cluster.machines().iter().find(|host| host.name != master).expect("another host").name.clone();
    add_busy_vm(&rig, &host).await;
    let pid = process_of(&rig, &host);
    rig.must(
        rig.cluster
            .until("samples of all hosts and of the VM", |cluster| async move {
                let view: NowView = cluster.client().await?.get("/v1/load/now").await?;
                let has_vm = |now: &HostNow| now.vms.iter().any(|vm| vm.busy_millicores.is_some());
                Ok(view.hosts.iter().all(|now| now.busy_millicores.is_some()) && view.hosts.iter().any(has_vm))
            })
            .await,
    );

    // The kernel counts from the end of one slot to the end of another; in between the master dies.
    let from = end_of_slot().await;
    let before = processor_time(pid);
    let began = holdfast::clock::boottime();
    rig.machine(&master).kill().expect("it is killed");
    let old = &master;
    rig.must(rig.cluster.until("another master", |cluster| async move { Ok(cluster.master().await? != *old) }).await);
    let to = loop {
        let now = end_of_slot().await;
        if now - from >= SLOTS * SLOT {
            break now;
        }
    };
    let used = processor_time(pid) - before;
    let kernel = used / holdfast::clock::boottime().since(began).as_secs_f64() * 1_000.0;
    rig.must(
        rig.cluster
            .until("the last slot to be told", |cluster| async move {
                // Each host tells its own.
                let client = cluster.client().await?;
                let is_told = |row: &LoadRow| row.points.last().is_some_and(Option::is_some);
                let vms: LoadView = client.get(&query("cpu", "vm", from, to)).await?;
                let hosts: LoadView = client.get(&query("cpu", "host", from, to)).await?;
                Ok(vms.rows.iter().any(is_told) && hosts.rows.iter().all(|row| row.name == *old || is_told(row)))
            })
            .await,
    );
    let client = rig.cluster.client().await.expect("the new master's host");
    let view: LoadView = client.get(&query("cpu", "vm", from, to)).await.unwrap();
    let row = &view.rows[0];
    let told = row.mean.expect("it was measured") as f64;
    assert!((told - kernel).abs() <= 20.0, "{told} by the samples, {kernel} by the kernel: {row:?}");
    assert!(told > 100.0, "it is busy: {row:?}");

    let view: LoadView = client.get(&query("cpu", "host", from, to)).await.unwrap();
    let gap = |row: &LoadRow| row.points.iter().filter(|point| point.is_none()).count();
    for row in &view.rows {
        assert_eq!(row.points.len() as i64, (to - from) / SLOT, "{row:?}");
        assert_eq!(gap(row) > 0, row.name == master, "{row:?}");
    }
    let view: LoadView = client.get(&query("memory", "cluster", from, to)).await.unwrap();
    assert!(view.rows[0].mean.is_some_and(|mib| mib > 0) && view.rows[0].measured_percent == 100);
    rig.end().await;
}

/// For each slot a point.
fn query(of: &str, by: &str, from: i64, to: i64) -> String {
    let points = (to - from) / SLOT;
    format!("/v1/report/load?of={of}&by={by}&from={from}&to={to}&points={points}")
}

async fn add_busy_vm(rig: &Rig, host: &str) {
    let path = rig.cluster.disk("busy");
    disk::create(&path).expect("a disk");
    let definition = format!("disk = {path:?}\nlock = false\ncpu_load_percent = {PERCENT}\n");
    let vm = json!({
        "name": "busy", "memory_mib": 64, "millicores": 1_000, "definition": definition, "home": host, "start": true
    });
    rig.post("/v1/vms", vm).await.expect("a VM is added");
    rig.must(holdfast::demo::all_run(&rig.cluster, 1).await);
}

/// The process of the only VM on a host.
fn process_of(rig: &Rig, host: &str) -> u32 {
    let folder = rig.folder.path().display().to_string();
    let is_it = |words: &str| {
        words.contains("process-vm") && words.contains(&folder) && words.contains(&format!("--host\0{host}\0"))
    };
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let words = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut found = pids.filter(|pid| is_it(&String::from_utf8_lossy(&words(*pid))));
    found.next().expect("the VM has a process")
}

/// The seconds of a processor that a process has had.
fn processor_time(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let behind_name = stat.rsplit_once(')').expect("its name").1;
    let ticks = |field: usize| behind_name.split_whitespace().nth(field).expect("it is told").parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Waits for the end of a slot of the wall clock, which is what is measured by, and tells when that is.
async fn end_of_slot() -> i64 {
    let left = SLOT - wall_milliseconds().rem_euclid(SLOT);
    crate::rig::lasting(Duration::from_millis(left.unsigned_abs())).await;
    wall_milliseconds() / SLOT * SLOT
}
