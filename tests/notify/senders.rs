//! One sender and one receiver.

use crate::mail::MailServer;
use crate::receiver::{Mode, Receiver, SECRET};
use crate::skip;
use holdfast::core::command::Said;
use holdfast::core::ids::{FactKey, HostId, LogIndex};
use holdfast::core::reason::Alert;
use holdfast::core::state::ClusterState;
use holdfast::fence::Secret;
use holdfast::ledger::{Entry, What};
use holdfast::notify::{
    Authorities, CommandName, Local, Login, MailAddress, Notification, Sender, Smtp, Target, Tls, Unsent, Webhook,
};
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// What a receiver that is too slow is given.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

fn told() -> Notification {
    let mut state = ClusterState::default();
    state.registry.cluster.name = "lab".to_owned();
    let key = FactKey { generation: 0, index: LogIndex(1_234), part: 5 };
    let said = Some(Said { who: "ada".to_owned(), why: "a \"test\"\nof mail".to_owned() });
    let what = What::Alert { alert: Alert::Isolated { host: HostId(7) } };
    Notification::of(&Entry { key, at_milliseconds: 1_700_000_000_123, said, what }, &state)
}

fn id() -> String {
    "00000000-0000-0000-0000-000000000000.0.1234.5".to_owned()
}

fn sender(target: &Target, patience: Duration) -> Sender {
    let local = Local { host: "node-1".to_owned(), commands: Arc::default() };
    Sender::with_patience(target, &local, patience)
}

fn webhook(url: &str, authorities: Option<&str>, patience: Duration) -> Sender {
    let secret = Secret::new(SECRET).expect("a secret");
    let authorities = authorities.map(|pem| Authorities::try_from(pem.to_owned()).expect("PEM"));
    sender(&Target::Webhook(Webhook::new(url, Some(secret), authorities).expect("a webhook")), patience)
}

fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate")
}

fn is_down(result: &Result<(), Unsent>, says: &str) {
    assert!(matches!(result, Err(Unsent::Down(why)) if why.contains(says)), "{result:?} does not say {says:?}");
}

fn is_refused(result: &Result<(), Unsent>, says: &str) {
    assert!(matches!(result, Err(Unsent::Refused(why)) if why.contains(says)), "{result:?} does not say {says:?}");
}

#[tokio::test]
async fn a_webhook_is_sent_the_documented_form_signed_and_the_same_bytes_each_time() {
    let receiver = Receiver::start().await;
    let sender = webhook(&receiver.url(), None, LONG);
    for attempt in [1, 2] {
        assert_eq!(sender.send(&told(), attempt).await, Ok(()));
    }
    let came = receiver.came();
    assert_eq!(came.iter().map(|came| came.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(came[0].body, came[1].body);
    for came in &came {
        let at = came.signed.clone().expect("a signature").expect("it is right");
        assert!((holdfast::clock::wall_milliseconds() / 1_000 - at).abs() < 60);
        assert_eq!(came.id, id());
    }
    let expected = serde_json::json!({
        "version": 1, "id": id(), "cluster": { "name": "lab", "uuid": "00000000-0000-0000-0000-000000000000" },
        "at": "2023-11-14T22:13:20.123Z", "severity": "warning", "kind": "alert", "host": "host-7", "by": "ada",
        "reason": "a \"test\"\nof mail", "text": came[0].text(),
        "fact": { "kind": "alert", "alert": { "Isolated": { "host": 7 } } },
    });
    assert_eq!(came[0].told(), expected);
}

#[tokio::test]
async fn what_a_webhook_does_wrong_is_told_apart() {
    let mut receiver = Receiver::start().await;
    let (quick, patient) = (webhook(&receiver.url(), None, SHORT), webhook(&receiver.url(), None, LONG));
    for (status, refused) in [(500, false), (503, false), (429, false), (408, false), (400, true), (410, true)] {
        receiver.set(Mode::Answer(status, "", "because\r\n\u{1b}[31mof me".to_owned()));
        let result = patient.send(&told(), 1).await;
        let says = format!("it answered {status}");
        if refused {
            is_refused(&result, &says)
        } else {
            is_down(&result, &says)
        }
        let text = result.unwrap_err().to_string();
        assert!(text.ends_with(": because [31mof me"), "{text:?} has what moves a cursor in it");
    }
    // Nobody is followed elsewhere, with the signature.
    let other = Receiver::start().await;
    receiver.set(Mode::Answer(307, "Location: /elsewhere\r\n", String::new()));
    is_refused(&patient.send(&told(), 1).await, "307");
    assert!(other.came().is_empty());
    receiver.set(Mode::Answer(500, "", "x".repeat(10 << 20)));
    let long = patient.send(&told(), 1).await.unwrap_err().to_string();
    assert!(long.len() < 400, "{} bytes of an answer are kept", long.len());
    receiver.set(Mode::Hang);
    is_down(&quick.send(&told(), 1).await, "timed out");
    receiver.set(Mode::Close);
    assert!(matches!(patient.send(&told(), 1).await, Err(Unsent::Down(_))));
    receiver.down().await;
    is_down(&patient.send(&told(), 1).await, "refused");
    receiver.up().await;
    receiver.set(Mode::Take);
    assert_eq!(patient.send(&told(), 2).await, Ok(()));
}

#[tokio::test]
async fn a_webhook_is_believed_by_its_authority_and_by_no_other() {
    let (own, foreign) = (certificate(), certificate());
    holdfast::trust::use_ring();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![own.cert.der().clone()], key).expect("settings");
    let receiver = Receiver::start_tls(config).await;
    let url = receiver.url();
    assert_eq!(webhook(&url, Some(&own.cert.pem()), LONG).send(&told(), 1).await, Ok(()));
    is_down(&webhook(&url, Some(&foreign.cert.pem()), LONG).send(&told(), 1).await, "certificate");
    is_down(&webhook(&url, None, LONG).send(&told(), 1).await, "certificate");
    let other_name = url.replace("127.0.0.1", "localhost");
    is_down(&webhook(&other_name, Some(&own.cert.pem()), LONG).send(&told(), 1).await, "certificate");
    assert_eq!(receiver.came().len(), 1, "nothing is told to whoever is not believed");
}

fn address(text: &str) -> MailAddress {
    MailAddress::try_from(text.to_owned()).expect("an address")
}

fn mail(server: &MailServer, tls: Tls, login: Option<(&str, &str)>, authorities: Option<&str>) -> Sender {
    mail_to(server, "ops@example.org", tls, login, authorities)
}

fn mail_to(server: &MailServer, to: &str, tls: Tls, login: Option<(&str, &str)>, authorities: Option<&str>) -> Sender {
    let secret = |text| Secret::new(text).expect("a password");
    let login = login.map(|(user, password)| Login { user: user.to_owned(), password: secret(password) });
    let authorities = authorities.map(|pem| Authorities::try_from(pem.to_owned()).expect("PEM"));
    let people = (address("holdfast@example.org"), vec![address("night@example.org"), address(to)]);
    let smtp = Smtp::new(&server.address(), tls, people, login, authorities).expect("a mail server");
    sender(&Target::Smtp(smtp), LONG)
}

#[tokio::test]
async fn a_mail_has_all_that_people_and_their_filters_need() {
    let server = match MailServer::start(&[]) {
        Ok(server) => server,
        Err(why) => return skip(&why),
    };
    assert_eq!(mail(&server, Tls::None, None, None).send(&told(), 3).await, Ok(()));
    is_refused(&mail_to(&server, "nobody@example.org", Tls::None, None, None).send(&told(), 1).await, "no such user");
    server.until("a mail", |mails| !mails.is_empty()).await;
    let mail = &server.mails()[0];
    assert_eq!(mail["to"], serde_json::json!(["night@example.org", "ops@example.org"]));
    assert_eq!((mail["hello"].as_str(), mail["encrypted"].as_bool()), (Some("node-1"), Some(false)));
    let header = |name: &str| mail["headers"][name].as_str().unwrap_or_default().to_owned();
    assert!(header("subject").starts_with("[holdfast lab] warning: ALERT: "), "{mail}");
    assert_eq!(header("message-id"), format!("<{}@holdfast>", id()));
    assert_eq!(header("auto-submitted"), "auto-generated");
    assert_eq!((header("holdfast-id"), header("holdfast-attempt")), (id(), "3".to_owned()));
    assert!(header("date").starts_with("Tue, 14 Nov 2023 22:13:20"), "{mail}");
    assert_eq!(header("from"), "Holdfast <holdfast@example.org>");
    let text = mail["text"].as_str().expect("a text").replace("\r\n", "\n");
    assert!(text.contains("reason    a \"test\" of mail\n"), "what people write is one line: {text}");
    assert!(text.contains("when      2023-11-14T22:13:20.123Z\nseverity  warning\n"), "{text}");
    assert!(text.contains("is alive on storage only"), "{text}");
}

#[tokio::test]
async fn a_mail_server_is_spoken_to_under_tls_by_its_authority_and_with_a_password() {
    let (own, foreign) = (certificate(), certificate());
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("certificate"), own.cert.pem()).expect("a file");
    fs::write(path("key"), own.signing_key.serialize_pem()).expect("a file");
    let login = Some(("holdfast", "hunter2"));
    for (word, tls) in [("starttls", Tls::Starttls), ("tls", Tls::Tls)] {
        let words = ["--tls", word, "--certificate", &path("certificate"), "--key", &path("key"), "--login"];
        let server = match MailServer::start(&words) {
            Ok(server) => server,
            Err(why) => return skip(&why),
        };
        let own = own.cert.pem();
        assert_eq!(mail(&server, tls, login, Some(&own)).send(&told(), 1).await, Ok(()), "{word}");
        server.until("a mail", |mails| !mails.is_empty()).await;
        let taken = &server.mails()[0];
        assert_eq!(
            (taken["encrypted"].as_bool(), taken["user"].as_str()),
            (Some(tls == Tls::Starttls), login.map(|l| l.0))
        );
        is_refused(&mail(&server, tls, Some(("holdfast", "wrong")), Some(&own)).send(&told(), 1).await, "535");
        is_refused(&mail(&server, tls, None, Some(&own)).send(&told(), 1).await, "530");
        is_down(&mail(&server, tls, login, Some(&foreign.cert.pem())).send(&told(), 1).await, "certificate");
        is_down(&mail(&server, tls, login, None).send(&told(), 1).await, "certificate");
        assert_eq!(server.mails().len(), 1);
    }
}

#[tokio::test]
async fn a_server_that_offers_no_tls_gets_no_mail_in_clear() {
    let mut server = match MailServer::start(&[]) {
        Ok(server) => server,
        Err(why) => return skip(&why),
    };
    let sender = mail(&server, Tls::Starttls, Some(("holdfast", "hunter2")), None);
    assert!(sender.send(&told(), 1).await.is_err());
    assert!(server.mails().is_empty());
    server.down();
    assert!(matches!(sender.send(&told(), 1).await, Err(Unsent::Down(_))));
}

#[tokio::test]
async fn a_command_has_it_on_its_input_and_refuses_by_one_status_alone() {
    let folder = TempDir::new().expect("a folder");
    let got = folder.path().join("got");
    let words = |script: &str| ["/bin/sh", "-c", script, got.to_str().expect("text")].map(str::to_owned).to_vec();
    let commands = [
        ("takes", words("cat > $0")),
        ("refuses", words("exit 65")),
        ("fails", words("exit 1")),
        ("hangs", words("sleep 1000")),
        ("lacks", vec!["/nowhere/at/all".to_owned()]),
    ];
    let commands = commands.into_iter().map(|(name, words)| (name.to_owned(), words)).collect();
    let local = Local { host: "node-1".to_owned(), commands: Arc::new(commands) };
    let send = async |name: &str, patience| {
        let target = Target::Command(CommandName::try_from(name.to_owned()).expect("a name"));
        Sender::with_patience(&target, &local, patience).send(&told(), 1).await
    };
    assert_eq!(send("takes", LONG).await, Ok(()));
    let read: serde_json::Value = serde_json::from_slice(&fs::read(&got).expect("it was written")).expect("JSON");
    assert_eq!(read["id"], id());
    is_refused(&send("refuses", LONG).await, "65");
    is_down(&send("fails", LONG).await, "exit status: 1");
    is_down(&send("hangs", SHORT).await, "longer than");
    is_down(&send("lacks", LONG).await, "No such file");
    is_down(&send("other", LONG).await, "[commands] of the configuration of node-1 has no other");
}
