//! Whole clusters of real processes, scraped by a real Prometheus while hosts die.

use crate::dashboard::{dashboard, questions};
use crate::names::{described, used};
use crate::prometheus::Prometheus;
use crate::promtool::{must, tool};
use holdfast::api::FailoversView;
use holdfast::client::Client;
use holdfast::demo::{Cluster, Wanted, all_run};
use holdfast::metrics::{ALL, Scope};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

struct Rig {
    cluster: Cluster,
    prometheus: Prometheus,
    _folder: TempDir,
}

impl Rig {
    /// A cluster as wanted and a Prometheus that scrapes it; nothing without Prometheus.
    async fn raise(change: impl FnOnce(&mut Wanted)) -> Option<Rig> {
        tool("prometheus")?;
        let folder = tempfile::tempdir().expect("a folder");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_holdfast"));
        let mut wanted = Wanted::ordinary(folder.path().to_owned(), program);
        wanted.metrics = true;
        change(&mut wanted);
        let cluster = Cluster::raise(wanted).await.expect("a cluster");
        let prometheus = Prometheus::start(&cluster)?;
        let rig = Rig { cluster, prometheus, _folder: folder };
        rig.until("all hosts to be scraped", async |prometheus| {
            let down = prometheus.down().await?;
            anyhow::ensure!(down.is_empty(), "{down:?}");
            Ok(prometheus.one("sum(up)").await? == Some(2.0 * rig.cluster.machines().len() as f64))
        })
        .await;
        Some(rig)
    }

    /// Waits until Prometheus says so.
    async fn until<'a>(&'a self, what: &str, says: impl AsyncFn(&'a Prometheus) -> anyhow::Result<bool>) {
        let (says, prometheus) = (&says, &self.prometheus);
        let waited = self.cluster.until(what, |_| says(prometheus)).await;
        waited.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Waits until these alerts fire.
    async fn until_firing(&self, alerts: &[&str]) {
        self.until(&format!("{alerts:?} to fire"), async |prometheus| {
            let firing = prometheus.firing().await?;
            anyhow::ensure!(alerts.iter().all(|alert| firing.contains(*alert)), "only {firing:?} do");
            Ok(true)
        })
        .await;
    }

    /// Waits until a question is answered so.
    async fn until_is(&self, question: &str, value: f64) {
        self.until(&format!("{question} to be {value}"), async |prometheus| {
            let found = prometheus.ask(question).await?;
            anyhow::ensure!(found.len() == 1 && found[0].1 == value, "it is {found:?}");
            Ok(true)
        })
        .await;
    }

    async fn add_vms(&self, count: usize) {
        let hosts = self.cluster.machines();
        for number in 1..=count {
            let home = &hosts[number % hosts.len()].name;
            self.cluster.add_vm(&format!("vm-{number}"), Some(home), false).await.expect("a VM is added");
        }
        all_run(&self.cluster, count).await.expect("they run");
    }

    fn client(&self, host: &str) -> Client {
        self.cluster.machine(host).expect("a host").client().expect("a way to it")
    }

    /// The hosts: the master, the other voters, and those that do not vote.
    async fn parts(&self) -> (String, Vec<String>, Vec<String>) {
        let view: Value = self.cluster.client().await.unwrap().get("/v1/status").await.unwrap();
        let voters: Vec<String> = serde_json::from_value(view["voters"].clone()).unwrap();
        let master = view["master"].as_str().unwrap().to_owned();
        let names = self.cluster.machines().iter().map(|machine| machine.name.clone());
        let others = names.filter(|name| !voters.contains(name)).collect();
        (master.clone(), voters.into_iter().filter(|name| *name != master).collect(), others)
    }

    fn kill(&self, host: &str) {
        self.cluster.machine(host).unwrap().kill().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_dies_and_prometheus_sees_it() {
    let Some(rig) = Rig::raise(|wanted| wanted.datastores = 1).await else { return };
    let client = rig.cluster.client().await.unwrap();
    let mut policy: Value = client.get("/v1/policy").await.unwrap();
    policy["power_on_after_fence"] = json!(false);
    let _: Value = client.put("/v1/policy", &policy, &Default::default()).await.unwrap();
    rig.cluster.arm().await.unwrap();
    rig.add_vms(6).await;
    all_is_told(&rig).await;
    nothing_fires(&rig).await;

    let (master, voters, _) = rig.parts().await;
    rig.until_is(r#"sum(holdfast_hosts{job="holdfast-demo",state="alive"})"#, 3.0).await;
    rig.kill(&voters[0]);
    rig.until_firing(&["HoldfastHostOut", "HoldfastNodeDown"]).await;
    rig.until_is(r#"max(holdfast_recoveries_total{job="holdfast-demo",cause="host-failure",proof="fenced"})"#, 2.0)
        .await;
    rig.until_is(r#"sum(holdfast_vms{job="holdfast-demo",state="running"})"#, 6.0).await;
    rig.until_is(r#"sum(holdfast_hosts{job="holdfast-demo",state="dead"})"#, 1.0).await;
    let dead = &voters[0];
    rig.until_is(&format!(r#"holdfast_host_state{{job="holdfast-demo",host="{dead}",state="dead"}}"#), 1.0).await;
    let silent = format!(r#"holdfast_host_heartbeat_age_seconds{{job="holdfast-demo",host="{dead}"}} > bool 5"#);
    rig.until_is(&silent, 1.0).await;
    // What the voters count is what the ledger says: each stage of each recovery, and no more.
    let told: FailoversView = rig.client(&master).get("/v1/report/failovers").await.unwrap();
    let page = rig.client(&master).text("/metrics").await.unwrap();
    let sum = |stage: &str| value(&page, &format!("holdfast_recovery_stage_seconds_sum{{stage=\"{stage}\"}}"));
    let stages = ["detect", "prove", "queue", "start"].map(sum);
    assert!((stages.iter().sum::<f64>() - sum("total")).abs() < 0.001, "{stages:?}");
    assert_eq!(value(&page, "holdfast_recovery_stage_seconds_count{stage=\"total\"}"), told.count as f64);
    all_is_there(&rig).await;
}

/// The value of a series on a page.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().expect("a number")
}

/// The master's page is sound, and describes all there is, as soon as its host was measured for the first time.
async fn all_is_told(rig: &Rig) {
    let client = rig.client(&rig.parts().await.0);
    let mut all: Vec<&str> = ALL.iter().map(|family| family.name).collect();
    all.sort_unstable();
    let (asked, all) = (&client, &all);
    rig.until("all to be told", async |_| {
        let page = asked.text("/metrics").await?;
        let mut described = described(&page);
        described.sort_unstable();
        anyhow::ensure!(described == *all, "only {described:?} are");
        Ok(true)
    })
    .await;
    must(&["check", "metrics"], &client.text("/metrics").await.unwrap());
}

/// Rules and dashboard get what they ask for, after a host has died. Some speak only of trouble that there is none of.
async fn all_is_there(rig: &Rig) {
    let asked = rig.prometheus.rules().await.unwrap().join("\n") + &questions(&dashboard()).join("\n");
    let asked = used(&asked);
    let quiet = ["holdfast_vm_waits", "holdfast_datastore_trouble", "holdfast_transport_dropped_packets_total"];
    rig.until("all series to be there", async |prometheus| {
        let names = prometheus.names().await?;
        let missing: Vec<&String> = asked.difference(&names).filter(|name| !quiet.contains(&name.as_str())).collect();
        anyhow::ensure!(missing.is_empty(), "{missing:?} are not");
        Ok(true)
    })
    .await;
}

/// In a healthy cluster no rule has anything to say, though none waits, but for what comes of the hurry.
async fn nothing_fires(rig: &Rig) {
    // What went on while the cluster was made is forgotten soon.
    rig.until("nothing to fire", async |prometheus| {
        let firing = prometheus.fired().await?;
        // No device was asked yet: that is done after half a minute.
        let worth: Vec<&String> = firing.iter().filter(|alert| *alert != "HoldfastFenceUntested").collect();
        anyhow::ensure!(worth.is_empty(), "{worth:?} do");
        Ok(prometheus.one("count(holdfast_armed)").await?.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_master_each_node_answers_for_itself() {
    let rig = Rig::raise(|wanted| {
        wanted.hosts = 4;
        wanted.fence = None;
        wanted.watchdog = false;
    });
    let Some(rig) = rig.await else { return };
    rig.until_firing(&["HoldfastNotArmed", "HoldfastNoGuard"]).await;
    let (master, voters, others) = rig.parts().await;
    let [other] = &others[..] else { panic!("{others:?}") };
    let page = rig.client(other).text("/metrics").await.unwrap();
    must(&["check", "metrics"], &page);
    let own =
        |page: &str, scope| ALL.iter().filter(|family| family.scope == scope).all(|family| page.contains(family.name));
    assert!(own(&page, Scope::Node) && !page.contains("holdfast_raft_term") && !page.contains("holdfast_hosts"));
    // Nobody is told anything who shows nothing, and the plain listener has no other pages.
    let stranger = format!("https://{}:7771/metrics", rig.cluster.machine(other).unwrap().address);
    let stranger = reqwest_without_a_key(&rig, other, &stranger).await;
    assert_eq!(stranger, 401);
    let plain = rig.cluster.machine(other).unwrap().metrics();
    assert_eq!(reqwest::get(format!("http://{plain}/v1/status")).await.unwrap().status().as_u16(), 404);

    rig.kill(&master);
    rig.kill(&voters[0]);
    rig.until_firing(&["HoldfastNoMaster", "HoldfastNodeDown", "HoldfastUnacknowledged"]).await;
    for job in ["holdfast-demo", "holdfast-with-key"] {
        rig.until_is(&format!("sum(up{{job=\"{job}\"}})"), 2.0).await;
        rig.until_is(&format!("sum(holdfast_master_known{{job=\"{job}\"}})"), 0.0).await;
        rig.until_is(&format!("count(holdfast_raft_term{{job=\"{job}\"}})"), 1.0).await;
        rig.until_is(&format!("count(holdfast_unacknowledged_seconds{{job=\"{job}\"}} > 5)"), 2.0).await;
    }
    let page = rig.client(&voters[1]).text("/metrics").await.unwrap();
    assert_eq!((value(&page, "holdfast_loop_answers"), value(&page, "holdfast_is_master")), (1.0, 0.0));
}

/// The status that somebody gets who shows neither certificate nor token.
async fn reqwest_without_a_key(rig: &Rig, host: &str, url: &str) -> u16 {
    let authority = rig.cluster.machine(host).unwrap().state().join("trust/ca.pem");
    let authority = holdfast::trust::load_certificate(&authority).expect("the authority");
    let tls = holdfast::trust::api_client(&authority, None).expect("a client");
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client");
    http.get(url).send().await.expect("an answer").status().as_u16()
}
