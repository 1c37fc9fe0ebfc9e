//! The commands that ask a cluster, as far as they can be seen without one: usage, exit codes, help, completions.

use crate::{holdfast, text};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Every command that people see, without its options.
const COMMANDS: [&str; 74] = [
    "status",
    "top",
    "host",
    "host list",
    "host show",
    "host explain",
    "host confirm-dead",
    "host drill",
    "host resolve",
    "host end-quarantine",
    "host remove",
    "host keep",
    "host fence",
    "vm",
    "vm list",
    "vm show",
    "vm explain",
    "vm start",
    "vm stop",
    "vm move",
    "vm protect",
    "vm set",
    "vm unprotect",
    "vm remove",
    "events",
    "report availability",
    "report failovers",
    "report cpu",
    "report memory",
    "report capacity",
    "report month",
    "report verify",
    "report definitions",
    "plan",
    "arm",
    "disarm",
    "doctor",
    "drill",
    "recover",
    "policy",
    "policy show",
    "policy set",
    "token create",
    "token list",
    "token revoke",
    "access",
    "access list",
    "access grant",
    "access revoke",
    "fence",
    "fence list",
    "fence add",
    "fence remove",
    "target",
    "target list",
    "target set",
    "target remove",
    "network list",
    "network add",
    "datastore list",
    "datastore add",
    "datastore format",
    "datastore inspect",
    "agent",
    "init",
    "join",
    "config check",
    "config example",
    "cloud check",
    "backup create",
    "backup restore",
    "completions",
    "openapi",
    "simulate run",
];

fn code(arguments: &[&str]) -> (Option<i32>, String) {
    let output = holdfast(arguments);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn every_command_has_one_sentence_of_help_and_examples() {
    for command in COMMANDS {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--help");
        let output = holdfast(&words);
        let help = text(&output.stdout);
        assert!(output.status.success() && help.contains("Examples:"), "{command}: {help}");
        assert!(help.contains(&format!("holdfast {command}")) && help.len() > 200, "{command}: {help}");
        let first = help.lines().next().unwrap_or_default();
        assert!(first.len() > 10 && !first.ends_with('.'), "{command}: {first}");
    }
}

#[test]
fn the_exit_codes_stand_in_the_help() {
    let help = text(&holdfast(&["--help"]).stdout);
    for code in ["0  done", "2  the command", "4  it was tried", "5  nobody answers", "6  it was not seen"] {
        assert!(help.contains(code), "{code}: {help}");
    }
}

#[test]
fn a_wrong_command_is_refused_before_anybody_is_asked() {
    let socket = ["--socket", "/nowhere/api.sock"];
    let long = "x".repeat(100_000);
    let wrong: [&[&str]; 32] = [
        &["vm", "show", "."],
        &["vm", "show", ".."],
        &["vm", "show", &long],
        &["vm", "show", "a\nb"],
        &["vm", "protect", &long, "--memory", "1GiB", "--cores", "1", "--definition", "a.toml"],
        &["vm", "protect", "a", "--memory", "1025TiB", "--cores", "1", "--definition", "a.toml"],
        &["host", "fence", "host-1", "x", "x"],
        &["host", "fence", "host-1", "x", "--level", "y,x"],
        &["report", "availability", "--from", "2999-01-01"],
        &["disarm", "--for", "31d", "--yes"],
        &["init", "--cluster", ""],
        &["access", "grant", "", "--right", "viewer", "--token"],
        &["host"],
        &["host", "show"],
        &["host", "show", ""],
        &["host", "fence", "host-1"],
        &["vm", "protect", "a", "--memory", "much", "--cores", "1", "--definition", "a.toml"],
        &["vm", "protect", "a", "--memory", "1GiB", "--cores", "0", "--definition", "a.toml"],
        &["plan"],
        &["report", "availability", "--from", "yesterday"],
        &["report", "availability", "--since", "2026-02-01", "--until", "2026-01-01"],
        &["report", "availability", "--last", "1d", "--until", "2026-01-01"],
        &["report", "availability", "--part", "recoveries"],
        &["report", "cpu", "--worst", "0"],
        &["report", "month", "2026-10", "--zone", "Mars/Olympus"],
        &["report", "month", "2026-10", "-o", "csv"],
        &["report", "verify", "/nowhere/report.html", "--ca", "/nowhere/ca.pem"],
        &["status", "-o", "html"],
        &["report", "availability", "--since", "1d", "--from", "2026-01-01"],
        &["policy", "set", "voters"],
        &["fence", "add", "bmc-1", "--redfish", "https://10.0.0.1", "--user", "a", "--password-file", "pw"],
        &["access", "grant", "ada", "--right", "viewer"],
    ];
    for arguments in wrong {
        let arguments = [arguments, &socket].concat();
        let (code, error) = code(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(!error.contains("does not answer"), "{arguments:?}: {error}");
    }
}

#[test]
fn nobody_answers_where_nobody_is() {
    let (no_socket, error) = code(&["status", "--socket", "/nowhere/api.sock"]);
    assert_eq!(no_socket, Some(5), "{error}");
    assert!(error.contains("/nowhere/api.sock does not answer") && error.contains("holdfast agent"), "{error}");
    // A change is not tried for minutes where there never was anybody.
    assert_eq!(code(&["vm", "start", "db-1", "--socket", "/nowhere/api.sock"]).0, Some(5));
    assert_eq!(code(&["top", "--socket", "/nowhere/api.sock"]).0, Some(5));
    assert_eq!(code(&["vm", "stop", "db-1", "--dry-run", "--socket", "/nowhere/api.sock"]).0, Some(5));
}

#[test]
fn a_cluster_that_is_not_named_is_asked_for() {
    let (exit, error) = code(&["status", "--config", "/nowhere/holdfast.toml"]);
    assert_eq!(exit, Some(2), "{error}");
    assert!(error.contains("/nowhere/holdfast.toml"), "{error}");
    let (exit, error) = code(&["status", "--server", "127.0.0.1:1"]);
    assert_eq!(exit, Some(2), "{error}");
    assert!(error.contains("--identity") && error.contains("--token-file"), "{error}");
    let (exit, error) = code(&["status", "--server", "127.0.0.1:1", "--token-file", "token"]);
    assert!(exit == Some(2) && error.contains("--ca"), "{error}");
}

#[test]
fn a_socket_on_the_command_line_counts_for_more_than_a_server_in_the_environment() {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.env_remove("HOLDFAST_SOCKET").env("HOLDFAST_SERVER", "127.0.0.1:1").args([
        "status",
        "--socket",
        "/nowhere/api.sock",
    ]);
    let output = command.output().expect("it runs");
    assert!(text(&output.stderr).contains("/nowhere/api.sock does not answer"), "{}", text(&output.stderr));
}

#[test]
fn somebody_who_accepts_and_says_nothing_is_not_waited_for_longer_than_told() {
    let folder = TempDir::new().expect("a folder");
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("api.sock")).expect("a socket");
    let socket = folder.path().join("api.sock");
    let socket = socket.to_str().expect("a name");
    let (exit, error) = code(&["vm", "start", "db-1", "--timeout", "1s", "--socket", socket]);
    assert_eq!(exit, Some(5), "{error}");
    assert!(error.contains("has not answered"), "{error}");
    drop(listener);
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let file = folder.path().join("password");
    fs::write(&file, "secret\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let file = file.to_str().expect("a name");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    let device = ["--redfish", &address, "--user", "admin", "--password-file", file, "--insecure"];
    let asked = [&["fence", "add", "bmc-1", "--dry-run", "--socket", "/nowhere/api.sock"], device.as_slice()].concat();
    let (exit, error) = code(&asked);
    assert!(exit == Some(2) && error.contains("can be read by others"), "{error}");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let output = holdfast(&asked);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains(&address) && !said.contains("secret"), "{said}");
}

#[test]
fn a_file_that_never_ends_is_not_read_to_its_end() {
    let limited = "ulimit -v 4000000; exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_holdfast");
    let device = ["fence", "add", "a", "--redfish", "https://10.0.0.1", "--user", "a", "--insecure"];
    for words in [
        ["config", "check", "--config", "/dev/zero"].as_slice(),
        &["status", "--config", "/dev/zero"],
        &["backup", "restore", "/dev/zero", "--config", "/dev/zero"],
        &["vm", "protect", "a", "--memory", "1MiB", "--cores", "1", "--definition", "/dev/zero", "--socket", "/no"],
        &[device.as_slice(), &["--password-file", "/dev/zero", "--socket", "/no"]].concat(),
    ] {
        let output =
            assert_cmd::Command::new("bash").args(["-c", limited, program]).args(words).output().expect("bash");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains("longer than"), "{words:?}: {error}");
    }
}

#[test]
fn a_password_does_not_stand_on_the_command_line() {
    let agent = ["--agent", "fence_ipmilan", "--option", "password=secret", "--socket", "/nowhere/api.sock"];
    let (exit, error) = code(&[&["fence", "add", "bmc-1"], agent.as_slice()].concat());
    assert!(exit == Some(2) && error.contains("--secret-option password=FILE"), "{error}");
}

#[test]
fn shells_get_completions_of_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let output = holdfast(&["completions", shell]);
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains("confirm-dead") && script.contains("holdfast"), "{shell}");
    }
    assert_eq!(code(&["completions", "cmd"]).0, Some(2));
}

#[test]
fn an_error_is_json_where_the_answer_would_be() {
    let words = ["status", "-o", "json", "--socket", "/nowhere/api.sock"];
    let (exit, error) = code(&words);
    let read: serde_json::Value = serde_json::from_str(&error).expect("it is JSON");
    assert_eq!((exit, &read["exit"]), (Some(5), &serde_json::json!(5)), "{error}");
    assert!(read["error"].as_str().is_some_and(|text| text.contains("/nowhere/api.sock does not answer")), "{error}");
    assert!(read["hint"].as_str().is_some_and(|text| text.contains("holdfast agent")), "{error}");
    assert!(code(&["status", "--socket", "/nowhere/api.sock"]).1.starts_with("error: "));
}

#[test]
fn the_interface_is_described_without_a_cluster() {
    let output = holdfast(&["openapi"]);
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert!(read["paths"]["/v1/vms/{vm}"]["get"].is_object(), "{read}");
}

#[test]
fn a_disk_is_made_once() {
    let folder = TempDir::new().expect("a folder");
    let disk = folder.path().join("a.disk");
    let disk = disk.to_str().expect("a name");
    assert_eq!(code(&["process-disk", disk]).0, Some(0));
    let made = fs::read(disk).expect("the disk");
    assert_eq!(code(&["process-disk", disk]).0, Some(2));
    assert_eq!(fs::read(disk).expect("the disk"), made);
}

#[test]
fn a_host_that_finds_nobody_to_join_says_so() {
    let folder = TempDir::new().unwrap();
    let (config, state) = (folder.path().join("holdfast.toml"), folder.path().join("state"));
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let run = folder.path().join("run");
    let text = format!(
        "name = \"host-1\"\nuuid = \"7d0b1c52-8f0e-4a0c-9d0e-0f6d3f1f2b11\"\nstate = {state:?}\nlisten = [\"127.0.0.1:7770\"]\n\
         api = \"127.0.0.1:7771\"\nmemory = \"1GiB\"\ncores = 1\n\n[platform]\nkind = \"process\"\nrun = {run:?}\n"
    );
    fs::write(&config, text).unwrap();
    let token = holdfast::trust::JoinToken::generate(&holdfast::trust::fingerprint(b"an authority")).unwrap();
    let (address, token, config) = (nobody.to_string(), token.to_string(), config.display().to_string());
    let (code, said) = code(&["join", &address, "--token", &token, "--config", &config]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("cannot be asked"), "{said}");
}
