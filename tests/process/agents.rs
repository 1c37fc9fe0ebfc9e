//! Agents come and go; VMs stay, and each run of the agent knows them.

use crate::host::Shared;
use holdfast::core::action::{Ended, Outcome};
use holdfast::core::command::Want;
use holdfast::core::ids::VmId;
use holdfast::platform::Platform;
use holdfast::process::hand::{Deed, act};
use holdfast::process::life::Stage;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

const VM: VmId = VmId(1);
/// The test `agent` is the agent itself in a process where this names its directory.
const AGENT_OF: &str = "HOLDFAST_TEST_AGENT_OF";
const VMS: u32 = 12;

#[test]
fn the_next_agent_sees_stops_and_kills_what_an_earlier_one_started() {
    let shared = Shared::new();
    let mut host = shared.host("host-1");
    host.define(VM, &shared.definition(VM, ""));
    assert_eq!(host.start(VM, 1), Outcome::Done);
    let pid = host.pid(VM);
    host.restart_agent();
    host.assert_runs(VM);
    assert_eq!(host.pid(VM), pid);
    assert_eq!(host.start(VM, 2), Outcome::Failed);
    host.platform.kill(VM);
    host.changed(VM);
    host.assert_gone(VM, Ended::Crashed);

    assert_eq!(host.start(VM, 3), Outcome::Done);
    host.restart_agent();
    assert_eq!(host.stop(VM, Want::Stopped), Outcome::Done);
    host.changed(VM);
    host.assert_gone(VM, Ended::GuestPoweroff);

    assert_eq!(host.start(VM, 4), Outcome::Done);
    host.restart_agent();
    act(&host.lives, VM, Deed::Destroy).expect("a process");
    host.changed(VM);
    host.restart_agent();
    host.assert_gone(VM, Ended::Destroyed);
    assert!(shared.examine(VM).clashes.is_empty());
}

/// An agent in a process of its own, killed with the test.
struct Agent {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts one that starts VMs, and says so of each.
    fn start(shared: &Shared) -> Agent {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "agents::agent", "--nocapture"]).env(AGENT_OF, shared.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        Agent { child, out }
    }

    /// Waits until it has said that so many VMs run.
    fn has_started(&mut self, count: usize) {
        let lines = self.out.by_ref().lines().map_while(Result::ok);
        let started = lines.filter(|line| line.contains("started vm-")).take(count);
        assert_eq!(started.count(), count);
    }

    fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Is an agent, if this process is to be one. It is killed from outside; if whoever does that is gone, it ends its VMs.
#[test]
fn agent() {
    let Some(folder) = std::env::var_os(AGENT_OF) else { return };
    let mut host = Shared::at(folder.into()).host("host-1");
    let tickets: Vec<_> = (1..=VMS).map(|vm| (VmId(vm), host.begin_start(VmId(vm), 1))).collect();
    for (vm, ticket) in tickets {
        assert_eq!(host.outcome(ticket), Outcome::Done);
        println!("started {vm}");
    }
    let mut nothing = String::new();
    std::io::stdin().read_line(&mut nothing).expect("its input");
}

fn host_with_definitions(shared: &Shared) -> crate::host::Host {
    let mut host = shared.host("host-1");
    for vm in (1..=VMS).map(VmId) {
        host.define(vm, &shared.definition(vm, ""));
    }
    for vm in (1..=VMS).map(VmId) {
        host.call(holdfast::core::action::PlatformCall::ProbeLock { vm });
    }
    host
}

#[test]
fn vms_outlive_a_killed_agent_in_its_group_of_processes() {
    let shared = Shared::new();
    let mut host = host_with_definitions(&shared);
    let mut agent = Agent::start(&shared);
    agent.has_started(VMS as usize);
    agent.kill();
    host.restart_agent();
    assert_eq!(host.look().processes.len(), VMS as usize);
    let own_group = rustix::process::getpgrp().as_raw_nonzero().get().to_string();
    for vm in (1..=VMS).map(VmId) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", host.pid(vm))).expect("a process");
        assert_eq!(stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2)), Some(&own_group[..]));
        host.platform.kill(vm);
        host.changed(vm);
        host.assert_gone(vm, Ended::Crashed);
    }
}

#[test]
fn an_agent_that_is_killed_in_the_middle_of_starts_leaves_nothing_that_is_not_seen() {
    for started in 0..6 {
        let shared = Shared::new();
        let mut host = host_with_definitions(&shared);
        let mut agent = Agent::start(&shared);
        if started > 0 {
            agent.has_started(started);
        } else {
            host.until("the first process is being made", |host| host.is_alive(VM));
        }
        agent.kill();
        host.restart_agent();
        let seen = host.look().processes.len();
        assert!(seen >= started, "{seen}");
        for vm in (1..=VMS).map(VmId) {
            host.platform.kill(vm);
        }
        host.until("all are gone", |host| (1..=VMS).all(|vm| !host.is_alive(VmId(vm))));
        for vm in (1..=VMS).map(VmId) {
            assert_eq!(host.start(vm, 2), Outcome::Done);
            assert_eq!(host.record(vm).stage, Stage::Running);
            assert!(shared.examine(vm).clashes.is_empty());
        }
    }
}
