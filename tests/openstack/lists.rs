//! Lists that come in parts.

use crate::cloud::{Reply, Request, StubCloud};
use crate::recorded::server;
use holdfast::openstack::CloudError;
use uuid::Uuid;

const SERVERS: &str = "/v2.1/servers/detail";

fn id(number: usize) -> Uuid {
    Uuid::from_u128(number as u128)
}

/// A part of a list of so many servers, as Nova gives it: none is longer than its own limit.
fn part(request: &Request, count: usize, limit: usize) -> Reply {
    let asked = request.asked.get("limit").map_or(limit, |text| text.parse().expect("a number"));
    let length = asked.min(limit);
    let begins = match request.asked.get("marker") {
        Some(marker) => usize::try_from(marker.parse::<Uuid>().expect("a UUID").as_u128()).expect("a number") + 1,
        None => 1,
    };
    let ends = (begins + length).min(count + 1);
    let servers: Vec<String> =
        (begins..ends).map(|number| server(&id(number).to_string(), &format!("kvm{}", number % 3 + 1))).collect();
    // Behind a proxy Nova does not know by which name it was called, and a full part may be the last one.
    let links = match servers.len() == length {
        true => format!(
            r#", "servers_links": [{{"rel": "next", "href": "https://inside:8774{SERVERS}?limit={length}&marker={}"}}]"#,
            id(ends - 1)
        ),
        false => String::new(),
    };
    Reply::json(200, format!("{{\"servers\": [{}]{links}}}", servers.join(",")))
}

#[tokio::test]
async fn thousands_of_servers_are_read_to_the_last() {
    let cloud = StubCloud::answering(|request| request.is("GET", SERVERS).then(|| part(request, 3_210, 1_000))).await;
    let servers = cloud.nova().await.servers(None).await.expect("servers");
    let ids: Vec<Uuid> = servers.iter().map(|server| server.id).collect();
    assert_eq!(ids, (1..=3_210).map(id).collect::<Vec<Uuid>>());
    let came = cloud.came("GET", SERVERS);
    assert_eq!(came.len(), 7, "five hundred at once");
    assert!(came.iter().all(|request| request.asked["all_tenants"] == "1" && !request.asked.contains_key("host")));
}

#[tokio::test]
async fn a_nova_with_a_lower_limit_is_read_to_the_last_too() {
    let cloud = StubCloud::answering(|request| request.is("GET", SERVERS).then(|| part(request, 30, 10))).await;
    let servers = cloud.nova().await.servers(Some("kvm 1&x")).await.expect("servers");
    assert_eq!(servers.len(), 30);
    let came = cloud.came("GET", SERVERS);
    assert_eq!(came.len(), 4, "that the third part was the last one shows the fourth");
    assert!(came.iter().all(|request| request.asked["host"] == "kvm+1%26x"));
}

#[tokio::test]
async fn a_list_whose_marker_was_deleted_meanwhile_is_read_anew() {
    let gone = r#"{"badRequest": {"code": 400, "message": "marker [00000000-0000-0000-0000-00000000000a] not found"}}"#;
    let cloud = StubCloud::answering(move |request| {
        let reply = if request.before == 1 { Reply::json(400, gone) } else { part(request, 15, 10) };
        request.is("GET", SERVERS).then_some(reply)
    })
    .await;
    let servers = cloud.nova().await.servers(None).await.expect("servers");
    assert_eq!(servers.len(), 15);
    assert_eq!(cloud.came("GET", SERVERS).len(), 4);
}

#[tokio::test]
async fn a_list_that_is_torn_each_time_is_given_up() {
    let cloud = StubCloud::answering(move |request| {
        let is_first = !request.asked.contains_key("marker");
        let reply = if is_first { part(request, 15, 10) } else { Reply::json(400, "{}") };
        request.is("GET", SERVERS).then_some(reply)
    })
    .await;
    let error = cloud.nova().await.servers(None).await.expect_err("it is torn");
    assert_eq!((error.status(), cloud.came("GET", SERVERS).len()), (Some(400), 6));
}

#[tokio::test]
async fn a_list_that_does_not_end_is_not_read_for_ever() {
    let cloud = StubCloud::answering(move |request| {
        let link = r#"{"servers": [], "servers_links": [{"rel": "next", "href": "?marker=1"}]}"#;
        request.is("GET", SERVERS).then(|| Reply::json(200, link))
    })
    .await;
    let error = cloud.nova().await.servers(None).await.expect_err("it has no end");
    assert!(matches!(&error, CloudError::Nonsense { why, .. } if why.contains("goes on with itself")), "{error}");
}
