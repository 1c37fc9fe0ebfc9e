//! A cloud to be tested, which is gone when the test ends, however it ends; and its API, as it is.

use holdfast::clock::boottime;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What does not happen within this time does not happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(200);
/// So much of each log is shown when a test fails.
const LINES: usize = 20;

pub const KEYSTONE: &str = "http://127.0.0.1:5000/v3";
const NOVA: &str = "http://127.0.0.1:8774/v2.1";

pub struct Cloud {
    folder: TempDir,
}

/// What was answered: the status, or nothing if nobody did, and the body.
pub struct Answer {
    pub status: Option<u16>,
    pub body: Value,
}

impl Cloud {
    /// Brings up a cloud, or says why there can be none here.
    pub fn up() -> Option<Cloud> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: the cloud of a lab needs root");
            return None;
        }
        let cloud = Cloud { folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder") };
        cloud.must(&["up"]);
        Some(cloud)
    }

    /// Where everything of it lies.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("cloud")
    }

    /// What `openstack/lab` answers to these words.
    pub fn ask(&self, words: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("openstack/lab");
        let mut command = Command::new(script);
        command.args(words).env("HOLDFAST_CLOUD", self.path()).stdin(Stdio::null());
        command.output().expect("openstack/lab runs")
    }

    /// The same, which must succeed, and its output.
    pub fn must(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openstack/lab {words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until something is there.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Cloud) -> Option<T>) -> T {
        let deadline = boottime() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(boottime() < deadline, "never: {what}\n{}", self.must(&["status"]));
            std::thread::park_timeout(LOOK);
        }
    }

    /// A token of keystone for whoever can identify like this.
    pub fn token(&self, identity: &Value) -> String {
        let body = json!({ "auth": { "identity": identity } }).to_string();
        let tokens = format!("{KEYSTONE}/auth/tokens");
        let kind = "Content-Type: application/json";
        let said = self.must(&["exec", "curl", "-s", "-D", "-", "-o", "/dev/null", "-H", kind, "-d", &body, &tokens]);
        let token = said.lines().find_map(|line| line.strip_prefix("X-Subject-Token: "));
        token.unwrap_or_else(|| panic!("no token: {said}")).trim().to_owned()
    }

    /// What Nova answers to one request; a body of nothing is none.
    pub fn nova(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let (token, url, body) = (format!("X-Auth-Token: {token}"), format!("{NOVA}{path}"), body.to_string());
        let mut words = vec!["exec", "curl", "-s", "-w", "\n%{http_code}", "-X", method, "-H", &token];
        words.extend(["-H", "X-OpenStack-Nova-API-Version: 2.93", "-H", "Content-Type: application/json"]);
        if body != "null" {
            words.extend(["-d", &body]);
        }
        words.push(&url);
        let output = self.ask(&words);
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.trim_end().rsplit_once('\n').expect("a body and a status");
        let status = status.parse().ok().filter(|&status| status > 0);
        Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    /// The PID namespace that everything of the cloud is in.
    pub fn namespace(&self) -> PathBuf {
        let room = fs::read_to_string(self.path().join("room")).expect("the room of the cloud");
        let first = room.split(' ').next().expect("its first process");
        fs::read_link(format!("/proc/{first}/ns/pid")).expect("a namespace")
    }

    /// What the services said last.
    fn show_logs(&self) {
        for log in fs::read_dir(self.path().join("logs")).into_iter().flatten().flatten() {
            let text = fs::read(log.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let last: Vec<&str> = text.lines().rev().take(LINES).collect();
            eprintln!("== {}", log.file_name().display());
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        self.ask(&["down"]);
    }
}

/// How many processes of this machine are in a PID namespace.
pub fn processes_in(namespace: &Path) -> usize {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter(|entry| fs::read_link(entry.path().join("ns/pid")).is_ok_and(|found| found == namespace)).count()
}
