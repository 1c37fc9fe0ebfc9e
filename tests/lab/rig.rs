//! A lab to be tested, which is gone when the test ends, however it ends.

use holdfast::clock::boottime;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What does not happen within this time does not happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);
/// So much of each log is shown when a test fails.
const LINES: usize = 20;

pub struct Lab {
    folder: TempDir,
}

impl Lab {
    /// Brings up a lab, or says why there can be none here.
    pub fn up(options: &[&str]) -> Option<Lab> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a lab needs root");
            return None;
        }
        if !Path::new("/dev/fuse").exists() {
            eprintln!("SKIPPED: a lab needs FUSE, and there is no /dev/fuse");
            return None;
        }
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let lab = Lab { folder };
        lab.must(&[&["up"], options].concat());
        Some(lab)
    }

    /// Where everything of it lies.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("lab")
    }

    /// What `scripts/lab` answers to these words.
    pub fn ask(&self, words: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab");
        let mut command = Command::new(script);
        command.args(words).env("HOLDFAST_LAB", self.path()).env("HOLDFAST_PROGRAM", env!("CARGO_BIN_EXE_holdfast"));
        command.stdin(Stdio::null()).output().expect("scripts/lab runs")
    }

    /// The same, which must succeed, and its output.
    pub fn must(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/lab {words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn succeeds(&self, words: &[&str]) -> bool {
        self.ask(words).status.success()
    }

    /// Waits until something is there.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Lab) -> Option<T>) -> T {
        let deadline = boottime() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(boottime() < deadline, "never: {what}\n{}", self.must(&["status"]));
            std::thread::park_timeout(LOOK);
        }
    }

    /// Waits until the guest has written to its disk, in a start of which it has not been told yet, and tells its name.
    pub fn until_writing(&self, vm: &str) {
        let before = self.must(&["vm", "console", vm]).matches("HEARTBEAT").count();
        self.until("the guest writes", |lab| {
            (lab.must(&["vm", "console", vm]).matches("HEARTBEAT").count() > before).then_some(())
        });
    }

    /// What its hosts said last.
    fn show_logs(&self) {
        for host in fs::read_dir(self.path().join("hosts")).into_iter().flatten().flatten() {
            for name in ["machine.log", "root/var/log/agent.log", "root/var/log/libvirtd.log"] {
                let text = fs::read(host.path().join(name)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let last: Vec<&str> = text.lines().rev().take(LINES).collect();
                eprintln!("== {}/{name}", host.file_name().display());
                last.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }

    /// The processes of this machine that have this in their command line.
    pub fn processes(&self, word: &str) -> Vec<u32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&words).contains(word) {
                found.push(id);
            }
        }
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        self.ask(&["down"]);
    }
}
