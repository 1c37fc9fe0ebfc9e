//! Masters die, before they send, between the answer and their word of it, and after; and receivers are down meanwhile.

use crate::mail::MailServer;
use crate::receiver::{Came, Mode, Receiver, SECRET};
use crate::skip;
use holdfast::client::Note;
use holdfast::core::state::Severity;
use holdfast::demo::{Cluster, Network, Wanted};
use holdfast::ledger::Entry;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A cluster of so many hosts, which lies in this folder.
pub async fn raise(folder: &Path, hosts: u32) -> Cluster {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_holdfast"));
    let mut wanted = Wanted::ordinary(folder.to_owned(), program);
    wanted.hosts = hosts;
    Cluster::raise(wanted).await.expect("a cluster")
}

/// Adds a channel by the command line.
pub async fn add(cluster: &Cluster, name: &str, words: &[&str]) {
    let words = [&["notify", "add", name], words].concat();
    cluster.command(0, &words).await.expect("a channel is added");
}

/// A webhook whose notifications are signed.
pub async fn add_webhook(cluster: &Cluster, name: &str, receiver: &Receiver, words: &[&str]) {
    let secret = cluster.directory().join("secret");
    fs::write(&secret, SECRET).expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is its own");
    let (url, secret) = (receiver.url(), secret.display().to_string());
    add(cluster, name, &[&["--webhook", &url, "--secret-file", &secret], words].concat()).await;
}

/// Has a person decide something so often: each stands in the ledger, with this mark and its number as its reason.
pub async fn decide(cluster: &Cluster, mark: &str, times: usize) {
    for number in 1..=times {
        let reason = format!("{mark}-{number}.");
        let note = Note { id: Some(uuid::Uuid::new_v4().as_u64_pair().0 >> 2), reason: Some(reason) };
        let note = &note;
        let decided = |cluster| async move {
            let client = Cluster::client(cluster).await?;
            let policy: Value = client.get("/v1/policy").await?;
            client.put::<Value>("/v1/policy", &policy, note).await?;
            Ok(true)
        };
        cluster.until("a decision", decided).await.expect("a person decides");
    }
}

/// All that the ledger has.
pub async fn ledger(cluster: &Cluster) -> Vec<Entry> {
    let kept = tokio::sync::Mutex::new(Vec::new());
    let put = &kept;
    let asked = move |cluster| async move {
        *put.lock().await = Cluster::client(cluster).await?.get("/v1/ledger?limit=1000").await?;
        Ok(true)
    };
    cluster.until("the ledger", asked).await.expect("it is told");
    kept.into_inner()
}

/// The places of what a channel of this name and severity should be told, from its making on.
async fn expected(cluster: &Cluster, channel: &str, least: Severity) -> Vec<String> {
    let made = |entry: &Entry| {
        let what = serde_json::to_value(&entry.what).expect("JSON");
        what["deed"] == "set-up" && what["name"] == channel
    };
    let after_making = ledger(cluster).await.into_iter().skip_while(|entry| !made(entry)).skip(1);
    after_making.filter(|entry| entry.what.severity() >= least).map(|entry| entry.key.to_string()).collect()
}

/// Waits until a channel was told all that there is.
async fn until_told(cluster: &Cluster, channel: &str, least: Severity, came: impl Fn() -> Vec<String>) {
    let came = &came;
    let told = |cluster| async move {
        let expected = expected(cluster, channel, least).await;
        Ok(expected.last().is_none_or(|last| came().contains(last)))
    };
    cluster.until(&format!("{channel} to be told"), told).await.expect("it is told");
}

/// The place in the ledger that an id names.
pub fn place(id: &str) -> String {
    id.split_once('.').expect("it begins with the cluster").1.to_owned()
}

fn places(came: &[Came]) -> Vec<String> {
    came.iter().map(|came| place(&came.id)).collect()
}

/// Each expected one came, in order, and what came again said so: gives what came more than once.
fn in_order_and_once(expected: &[String], came: &[(String, u64, Vec<u8>)]) -> Vec<String> {
    let mut seen: Vec<&(String, u64, Vec<u8>)> = Vec::new();
    let mut again = Vec::new();
    for this in came {
        match seen.iter().find(|(place, ..)| *place == this.0) {
            None => seen.push(this),
            Some((place, _, body)) => {
                assert!(this.1 > 1, "{place} came again, as if nobody had sent it before");
                assert!(*body == this.2, "{place} came again as something else");
                again.push(place.clone());
            }
        }
    }
    let order: Vec<&String> = seen.iter().map(|(place, ..)| place).collect();
    assert_eq!(order, expected.iter().collect::<Vec<_>>(), "not all came, or not in their order");
    again
}

async fn check(cluster: &Cluster, channel: &str, least: Severity, receiver: &Receiver) -> Vec<String> {
    until_told(cluster, channel, least, || places(&receiver.taken())).await;
    let expected = expected(cluster, channel, least).await;
    // What happens just now is told in a moment.
    receiver.until("the rest", |came| expected.iter().all(|key| places(came).contains(key))).await;
    let taken = receiver.taken();
    assert!(taken.iter().all(|came| matches!(came.signed, Some(Ok(_)))), "a signature is wrong");
    let known: Vec<_> = taken.iter().map(|came| (place(&came.id), came.attempt, came.body.clone())).collect();
    let upto = known.iter().rposition(|(place, ..)| expected.contains(place)).map_or(0, |at| at + 1);
    in_order_and_once(&expected, &known[..upto])
}

/// The agent of the master's host, if there is a master just now.
async fn master_now(cluster: &Cluster) -> Option<(String, Pid)> {
    let master = cluster.master().await.ok()?;
    let pid = cluster.machine(&master).ok()?.status().ok()?.agent_pid?;
    Some((master, Pid::from_raw(pid)?))
}

/// The agent of the master's host, as soon as there is one; of another run than this one.
async fn master_agent(cluster: &Cluster, but: Option<Pid>) -> (String, Pid) {
    let found = tokio::sync::Mutex::new(None);
    let put = &found;
    let seen = move |cluster| async move {
        let master = master_now(cluster).await.filter(|(_, pid)| Some(*pid) != but);
        let is_there = master.is_some();
        *put.lock().await = master;
        Ok(is_there)
    };
    cluster.until("a master", seen).await.expect("a master");
    found.into_inner().expect("it was there")
}

async fn until_other_run(cluster: &Cluster, pid: Pid) {
    master_agent(cluster, Some(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_masters_die_and_receivers_are_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = raise(folder.path(), 3).await;
    cluster.arm().await.expect("it is armed");
    let (mut web, grave) = (Receiver::start().await, Receiver::start().await);
    add_webhook(&cluster, "web", &web, &["--least", "info"]).await;
    add_webhook(&cluster, "grave", &grave, &[]).await;

    // It dies when all is told.
    decide(&cluster, "told", 4).await;
    assert_eq!(check(&cluster, "web", Severity::Info, &web).await, [""; 0]);
    let (_, pid) = master_agent(&cluster, None).await;
    kill_process(pid, Signal::KILL).expect("it runs");
    until_other_run(&cluster, pid).await;
    decide(&cluster, "anew", 2).await;
    assert_eq!(check(&cluster, "web", Severity::Info, &web).await, [""; 0], "what was told is not told again");

    // It dies before it can send, with its host, and the receiver comes back under the next one.
    web.down().await;
    decide(&cluster, "down", 6).await;
    let (master, pid) = master_agent(&cluster, None).await;
    cluster.machine(&master).expect("a host").kill().expect("it is killed");
    until_other_run(&cluster, pid).await;
    decide(&cluster, "still-down", 2).await;
    web.up().await;
    assert_eq!(check(&cluster, "web", Severity::Info, &web).await, [""; 0]);

    // It dies when the receiver has taken one, and the log does not know yet.
    let (_, pid) = master_agent(&cluster, None).await;
    let killed = AtomicBool::new(false);
    let kill = move || {
        if !killed.swap(true, Ordering::SeqCst) {
            kill_process(pid, Signal::KILL).expect("it runs");
        }
    };
    web.set(Mode::When("between-2.", Arc::new(kill)));
    decide(&cluster, "between", 4).await;
    until_other_run(&cluster, pid).await;
    let again = check(&cluster, "web", Severity::Info, &web).await;
    let taken = web.taken();
    let between: Vec<&Came> = taken.iter().filter(|came| came.told()["reason"] == "between-2.").collect();
    assert_eq!(again, [place(&between[0].id)], "the one that was answered, and no other, came again");

    // The other channel was told the grave ones alone.
    assert_eq!(check(&cluster, "grave", Severity::Warning, &grave).await, [""; 0]);
    let kinds: BTreeSet<String> = grave.taken().iter().map(|came| came.told()["kind"].to_string()).collect();
    assert!(kinds.contains("\"host-judged\"") && !kinds.contains("\"decided\""), "{kinds:?}");
    cluster.end().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_come_once_and_in_order_over_a_masters_death() {
    let mut server = match MailServer::start(&[]) {
        Ok(server) => server,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = raise(folder.path(), 3).await;
    let address = server.address();
    let words = ["--smtp", &address, "--tls", "none", "--from", "holdfast@example.org", "--to", "ops@example.org"];
    add(&cluster, "mail", &[&words[..], &["--least", "info"]].concat()).await;
    decide(&cluster, "up", 2).await;
    let number =
        |mail: &Value| mail["headers"]["holdfast-attempt"].as_str().expect("a header").parse().expect("a number");
    let came = |server: &MailServer| -> Vec<(String, u64, Vec<u8>)> {
        let header = |mail: &Value| mail["headers"]["holdfast-id"].as_str().expect("a header").to_owned();
        let text = |mail: &Value| mail["text"].as_str().expect("a text").as_bytes().to_vec();
        server.mails().iter().map(|mail| (place(&header(mail)), number(mail), text(mail))).collect()
    };
    let places = |server: &MailServer| came(server).into_iter().map(|(place, ..)| place).collect::<Vec<_>>();
    until_told(&cluster, "mail", Severity::Info, || places(&server)).await;
    server.down();
    decide(&cluster, "down", 3).await;
    let (_, pid) = master_agent(&cluster, None).await;
    kill_process(pid, Signal::KILL).expect("it runs");
    until_other_run(&cluster, pid).await;
    decide(&cluster, "still-down", 2).await;
    server.up();
    until_told(&cluster, "mail", Severity::Info, || places(&server)).await;
    let expected = expected(&cluster, "mail", Severity::Info).await;
    server.until("the rest", |_| expected.iter().all(|key| places(&server).contains(key))).await;
    let known = came(&server);
    let upto = known.iter().rposition(|(place, ..)| expected.contains(place)).map_or(0, |at| at + 1);
    assert_eq!(in_order_and_once(&expected, &known[..upto]), [""; 0]);
    let ids: BTreeSet<String> = server.mails().iter().map(|mail| mail["headers"]["message-id"].to_string()).collect();
    assert_eq!(ids.len(), server.mails().len(), "each has a Message-ID of its own");
    cluster.end().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_cut_off_goes_on_with_one_at_the_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wanted = Wanted::ordinary(folder.path().to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_holdfast")));
    wanted.relayed = true;
    let plan = Cluster::plan(wanted).expect("a plan");
    let network = Network::between(&plan).await.expect("a network");
    let mut cluster = plan.build().await.expect("a cluster");
    let web = Receiver::start().await;
    add_webhook(&cluster, "web", &web, &["--least", "info"]).await;
    web.set(Mode::Answer(503, "", "later".to_owned()));
    decide(&cluster, "cut", 5).await;
    web.until("the first try", |came| !came.is_empty()).await;
    let (master, _) = master_agent(&cluster, None).await;
    let machines = cluster.machines();
    network.isolate(cluster.machine(&master).expect("a host"), machines);
    // Both may send now: the old master until it knows that it is none any more, the new one from its first moment on.
    web.set(Mode::Take);
    let old = master.as_str();
    let other = |cluster| async move { Ok(followed(cluster, old).await) };
    cluster.until("another master", other).await.expect("another master");
    web.until("the rest", |came| came.iter().any(|came| came.taken && came.told()["reason"] == "cut-5.")).await;
    network.mend();
    decide(&cluster, "mended", 2).await;
    let again = check(&cluster, "web", Severity::Info, &web).await;
    assert!(again.len() <= 1, "{again:?} came twice");
    cluster.end().await.expect("it ends");
}

/// Whether hosts other than the old master's know another one.
async fn followed(cluster: &Cluster, old: &str) -> bool {
    for machine in cluster.machines().iter().filter(|machine| machine.name != old) {
        let Ok(client) = machine.client() else { return false };
        let Ok(view) = client.get::<Value>("/v1/status").await else { return false };
        if view["master"].as_str().is_none_or(|master| master == old) {
            return false;
        }
    }
    true
}
