//! `holdfast cloud check`, as an operator calls it.

use crate::cloud::{Reply, SECRET, StubCloud, TOKENS};
use crate::recorded::FORBIDDEN;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

async fn check(file: &Path, more: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_holdfast"));
    // Whoever runs the tests may have a cloud of his own.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OS_")) {
        command.env_remove(name);
    }
    command.env("OS_CLIENT_CONFIG_FILE", file).args(["cloud", "check", "--cloud", "lab"]).args(more);
    command.output().await.expect("it runs")
}

fn clouds(folder: &TempDir, cloud: &StubCloud) -> std::path::PathBuf {
    let path = folder.path().join("clouds.yaml");
    let url = &cloud.variables()["OS_AUTH_URL"];
    let text = format!(
        "clouds:\n  lab:\n    auth:\n      auth_url: {url}/v3\n      application_credential_id: '17'\n    region_name: \
         RegionOne\n"
    );
    fs::write(&path, text).expect("a file");
    let secure = format!("clouds:\n  lab:\n    auth:\n      application_credential_secret: {SECRET}\n");
    fs::write(folder.path().join("secure.yaml"), secure).expect("a file");
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

#[tokio::test]
async fn a_cloud_is_shown_and_left_as_it_is() {
    let (folder, cloud) = (TempDir::new().expect("a folder"), StubCloud::start().await);
    let output = check(&clouds(&folder, &cloud), &[]).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    for expected in
        ["holdfast, project admin, roles admin and reader", "version 2.93 of 2.1 to 2.93", "nothing is amiss"]
    {
        assert!(shown.contains(expected), "{shown}");
    }
    assert!(shown.contains("compute hosts: 3, servers: 1"), "{shown}");
    let row = |host: &str| {
        shown.lines().find(|line| line.starts_with(host)).map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    assert_eq!(row("kvm1"), Some(vec!["kvm1", "kvm1.example", "nova", "up", "enabled", "1", "-"]), "{shown}");
    assert_eq!(row("kvm2"), Some(vec!["kvm2", "kvm2.example", "nova", "up", "enabled", "0", "-"]), "{shown}");
    assert!(cloud.all().iter().all(|request| request.method == "GET" || request.is("POST", TOKENS)));
}

#[tokio::test]
async fn programs_are_told_all_of_it() {
    let (folder, cloud) = (TempDir::new().expect("a folder"), StubCloud::start().await);
    let output = check(&clouds(&folder, &cloud), &["--output", "json"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((told["cloud"].as_str(), told["microversion"].as_str()), (Some("lab"), Some("2.93")));
    assert_eq!((told["servers"].as_u64(), told["region"].as_str()), (Some(1), Some("RegionOne")));
    assert_eq!(told["computes"][0]["hypervisors"][0].as_str(), Some("kvm1.example"));
    assert_eq!(
        (told["computes"][0]["state"].as_str(), told["findings"].as_array().map(Vec::len)),
        (Some("up"), Some(0))
    );
}

#[tokio::test]
async fn rights_that_are_missing_are_named_and_the_rest_is_shown() {
    let cloud = StubCloud::answering(|request| {
        let is_refused = request.path.ends_with("/os-services") || request.path.ends_with("/os-migrations");
        is_refused.then(|| Reply::json(403, FORBIDDEN))
    })
    .await;
    let folder = TempDir::new().expect("a folder");
    let output = check(&clouds(&folder, &cloud), &["--output", "json"]).await;
    assert_eq!(output.status.code(), Some(4));
    let told: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let findings = told["findings"].as_array().expect("findings");
    let advice: Vec<&str> = findings.iter().filter_map(|finding| finding["advice"].as_str()).collect();
    assert_eq!(advice.len(), 2, "{findings:?}");
    assert!(advice[0].contains("os_compute_api:os-services:list") && advice[1].contains("os-migrations:index"));
    assert_eq!((told["computes"].is_null(), told["servers"].as_u64()), (true, Some(1)));
}

#[tokio::test]
async fn a_cloud_that_is_not_there_and_a_file_that_is_wrong_have_their_codes() {
    let (folder, cloud) = (TempDir::new().expect("a folder"), StubCloud::start().await);
    let file = clouds(&folder, &cloud);
    cloud.down().await;
    let output = check(&file, &["--timeout", "100ms"]).await;
    assert_eq!(output.status.code(), Some(5));
    let said = text(&output.stderr);
    assert!(said.contains("cannot be reached") && !said.contains(SECRET), "{said}");
    fs::write(folder.path().join("secure.yaml"), format!("clouds: {{lab: {{auth: {{x: '{SECRET}\n")).expect("a file");
    let output = check(&file, &[]).await;
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("secure.yaml: it is no YAML") && !said.contains(SECRET), "{said}");
}
