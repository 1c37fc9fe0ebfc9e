//! What a person gets who must account for a cluster that lost a host, and who watches it.

use crate::rig::{Rig, program};
use holdfast::clock::wall_milliseconds;
use std::path::Path;
use std::process::Output;

/// Asks a host of the cluster through its socket.
fn ask(rig: &Rig, host: &str, words: &[&str]) -> Output {
    let socket = rig.machine(host).state().join("api.sock");
    let mut command = std::process::Command::new(program());
    command.args(words).arg("--socket").arg(socket).env_remove("HOLDFAST_SERVER").current_dir(rig.folder.path());
    command.output().expect("the program runs")
}

fn said(rig: &Rig, host: &str, words: &[&str]) -> String {
    let output = ask(rig, host, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn verified(file: &Path, ca: &Path) -> (Option<i32>, String) {
    let words = ["report", "verify"];
    let output = std::process::Command::new(program()).args(words).arg(file).arg("--ca").arg(ca).output();
    let output = output.expect("the program runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_host_is_accounted_for_in_every_form_and_signed() {
    let rig = Rig::with_vms(3, |_| {}).await;
    let victim = rig.other().await;
    let vms = rig.on(&victim).await;
    rig.machine(&victim).kill().unwrap();
    rig.until_moved(&vms, &victim).await;
    rig.until_host(&victim, "alive").await;
    let vm = &vms[0];
    // Whoever is asked has the master answer.
    let table = said(&rig, &victim, &["report", "availability", "--last", "1h"]);
    assert!(table.contains("Unplanned downtime") && table.contains(vm), "{table}");
    let csv = said(&rig, &victim, &["report", "availability", "--worst", "1", "-o", "csv"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows.len() == 2 && rows[0].starts_with("name,members,percent"), "{csv}");
    assert!(vms.iter().any(|vm| rows[1].starts_with(&format!("{vm},1,"))), "the worst one was on {victim}: {csv}");
    let hosts = said(&rig, &victim, &["report", "availability", "--by", "host", "-o", "json"]);
    let view: holdfast::api::FiguresView = serde_json::from_str(&hosts).expect("the view");
    let failures = |row: &holdfast::api::FigureRow| (row.name == victim, row.failures);
    assert!(view.rows.iter().map(failures).all(|(died, failures)| failures == u64::from(died)), "{hosts}");
    let failovers = said(&rig, &victim, &["report", "failovers", "-o", "json"]);
    let view: holdfast::api::FailoversView = serde_json::from_str(&failovers).expect("the view");
    assert!(vms.iter().all(|vm| view.failovers.iter().any(|row| row.vm == *vm && row.detect_ms > 0)), "{failovers}");
    let markdown = said(&rig, &victim, &["report", "failovers", "--part", "stages", "-o", "markdown"]);
    assert!(markdown.contains("| failover | detect |") && !markdown.contains("## Each"), "{markdown}");
    let page = said(&rig, &victim, &["report", "availability", "-o", "html"]);
    assert!(page.starts_with("<!doctype html>") && page.contains(vm) && page.ends_with("</html>\n"), "{page}");
    for report in [["report", "cpu"], ["report", "memory"], ["report", "capacity"]] {
        let text = said(&rig, &victim, &report);
        assert!(text.contains("(UTC)"), "{report:?}: {text}");
    }
    let screen = said(&rig, &victim, &["top", "--once", "--tab", "vms"]);
    assert!(screen.contains("armed") && screen.contains("3/3 hosts") && screen.contains(vm), "{screen}");
    signed(&rig, &victim).await;
    rig.end().await;
}

async fn signed(rig: &Rig, host: &str) {
    let now = jiff::Timestamp::from_millisecond(wall_milliseconds()).unwrap();
    let month = now.strftime("%Y-%m").to_string();
    let early = ask(rig, host, &["report", "month", &month]);
    let error = String::from_utf8_lossy(&early.stderr);
    assert!(early.status.code() == Some(4) && error.contains("is not over yet"), "{error}");
    let future = ask(rig, host, &["report", "month", "2999-01"]);
    assert!(String::from_utf8_lossy(&future.stderr).contains("yet to come"));

    said(rig, host, &["report", "month", &month, "--provisional", "--file", "month.html"]);
    let again = ask(rig, host, &["report", "month", &month, "--provisional", "--file", "month.html"]);
    assert_eq!(again.status.code(), Some(2), "what is there is not written over");
    let (file, ca) = (rig.folder.path().join("month.html"), rig.machine(host).state().join("trust/ca.pem"));
    let (code, text) = verified(&file, &ca);
    let master = rig.master().await;
    assert!(code == Some(0) && text.contains("provisional") && text.contains(&master), "{text}");

    let mut bytes = std::fs::read(&file).expect("the report");
    let place = bytes.windows(4).position(|bytes| bytes == b"vm-1").expect("a VM");
    bytes[place + 3] = b'7';
    std::fs::write(&file, bytes).expect("the report is changed");
    let (code, text) = verified(&file, &ca);
    assert!(code == Some(4) && text.contains("was changed"), "{text}");

    let old = said(rig, host, &["report", "month", "2020-02", "--zone", "Europe/Berlin", "--file", "-"]);
    let file = rig.folder.path().join("old.html");
    std::fs::write(&file, old).expect("the report");
    let (code, text) = verified(&file, &ca);
    assert!(code == Some(0) && text.contains("2020-02 (Europe/Berlin)") && !text.contains("provisional"), "{text}");
    let theirs = holdfast::trust::Authority::create(1).unwrap();
    let foreign = rig.folder.path().join("foreign.pem");
    holdfast::trust::store_certificate(&foreign, theirs.certificate()).unwrap();
    let (code, text) = verified(&file, &foreign);
    assert!(code == Some(4) && text.contains("another authority"), "{text}");
}
