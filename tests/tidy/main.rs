//! The house style, as far as a program can check it.
//!
//! Each rule is a function over text that returns what is wrong, one sentence for each finding; the tests at the end
//! of `rules.rs` show that it finds a bad sample, the tests here that the tree has none.

mod rules;
mod source;

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

type Outcome = Result<(), Box<dyn Error>>;

/// Which files git is asked for.
enum Files {
    /// Those under version control.
    Tracked,
    /// Those that are, or would be if they were added.
    All,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The project's files as paths from its root. A checkout that belongs to another user is read all the same.
fn project_files(which: Files) -> io::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["-c", "safe.directory=*", "ls-files", "-z", "--cached"]);
    if matches!(which, Files::All) {
        git.args(["--others", "--exclude-standard"]);
    }
    let output = git.output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let present = listed.split('\0').filter(|path| !path.is_empty() && root().join(path).symlink_metadata().is_ok());
    Ok(present.map(str::to_owned).collect())
}

/// Runs a rule over every Rust file; fails with all that it found.
fn every_rust_file(rule: impl Fn(&str, &str) -> Vec<String>) -> Outcome {
    let mut findings = Vec::new();
    let files: Vec<String> = project_files(Files::All)?.into_iter().filter(|path| path.ends_with(".rs")).collect();
    assert!(files.iter().any(|path| path == "src/lib.rs"), "the list of files is not the project's: {files:?}");
    for path in &files {
        findings.extend(rule(path, &fs::read_to_string(root().join(path))?));
    }
    nothing_found(&findings)
}

fn nothing_found(findings: &[String]) -> Outcome {
    if findings.is_empty() { Ok(()) } else { Err(format!("\n{}", findings.join("\n")).into()) }
}

fn entries(folder: &str) -> io::Result<Vec<PathBuf>> {
    let folder = root().join(folder);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[test]
fn each_layer_uses_only_what_it_may() -> Outcome {
    every_rust_file(rules::layer_findings)
}

#[test]
fn files_and_functions_stay_short() -> Outcome {
    every_rust_file(rules::length_findings)
}

#[test]
fn nothing_is_left_over() -> Outcome {
    every_rust_file(rules::leftover_findings)
}

#[test]
fn unsafe_code_is_where_it_may_be() -> Outcome {
    every_rust_file(rules::unsafe_findings)
}

#[test]
fn exceptions_name_files_that_exist() {
    for path in rules::excepted_files() {
        assert!(root().join(path).exists(), "{path} is excepted from a rule and does not exist: take it off the list");
    }
}

#[test]
fn scripts_run_and_say_what_they_do() -> Outcome {
    let mut findings = Vec::new();
    for path in entries("scripts")?.into_iter().filter(|path| path.is_file()) {
        let mode = fs::metadata(&path)?.permissions().mode();
        findings.extend(rules::script_findings(&path.display().to_string(), mode, &fs::read_to_string(&path)?));
    }
    nothing_found(&findings)
}

#[test]
fn scenarios_are_whole() -> Outcome {
    let mut findings = Vec::new();
    for folder in entries("tests/scenarios")?.into_iter().filter(|path| path.is_dir()) {
        let names = fs::read_dir(&folder)?.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()));
        findings
            .extend(rules::scenario_findings(&folder.display().to_string(), &names.collect::<io::Result<Vec<_>>>()?));
    }
    nothing_found(&findings)
}

#[test]
fn the_manifest_keeps_its_lints() -> Outcome {
    nothing_found(&rules::manifest_findings(&fs::read_to_string(root().join("Cargo.toml"))?))
}

#[test]
fn the_top_level_is_the_house() -> Outcome {
    nothing_found(&rules::top_level_findings(&project_files(Files::Tracked)?))
}
