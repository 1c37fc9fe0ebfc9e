//! A machine to be tested, which takes all its processes with it when the test ends, however it ends.

use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::fence::{FenceAnswer, FenceClients, FenceDevice, Fingerprint, Redfish, Secret, Verify};
use holdfast::machine::{BmcInfo, Status};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// Which machine it is.
pub const UUID: Uuid = Uuid::from_u128(0x6f2c_0000_1111_2222_3333_4444_5555_6666);
/// What does not happen within this time does not happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Every process of a rig has its folder in this variable.
const MARK: &str = "HOLDFAST_TEST_RIG";

pub struct Rig {
    machine: Child,
    pub folder: TempDir,
    pub info: BmcInfo,
    pub fences: FenceClients,
}

impl Rig {
    /// Starts a machine whose host runs this shell script as its agent.
    pub fn start(options: &[&str], agent: &str) -> Rig {
        let folder = TempDir::new().expect("a folder");
        let mut machine = command(folder.path(), options, agent).spawn().expect("it starts");
        let mut line = String::new();
        let stdout = machine.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let info = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        Rig { machine, folder, info, fences: FenceClients::new() }
    }

    /// A second machine in the folder of this one.
    pub fn another(&self) -> std::process::Output {
        command(self.folder.path(), &[], "exit 0").stderr(Stdio::piped()).output().expect("it runs")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn status(&self) -> Status {
        let text = fs::read_to_string(self.path("machine.json")).expect("it shows itself");
        serde_json::from_str(&text).expect("it is whole")
    }

    pub fn boot(&self) -> Uuid {
        let text = fs::read_to_string(self.path("run/boot-id")).expect("it has booted");
        text.trim().parse().expect("an identity")
    }

    /// Waits until the machine shows itself so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        wait(what, || {
            let text = fs::read_to_string(self.path("machine.json")).ok()?;
            serde_json::from_str(&text).ok().filter(&is_so)
        })
        .await
    }

    /// Waits until the agent has written this file.
    pub async fn until_file(&self, name: &str) -> String {
        let path = self.path(name);
        let whole = || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'));
        wait(name, whole).await.trim().to_owned()
    }

    pub fn device(&self) -> FenceDevice {
        self.device_with(&self.password(), &self.info.fingerprint)
    }

    pub fn password(&self) -> String {
        fs::read_to_string(&self.info.password_file).expect("a password").trim().to_owned()
    }

    pub fn device_with(&self, password: &str, fingerprint: &str) -> FenceDevice {
        let verify = Verify::Fingerprint(Fingerprint::try_from(fingerprint.to_owned()).expect("a fingerprint"));
        let password = Secret::new(password).expect("a password");
        let device = Redfish::new(&self.info.address, None, &self.info.user, password, verify);
        FenceDevice::Redfish(device.expect("a device"))
    }

    pub async fn perform(&self, op: FenceOp) -> FenceResult {
        let answer: FenceAnswer = self.fences.perform(&self.device(), op, Duration::from_secs(10)).await;
        assert!(answer.detail.is_none(), "{answer:?}");
        answer.result
    }

    /// Reads the power until it is so.
    pub async fn until_power(&self, wanted: FenceResult) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.perform(FenceOp::Power).await != wanted {
            assert!(tokio::time::Instant::now() < deadline, "the power never was {wanted:?}");
        }
    }

    /// Every living process of the host, also one that has left its group.
    pub fn processes(&self) -> Vec<Pid> {
        let own = i32::try_from(self.machine.id()).expect("a number");
        marked(self.folder.path()).into_iter().filter(|pid| pid.as_raw_nonzero().get() != own).collect()
    }

    pub fn signal_host(&self, signal: Signal) {
        let group = self.status().pgid.and_then(Pid::from_raw).expect("a host");
        kill_process_group(group, signal).expect("it is there");
    }

    pub fn signal_machine(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.machine.id()).expect("a number")).expect("a number");
        kill_process(pid, signal).expect("it is there");
    }

    pub async fn machine_has_ended(&mut self) -> ExitStatus {
        let machine = &mut self.machine;
        wait("the machine ends", || machine.try_wait().expect("it is a child")).await
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.machine.kill().ok();
        self.machine.wait().ok();
        // The host dies with its machine; what a failed test shows not to, dies here. What is killed may just have forked.
        loop {
            let left = marked(self.folder.path());
            if left.is_empty() {
                return;
            }
            for pid in left {
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}

fn command(folder: &Path, options: &[&str], agent: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.arg("machine").arg("--directory").arg(folder).arg("--uuid").arg(UUID.to_string()).args(options);
    // A test that is killed leaves nothing behind.
    command.arg("--end-with-input");
    command.args(["--", "sh", "-c", agent]).env(MARK, folder).env("RIG", folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The living processes that were started for this folder. A test may look for others' too: their folder is another.
fn marked(folder: &Path) -> Vec<Pid> {
    let wanted = format!("{MARK}={}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // The dead, reaped or not, have no environment.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// Looks again and again, until there is something.
pub async fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
