//! What people do with libvirt's own tools: it is taken for what they want, and never fought.

use crate::kvm::Guest::{Bios, Linux};
use crate::kvm::Kvm;

/// What the hook says, and libvirt passes on.
const REFUSES: &str = "holdfast refuses to let";

#[test]
fn virsh_is_understood() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm1", Linux), ("tiny1", "kvm2", Bios)]) else { return };
    starts_of_what_runs_elsewhere_are_refused(&kvm);
    stops_are_kept(&kvm);
    edits_travel(&kvm);
    old_definitions_are_forgotten(&kvm);
    migrations_are_followed(&kvm);
    removed_definitions_are_no_loss(&kvm);
    people_do_not_wait_for_a_recovery(&kvm);
    kvm.settle();
}

fn starts_of_what_runs_elsewhere_are_refused(kvm: &Kvm) {
    for vm in ["web", "tiny1"] {
        kvm.must(&["vm", "define", vm, "--on", "kvm3"]);
        assert!(kvm.refused("kvm3", &["start", vm]).contains(REFUSES));
    }
    // A host that hears nobody refuses, too.
    kvm.must(&["agent", "kvm3", "stop"]);
    let words = kvm.refused("kvm3", &["start", "web"]);
    assert!(words.contains(REFUSES) && words.contains("systemctl start holdfast"), "{words}");
    kvm.must(&["agent", "kvm3", "start"]);
    kvm.until_host("kvm3", "alive");
    // An agent that was away finds what is out of date by now.
    kvm.until("the stale definitions to be removed", |kvm| kvm.domains("kvm3").is_empty().then_some(()));
    // What the cluster does not know is nobody's business.
    kvm.add("other", "kvm3", Bios);
    kvm.must(&["vm", "remove", "other"]);
}

fn stops_are_kept(kvm: &Kvm) {
    kvm.must_virsh("kvm2", &["destroy", "tiny1"]);
    kvm.until_vm("tiny1", "stopped");
    // It is started where a person wants it.
    kvm.must(&["vm", "define", "tiny1", "--on", "kvm3"]);
    kvm.must_virsh("kvm3", &["start", "tiny1"]);
    kvm.until_runs("tiny1", |host| host == "kvm3");
    kvm.must_virsh("kvm3", &["destroy", "tiny1"]);
    kvm.until_vm("tiny1", "stopped");

    kvm.must_virsh("kvm1", &["shutdown", "web"]);
    kvm.until_vm("web", "stopped");
    assert_eq!(kvm.domains("kvm1").get("web").map(String::as_str), Some("shut off"));
    kvm.holdfast(&["vm", "start", "web"]);
    kvm.until_writing("web");
    // Its own power-off, as the guest itself wants it.
    let host = kvm.until_runs("web", |_| true);
    kvm.until("the guest agent to be there", |kvm| {
        let off = ["qemu-agent-command", "web", r#"{"execute":"guest-shutdown"}"#];
        (kvm.virsh(&host, &off).status.success() || kvm.vm("web").state == "stopped").then_some(())
    });
    kvm.until_vm("web", "stopped");
    kvm.holdfast(&["vm", "start", "web"]);
    kvm.holdfast(&["vm", "start", "tiny1"]);
    kvm.until_writing("web");
    // Off and on in one breath.
    let host = kvm.until_runs("web", |_| true);
    let starts = kvm.starts("web");
    kvm.must(&["exec", &host, "sh", "-c", "virsh destroy web && virsh start web"]);
    kvm.until("it to be known", |kvm| (kvm.starts("web") > starts).then_some(()));
    assert_eq!(kvm.until_runs("web", |_| true), host);
    kvm.until_writing("web");
}

fn edits_travel(kvm: &Kvm) {
    let host = kvm.until_runs("web", |_| true);
    // As `virsh edit` does it.
    let edit = "virsh dumpxml --inactive web | sed s/98304/106496/ > /tmp/web.xml && virsh define /tmp/web.xml";
    kvm.must(&["exec", &host, "sh", "-c", edit]);
    kvm.until("the log to know of it", |kvm| (kvm.vm("web").memory_mib == 104).then_some(()));
    kvm.must(&["kill", &host]);
    let next = kvm.until_recovered("web", &host, "fenced");
    kvm.until_writing("web");
    let xml = kvm.must_virsh(&next, &["dumpxml", "web", "--inactive"]);
    assert!(xml.contains("106496"), "{xml}");
    kvm.until_host(&host, "alive");
}

fn old_definitions_are_forgotten(kvm: &Kvm) {
    let from = kvm.until_runs("web", |_| true);
    let to = kvm.beside(&from);
    let uri = format!("qemu+tcp://{to}/system");
    // It takes its definition along, and leaves the old one.
    kvm.must_virsh(&from, &["migrate", "--live", "--persistent", "web", &uri]);
    kvm.until_runs("web", |host| host == to);
    kvm.until("the old definition to be gone", |kvm| (!kvm.domains(&from).contains_key("web")).then_some(()));
    let uuid = kvm.must_virsh(&to, &["domuuid", "web"]);
    let copy = format!("grep -q 'name>web<' /var/lib/holdfast/left/{}.xml", uuid.trim());
    kvm.must(&["exec", &from, "sh", "-c", &copy]);
    kvm.until_writing("web");
}

fn migrations_are_followed(kvm: &Kvm) {
    let from = kvm.until_runs("web", |_| true);
    let to = kvm.beside(&from);
    let uri = format!("qemu+tcp://{to}/system");
    // It may take no definition along, and leave its own.
    kvm.must_virsh(&from, &["migrate", "--live", "web", &uri]);
    kvm.until_runs("web", |host| host == to);
    kvm.until_told(&format!("web is gone from {from}: it was moved away"));
    let held = kvm.until("one holder", |kvm| Some(kvm.vm("web").holders).filter(|holders| holders.len() == 1));
    assert_eq!(held[0].host, to);
    // What it left behind cannot be started.
    assert!(kvm.refused(&from, &["start", "web"]).contains(REFUSES));
    kvm.until_writing("web");
    // It is restarted from the log's definition: its last host had none of its own.
    kvm.must(&["kill", &to]);
    kvm.until_recovered("web", &to, "fenced");
    kvm.until_writing("web");
    kvm.until_host(&to, "alive");
}

fn removed_definitions_are_no_loss(kvm: &Kvm) {
    let host = kvm.until_runs("web", |_| true);
    kvm.must_virsh(&host, &["undefine", "web"]);
    kvm.until_runs("web", |runs| runs == host);
    let starts = kvm.starts("web");
    kvm.must(&["kill", &host]);
    kvm.until_recovered("web", &host, "fenced");
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), starts + 1);
    kvm.until_host(&host, "alive");
}

/// A host is dead, and there is no proof yet.
fn people_do_not_wait_for_a_recovery(kvm: &Kvm) {
    let host = dies_slowly(kvm);
    let other = kvm.beside(&host);
    kvm.must(&["vm", "define", "web", "--on", &other]);
    assert!(kvm.refused(&other, &["start", "web"]).contains(REFUSES));
    kvm.must_virsh(&other, &["undefine", "web"]);
    let starts = kvm.starts("web");
    kvm.until_runs("web", |runs| runs != host);
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), starts + 1);
    kvm.until_host(&host, "alive");
    // A stop counts from when it is said.
    let host = dies_slowly(kvm);
    kvm.holdfast(&["vm", "stop", "web", "--no-wait"]);
    kvm.until_host(&host, "alive");
    kvm.until_vm("web", "stopped");
    assert_eq!(kvm.starts("web"), starts + 1);
    kvm.holdfast(&["vm", "start", "web"]);
    kvm.until_writing("web");
}

/// Kills the host of a VM, whose BMC takes its time.
fn dies_slowly(kvm: &Kvm) -> String {
    let host = kvm.beside("");
    if kvm.vm("web").host.as_ref() != Some(&host) {
        kvm.holdfast(&["vm", "move", "web", &host]);
    }
    kvm.must(&["bmc", &host, "delay", "6"]);
    kvm.must(&["kill", &host]);
    kvm.until_waits("web", "a proof");
    host
}
