//! Hosts that die while a VM is being moved alive: it is never run twice, and never lost.

use crate::kvm::Guest::Linux;
use crate::kvm::Kvm;
use serde_json::json;

/// Mebibytes in a second: the memory of a guest takes half a minute.
const SLOW: &str = "2";

/// A move that is under way, and from where to where.
struct Moving {
    from: String,
    to: String,
}

fn begin(kvm: &Kvm, from: &str, to: &str) -> Moving {
    if kvm.vm("web").host.as_deref() != Some(from) {
        kvm.holdfast(&["vm", "move", "web", from]);
    }
    kvm.must_virsh(from, &["migrate-setspeed", "web", SLOW]);
    kvm.holdfast(&["vm", "move", "web", to, "--no-wait"]);
    kvm.until_vm("web", "moving");
    kvm.until("its process on the target", |kvm| {
        (kvm.domains(to).get("web").map(String::as_str) == Some("paused")).then_some(())
    });
    assert_eq!(kvm.vm("web").state, "moving", "it does not run yet where it goes");
    kvm.until("how far it is", |kvm| {
        let view = kvm.live("web");
        let percent = view["move"]["percent"].as_u64()?;
        assert_eq!(
            (percent < 100, &view["live"]["agent"], &view["move"]["from"]),
            (true, &json!("answers"), &json!(from))
        );
        Some(())
    });
    Moving { from: from.to_owned(), to: to.to_owned() }
}

/// What libvirt would not move is refused before anything is begun.
fn refused(kvm: &Kvm) {
    let host = kvm.vm("web").host.expect("it runs");
    let other = kvm.beside(&host);
    let snapshot = "(echo '<domainsnapshot><name>s1</name><state>running</state><creationTime>1</creationTime>'; \
                    virsh dumpxml web; echo '</domainsnapshot>') > /tmp/s1.xml \
                    && virsh -q snapshot-create web /tmp/s1.xml --redefine";
    kvm.must(&["exec", &host, "sh", "-c", snapshot]);
    let output = kvm.ask(&["exec", &host, "holdfast", "vm", "move", "web", &other]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("snapshots (1)"), "{said}");
    assert_eq!((kvm.vm("web").state.as_str(), kvm.vm("web").holders.len()), ("running", 1));
    kvm.must_virsh(&host, &["snapshot-delete", "web", "s1", "--metadata"]);
}

/// Whoever moves a VM with a tool of libvirt's, and dies when all of its state is sent, leaves the source standing still:
/// nobody can know whether the target runs.
fn left_in_doubt(kvm: &Kvm, from: &str, to: &str) {
    if kvm.vm("web").host.as_deref() != Some(from) {
        kvm.holdfast(&["vm", "move", "web", from]);
    }
    kvm.must_virsh(from, &["migrate-setspeed", "web", SLOW]);
    let migrate =
        format!("virsh migrate --live --persistent web qemu+tcp://{to}/system > /dev/null 2>&1 < /dev/null & echo $!");
    let tool = kvm.must(&["exec", from, "sh", "-c", &migrate]);
    kvm.until("it to be on its way", |kvm| {
        let job = String::from_utf8(kvm.virsh(from, &["domjobinfo", "web"]).stdout).expect("words");
        job.contains("Data processed").then_some(())
    });
    kvm.must(&["exec", from, "kill", "-STOP", tool.trim()]);
    kvm.must_virsh(from, &["migrate-setspeed", "web", "1000"]);
    kvm.until("all to be sent", |kvm| {
        let asked = kvm.virsh(from, &["qemu-monitor-command", "web", "--hmp", "info migrate"]).stdout;
        String::from_utf8(asked).expect("words").contains("Migration status: completed").then_some(())
    });
    let starts = kvm.starts("web");
    kvm.must(&["exec", from, "kill", "-KILL", tool.trim()]);
    kvm.until("it to be started anew", |kvm| (kvm.starts("web") > starts).then_some(()));
    kvm.until_writing("web");
}

#[test]
fn a_live_migration_whose_source_target_or_master_dies() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm1", Linux)]) else { return };
    refused(&kvm);
    let master = kvm.master();
    let one = kvm.beside("");
    let two = kvm.beside(&one);

    // The target: it runs on where it was.
    let Moving { from, to } = begin(&kvm, &one, &two);
    kvm.must(&["kill", &to]);
    kvm.until_runs("web", |host| host == from);
    kvm.until("the target to be no holder", |kvm| (kvm.vm("web").holders.len() == 1).then_some(()));
    assert_eq!(kvm.starts("web"), 1);
    kvm.until_host(&to, "alive");

    // The master: the next one sees the move to its end.
    let Moving { from, to } = begin(&kvm, &one, &two);
    kvm.must(&["kill", &master]);
    kvm.until("another master", |kvm| (kvm.master() != master).then_some(()));
    assert_eq!(kvm.vm("web").holders.len(), 2);
    kvm.must_virsh(&from, &["migrate-setspeed", "web", "1000"]);
    kvm.until_runs("web", |host| host == to);
    assert_eq!(kvm.starts("web"), 1);
    kvm.until_host(&master, "alive");

    // The source: what waits for it is not the VM, and it is restarted.
    let third = kvm.beside(&to);
    let Moving { from, .. } = begin(&kvm, &to, &third);
    kvm.must(&["kill", &from]);
    kvm.until_recovered("web", &from, "fenced");
    kvm.until_writing("web");
    assert_eq!(kvm.starts("web"), 2);
    kvm.until_host(&from, "alive");

    // Neither, but who had begun it.
    let from = kvm.until_runs("web", |_| true);
    left_in_doubt(&kvm, &from, &kvm.beside(&from));
    kvm.settle();
}
