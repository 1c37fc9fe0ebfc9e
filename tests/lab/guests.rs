//! What the agent of a real guest answers to its host, and what the figures make of it.

use crate::kvm::Guest::Linux;
use crate::kvm::Kvm;
use holdfast::api::{FigureRow, FiguresView};
use holdfast::core::state::Health;
use holdfast::ledger::Cause;

#[test]
fn a_guest_is_up_as_long_as_its_own_agent_answers() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm2", Linux)]) else { return };
    kvm.holdfast(&["vm", "set", "web", "--up", "agent"]);
    until_health(&kvm, Health::Answers);
    kvm.until("its operating system to be known", |kvm| {
        (kvm.vm("web").system.as_deref() == Some("Lab Guest 1")).then_some(())
    });
    assert_eq!(figures(&kvm, "guest-os").name, "Lab Guest 1");

    // It hangs: its agent stands still, and so does nothing else. Nobody restarts it for that.
    let stop = r#"{"execute":"guest-exec","arguments":{"path":"/bin/killall","arg":["-STOP","qemu-ga"]}}"#;
    kvm.until("the agent to be stopped", |kvm| {
        kvm.virsh("kvm2", &["qemu-agent-command", "--timeout", "2", "web", stop]);
        (kvm.vm("web").health == Health::Silent).then_some(())
    });
    let starts = kvm.starts("web");
    kvm.until_writing("web");
    assert!(down_for(&kvm, Cause::GuestHang) > 0 && down_for(&kvm, Cause::HostFailure) == 0);

    // A person resets it: that is no restart by anybody here, and it is up with its agent's first answer.
    kvm.must_virsh("kvm2", &["reset", "web"]);
    until_health(&kvm, Health::Answers);
    assert_eq!(kvm.starts("web"), starts + 1, "its guest came up once more, in the same process");
    assert_eq!(kvm.until_runs("web", |_| true), "kvm2");
    let hung = down_for(&kvm, Cause::GuestHang);

    // Its host dies: it is back when its guest answers elsewhere, and not before.
    kvm.must(&["kill", "kvm2"]);
    kvm.until_recovered("web", "kvm2", "fenced");
    until_health(&kvm, Health::Answers);
    let ready = kvm.until("the whole recovery", |kvm| kvm.recovery("web")?.ready_ms);
    assert!(ready > 0, "a guest of QEMU does not answer at once");
    assert_eq!(down_for(&kvm, Cause::GuestHang), hung);
    assert!(down_for(&kvm, Cause::HostFailure) > ready, "the outage lasts until the guest answers");
    kvm.settle();
}

fn until_health(kvm: &Kvm, health: Health) {
    kvm.until(&format!("the guest to be seen: {}", health.name()), |kvm| {
        (kvm.vm("web").health == health).then_some(())
    });
}

fn figures(kvm: &Kvm, by: &str) -> FigureRow {
    let text = kvm.holdfast(&["report", "availability", "--by", by, "-o", "json"]);
    let view: FiguresView = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    view.rows.into_iter().next().expect("there is one VM")
}

/// For how many milliseconds it was down because of this.
fn down_for(kvm: &Kvm, cause: Cause) -> i64 {
    figures(kvm, "vm").causes.iter().filter(|row| row.cause == cause && !row.planned).map(|row| row.ms).sum()
}
