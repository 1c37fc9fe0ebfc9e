//! What a guest of QEMU uses, by the samples and by the kernel.

use crate::kvm::Guest::Linux;
use crate::kvm::Kvm;
use holdfast::api::LoadView;
use holdfast::clock::{boottime, wall_milliseconds};
use std::fs;
use std::time::Duration;

/// How long a sample is.
const SLOT: i64 = 5_000;
/// So many are compared with what the kernel says.
const SLOTS: i64 = 4;
/// Two hundredths of a core.
const POINTS: f64 = 20.0;

#[test]
fn what_a_guest_uses_is_what_the_kernel_says() {
    let Some(kvm) = Kvm::up(&[], &[("busy", "kvm2", Linux)]) else { return };
    let qemu = *kvm.processes("guest=busy,").iter().find(|pid| is_qemu(**pid)).expect("QEMU runs");
    for percent in [0, 25, 50, 75, 100] {
        keep_busy(&kvm, percent);
        // One slot to settle in.
        end_of_slot();
        let (from, began, before) = (end_of_slot(), boottime(), processor_time(qemu));
        let to = (0..SLOTS).fold(from, |_, _| end_of_slot());
        let seconds = boottime().since(began).as_secs_f64();
        let kernel = (processor_time(qemu) - before) / seconds * 1_000.0;
        let told = kvm.until("the last slot to be told", |kvm| told(kvm, from, to));
        eprintln!("{percent} % of a core wanted in the guest: {kernel:.0} by the kernel, {told:.0} by the samples");
        assert!((told - kernel).abs() <= POINTS, "{percent} %: {told} by the samples, {kernel} by the kernel");
    }
}

/// Has the guest's agent begin with another load.
fn keep_busy(kvm: &Kvm, percent: u32) {
    let arguments = format!(r#"{{"path":"/bin/busy","arg":["{percent}"]}}"#);
    let command = format!(r#"{{"execute":"guest-exec","arguments":{arguments}}}"#);
    kvm.until("the guest's agent to take the load", |kvm| {
        kvm.virsh("kvm2", &["qemu-agent-command", "busy", &command]).status.success().then_some(())
    });
}

/// The thousandths of a core that were used in this time, once all of it is told.
fn told(kvm: &Kvm, from: i64, to: i64) -> Option<f64> {
    let (since, until) = (moment(from), moment(to));
    let words = ["report", "cpu", "--by", "vm", "--name", "busy", "--since", &since, "--until", &until, "-o", "json"];
    let view: LoadView = serde_json::from_str(&kvm.holdfast(&words)).expect("a report");
    let row = view.rows.first().filter(|row| row.measured_percent == 100)?;
    row.mean.map(|mean| mean as f64)
}

fn moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).expect("a moment of these years").to_string()
}

fn is_qemu(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.display().to_string().contains("qemu-system"))
}

/// The seconds of a processor that a process has had.
fn processor_time(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let behind_name = stat.rsplit_once(')').expect("its name").1;
    let ticks = |field: usize| behind_name.split_whitespace().nth(field).expect("it is told").parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Waits for the end of a slot of the wall clock, which is what is measured by, and tells when that is.
fn end_of_slot() -> i64 {
    let next = wall_milliseconds() / SLOT * SLOT + SLOT;
    while wall_milliseconds() < next {
        std::thread::park_timeout(Duration::from_millis((next - wall_milliseconds()).max(1).unsigned_abs()));
    }
    next
}
