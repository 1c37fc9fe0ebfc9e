//! The store in processes of its own: a power cut at any write, a full disk, and two that want the same directory.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where what it stands on is missing")]

mod disk;
mod full_disk;
mod power_cut;
mod processes;
mod trace;
mod workload;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a process that a test has started is to do, and in which directory.
const CHILD: &str = "HOLDFAST_STORE_CHILD";

/// Not a test by itself: what the tests start as a process of its own.
#[test]
fn child() {
    let Some(wanted) = env::var_os(CHILD) else { return };
    let wanted = wanted.into_string().expect("it is text");
    let (what, directory) = wanted.split_once(':').expect("what and where");
    let directory = Path::new(directory);
    match what.split_once('-').unwrap_or((what, "")) {
        ("workload", run) => workload::work(directory, run.parse().expect("a number")),
        ("back up", _) => power_cut::back_up(directory),
        ("restore", _) => power_cut::restore(directory),
        ("full", _) => full_disk::work(directory),
        ("failing", _) => full_disk::work_where_writes_fail(directory),
        ("writer", _) => processes::work(directory),
        _ => panic!("no such work: {what}"),
    }
}

/// How this program is started to do one thing.
fn child_arguments() -> (PathBuf, [&'static str; 3]) {
    (env::current_exe().expect("a path"), ["--exact", "child", "--nocapture"])
}

/// Has a command run this program to do one thing.
fn with_child(mut command: Command, what: &str, directory: &Path) -> Command {
    command.env(CHILD, format!("{what}:{}", directory.display()));
    command
}

/// Says something that is seen also where the test passes.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says something to the process that has started this one, in one write.
fn tell(text: &str) {
    let line = format!("@{text}\n");
    std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()).expect("somebody listens");
}
