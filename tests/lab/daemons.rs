//! Agents, daemons of libvirt and QEMU processes that die or hang, one without the other.

use crate::kvm::Guest::{Bios, Linux};
use crate::kvm::Kvm;

const HOSTS: [&str; 3] = ["kvm1", "kvm2", "kvm3"];

#[test]
fn agents_and_daemons_die_and_hang_and_the_vms_run_on() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm1", Linux), ("tiny1", "kvm2", Bios)]) else { return };
    let host = kvm.beside("");
    kvm.holdfast(&["vm", "move", "web", &host]);
    kvm.must(&["agent", &host, "kill"]);
    kvm.until_writing("web");
    kvm.until_host(&host, "alive");
    kvm.until_runs("web", |runs| runs == host);

    for how in [["kill", "start"], ["stop", "start"], ["freeze", "thaw"]] {
        for what in how {
            kvm.must(&["libvirtd", &host, what]);
            kvm.until_writing("web");
        }
        kvm.until("its libvirtd to answer", |kvm| kvm.virsh(&host, &["list"]).status.success().then_some(()));
    }
    assert_eq!(kvm.starts("web"), 1, "whatever its libvirtd did, it ran");
    // What a person does then is seen.
    kvm.must_virsh(&host, &["destroy", "web"]);
    kvm.until_vm("web", "stopped");
    kvm.holdfast(&["vm", "start", "web"]);
    kvm.until_writing("web");
    agents_are_upgraded(&kvm);
    a_start_is_inside_a_daemon_that_hangs(&kvm);
    a_process_is_killed(&kvm);
    kvm.settle();
}

/// One by one, each program is replaced while its agent is away.
fn agents_are_upgraded(kvm: &Kvm) {
    let starts = kvm.starts("web");
    for host in HOSTS {
        kvm.must(&["agent", host, "stop"]);
        let replace = "cp /opt/holdfast/holdfast /tmp/new && mv /tmp/new /opt/holdfast/holdfast";
        kvm.must(&["exec", host, "sh", "-c", replace]);
        kvm.until_writing("web");
        kvm.until("it to be missed", |kvm| (kvm.host(host).state != "alive").then_some(()));
        kvm.must(&["agent", host, "start"]);
        kvm.until_host(host, "alive");
    }
    assert_eq!(kvm.starts("web"), starts);
}

fn a_start_is_inside_a_daemon_that_hangs(kvm: &Kvm) {
    kvm.holdfast(&["vm", "stop", "web"]);
    let starts = kvm.starts("web");
    for host in HOSTS {
        kvm.must(&["libvirtd", host, "freeze"]);
    }
    kvm.holdfast(&["vm", "start", "web", "--no-wait"]);
    let target = kvm.until("a start under way", |kvm| {
        let vm = kvm.vm("web");
        vm.host.filter(|_| vm.state == "starting")
    });
    // It may be anywhere in there: killed, the daemon takes it along or has it made.
    kvm.must(&["libvirtd", &target, "kill"]);
    for host in HOSTS {
        kvm.must(&["libvirtd", host, "thaw"]);
    }
    kvm.until_runs("web", |_| true);
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), starts + 1);
}

fn a_process_is_killed(kvm: &Kvm) {
    let host = kvm.until_runs("web", |_| true);
    let starts = kvm.starts("web");
    kvm.must(&["exec", &host, "pkill", "-KILL", "-f", "guest=web"]);
    kvm.until("it is seen to be gone", |kvm| {
        (kvm.told(&format!("web is gone from {host}: it crashed")) > 0).then_some(())
    });
    kvm.until_runs("web", |_| true);
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), starts + 1);
}

/// The first target's hypervisor fails; another one has it.
#[test]
fn a_start_that_fails_is_tried_elsewhere() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm1", Linux)]) else { return };
    let fails_once = "#!/bin/sh\nif [ $2.$3 = prepare.begin ] && rmdir /srv/ds2/fails-once; then exit 1; fi";
    let install = r#"printf '%s\n' "$0" > /etc/libvirt/hooks/qemu.d/zz && chmod +x /etc/libvirt/hooks/qemu.d/zz"#;
    for host in ["kvm2", "kvm3"] {
        kvm.must(&["exec", host, "sh", "-c", install, fails_once]);
    }
    kvm.must(&["exec", "kvm2", "mkdir", "/srv/ds2/fails-once"]);
    kvm.must(&["kill", "kvm1"]);
    let host = kvm.until_recovered("web", "kvm1", "fenced");
    kvm.until_writing("web");
    let failed = if host == "kvm2" { "kvm3" } else { "kvm2" };
    assert!(kvm.told(&format!("web placed on {failed}")) > 0, "it ran on {host}, and was tried on {failed} first");
    assert_eq!(kvm.starts("web"), 2);
    kvm.until_host("kvm1", "alive");
    kvm.settle();
}
