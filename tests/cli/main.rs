//! The command line as a person or a script meets it: exit codes, errors with their line, and output that is the same
//! each time.

#![allow(clippy::expect_used, reason = "a test ends where what it stands on is missing")]

mod asking;

use assert_cmd::Command;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;

const GOOD: &str = "[cluster]\nhosts = 3\nvms = 2\n[[expect]]\nvm = \"vm-1\"\non = \"host-1\"\n";

fn holdfast(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for variable in ["HOLDFAST_SERVER", "HOLDFAST_SOCKET", "HOLDFAST_IDENTITY", "HOLDFAST_TOKEN"] {
        command.env_remove(variable);
    }
    command.args(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

fn write(folder: &Path, name: &str, scenario: &str) -> String {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("scenario.toml"), scenario).expect("a file");
    folder.to_str().expect("a name").to_owned()
}

#[test]
fn a_bad_file_is_named_with_its_line_and_a_hint() {
    let folder = TempDir::new().expect("a folder");
    let event = "[[event]]\nat = \"5s\"\ndo = \"power-off\"\nhost = \"hots-2\"\n";
    let path = write(folder.path(), "bad", &format!("{GOOD}{event}"));
    let output = holdfast(&["simulate", "run", &path]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("scenario.toml:10: there is no host \"hots-2\""), "{error}");
    assert!(error.contains("hint: did you mean \"host-2\"? there is host-1, host-2 and host-3"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn every_bad_file_is_named_before_anything_is_run() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "a", "sede = 3\n");
    write(folder.path(), "b", GOOD);
    write(folder.path(), "c", "[cluster]\nhosts = 1\nwitnes = true\n");
    let output = holdfast(&["simulate", "run", folder.path().to_str().expect("a name")]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(
        error.contains("there is no host") && error.contains("scenario.toml:3: [cluster] has no key `witnes`"),
        "{error}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn paths_that_hold_no_scenario_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let empty = folder.path().to_str().expect("a name");
    for arguments in [vec!["simulate", "run", empty], vec!["simulate", "run", "/nowhere"], vec!["simulate", "run"]] {
        assert_eq!(holdfast(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_bad_command_is_refused_and_help_has_examples() {
    let bad: [&[&str]; 6] = [
        &["simulate", "soak", "--seeds", "9..3"],
        &["simulate", "soak", "--for", "10"],
        &["simulate", "soak", "--hosts", "0"],
        &["simulate", "replay"],
        &["simulate", "replay", "--seed", "1", "--for", "1s", "--vm", "vm-99"],
        &["simulate", "fly"],
    ];
    for arguments in bad {
        let output = holdfast(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    for command in ["run", "soak", "replay"] {
        let output = holdfast(&["simulate", command, "--help"]);
        let help = text(&output.stdout);
        assert!(output.status.success() && help.contains("Examples:") && help.contains("Exit codes"), "{help}");
    }
}

#[test]
fn an_outcome_is_one_object_in_a_line() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "one", GOOD);
    write(folder.path(), "two", GOOD);
    let output = holdfast(&["simulate", "run", "-o", "json", folder.path().to_str().expect("a name")]);
    let lines = text(&output.stdout);
    let outcomes: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let names: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome["name"].as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert!(outcomes.iter().all(|outcome| outcome["final"]["vms"]["vm-1"]["state"].is_string()));
}

#[test]
fn blessing_keeps_the_record_and_another_one_is_a_difference() {
    let folder = TempDir::new().expect("a folder");
    let path = write(folder.path(), "blessed", GOOD);
    assert_eq!(holdfast(&["simulate", "run", &path, "--bless"]).status.code(), Some(0));
    let file = Path::new(&path).join("expected");
    let record = fs::read_to_string(&file).expect("the record");
    assert!(record.contains("vm-1 running on host-1"), "{record}");
    assert_eq!(holdfast(&["simulate", "run", &path]).status.code(), Some(0));
    fs::write(&file, record.replace("vm-1 running on host-1", "vm-1 running on host-7")).expect("a file");
    let output = holdfast(&["simulate", "run", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("vm-1 running on host-7"));
}

#[test]
fn a_demand_that_is_not_met_is_not_blessed() {
    let folder = TempDir::new().expect("a folder");
    let path = write(folder.path(), "unmet", &GOOD.replace("\"host-1\"", "\"host-3\""));
    let output = holdfast(&["simulate", "run", &path, "--bless"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("scenario.toml:4: expected vm-1 running on host-3"));
    assert!(!Path::new(&path).join("expected").exists());
}

#[test]
fn a_replay_is_the_same_to_the_byte_and_a_soak_hangs_not_on_its_jobs() {
    let replay = ["simulate", "replay", "--seed", "3", "--for", "2s", "--vms", "2"];
    assert_eq!(holdfast(&replay).stdout, holdfast(&replay).stdout);
    let soak = |jobs| holdfast(&["simulate", "soak", "--seeds", "1..6", "--for", "2s", "--vms", "2", "--jobs", jobs]);
    let (alone, together) = (soak("1"), soak("4"));
    assert_eq!(text(&alone.stdout), text(&together.stdout));
    assert_eq!(alone.status.code(), together.status.code());
    assert!(text(&alone.stdout).contains("6 seeds played"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["simulate", "replay", "--seed", "1", "--for", "2s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
