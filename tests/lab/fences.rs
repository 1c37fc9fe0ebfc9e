//! A host whose only fence device is a fence agent of the distribution: it cannot say whose it is, so a drill shows it.

use crate::kvm::Guest::Bios;
use crate::kvm::Kvm;
use holdfast::machine::BmcInfo;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn a_fence_agent_is_proof_once_it_was_drilled() {
    if !Path::new("/usr/sbin/fence_redfish").exists() {
        eprintln!("SKIPPED: fence_redfish is not installed (package fence-agents)");
        return;
    }
    let Some(kvm) = Kvm::up(&[], &[("tiny1", "kvm1", Bios)]) else { return };
    let host = kvm.beside("kvm1");
    let device = format!("agent-{host}");
    add(&kvm, &host, &device);
    kvm.holdfast(&["host", "fence", &host, &device]);
    let needs_drill = |kvm: &Kvm| kvm.doctor().contains("`holdfast drill` once");
    assert!(needs_drill(&kvm));
    kvm.holdfast(&["drill", &host, "--yes", "--reason", "to see that its device is its own"]);
    kvm.until_host(&host, "alive");
    assert!(!needs_drill(&kvm));
    kvm.holdfast(&["vm", "move", "tiny1", &host]);
    kvm.must(&["kill", &host]);
    kvm.until_recovered("tiny1", &host, "fenced");
    assert!(kvm.told(&format!("{device} switched it off, and it reads as off")) > 0);
    kvm.until_host(&host, "alive");
    kvm.settle();
}

/// The same BMC, reached by the agent.
fn add(kvm: &Kvm, host: &str, device: &str) {
    let machine = kvm.path().join("hosts").join(host).join("machine");
    let info = fs::read_to_string(machine.join("bmc.json")).expect("it has a BMC");
    let info: BmcInfo = serde_json::from_str(&info).expect("it says where");
    let address = info.address.trim_start_matches("https://");
    let (ip, port) = address.rsplit_once(':').unwrap_or((address, "443"));
    // Whichever host is asked reads it there.
    for folder in fs::read_dir(kvm.path().join("hosts")).expect("hosts").flatten() {
        let password = folder.path().join("control/password");
        fs::copy(machine.join("bmc-password"), &password).expect("a password");
        fs::set_permissions(&password, Permissions::from_mode(0o600)).expect("it is made private");
    }
    let options = [
        format!("ip={ip}"),
        format!("ipport={port}"),
        format!("username={}", info.user),
        "ssl_insecure=1".to_owned(),
        format!("systems_uri={}", info.system),
    ];
    let mut words = vec!["fence", "add", device, "--agent", "fence_redfish"];
    options.iter().for_each(|option| words.extend(["--option", option]));
    words.extend(["--secret-option", "password=/run/lab/password"]);
    kvm.holdfast(&words);
}
