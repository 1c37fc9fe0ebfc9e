//! What operators do with channels, and what receivers do to them, on one host.

use crate::receiver::{Mode, Receiver};
use crate::successions::{add, add_webhook, decide, ledger, raise};
use holdfast::api::{ChannelView, DoctorView, Tested};
use holdfast::client::Note;
use holdfast::demo::Cluster;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

async fn channel(cluster: &Cluster, name: &str) -> ChannelView {
    let all: Vec<ChannelView> = cluster.client().await.expect("a way").get("/v1/channels").await.expect("a list");
    all.into_iter().find(|channel| channel.name == name).expect("there is such a channel")
}

/// Waits until this is so of a channel.
async fn until(cluster: &Cluster, name: &str, holds: impl Fn(&ChannelView) -> bool) {
    let holds = &holds;
    let seen = |cluster| async move { Ok(holds(&channel(cluster, name).await)) };
    cluster.until(&format!("the channel {name}"), seen).await.expect("it comes about");
}

/// The reasons of what came, in order.
fn reasons(receiver: &Receiver) -> Vec<String> {
    let reason = |told: Value| told["reason"].as_str().map(str::to_owned);
    receiver.taken().iter().filter_map(|came| reason(came.told())).collect()
}

async fn notify(cluster: &Cluster, verb: &str, name: &str) {
    cluster.command(0, &["notify", verb, name]).await.expect("it is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_come_and_go_and_hold_up_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = raise(folder.path(), 1).await;
    let [first, second, third] = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    decide(&cluster, "before", 1).await;
    add_webhook(&cluster, "first", &first, &["--least", "info", "--kind", "decided"]).await;
    add_webhook(&cluster, "slow", &third, &["--least", "info"]).await;
    third.set(Mode::Hang);
    decide(&cluster, "one", 1).await;
    add_webhook(&cluster, "second", &second, &["--least", "info", "--kind", "decided"]).await;
    decide(&cluster, "two", 1).await;
    // A channel hears of what comes after it; what hangs hangs alone.
    let has = |receiver: &Receiver, reason: &str| reasons(receiver).iter().any(|told| told == reason);
    first.until("two", |_| has(&first, "two-1.")).await;
    second.until("two", |_| has(&second, "two-1.")).await;
    assert_eq!((reasons(&first), reasons(&second)), (vec!["one-1.".into(), "two-1.".into()], vec!["two-1.".into()]));
    let kinds: Vec<Value> = first.came().iter().map(|came| came.told()["kind"].clone()).collect();
    assert!(kinds.iter().all(|kind| kind == "decided"), "{kinds:?}");
    until(&cluster, "slow", |channel| channel.progress.as_ref().is_some_and(|progress| progress.behind >= 3)).await;

    // Paused, it is told later; skipped, never; removed, nothing more.
    notify(&cluster, "pause", "first").await;
    notify(&cluster, "remove", "second").await;
    decide(&cluster, "three", 2).await;
    until(&cluster, "first", |channel| channel.paused && channel.progress.as_ref().is_some_and(|it| it.behind >= 3))
        .await;
    assert!(!has(&first, "three-1.") && !has(&second, "three-1."));
    notify(&cluster, "resume", "first").await;
    first.until("three", |_| has(&first, "three-2.")).await;
    notify(&cluster, "pause", "first").await;
    decide(&cluster, "four", 1).await;
    notify(&cluster, "skip", "first").await;
    notify(&cluster, "resume", "first").await;
    decide(&cluster, "five", 1).await;
    first.until("five", |_| has(&first, "five-1.")).await;
    let told = reasons(&first);
    assert!(!told.contains(&"four-1.".to_owned()), "{told:?}");
    assert_eq!(reasons(&second), ["two-1."], "it was removed");
    assert!(first.came().iter().all(|came| came.taken), "nothing came to it in vain");

    // Set up anew, it goes on where it was, at its new place.
    add_webhook(&cluster, "slow", &second, &["--least", "info", "--kind", "decided"]).await;
    second.until("five", |_| has(&second, "five-1.")).await;
    assert_eq!(reasons(&second)[1..], ["one-1.", "two-1.", "three-1.", "three-2.", "four-1.", "five-1."]);
    cluster.end().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_channel_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = raise(folder.path(), 1).await;
    let mut receiver = Receiver::start().await;
    add_webhook(&cluster, "web", &receiver, &["--least", "info"]).await;
    notify(&cluster, "test", "web").await;
    let test = receiver.came().into_iter().find(|came| came.told()["kind"] == "test").expect("it came");
    assert!(test.text().contains("a test of the channel web") && matches!(test.signed, Some(Ok(_))));
    let wrong = [
        (&["notify", "test", "wbe"][..], "did you mean \"web\"?"),
        (&["notify", "add", "x", "--webhook", "ftp://a"], "no address of a webhook"),
        (&["notify", "add", "x", "--webhook", "http://a", "--kind", "decidedd"], "`host-judged`"),
        (&["notify", "add", "x", "--smtp", "a:25", "--from", "a", "--to", "b@c"], "no mail address"),
        (&["notify", "add", "x", "--command", "a b"], "no name of a command"),
    ];
    for (words, says) in wrong {
        let said = cluster.command(0, words).await.expect_err("it is wrong").to_string();
        assert!(said.contains(says), "{words:?}: {said}");
    }
    receiver.down().await;
    decide(&cluster, "lost", 2).await;
    until(&cluster, "web", |channel| {
        channel.progress.as_ref().is_some_and(|it| it.behind >= 2 && it.tries > 1 && it.trouble.is_some())
    })
    .await;
    let client = cluster.client().await.expect("a way");
    let doctor: DoctorView = client.get("/v1/doctor").await.expect("it answers");
    assert!(doctor.findings.iter().any(|found| found.subject == "channel web" && found.text.contains("behind by")));
    let said = cluster.command(0, &["notify", "test", "web"]).await.expect_err("it is down").to_string();
    assert!(said.contains("web has not taken a test"), "{said}");
    // A host that lacks the program says so.
    add(&cluster, "pager", &["--command", "page"]).await;
    let tested: Tested = client.post("/v1/channels/pager/test", &json!({}), &Note::default()).await.expect("an answer");
    assert!(tested.problem.is_some_and(|why| why.contains("of host-1 has no page")) && !tested.told);
    // No secret is ever shown.
    let shown = client.get::<Value>("/v1/channels").await.expect("a list").to_string();
    assert!(!shown.contains("secret of many words") && shown.contains(", signed"), "{shown}");
    receiver.up().await;
    receiver.until("the lost ones", |_| reasons(&receiver).contains(&"lost-2.".to_owned())).await;
    cluster.end().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_blocks_the_others_for_half_a_minute_and_is_told_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = raise(folder.path(), 1).await;
    let (strict, other) = (Receiver::start().await, Receiver::start().await);
    strict.set(Mode::Refuse("bad-1."));
    add_webhook(&cluster, "strict", &strict, &["--least", "info", "--kind", "decided"]).await;
    add_webhook(&cluster, "other", &other, &["--least", "warning"]).await;
    decide(&cluster, "bad", 1).await;
    decide(&cluster, "good", 1).await;
    strict.until("the next one", |_| reasons(&strict).contains(&"good-1.".to_owned())).await;
    let tries: Vec<u64> = strict.came().iter().filter(|came| !came.taken).map(|came| came.attempt).collect();
    assert_eq!(tries, (1..=8).collect::<Vec<u64>>());
    other.until("word of it", |came| came.iter().any(|came| came.told()["kind"] == "not-told")).await;
    let text = other.taken()[0].text();
    assert!(text.contains("the channel strict was not told of") && text.contains("this one is not wanted"), "{text}");
    let view = channel(&cluster, "strict").await;
    assert_eq!((view.refused, view.refused_in_a_row), (1, 0));
    cluster.end().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_comes_in_order_and_what_matters_less_in_one() {
    const FLOOD: usize = 1_200;
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = raise(folder.path(), 1).await;
    let mut receiver = Receiver::start().await;
    add_webhook(&cluster, "web", &receiver, &["--least", "info"]).await;
    receiver.down().await;
    let client = cluster.client().await.expect("a way");
    let policy: Value = client.get("/v1/policy").await.expect("rules");
    let mut asked = JoinSet::new();
    for part in 0..8 {
        let (client, policy) = (client.clone(), policy.clone());
        asked.spawn(async move {
            for _ in 0..FLOOD / 8 {
                client.put::<Value>("/v1/policy", &policy, &Note::default()).await.expect("it is decided");
            }
            part
        });
    }
    asked.join_all().await;
    until(&cluster, "web", |channel| channel.progress.as_ref().is_some_and(|it| it.behind >= FLOOD)).await;
    receiver.up().await;
    decide(&cluster, "last", 1).await;
    receiver.until("the last one", |_| reasons(&receiver).contains(&"last-1.".to_owned())).await;
    let taken = receiver.taken();
    let summaries: Vec<u64> = taken.iter().filter_map(|came| came.told()["fact"]["count"].as_u64()).collect();
    assert_eq!(summaries, [500], "only those beyond the last thousand are told in one");
    let facts = ledger(&cluster).await.len();
    assert!(facts >= 1_000, "the ledger gives no more at once");
    let mut seen: Vec<(u32, u64)> = Vec::new();
    for came in &taken {
        let place = crate::successions::place(&came.id);
        let numbers: Vec<u64> = place.split('.').filter_map(|part| part.parse().ok()).collect();
        seen.push((u32::try_from(numbers[0]).expect("a generation"), numbers[1] * 100 + numbers[2]));
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "they came out of order, or twice");
    let total = taken.len() - 1 + 500;
    assert!(total > FLOOD, "{total} were told of {FLOOD}");
    tokio::time::timeout(
        Duration::from_secs(30),
        until(&cluster, "web", |channel| {
            channel.progress.as_ref().is_some_and(|it| it.behind == 0 && it.trouble.is_none())
        }),
    )
    .await
    .expect("it is told all");
    cluster.end().await.expect("it ends");
}
