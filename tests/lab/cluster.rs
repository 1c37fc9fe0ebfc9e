//! A cluster on the lab: agents on hosts with networks, datastores, BMCs and watchdogs of their own.

use crate::rig::Lab;

fn holdfast(lab: &Lab, words: &[&str]) -> String {
    lab.must(&[&["exec", "kvm1", "holdfast"], words].concat())
}

/// No VM is in it: the agents run the embedded hypervisor, so that this says of the lab alone what it is worth.
#[test]
fn a_host_that_is_killed_is_fenced_by_its_bmc_and_comes_back() {
    let Some(lab) = Lab::up(&["--hosts", "3", "--platform", "process"]) else { return };
    let hosts = holdfast(&lab, &["host", "list"]);
    assert_eq!(hosts.matches("hardware").count(), 3, "each has its watchdog: {hosts}");
    let datastores = holdfast(&lab, &["datastore", "list"]);
    assert!(datastores.contains("ds1") && datastores.contains("ds2"), "{datastores}");
    lab.must(&["kill", "kvm3"]);
    lab.until("the proof", |lab| {
        holdfast(lab, &["events"]).contains("bmc-kvm3 switched it off, and it reads as off").then_some(())
    });
    lab.until("its return", |lab| {
        holdfast(lab, &["events"]).contains("kvm3 proven: it lives in a newer boot").then_some(())
    });
    // What cannot feed its watchdog, and cannot be fenced, is reset by it.
    lab.must(&["bmc", "kvm2", "dead"]);
    lab.must(&["freeze", "kvm2"]);
    let machine = lab.path().join("hosts/kvm2/machine/machine.json");
    lab.until("the watchdog", |_| {
        std::fs::read_to_string(&machine).ok()?.contains("\"watchdog_expiries\": 1").then_some(())
    });
    lab.must(&["heal"]);
}
