//! Hosts that lose their power: what ran there runs elsewhere, by the proof that could be had.

use crate::kvm::Guest::{Bios, Linux};
use crate::kvm::Kvm;

const FENCED: &str = "switched it off, and it reads as off";

#[test]
fn a_host_dies_and_comes_back_and_then_the_masters() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm1", Linux), ("tiny1", "kvm1", Bios), ("tiny2", "kvm2", Bios)]) else {
        return;
    };
    let victim = kvm.beside("");
    for vm in ["web", "tiny1"] {
        kvm.holdfast(&["vm", "move", vm, &victim]);
    }
    kvm.must(&["kill", &victim]);
    kvm.until_recovered("web", &victim, "fenced");
    kvm.until_recovered("tiny1", &victim, "fenced");
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), 2);
    for stage in [&format!("{victim} judged after"), FENCED, "web placed on", "web runs on"] {
        assert!(kvm.told(stage) > 0, "{stage}");
    }
    assert!(kvm.holdfast(&["vm", "explain", "web"]).contains(FENCED));

    // It was switched on again, starts nothing, and forgets what it had before its libvirt was there to be asked.
    kvm.until_host(&victim, "alive");
    kvm.until("the stale definitions to be removed", |kvm| {
        let output = kvm.virsh(&victim, &["list", "--all", "--name"]);
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success() && !names.contains("web") && !names.contains("tiny1")).then_some(())
    });

    let master = kvm.master();
    if kvm.vm("web").host.as_ref() != Some(&master) {
        kvm.holdfast(&["vm", "move", "web", &master]);
    }
    kvm.must(&["kill", &master]);
    kvm.until_recovered("web", &master, "fenced");
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), 3);
    kvm.until_host(&master, "alive");
    kvm.settle();
}

#[test]
fn two_of_five_die_and_then_all() {
    let vms = [("web", "kvm4", Linux), ("tiny1", "kvm1", Bios), ("tiny2", "kvm5", Bios), ("tiny3", "kvm4", Bios)];
    let Some(kvm) = Kvm::up(&["--hosts", "5"], &vms) else { return };
    // One of them votes, and may be the master's.
    kvm.must(&["kill", "kvm1"]);
    kvm.must(&["kill", "kvm4"]);
    for (vm, from) in [("web", "kvm4"), ("tiny1", "kvm1"), ("tiny3", "kvm4")] {
        kvm.until_recovered(vm, from, "fenced");
    }
    kvm.until_writing("web");
    kvm.until_host("kvm1", "alive");
    kvm.until_host("kvm4", "alive");
    kvm.settle();

    let hosts = ["kvm1", "kvm2", "kvm3", "kvm4", "kvm5"];
    let was = kvm.vm("web").host.expect("it runs");
    for host in hosts {
        kvm.must(&["kill", host]);
    }
    for host in hosts {
        kvm.must(&["boot", host]);
    }
    kvm.until_runs("web", |_| true);
    kvm.until_writing("web");
    let proofs = kvm.vm("web").proofs;
    assert!(proofs.iter().any(|proof| proof.host == was && proof.proof == "rebooted"), "{proofs:?}");
    kvm.settle();
    assert_eq!(kvm.starts("web"), 3);
}

/// Its BMC goes with it, so no order can be read back; without a watchdog, no lease can have run out either.
#[test]
fn where_no_proof_is_to_be_had_it_holds_until_a_person_gives_his_word() {
    let Some(kvm) = Kvm::up(&["--no-watchdog"], &[("web", "kvm1", Linux)]) else { return };
    let victim = kvm.beside("");
    kvm.holdfast(&["vm", "move", "web", &victim]);
    // Nobody's word counts while it shows life.
    let other = kvm.master();
    assert_eq!(kvm.holdfast_on(&other, &["host", "confirm-dead", &victim, "--yes", "--timeout", "2s"]), None);
    kvm.must(&["bmc", &victim, "dead"]);
    kvm.must(&["kill", &victim]);
    kvm.until_waits("web", &format!("bmc-{victim} does not answer"));
    let why = kvm.holdfast(&["vm", "explain", "web"]);
    assert!(why.contains("no lease that counts covers the VM there"), "{why}");
    kvm.until_told("ALERT: web");
    assert_eq!(kvm.starts("web"), 1, "it holds");
    kvm.holdfast(&["host", "confirm-dead", &victim, "--yes", "--reason", "seen to be dark"]);
    kvm.until_recovered("web", &victim, "operator");
    kvm.until_writing("web");
    kvm.settle();
}

#[test]
fn a_watchdog_alone_is_proof_after_the_lease() {
    let Some(kvm) = Kvm::up(&["--no-fence"], &[("web", "kvm1", Linux)]) else { return };
    let victim = kvm.beside("");
    kvm.holdfast(&["vm", "move", "web", &victim]);
    kvm.must(&["kill", &victim]);
    kvm.until_recovered("web", &victim, "lease-expired");
    kvm.until_writing("web");
    // Nobody could switch it on. It comes back, and starts nothing.
    kvm.must(&["boot", &victim]);
    kvm.until_host(&victim, "alive");
    // One that stands still is reset by its watchdog, in time.
    let frozen = kvm.vm("web").host.expect("it runs");
    kvm.must(&["freeze", &frozen]);
    // Its machine is back before the lease is over, in a newer boot.
    kvm.until_recovered("web", &frozen, "rebooted");
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), 3);
    kvm.settle();
}
