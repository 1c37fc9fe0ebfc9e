//! Debian's promtool.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of Debian's package `prometheus`; or nothing, and a word about it.
pub fn tool(name: &str) -> Option<PathBuf> {
    let places = [project("target/prometheus/usr/bin"), PathBuf::from("/usr/bin")];
    let found = places.iter().map(|place| place.join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no {name}: scripts/test metrics fetches it, or apt-get install prometheus");
    }
    found
}

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What promtool says to this; nothing if it is not there. It must succeed.
pub fn must(words: &[&str], input: &str) -> Option<String> {
    let output = ask(words, input)?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {words:?}: {said}");
    Some(said)
}

/// The same, whether it succeeds or not.
pub fn ask(words: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(tool("promtool")?);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool runs");
    // One that reads nothing of it may have ended by now.
    let _ = child.stdin.take().expect("it has an input").write_all(input.as_bytes());
    Some(child.wait_with_output().expect("it ends"))
}
