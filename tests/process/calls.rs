//! What each call does, and what is told afterwards.

use crate::host::Shared;
use holdfast::clock::boottime;
use holdfast::core::action::{Ended, Outcome, PlatformCall};
use holdfast::core::command::Want;
use holdfast::core::ids::{Epoch, HostId, Ticket, VmId};
use holdfast::core::record::Slot;
use holdfast::process::disk::Clash;
use holdfast::process::hand::{Deed, act};
use holdfast::process::life::Stage;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const VM: VmId = VmId(1);

fn sequence(shared: &Shared) -> u64 {
    match shared.examine(VM).last {
        Slot::Whole(trace) => trace.sequence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vm_starts_writes_and_is_stopped() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    let began = boottime();
    assert_eq!(host.start(VM, 7), Outcome::Done);
    println!("from the call to the first write: {:?}", boottime().since(began));
    let first = sequence(&shared);
    assert!(first > 0);
    host.assert_runs(VM);
    host.until("it goes on writing", |_| sequence(&shared) > first + 3);
    let examination = shared.examine(VM);
    let [start] = &examination.starts[..] else { panic!("{examination:?}") };
    assert_eq!((start.vm, start.host.as_str(), start.pid), (VM, "host-1", host.pid(VM)));
    assert_eq!((start.epoch, start.nonce), (Epoch { number: 7, ..Epoch::NONE }, host.record(VM).nonce));

    assert_eq!(host.stop(VM, Want::Stopped), Outcome::Done);
    host.changed(VM);
    host.assert_gone(VM, Ended::GuestPoweroff);
    assert_eq!(host.stop(VM, Want::Stopped), Outcome::Failed);
    assert_eq!(host.start(VM, 8), Outcome::Done);
    assert_eq!(host.stop(VM, Want::Killed), Outcome::Done);
    host.assert_gone(VM, Ended::Destroyed);
    let examination = shared.examine(VM);
    assert_eq!((examination.starts.len(), examination.clashes), (2, Vec::new()));
}

#[test]
fn how_it_ended_is_told() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    let deeds = [
        (Deed::PowerOff, Ended::GuestPoweroff),
        (Deed::Crash, Ended::Crashed),
        (Deed::Destroy, Ended::Destroyed),
        (Deed::Crash, Ended::Crashed),
    ];
    for (deed, ended) in deeds {
        assert_eq!(host.start(VM, 1), Outcome::Done);
        act(&host.lives, VM, deed).expect("a process");
        host.changed(VM);
        host.assert_gone(VM, ended);
        act(&host.lives, VM, deed).expect_err("no process");
    }
}

#[test]
fn a_locked_disk_is_told_and_nothing_is_left() {
    let shared = Shared::new();
    let (mut one, mut two) = (shared.host("host-1"), shared.host("host-2"));
    for host in [&mut one, &mut two] {
        host.define(VM, &shared.definition(VM, ""));
    }
    assert_eq!(two.call(PlatformCall::ProbeLock { vm: VM }), Outcome::Done);
    assert_eq!(one.start(VM, 1), Outcome::Done);
    assert_eq!(two.call(PlatformCall::ProbeLock { vm: VM }), Outcome::Locked);
    assert_eq!(two.start(VM, 2), Outcome::Locked);
    assert!(!two.is_alive(VM));
    two.assert_gone(VM, Ended::Unknown);
    assert_eq!(shared.examine(VM).starts.len(), 1);
    one.assert_runs(VM);
    holdfast::platform::Platform::kill(&mut one.platform, VM);
    one.changed(VM);
    assert_eq!(two.start(VM, 2), Outcome::Done);
    let examination = shared.examine(VM);
    assert_eq!((examination.starts.len(), examination.clashes), (2, Vec::new()));
}

#[test]
fn probes_make_no_start_fail() {
    let shared = Shared::new();
    let (mut one, mut two) = (shared.host("host-1"), shared.host("host-2"));
    for host in [&mut one, &mut two] {
        host.define(VM, &shared.definition(VM, ""));
    }
    for round in 0..5 {
        let probes: Vec<Ticket> = (0..40).map(|_| two.begin(PlatformCall::ProbeLock { vm: VM })).collect();
        let looks: Vec<Ticket> = (0..20).map(|_| one.begin(PlatformCall::Look)).collect();
        assert_eq!(one.start(VM, round), Outcome::Done);
        assert_eq!(one.stop(VM, Want::Stopped), Outcome::Done);
        for probe in probes {
            assert!(matches!(two.outcome(probe), Outcome::Done | Outcome::Locked));
        }
        assert_eq!(looks.len(), 20);
    }
    assert_eq!(shared.examine(VM).starts.len(), 5);
}

#[test]
fn two_on_one_disk_without_locks_are_found() {
    let shared = Shared::new();
    let (mut one, mut two) = (shared.host("host-1"), shared.host("host-2"));
    for host in [&mut one, &mut two] {
        host.define(VM, &shared.definition(VM, "lock = false"));
        assert_eq!(host.start(VM, 1), Outcome::Done);
    }
    one.changed(VM);
    one.assert_gone(VM, Ended::Crashed);
    let clashes = shared.examine(VM).clashes;
    let met = |clash: &Clash| match clash {
        Clash::Met { by, other, .. } => Some((by.host.clone(), other.clone().map(|other| other.host))),
        _ => None,
    };
    let met: Vec<_> = clashes.iter().filter_map(met).collect();
    assert!(met.contains(&("host-1".to_owned(), Some("host-2".to_owned()))), "{clashes:?}");
    let log = fs::read_to_string(one.lives.log(VM)).expect("a log");
    assert!(log.contains("is written by another process, too"), "{log}");
}

#[test]
fn what_cannot_start_fails_and_leaves_nothing() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    assert_eq!(host.start(VM, 1), Outcome::Failed);
    host.define(VM, "disk = \"/nowhere/at/all\"");
    assert_eq!(host.start(VM, 1), Outcome::Failed);
    host.assert_gone(VM, Ended::Unknown);
    host.define(VM, &shared.definition(VM, ""));
    host.define(VM, "disk = 3");
    assert_eq!(host.start(VM, 1), Outcome::Failed);
    assert!(shared.examine(VM).starts.is_empty());
    host.define(VM, &shared.definition(VM, ""));
    assert_eq!(host.call(PlatformCall::Move { vm: VM, to: HostId(2) }), Outcome::Failed);
    assert_eq!(host.start(VM, 1), Outcome::Done);
    let pid = host.pid(VM);
    assert_eq!(host.start(VM, 2), Outcome::Failed);
    assert_eq!(host.call(PlatformCall::Undefine { vm: VM }), Outcome::Failed);
    host.assert_runs(VM);
    assert_eq!(host.pid(VM), pid);
    assert_eq!(host.stop(VM, Want::Stopped), Outcome::Done);
    assert_eq!(host.call(PlatformCall::Undefine { vm: VM }), Outcome::Done);
    assert!(host.look().inactive.is_empty() && shared.disk(VM).exists());
    assert_eq!(host.start(VM, 3), Outcome::Failed);
}

#[test]
fn a_deaf_guest_is_waited_for_and_can_be_killed_meanwhile() {
    let shared = Shared::new();
    let mut host = shared.host_with_deadline("host-1", Duration::from_millis(300));
    host.define(VM, &shared.definition(VM, "ignores_stop = true"));
    assert_eq!(host.start(VM, 1), Outcome::Done);
    assert_eq!(host.stop(VM, Want::Stopped), Outcome::TimedOut);
    host.assert_runs(VM);
    drop(host);

    let mut host = shared.host("host-1");
    assert_eq!(host.start(VM, 2), Outcome::Done);
    let stop = host.begin(PlatformCall::Stop { vm: VM, want: Want::Stopped });
    assert!(host.look().busy.contains(&VM));
    holdfast::platform::Platform::kill(&mut host.platform, VM);
    // It may have been killed even before it was asked: then there was nobody to stop.
    assert!(matches!(host.outcome(stop), Outcome::Done | Outcome::Failed));
    host.assert_gone(VM, Ended::Crashed);
}

#[test]
fn a_slow_start_times_out_and_comes_up_all_the_same() {
    let shared = Shared::new();
    let mut host = shared.host_with_deadline("host-1", Duration::from_millis(200));
    host.define(VM, &shared.definition(VM, "start_delay_ms = 600"));
    assert_eq!(host.start(VM, 1), Outcome::TimedOut);
    host.assert_runs(VM);
    assert_ne!(host.record(VM).stage, Stage::Running);
    host.until("it runs", |host| host.record(VM).stage == Stage::Running);
    assert!(sequence(&shared) > 0);
}

#[test]
fn fifty_start_at_once() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    let vms: Vec<VmId> = (1..=50).map(VmId).collect();
    for vm in &vms {
        host.define(*vm, &shared.definition(*vm, "write_interval_ms = 50"));
    }
    let began = boottime();
    let tickets: Vec<Ticket> = vms.iter().map(|vm| host.begin_start(*vm, 1)).collect();
    for ticket in tickets {
        assert_eq!(host.outcome(ticket), Outcome::Done);
    }
    println!("fifty were started in {:?}", boottime().since(began));
    assert_eq!(host.look().processes.len(), 50);
    let began = boottime();
    for vm in &vms {
        holdfast::platform::Platform::kill(&mut host.platform, *vm);
    }
    for vm in &vms {
        host.changed(*vm);
    }
    println!("fifty were killed in {:?}", boottime().since(began));
    assert!(host.look().processes.is_empty());
    assert!(vms.iter().all(|vm| shared.examine(*vm).clashes.is_empty()));
}

#[test]
fn a_running_guest_takes_on_load() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    assert_eq!(host.start(VM, 1), Outcome::Done);
    host.define(VM, &shared.definition(VM, "cpu_load_percent = 60"));
    // The lane keeps its order: when this has returned, the definition is stored.
    assert_eq!(host.call(PlatformCall::ProbeLock { vm: VM }), Outcome::Locked);
    let ticks = |pid: u32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let after_name = stat.rsplit(')').next().expect("a name");
        after_name.split_whitespace().nth(11).expect("its time").parse().expect("a number")
    };
    let pid = host.pid(VM);
    act(&host.lives, VM, Deed::ReadLoad).expect("a process");
    let before = ticks(pid);
    host.until("it is busy", |_| ticks(pid) > before + 20);
    host.assert_runs(VM);
    assert!(shared.examine(VM).clashes.is_empty());
}

#[test]
fn nobody_is_a_vm_by_hand() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    assert_eq!(host.start(VM, 1), Outcome::Done);
    let definition = host.setup.state.join("definitions").join("vm-1.toml");
    let by_hand = |life: &std::path::Path, input: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg("process-vm").arg("--definition").arg(&definition).arg("--life").arg(life).args(["--host", "x"]);
        command.stdin(input).output().expect("it runs")
    };
    let life = host.lives.file(VM);
    let open = || Stdio::from(fs::OpenOptions::new().read(true).write(true).open(life.path()).expect("a life file"));
    for input in [Stdio::null(), open()] {
        let output = by_hand(life.path(), input);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert_eq!(host.stop(VM, Want::Stopped), Outcome::Done);
    let output = by_hand(life.path(), open());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("names no start that is to come"), "{output:?}");
    assert_eq!(shared.examine(VM).starts.len(), 1);
}
