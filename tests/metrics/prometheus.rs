//! A real Prometheus, which scrapes a cluster, and is gone when the test ends, however it ends.

use crate::promtool::tool;
use crate::rules::rules;
use holdfast::demo::Cluster;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where it listens, on the address of the cluster's first host: nobody else has that.
const PORT: u16 = 9090;

pub struct Prometheus {
    process: Child,
    http: reqwest::Client,
    base: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The rules, in a hurry: what is wrong is told at once, and no longer than some seconds are looked back.
fn hurried() -> String {
    let lines = rules();
    let waits = |line: &&str| !line.trim().starts_with("for: ");
    let mut text: String = lines.lines().filter(waits).map(|line| format!("{line}\n")).collect();
    for window in ["[5m]", "[10m]", "[1h]"] {
        text = text.replace(window, "[10s]");
    }
    text
}

/// Each host is scraped twice: at its plain listener, and at its operators' interface with the first operator's key.
fn configuration(cluster: &Cluster) -> String {
    let first = &cluster.machines()[0];
    let key = first.state().join("operator");
    let targets = |place: fn(&holdfast::demo::Machine) -> SocketAddr| {
        let places = cluster.machines().iter().map(|machine| format!("\"{}\"", place(machine)));
        places.collect::<Vec<_>>().join(", ")
    };
    format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n\
         - job_name: holdfast-demo\n  static_configs: [{{ targets: [{}] }}]\n\
         - job_name: holdfast-with-key\n  scheme: https\n  tls_config:\n    ca_file: {ca:?}\n    cert_file: {cert:?}\n    \
         key_file: {own:?}\n  static_configs: [{{ targets: [{}] }}]\n",
        targets(|machine| machine.metrics()),
        targets(|machine| SocketAddr::from((machine.address, 7771))),
        ca = key.join("ca.pem"),
        cert = key.join("operator.pem"),
        own = key.join("operator.key"),
    )
}

impl Prometheus {
    /// Starts one that scrapes this cluster once a second; nothing if there is none.
    pub fn start(cluster: &Cluster) -> Option<Prometheus> {
        let program = tool("prometheus")?;
        let folder = cluster.directory().join("prometheus");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("rules.yml"), hurried()).expect("a file");
        fs::write(folder.join("prometheus.yml"), configuration(cluster)).expect("a file");
        let place = SocketAddr::from((cluster.machines()[0].address, PORT));
        let log = fs::File::create(folder.join("log")).expect("a file");
        let mut command = Command::new(program);
        command.arg(flag("config.file", &folder.join("prometheus.yml")));
        command.arg(flag("storage.tsdb.path", &folder.join("data")));
        command.arg(format!("--web.listen-address={place}"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        holdfast::trust::use_ring();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Some(Prometheus { process, http, base: format!("http://{place}") })
    }

    /// What it answers.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.base))?;
        url.query_pairs_mut().extend_pairs(query);
        let answer: Value = self.http.get(url).send().await?.json().await?;
        anyhow::ensure!(answer["status"] == "success", "{path} {query:?}: {answer}");
        Ok(answer["data"].clone())
    }

    /// The series that answer a question, each with its value.
    pub async fn ask(&self, question: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let data = self.get("/api/v1/query", &[("query", question)]).await?;
        let series = data["result"].as_array().cloned().unwrap_or_default();
        let value = |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok());
        Ok(series.iter().map(|one| (one["metric"].clone(), value(one).unwrap_or(f64::NAN))).collect())
    }

    /// The only value that answers a question.
    pub async fn one(&self, question: &str) -> anyhow::Result<Option<f64>> {
        Ok(self.ask(question).await?.first().map(|(_, value)| *value))
    }

    /// The alerts that fire, of the hosts as they are scraped at their plain listeners.
    pub async fn firing(&self) -> anyhow::Result<BTreeSet<String>> {
        self.alerts("ALERTS{alertstate=\"firing\",job=\"holdfast-demo\"}").await
    }

    /// Those that have fired within the last five looks at the rules.
    pub async fn fired(&self) -> anyhow::Result<BTreeSet<String>> {
        self.alerts("max_over_time(ALERTS{alertstate=\"firing\",job=\"holdfast-demo\"}[5s])").await
    }

    async fn alerts(&self, question: &str) -> anyhow::Result<BTreeSet<String>> {
        let firing = self.ask(question).await?;
        Ok(firing.iter().map(|(labels, _)| labels["alertname"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// The questions of all rules; each must have been answered without an error.
    pub async fn rules(&self) -> anyhow::Result<Vec<String>> {
        let data = self.get("/api/v1/rules", &[]).await?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules
            .map(|rule| {
                anyhow::ensure!(rule["health"] == "ok", "{rule}");
                Ok(rule["query"].as_str().unwrap_or_default().to_owned())
            })
            .collect()
    }

    /// The names of all series that it has.
    pub async fn names(&self) -> anyhow::Result<BTreeSet<String>> {
        let names = self.get("/api/v1/label/__name__/values", &[]).await?;
        Ok(serde_json::from_value(names)?)
    }

    /// Which targets of a job it cannot scrape.
    pub async fn down(&self) -> anyhow::Result<Vec<String>> {
        let data = self.get("/api/v1/targets", &[]).await?;
        let targets = data["activeTargets"].as_array().cloned().unwrap_or_default();
        let down = targets.iter().filter(|target| target["health"] != "up");
        Ok(down.map(|target| format!("{}: {}", target["scrapeUrl"], target["lastError"])).collect())
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
