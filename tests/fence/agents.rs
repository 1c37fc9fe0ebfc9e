//! Fence agents: one of the distribution, where it is installed, and scripts that speak as agents do, for what a good
//! agent never does.

use crate::skip;
use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::fence::{Agent, FenceAnswer, FenceClients, FenceDevice, Secret};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(30);

fn device(program: &str, options: &[(&str, &str)]) -> FenceDevice {
    let secret = |value: &str| Secret::new(value).expect("a value");
    let options: BTreeMap<_, _> = options.iter().map(|(key, value)| ((*key).to_owned(), secret(value))).collect();
    FenceDevice::Agent(Agent::new(program, options).expect("an agent"))
}

/// An agent that is this script, simulated.
struct Script {
    folder: TempDir,
    fences: FenceClients,
}

impl Script {
    fn new(text: &str) -> Script {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("fence_script");
        fs::write(&path, format!("#!/bin/sh\nD={}\n{text}\n", folder.path().display())).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        let fences = FenceClients::with_agents_in(folder.path().to_owned());
        Script { folder, fences }
    }

    async fn perform(&self, op: FenceOp, deadline: Duration) -> FenceAnswer {
        let options = [("ip", "10.0.0.1"), ("password", "hunter2")];
        self.fences.perform(&device("fence_script", &options), op, deadline).await
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("the script wrote it")
    }
}

#[tokio::test]
async fn an_agent_of_the_distribution_switches() {
    if !Path::new("/usr/sbin/fence_dummy").exists() {
        return skip("fence_dummy is not installed (package fence-agents): no agent of the distribution was tried");
    }
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    fs::write(&state, "on").expect("a file");
    let device = device("/usr/sbin/fence_dummy", &[("status_file", state.to_str().expect("a name"))]);
    let fences = FenceClients::new();
    let ask = async |op| fences.perform(&device, op, LONG).await;
    assert_eq!(ask(FenceOp::Power).await, FenceAnswer { result: FenceResult::On, detail: None });
    assert_eq!(ask(FenceOp::PowerOff).await.result, FenceResult::Taken);
    assert_eq!(ask(FenceOp::Power).await.result, FenceResult::Off);
    assert_eq!(ask(FenceOp::PowerOn).await.result, FenceResult::Taken);
    assert_eq!(ask(FenceOp::Power).await.result, FenceResult::On);
}

#[tokio::test]
async fn options_are_told_on_standard_input_and_nowhere_else() {
    let script = Script::new("cat > $D/input; tr '\\0' ' ' < /proc/$$/cmdline > $D/cmdline; env > $D/env; exit 0");
    assert_eq!(script.perform(FenceOp::PowerOff, LONG).await.result, FenceResult::Taken);
    assert_eq!(script.file("input"), "action=off\nip=10.0.0.1\npassword=hunter2\n");
    assert!(!script.file("cmdline").contains("hunter2") && !script.file("env").contains("hunter2"));
    assert!(!script.file("env").contains("CARGO"), "an agent is not told what it need not know");
}

#[tokio::test]
async fn its_exit_is_its_answer() {
    let expected = [
        (0, FenceOp::Power, FenceResult::On),
        (2, FenceOp::Power, FenceResult::Off),
        (1, FenceOp::Power, FenceResult::Unreachable),
        (3, FenceOp::Power, FenceResult::Unreachable),
        (0, FenceOp::PowerOff, FenceResult::Taken),
        (2, FenceOp::PowerOff, FenceResult::Unreachable),
        (1, FenceOp::PowerOn, FenceResult::Unreachable),
    ];
    for (code, op, result) in expected {
        let script = Script::new(&format!("exit {code}"));
        assert_eq!(script.perform(op, LONG).await.result, result, "{op:?} ended with {code}");
    }
    let killed = Script::new("kill -9 $$");
    assert_eq!(killed.perform(FenceOp::Power, LONG).await.result, FenceResult::Unreachable);
}

#[tokio::test]
async fn what_it_complains_of_is_told_without_the_password() {
    let script = Script::new("echo 'Unable to connect' >&2; echo 'with hunter2' >&2; exit 1");
    let answer = script.perform(FenceOp::Power, LONG).await;
    assert_eq!(answer.result, FenceResult::Unreachable);
    let expected = "fence_script: it ended with exit status: 1: Unable to connect with (secret)";
    assert_eq!(answer.detail.as_deref(), Some(expected));
    // It may say as much as it likes.
    let script = Script::new("yes complaint | head -c 3000000 >&2; yes | head -c 3000000; exit 2");
    let answer = script.perform(FenceOp::Power, LONG).await;
    assert_eq!(answer.result, FenceResult::Off);
}

#[tokio::test]
async fn an_agent_that_hangs_is_killed_with_all_that_it_started() {
    let script = Script::new("sleep 1000 & echo $! > $D/child; echo $$ > $D/own; echo stuck >&2; wait; exit 0");
    let began = Instant::now();
    let answer = script.perform(FenceOp::PowerOff, Duration::from_millis(700)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert_eq!(answer.result, FenceResult::Unreachable);
    let detail = answer.detail.expect("a reason");
    assert!(detail.contains("may yet take effect") && detail.ends_with(": stuck"), "{detail}");
    let deadline = Instant::now() + Duration::from_secs(10);
    for name in ["child", "own"] {
        let pid = script.file(name).trim().to_owned();
        // The agent itself is reaped by us. Its orphan is reaped by others, if they do that.
        let is_gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => name == "child" && stat.contains(") Z "),
        };
        while !is_gone() {
            assert!(Instant::now() < deadline, "{name} {pid} lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_has_no_identity_says_so() {
    let script = Script::new("exit 0");
    let answer = script.fences.perform(&device("fence_other", &[]), FenceOp::Power, LONG).await;
    assert_eq!(answer.result, FenceResult::Unreachable);
    assert!(answer.detail.is_some_and(|text| text.contains("install the package fence-agents")));
    let answer = script.perform(FenceOp::Identity, LONG).await;
    assert_eq!(answer, FenceAnswer { result: FenceResult::Nameless, detail: None });
}
