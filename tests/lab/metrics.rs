//! A real Prometheus on a host of the lab scrapes the lab.

use crate::kvm::Guest::Bios;
use crate::kvm::Kvm;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// With the key of the first operator, which lies on the first host.
const CONFIGURATION: &str = "\
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
- job_name: holdfast-lab
  scheme: https
  tls_config:
    ca_file: /var/lib/holdfast/operator/ca.pem
    cert_file: /var/lib/holdfast/operator/operator.pem
    key_file: /var/lib/holdfast/operator/operator.key
  static_configs: [{ targets: ['10.77.0.11:7771', '10.77.0.12:7771', '10.77.0.13:7771'] }]
";
const START: &str = "cd /var/lib/prometheus && exec ./prometheus --config.file=prometheus.yml \
                     --web.listen-address=127.0.0.1:9090 > log 2>&1 < /dev/null &";

/// Debian's Prometheus, as `scripts/test lab` unpacks it, or installed.
fn prometheus() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/prometheus/usr/bin/prometheus");
    let found = [unpacked, PathBuf::from("/usr/bin/prometheus")].into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no prometheus: scripts/test lab fetches it, or apt-get install prometheus");
    }
    found
}

/// The values that answer a question.
fn ask(kvm: &Kvm, question: &str) -> Option<Vec<f64>> {
    let question = format!("query={question}");
    let words = ["exec", "kvm1", "curl", "-sfG", "http://127.0.0.1:9090/api/v1/query", "--data-urlencode", &question];
    let output = kvm.ask(&words);
    let answer: Value = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())?;
    let series = answer.pointer("/data/result")?.as_array()?.iter();
    series.map(|one| one.pointer("/value/1")?.as_str()?.parse().ok()).collect()
}

fn until_is(kvm: &Kvm, question: &str, value: f64) {
    kvm.until(&format!("{question} to be {value}"), |kvm| {
        ask(kvm, question).filter(|values| values[..] == [value]).map(drop)
    });
}

#[test]
fn prometheus_scrapes_the_hosts_and_sees_their_faults() {
    let Some(program) = prometheus() else { return };
    let Some(kvm) = Kvm::up(&[], &[("tiny1", "kvm2", Bios), ("tiny2", "kvm3", Bios)]) else { return };
    let folder = kvm.path().join("hosts/kvm1/root/var/lib/prometheus");
    fs::create_dir_all(&folder).expect("a folder");
    fs::copy(program, folder.join("prometheus")).expect("the program");
    fs::write(folder.join("prometheus.yml"), CONFIGURATION).expect("a file");
    kvm.must(&["exec", "kvm1", "sh", "-c", START]);
    until_is(&kvm, "sum(up)", 3.0);
    until_is(&kvm, "sum(holdfast_vms{state=\"running\"})", 2.0);
    until_is(&kvm, "sum(holdfast_hosts{state=\"alive\"})", 3.0);
    until_is(&kvm, "count(holdfast_lease_remaining_seconds > 1)", 2.0);
    until_is(&kvm, "count(holdfast_datastore_operation_seconds_count{operation=\"write\"} > 10)", 6.0);
    until_is(&kvm, "count(holdfast_vm_cpu_seconds_total)", 2.0);

    // Storage that hangs for one host is seen at that host, and nowhere else.
    kvm.must(&["storage", "kvm2", "ds1", "hang"]);
    let hangs = "holdfast_datastore_oldest_operation_seconds > 3";
    until_is(&kvm, &format!("count({hangs})"), 1.0);
    kvm.must(&["heal"]);
    until_is(&kvm, &format!("count({hangs}) or vector(0)"), 0.0);

    let host = if kvm.master() == "kvm2" { "kvm3" } else { "kvm2" };
    let vm = if host == "kvm2" { "tiny1" } else { "tiny2" };
    kvm.must(&["kill", host]);
    kvm.until_recovered(vm, host, "fenced");
    until_is(&kvm, "max(holdfast_recoveries_total{cause=\"host-failure\",proof=\"fenced\"})", 1.0);
    until_is(&kvm, "max(holdfast_recovery_stage_seconds_count{stage=\"total\"})", 1.0);
    until_is(&kvm, "sum(holdfast_vms{state=\"running\"})", 2.0);
    until_is(&kvm, "sum(up)", 3.0);
    kvm.settle();
}
