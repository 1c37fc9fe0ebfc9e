//! Clouds of several ages.

use crate::cloud::{Reply, StubCloud, TOKENS};
use crate::recorded::{NOT_FOUND, SERVER, version};
use holdfast::openstack::{Nova, Outcome, Patience};

/// Which version is spoken with a cloud that knows all to this one: in questions and in orders.
async fn spoken(highest: &'static str) -> String {
    let cloud = StubCloud::answering(move |request| match request.path.as_str() {
        "/v2.1/" => Some(version(highest)),
        path if path.ends_with("/action") => Some(Reply::json(200, "")),
        _ => None,
    })
    .await;
    let nova = cloud.nova().await;
    nova.services().await.expect("services");
    assert_eq!(nova.evacuate(SERVER.parse().expect("a UUID"), None).await, Outcome::Accepted);
    let all = cloud.all();
    let asked = |request: &&crate::cloud::Request| request.path != "/v2.1/" && request.path != TOKENS;
    let versions: Vec<&str> =
        all.iter().filter(asked).filter_map(|came| came.header("openstack-api-version")).collect();
    assert!(versions.len() == 2 && versions[0] == versions[1], "{versions:?}");
    versions[0].to_owned()
}

#[tokio::test]
async fn the_newest_that_both_know_is_spoken() {
    assert_eq!(spoken("2.53").await, "compute 2.53");
    assert_eq!(spoken("2.90").await, "compute 2.90");
    assert_eq!(spoken("2.93").await, "compute 2.93");
}

/// From 2.95 on evacuated servers stay stopped: a newer cloud is spoken to as an older one.
#[tokio::test]
async fn a_newer_cloud_brings_servers_back_as_they_were() {
    for highest in ["2.95", "2.96", "2.100"] {
        assert_eq!(spoken(highest).await, "compute 2.93", "{highest}");
    }
}

#[tokio::test]
async fn a_cloud_that_is_too_old_is_said_to_be() {
    let old = StubCloud::answering(|request| request.is("GET", "/v2.1/").then(|| version("2.52"))).await;
    let error = Nova::find(old.session(Patience::default())).await.expect_err("too old").to_string();
    assert!(error.contains("speaks 2.1 to 2.52, and Holdfast 2.53 to 2.93\n  hint: "), "{error}");
}

#[tokio::test]
async fn what_is_no_nova_is_said_to_be() {
    for reply in [Reply::json(200, "{}"), Reply::json(404, NOT_FOUND), version("")] {
        let other = StubCloud::answering(move |request| request.is("GET", "/v2.1/").then(|| reply.clone())).await;
        let error = Nova::find(other.session(Patience::default())).await.expect_err("no Nova").to_string();
        assert!(error.contains("GET http://127.0.0.1") && error.contains("/v2.1/"), "{error}");
    }
}
