//! Who is killed, and who never is.

use crate::host::{Host, Shared};
use holdfast::core::action::{Ended, Outcome, ProcessState};
use holdfast::core::command::Want;
use holdfast::core::ids::{Epoch, VmId};
use holdfast::platform::Platform;
use holdfast::process::life::{Life, LifeRecord, ProcessName, Stage};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::{Child, Command, Stdio};
use uuid::Uuid;

const VM: VmId = VmId(1);

/// A process of the test's own, that ends with it.
struct Sleeper(Child);

impl Sleeper {
    fn with_input(input: Stdio) -> Sleeper {
        Sleeper(Command::new("sleep").arg("600").stdin(input).spawn().expect("a process"))
    }

    fn name(&self) -> ProcessName {
        let pid = self.0.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let after_name = stat.rsplit(')').next().expect("a name");
        let started = after_name.split_whitespace().nth(19).expect("a time").parse().expect("a number");
        ProcessName { pid, started }
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn record(stage: Stage, process: Option<ProcessName>) -> LifeRecord {
    LifeRecord { vm: VM, nonce: Uuid::new_v4(), epoch: Epoch::NONE, stage, process }
}

fn claim(host: &Host) -> Life {
    host.lives.file(VM).claim().expect("a life file").expect("nobody has it")
}

/// Waits until a kill that was asked for before has been gone about: a later one, of a VM that exists, is through.
fn after_the_kill(shared: &Shared, host: &mut Host) {
    for vm in [VmId(2), VmId(3)] {
        host.define(vm, &shared.definition(vm, ""));
        assert_eq!(host.start(vm, 1), Outcome::Done);
        host.platform.kill(vm);
        host.changed(vm);
    }
}

#[test]
fn a_killed_vm_is_gone() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    for epoch in 0..10 {
        assert_eq!(host.start(VM, epoch), Outcome::Done);
        host.platform.kill(VM);
        host.changed(VM);
        assert!(!host.is_alive(VM));
        host.assert_gone(VM, Ended::Crashed);
    }
    assert!(shared.examine(VM).clashes.is_empty());
    // Nobody is there: nothing happens, also not to the next start.
    host.platform.kill(VM);
    after_the_kill(&shared, &mut host);
    assert_eq!(host.start(VM, 10), Outcome::Done);
    host.assert_runs(VM);
}

#[test]
fn a_frozen_vm_lives_until_it_is_killed() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    assert_eq!(host.start(VM, 1), Outcome::Done);
    let pid = Pid::from_raw(i32::try_from(host.pid(VM)).expect("a number")).expect("a number");
    kill_process(pid, Signal::STOP).expect("a process");
    host.assert_runs(VM);
    host.platform.kill(VM);
    host.changed(VM);
    host.assert_gone(VM, Ended::Crashed);
}

#[test]
fn a_start_under_way_is_killed() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, "start_delay_ms = 600000"));
    let start = host.begin_start(VM, 1);
    host.until("its process has registered", |host| {
        let record = host.lives.file(VM).read().expect("a life file");
        record.is_some_and(|record| record.stage == Stage::Starting)
    });
    assert!(host.look().busy.contains(&VM));
    host.assert_runs(VM);
    host.platform.kill(VM);
    assert_eq!(host.outcome(start), Outcome::Failed);
    assert!(!host.is_alive(VM));
    host.assert_gone(VM, Ended::Unknown);
}

#[test]
fn a_process_that_has_not_registered_is_killed_whatever_the_life_file_says_so_far() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    let mut dead = Sleeper::with_input(Stdio::null());
    let stale = record(Stage::Running, Some(dead.name()));
    dead.0.kill().and_then(|()| dead.0.wait()).expect("a child");
    for written in [record(Stage::Spawning, None), stale] {
        let life = claim(&host);
        life.write(&written).expect("a life file");
        let mut unregistered = Sleeper::with_input(Stdio::from(life.into_file()));
        assert_eq!(host.look().processes[0].state, ProcessState::Executing);
        host.platform.kill(VM);
        host.changed(VM);
        assert!(!unregistered.is_alive() && !host.is_alive(VM));
    }
}

#[test]
fn a_kill_waits_for_a_process_that_is_just_being_made() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    let life = claim(&host);
    let written = record(Stage::Running, None);
    life.write(&written).expect("a life file");
    host.platform.kill(VM);
    after_the_kill(&shared, &mut host);
    assert!(host.is_alive(VM));
    // Only now it has a process.
    let mut late = Sleeper::with_input(Stdio::from(life.into_file()));
    host.changed(VM);
    assert!(!late.is_alive() && !host.is_alive(VM));
}

#[test]
fn a_kill_that_waits_spares_the_next_start() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    let mut dead = Sleeper::with_input(Stdio::null());
    let stale = record(Stage::Running, Some(dead.name()));
    dead.0.kill().and_then(|()| dead.0.wait()).expect("a child");
    // An agent that is about to make a process, and ends before it does.
    for written in [None, Some(record(Stage::Spawning, None)), Some(stale)] {
        let life = claim(&host);
        if let Some(written) = written {
            life.write(&written).expect("a life file");
        }
        host.platform.kill(VM);
        after_the_kill(&shared, &mut host);
        drop(life);
        assert_eq!(host.start(VM, 1), Outcome::Done);
        let pid = host.pid(VM);
        after_the_kill(&shared, &mut host);
        host.assert_runs(VM);
        assert_eq!(host.pid(VM), pid);
        assert_eq!(host.stop(VM, Want::Stopped), Outcome::Done);
    }
}

#[test]
fn a_number_that_is_used_again_fools_no_kill() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    let mut stranger = Sleeper::with_input(Stdio::null());
    let name = stranger.name();
    let stale = ProcessName { started: name.started - 1, ..name };
    for process in [stale, name] {
        let life = claim(&host);
        life.write(&record(Stage::Running, Some(process))).expect("a life file");
        // Somebody else has the lock, then nobody.
        host.platform.kill(VM);
        after_the_kill(&shared, &mut host);
        assert!(stranger.is_alive());
        drop(life);
        host.platform.kill(VM);
        after_the_kill(&shared, &mut host);
        assert!(stranger.is_alive() && !host.is_alive(VM));
    }
}

#[test]
fn who_merely_reads_a_life_file_is_spared() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    let life = claim(&host);
    life.write(&record(Stage::Spawning, None)).expect("a life file");
    let file = fs::File::open(host.lives.file(VM).path()).expect("a life file");
    let mut reader = Sleeper::with_input(Stdio::from(file));
    host.platform.kill(VM);
    after_the_kill(&shared, &mut host);
    assert!(reader.is_alive());
    drop(life);
}
