//! Hosts that are powered off and on, and die, and take all that they run with them.

use crate::rig::Lab;
use std::fs;

/// Presses the power button of kvm1, and counts what is left of it at the moment when its BMC says that it is off.
const OFF_AND_COUNT: &str = r#"
cd "$HOLDFAST_LAB/hosts/kvm1"
namespace=$(readlink "/proc/$(cut -d ' ' -f 1 init)/ns/pid")
living() { readlink /proc/[0-9]*/ns/pid | grep -cxF "$namespace"; }
system=https://10.77.0.101/redfish/v1/Systems/1
ask() { curl -sk --user "admin:$(cat machine/bmc-password)" "$@"; }
before=$(living)
ask --json '{"ResetType":"ForceOff"}' "$system/Actions/ComputerSystem.Reset"
until [ "$(ask "$system" | jq -r .PowerState)" = Off ]; do :; done
echo "$before $(living)"
"#;

#[test]
fn nothing_of_a_host_is_left_when_its_bmc_says_off() {
    let Some(lab) = Lab::up(&["--hosts", "2", "--without-agent"]) else { return };
    lab.must(&["vm", "add", "linux1", "--on", "kvm1"]);
    lab.until_writing("linux1");
    let counts = lab.must(&["run", "bash", "-c", OFF_AND_COUNT]);
    let (before, after) = counts.split_once(' ').expect("two numbers");
    assert!(before.parse::<u32>().unwrap() >= 5, "libvirtd, QEMU and more ran before: {counts}");
    assert_eq!(after, "0", "off, and something runs");

    // Each boot has its own identity, as the machine's BMC and the host's kernel tell it.
    let boot = |lab: &Lab| lab.must(&["exec", "kvm1", "cat", "/proc/sys/kernel/random/boot_id"]);
    lab.must(&["boot", "kvm1"]);
    let first = boot(&lab);
    assert_eq!(first, fs::read_to_string(lab.path().join("hosts/kvm1/machine/run/boot-id")).unwrap().trim());
    lab.must(&["kill", "kvm1"]);
    lab.until("the crash shows", |lab| lab.must(&["status"]).contains("crashed").then_some(()));
    assert!(!lab.succeeds(&["exec", "kvm1", "true"]), "nothing runs on a host that was killed");
    // Nobody's network answers for it.
    assert!(!lab.succeeds(&["exec", "kvm2", "busybox", "ping", "-c", "1", "-W", "1", "10.77.0.11"]));
    lab.must(&["boot", "kvm1"]);
    assert_ne!(boot(&lab), first);

    // The definition is still there, and a guest that is shut down with its host ends in good order.
    lab.must(&["exec", "kvm1", "virsh", "start", "linux1"]);
    lab.until_writing("linux1");
    lab.must(&["shutdown", "kvm1"]);
    assert!(lab.must(&["vm", "console", "linux1"]).contains("GUEST-DOWN"));
    assert!(lab.must(&["vm", "verify"]).contains("\"clashes\":[]"));
}

#[test]
fn nothing_is_left_of_a_lab() {
    let Some(lab) = Lab::up(&["--hosts", "1", "--without-agent"]) else { return };
    // Other labs have VMs, too: none of that name.
    lab.must(&["vm", "add", "left-behind", "--on", "kvm1", "--bios"]);
    let path = lab.path().display().to_string();
    assert!(lab.processes(&path).len() >= 5);
    assert!(!lab.succeeds(&["up"]), "a lab is there already");
    assert!(lab.processes("guest=left-behind").len() == 1, "and it goes on");

    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().matches(&path).count();
    assert_eq!(mounts(), 0, "its mounts are its own");
    // However it ends, it ends: here its first process is killed, as a shortage of memory would.
    let room = fs::read_to_string(lab.path().join("room")).unwrap();
    let first = room.split(' ').next().and_then(|id| id.parse().ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(first.expect("its first process"), rustix::process::Signal::KILL).unwrap();
    lab.until("nothing runs", |lab| lab.processes(&path).is_empty().then_some(()));
    assert!(!lab.ask(&["kill", "kvm1"]).status.success());
    lab.must(&["down"]);
    assert!(!lab.path().exists());
    lab.must(&["down"]);
    lab.must(&["up", "--hosts", "1", "--without-agent"]);
    lab.must(&["down"]);
    assert!(lab.processes(&path).is_empty() && mounts() == 0 && !lab.path().exists());
}
