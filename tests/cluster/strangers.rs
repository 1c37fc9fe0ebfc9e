//! Strangers on the network cannot keep those out whom the cluster knows.

use crate::rig::{Rig, lost};
use holdfast::api::ClusterView;
use holdfast::client::{Client, Credentials, Note};
use holdfast::demo::Machine;
use holdfast::member::Places;
use holdfast::trust::{Identity, api_client};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Less than a connection may last on which nothing is asked: nobody is let in because others have given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where people reach each host.
const PORT: u16 = 7771;

/// The first operator, who stands on the first host.
fn person(rig: &Rig) -> Identity {
    let folder = Places::of(&rig.cluster.machines()[0].state()).operator();
    Identity::load(&folder, "operator").unwrap()
}

/// That one's way to the cluster, over the network and through this host.
fn operator(rig: &Rig, through: &Machine) -> Client {
    let person = person(rig);
    let authority = person.authority().to_vec();
    let to = SocketAddr::from((through.address, PORT));
    Client::remote(&to.to_string(), &authority, Credentials::Certificate(Box::new(person))).unwrap()
}

/// A stranger who has begun to ask and says no more.
async fn half_a_question(tls: &TlsConnector, from: Ipv4Addr, to: SocketAddr) -> Option<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    let stream = socket.connect(to).await.ok()?;
    let mut stream = tls.connect(ServerName::from(to.ip()), stream).await.ok()?;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: a").await.ok()?;
    Some(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_hold_many_connections_keep_no_operator_out() {
    let rig = Rig::raise(|wanted| wanted.hosts = 1).await;
    let machine = &rig.cluster.machines()[0];
    let authority = person(&rig).authority().to_vec();
    let to = SocketAddr::from((machine.address, PORT));
    let operator = || operator(&rig, machine);
    // One operator is there already, and comes again on the connection that is kept.
    let early = operator();
    let view: ClusterView = early.get("/v1/status").await.unwrap();
    assert_eq!(view.name, "demo");
    let given: Value =
        early.post("/v1/access", &json!({ "name": "ada", "right": "viewer" }), &Note::default()).await.unwrap();
    let token = given["token"].as_str().unwrap().to_owned();
    let tls = TlsConnector::from(Arc::new(api_client(&authority, None).unwrap()));
    let mut held = Vec::new();
    // More than there are places, from one address and from many.
    let flood = async {
        for number in 0..600_u16 {
            let [high, low] = (number / 2 * 2).to_be_bytes();
            let from = if number % 2 == 0 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 200, high, low) };
            held.push(half_a_question(&tls, from, to).await);
        }
    };
    timeout(PATIENCE, flood).await.expect("one after the other is let in");
    let all: usize = held.iter().flatten().count();
    assert!(all > 550, "only {all} strangers came as far as they wanted");
    for (who, client) in [
        ("who was there", early),
        ("who comes with a certificate", operator()),
        ("who comes with a token", Client::remote(&to.to_string(), &authority, Credentials::Token(token)).unwrap()),
    ] {
        let seen = timeout(PATIENCE, client.get::<ClusterView>("/v1/status")).await;
        let seen = seen.map_err(anyhow::Error::from).and_then(|seen| Ok(seen?));
        seen.unwrap_or_else(|error| lost(rig.folder.path(), &error.context(format!("{who} is kept out"))));
    }
    drop(held);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_host_that_does_not_vote_one_may_look_and_is_told_where_to_act() {
    let rig = Rig::raise(|wanted| wanted.hosts = 4).await;
    let view: ClusterView = rig.cluster.client().await.unwrap().get("/v1/status").await.unwrap();
    let other = rig.cluster.machines().iter().find(|machine| !view.voters.contains(&machine.name)).unwrap();
    let voter = rig.machine(&view.voters[0]);
    for client in [other.client().unwrap(), operator(&rig, other)] {
        let seen: ClusterView = client.get("/v1/status").await.unwrap();
        assert_eq!(seen.name, view.name);
        let refused = client.post::<Value>("/v1/arm", &json!({}), &Note::default()).await.unwrap_err();
        assert_eq!(refused.code(), Some("forbidden"));
        assert!(refused.to_string().contains(&format!("{} does not vote", other.name)), "{refused}");
        assert!(refused.to_string().contains(&voter.name), "{refused}");
    }
    let armed = operator(&rig, voter).post::<Value>("/v1/arm", &json!({}), &Note::default()).await;
    assert!(armed.is_ok(), "{armed:?}");
    rig.end().await;
}
