//! What only reads, and the token without which nothing is read.

use crate::cloud::{Reply, SECRET, StubCloud, TOKENS, brief};
use crate::recorded::{
    CONFLICT, FAULT, FORBIDDEN, NO_BACKEND, NO_VALID_HOST, NOT_FOUND, OVER_LIMIT, SERVER, TWO_EVACUATIONS, token,
};
use holdfast::openstack::{CloudError, Migration, Nova, Patience, ServedAs, Session, Surroundings, cloud};
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

const SERVICES: &str = "/v2.1/os-services";

fn id(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

#[tokio::test]
async fn the_services_and_hypervisors_are_read() {
    let cloud = StubCloud::start().await;
    let nova = cloud.nova().await;
    let hosts: Vec<String> = nova.services().await.expect("services").into_iter().map(|service| service.host).collect();
    assert_eq!(hosts, ["kvm3", "kvm2", "kvm1"]);
    let hypervisors = nova.hypervisors().await.expect("hypervisors");
    let names: Vec<(&str, &str)> =
        hypervisors.iter().map(|one| (one.hostname.as_str(), one.service.host.as_str())).collect();
    assert_eq!(names, [("kvm3.example", "kvm3"), ("kvm2.example", "kvm2"), ("kvm1.example", "kvm1")]);
    let asked = &cloud.came("GET", SERVICES)[0];
    assert_eq!(asked.header("openstack-api-version"), Some("compute 2.93"));
    assert_eq!(asked.asked.get("binary").map(String::as_str), Some("nova-compute"));
}

#[tokio::test]
async fn a_server_and_its_migrations_are_read() {
    let path = format!("/v2.1/servers/{SERVER}");
    let cloud = StubCloud::answering(move |request| match request.path.as_str() {
        "/v2.1/os-migrations" => Some(Reply::json(200, TWO_EVACUATIONS)),
        place if place == path => Some(Reply::json(200, NO_VALID_HOST)),
        _ => None,
    })
    .await;
    let nova = cloud.nova().await;
    let server = nova.server(id(SERVER)).await.expect("an answer").expect("a server");
    assert_eq!((server.status.as_str(), server.host.as_deref()), ("ERROR", Some("kvm1")));
    assert!(server.fault.as_ref().is_some_and(|fault| fault.message.starts_with("No valid host was found.")));
    assert!(!server.has_come_back_from("kvm1", ServedAs::Running));
    assert_eq!(nova.server(Uuid::nil()).await.expect("an answer"), None);
    let migrations = nova.migrations(id(SERVER)).await.expect("migrations");
    let open: Vec<&Migration> = migrations.iter().filter(|migration| migration.goes_on()).collect();
    assert_eq!((migrations.len(), open.len(), open[0].id, open[0].to.as_deref()), (2, 1, 4, None));
    assert_eq!(cloud.came("GET", "/v2.1/os-migrations")[0].asked["instance_uuid"], SERVER);
}

#[tokio::test]
async fn what_reads_is_asked_again_until_there_is_an_answer() {
    let cloud = StubCloud::answering(|request| {
        let reply = match request.before {
            0 => Reply::json(503, NO_BACKEND),
            1 => Reply::Answer(429, "Retry-After: 0\r\n".to_owned(), String::new()),
            2 => Reply::Answer(413, "Retry-After: 0\r\n".to_owned(), OVER_LIMIT.to_owned()),
            3 => Reply::Torn,
            _ => return None,
        };
        request.is("GET", SERVICES).then_some(reply)
    })
    .await;
    assert_eq!(cloud.nova().await.services().await.expect("services").len(), 3);
    assert_eq!(cloud.came("GET", SERVICES).len(), 5);
}

#[tokio::test]
async fn what_will_not_change_is_not_asked_again() {
    let limited = "Retry-After: 3600\r\n";
    let samples = [
        (403, "", FORBIDDEN, "Policy doesn't allow os_compute_api:os-services:list"),
        (404, "", NOT_FOUND, "could not be found"),
        (409, "", CONFLICT, "Cannot 'evacuate'"),
        (413, "", "", "Payload Too Large"),
        // It may change, but later than anybody waits.
        (429, limited, "", "Too Many Requests"),
        (503, limited, NO_BACKEND, "Service Unavailable"),
    ];
    for (status, headers, body, expected) in samples {
        let reply = Reply::Answer(status, headers.to_owned(), body.to_owned());
        let cloud = StubCloud::answering(move |request| request.is("GET", SERVICES).then(|| reply.clone())).await;
        let error = cloud.nova().await.services().await.expect_err("it is refused");
        assert!(error.status() == Some(status) && error.to_string().contains(expected), "{error}");
        assert_eq!(cloud.came("GET", SERVICES).len(), 1, "{error}");
    }
}

#[tokio::test]
async fn patience_comes_to_an_end() {
    let samples = [
        (Reply::Hang, "nothing came within"),
        (Reply::json(500, FAULT), "500: Unexpected API Error. Please report this"),
        (Reply::Close, "was not answered"),
    ];
    for (reply, expected) in samples {
        let cloud = StubCloud::answering(move |request| request.is("GET", SERVICES).then(|| reply.clone())).await;
        let error = cloud.nova_briefly().await.services().await.expect_err("no answer").to_string();
        assert!(error.contains(expected) && error.contains("GET http://127.0.0.1"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_said_to() {
    let long = format!("{{\"services\": [{}]}}", " ".repeat(33 << 20));
    let samples = [
        ("", "cannot be read: EOF"),
        ("<html>", "cannot be read: expected value"),
        (r#"{"services": 7}"#, "`services`: invalid type"),
        (r#"{"services": [{"id": "no"}]}"#, "`services`: UUID"),
        ("{}", "it has no `services`"),
        (long.as_str(), "longer than 33554432 bytes"),
    ];
    for (body, expected) in samples {
        let reply = Reply::json(200, body);
        let cloud = StubCloud::answering(move |request| request.is("GET", SERVICES).then(|| reply.clone())).await;
        let error = cloud.nova().await.services().await.expect_err("nonsense");
        assert!(matches!(&error, CloudError::Nonsense { .. }) && error.to_string().contains(expected), "{error}");
        assert_eq!(cloud.came("GET", SERVICES).len(), 1, "{error}");
    }
}

#[tokio::test]
async fn nobody_is_there() {
    let cloud = StubCloud::start().await;
    let session = cloud.session(brief());
    cloud.down().await;
    let error = Nova::find(session).await.expect_err("nobody is there");
    assert!(matches!(&error, CloudError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn one_token_serves_all_who_ask() {
    let cloud = StubCloud::start().await;
    let nova = cloud.nova().await;
    let (one, two, three) = tokio::join!(nova.services(), nova.hypervisors(), nova.servers(None));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(cloud.came("POST", TOKENS).len(), 1);
}

#[tokio::test]
async fn a_token_at_its_end_is_renewed_before_it_is_refused() {
    let cloud = StubCloud::answering(|request| {
        // It ends when it begins.
        let base = format!("http://{}", request.header("host").expect("a host"));
        request.is("POST", TOKENS).then(|| token(request, &base, "2026-11-20T20:48:21.000000Z"))
    })
    .await;
    let nova = cloud.nova().await;
    nova.services().await.expect("services");
    nova.services().await.expect("services");
    let shown: Vec<_> =
        cloud.came("GET", SERVICES).iter().map(|came| came.header("x-auth-token").map(str::to_owned)).collect();
    assert!(shown.len() == 2 && shown[0] != shown[1], "{shown:?}");
}

#[tokio::test]
async fn keystone_is_asked_once_by_whoever_it_does_not_know() {
    let cloud = StubCloud::answering(|request| {
        request.is("POST", TOKENS).then(|| Reply::json(401, crate::recorded::UNAUTHORIZED))
    })
    .await;
    let error = Nova::find(cloud.session(Patience::default())).await.expect_err("refused").to_string();
    assert!(error.contains("refuses the credentials") && error.contains("hint: correct them"), "{error}");
    // Some clouds lock whoever goes on.
    assert_eq!(cloud.came("POST", TOKENS).len(), 1);
}

#[tokio::test]
async fn who_asks_is_said_to_keystone_in_its_words_and_to_nobody_else() {
    let cloud = StubCloud::start().await;
    let password = cloud.came_as(cloud.variables()).await;
    let user = &password["auth"]["identity"]["password"]["user"];
    assert_eq!((user["name"].as_str(), user["domain"]["id"].as_str()), (Some("holdfast"), Some("default")));
    assert_eq!(user["password"].as_str(), Some(SECRET));
    assert_eq!(password["auth"]["scope"]["project"]["name"].as_str(), Some("admin"));
    let mut variables = cloud.variables();
    variables.insert("OS_APPLICATION_CREDENTIAL_ID".to_owned(), "17".to_owned());
    variables.insert("OS_APPLICATION_CREDENTIAL_SECRET".to_owned(), SECRET.to_owned());
    let credential = cloud.came_as(variables.clone()).await;
    assert!(credential["auth"].get("scope").is_none(), "it has its project in itself");
    let identity = &credential["auth"]["identity"]["application_credential"];
    assert_eq!((identity["id"].as_str(), identity["secret"].as_str()), (Some("17"), Some(SECRET)));
    variables.remove("OS_APPLICATION_CREDENTIAL_ID");
    variables.insert("OS_APPLICATION_CREDENTIAL_NAME".to_owned(), "ha".to_owned());
    let named = cloud.came_as(variables).await;
    let identity = &named["auth"]["identity"]["application_credential"];
    assert_eq!((identity["name"].as_str(), identity["user"]["name"].as_str()), (Some("ha"), Some("holdfast")));
    let shown = format!("{:?}", cloud.session(Patience::default()));
    assert!(!shown.contains(SECRET), "{shown}");
    let nova = format!("{:?}", cloud.nova().await);
    assert!(!nova.contains(SECRET) && !nova.contains("gAAAAAB"), "{nova}");
}

impl StubCloud {
    /// What keystone hears from whoever has these variables.
    async fn came_as(&self, variables: std::collections::BTreeMap<String, String>) -> serde_json::Value {
        let settings = cloud(None, &Surroundings { variables, ..Surroundings::default() }).expect("sound settings");
        let session = Session::new(settings, Patience::default()).expect("a session");
        let who = session.who().await.expect("a token");
        assert_eq!((who.user.as_str(), who.roles.len()), ("holdfast", 2));
        self.came("POST", TOKENS).last().expect("it came").json()
    }
}

#[tokio::test]
async fn a_region_or_interface_that_is_not_there_is_said_with_those_that_are() {
    let cloud = StubCloud::start().await;
    let found = async |name: &str, value: &str| {
        let mut variables = cloud.variables();
        variables.insert(name.to_owned(), value.to_owned());
        let settings = holdfast::openstack::cloud(None, &Surroundings { variables, ..Surroundings::default() });
        let session = Session::new(settings.expect("sound settings"), Patience::default()).expect("a session");
        Nova::find(Arc::new(session)).await.map(|nova| nova.address().to_owned()).map_err(|error| error.to_string())
    };
    assert!(found("OS_REGION_NAME", "RegionOne").await.expect("it is there").ends_with("/v2.1"));
    let error = found("OS_REGION_NAME", "RegionTwo").await.expect_err("it is not there");
    assert!(error.contains("no compute service in region \"RegionTwo\"\n  hint: there is RegionOne"), "{error}");
    let error = found("OS_INTERFACE", "admin").await.expect_err("it is not there");
    assert!(error.contains("no admin address of the compute service\n  hint: set `interface`"), "{error}");
}

fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate")
}

#[tokio::test]
async fn a_cloud_is_believed_by_its_authority_and_by_no_other() {
    let (own, foreign) = (certificate(), certificate());
    holdfast::trust::use_ring();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![own.cert.der().clone()], key).expect("settings");
    let cloud = StubCloud::encrypted(config).await;
    let folder = TempDir::new().expect("a folder");
    let found = async |name: &str, value: &str| {
        let mut variables = cloud.variables();
        variables.insert(name.to_owned(), value.to_owned());
        let settings = holdfast::openstack::cloud(None, &Surroundings { variables, ..Surroundings::default() });
        let session = Session::new(settings.expect("sound settings"), brief()).expect("a session");
        Nova::find(Arc::new(session)).await.map(|nova| nova.version().to_string())
    };
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        fs::write(&path, pem).expect("a file");
        path.to_str().expect("a name").to_owned()
    };
    let error = found("OS_CACERT", &file("foreign.pem", &foreign.cert.pem())).await.expect_err("a stranger");
    assert!(matches!(&error, CloudError::Unreachable { why, .. } if why.contains("certificate")), "{error}");
    let error = found("OS_CACERT", "").await.expect_err("a stranger");
    assert!(matches!(&error, CloudError::Unreachable { why, .. } if why.contains("certificate")), "{error}");
    assert_eq!(cloud.all().len(), 0, "nothing is told to whoever is not believed");
    assert_eq!(found("OS_CACERT", &file("own.pem", &own.cert.pem())).await.as_deref(), Ok("2.93"));
    assert_eq!(found("OS_INSECURE", "true").await.as_deref(), Ok("2.93"));
}
