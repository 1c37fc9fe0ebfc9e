//! Faults of storage and of networks: each hits whom it should and nobody else, and can be healed.

use crate::rig::Lab;

fn ping(lab: &Lab, from: &str, address: &str) -> bool {
    lab.succeeds(&["exec", from, "busybox", "ping", "-c", "1", "-W", "1", address])
}

/// That it comes to reach it: a network that is healed has to find its ways again.
fn reaches(lab: &Lab, from: &str, address: &str) {
    lab.until(&format!("{from} reaches {address}"), |lab| ping(lab, from, address).then_some(()));
}

fn misses(lab: &Lab, from: &str, address: &str) {
    assert!(!ping(lab, from, address), "{from} reaches {address}");
}

#[test]
fn networks_are_cut_and_healed() {
    let Some(lab) = Lab::up(&["--hosts", "3", "--without-agent"]) else { return };
    let (kvm1, kvm2, bmc1, bmc2) = ("10.77.0.11", "10.77.0.12", "10.77.0.101", "10.77.0.102");
    lab.must(&["cut", "kvm1", "kvm2"]);
    misses(&lab, "kvm1", kvm2);
    misses(&lab, "kvm2", kvm1);
    reaches(&lab, "kvm3", kvm1);
    reaches(&lab, "kvm3", kvm2);
    reaches(&lab, "kvm1", bmc2);
    lab.must(&["heal"]);
    reaches(&lab, "kvm1", kvm2);

    lab.must(&["isolate", "kvm1"]);
    assert_eq!(lab.must(&["exec", "kvm1", "cat", "/sys/class/net/eth0/carrier"]), "0");
    misses(&lab, "kvm1", kvm2);
    misses(&lab, "kvm1", bmc2);
    reaches(&lab, "kvm2", bmc1);
    // It stays isolated over a boot.
    lab.must(&["kill", "kvm1"]);
    lab.must(&["boot", "kvm1"]);
    misses(&lab, "kvm2", kvm1);
    lab.must(&["heal"]);
    reaches(&lab, "kvm2", kvm1);

    lab.must(&["bmc", "kvm1", "dead"]);
    misses(&lab, "kvm2", bmc1);
    reaches(&lab, "kvm2", bmc2);
    lab.must(&["bmc", "kvm1", "ok"]);
    reaches(&lab, "kvm2", bmc1);
}

#[test]
fn storage_hangs_for_one_host_and_holds_its_lock_until_the_power_goes() {
    let Some(lab) = Lab::up(&["--hosts", "2", "--without-agent"]) else { return };
    lab.must(&["vm", "add", "linux1", "--on", "kvm1"]);
    lab.must(&["vm", "define", "linux1", "--on", "kvm2"]);
    lab.until_writing("linux1");
    let refused = lab.ask(&["exec", "kvm2", "virsh", "start", "linux1"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("Failed to get \"write\" lock"), "{words}");

    lab.must(&["storage", "kvm1", "ds1", "eio"]);
    let listed = lab.ask(&["exec", "kvm1", "ls", "/srv/ds1"]);
    assert!(String::from_utf8_lossy(&listed.stderr).contains("Input/output error"));
    lab.must(&["exec", "kvm2", "ls", "/srv/ds1"]);
    lab.until("the guest feels it", |lab| lab.must(&["vm", "console", "linux1"]).contains("DISK-ERROR").then_some(()));
    lab.must(&["heal"]);
    lab.until_writing("linux1");

    lab.must(&["storage", "kvm1", "ds1", "hang"]);
    lab.must(&["exec", "kvm1", "ls", "/srv/ds2"]);
    // The hypervisor's daemon still says that the guest runs. It cannot end it, and its process cannot be killed.
    assert_eq!(lab.must(&["exec", "kvm1", "virsh", "domstate", "linux1"]), "running");
    lab.ask(&["exec", "kvm1", "timeout", "3", "virsh", "destroy", "linux1"]);
    assert!(!lab.succeeds(&["exec", "kvm2", "virsh", "start", "linux1"]), "the lock is held");
    lab.must(&["off", "kvm1"]);
    lab.must(&["exec", "kvm2", "virsh", "start", "linux1"]);
    lab.until_writing("linux1");
    assert!(lab.must(&["vm", "verify", "linux1"]).contains("\"clashes\":[]"));
}

#[test]
fn two_writers_of_one_disk_are_found_when_no_lock_keeps_them_apart() {
    let Some(lab) = Lab::up(&["--hosts", "2", "--without-agent"]) else { return };
    lab.must(&["vm", "add", "linux1", "--on", "kvm1"]);
    lab.until_writing("linux1");
    lab.must(&["locks", "ds1", "off"]);
    lab.must(&["vm", "define", "linux1", "--on", "kvm2"]);
    lab.must(&["exec", "kvm2", "virsh", "start", "linux1"]);
    lab.until("the clash shows", |lab| {
        let found = lab.ask(&["vm", "verify", "linux1"]);
        (found.status.code() == Some(1) && String::from_utf8_lossy(&found.stdout).contains("met-another")).then_some(())
    });
}
