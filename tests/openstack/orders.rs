//! What changes something: what is sent once is sent once whatever comes, and what became of it is told as it is known.

use crate::cloud::{Reply, Request, StubCloud, TOKENS};
use crate::recorded::{
    CONFLICT, DISABLED, FAULT, FORBIDDEN, FORCED_DOWN, IN_USE, KVM1, LIFTED, NO_BACKEND, NOT_FOUND, OVER_LIMIT,
    RESTART_FIRST, SERVER, TOO_NEW, UNAUTHORIZED, token_text,
};
use holdfast::openstack::{CloudError, Lifted, Outcome, ResetTo, ServiceState};
use serde_json::json;
use uuid::Uuid;

fn action() -> String {
    format!("/v2.1/servers/{SERVER}/action")
}

fn id(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

/// A cloud that answers every order so.
async fn ordering(reply: Reply) -> StubCloud {
    StubCloud::answering(move |request| request.is("POST", &action()).then(|| reply.clone())).await
}

#[tokio::test]
async fn an_evacuation_is_accepted_with_an_empty_answer() {
    let cloud = ordering(Reply::json(200, "")).await;
    let nova = cloud.nova().await;
    assert_eq!(nova.evacuate(id(SERVER), None).await, Outcome::Accepted);
    assert_eq!(nova.evacuate(id(SERVER), Some("kvm2")).await, Outcome::Accepted);
    let bodies: Vec<_> = cloud.came("POST", &action()).iter().map(Request::json).collect();
    assert_eq!(bodies, [json!({ "evacuate": {} }), json!({ "evacuate": { "host": "kvm2" } })]);
}

#[tokio::test]
async fn orders_are_what_nova_knows() {
    let cloud = ordering(Reply::json(202, "")).await;
    let nova = cloud.nova().await;
    let outcomes = [
        nova.live_migrate(id(SERVER), None).await,
        nova.start(id(SERVER)).await,
        nova.stop(id(SERVER)).await,
        nova.reset_state(id(SERVER), ResetTo::Error).await,
        nova.reset_state(id(SERVER), ResetTo::Active).await,
    ];
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
    let bodies: Vec<_> = cloud.came("POST", &action()).iter().map(Request::json).collect();
    let expected = [
        json!({ "os-migrateLive": { "host": null, "block_migration": "auto" } }),
        json!({ "os-start": null }),
        json!({ "os-stop": null }),
        json!({ "os-resetState": { "state": "error" } }),
        json!({ "os-resetState": { "state": "active" } }),
    ];
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_refusal_is_certain_and_nothing_is_sent_again() {
    let samples = [
        (400, "", IN_USE, "Compute service of kvm1 is still in use."),
        (403, "", FORBIDDEN, "Policy doesn't allow"),
        (404, "", NOT_FOUND, "could not be found"),
        (406, "", TOO_NEW, "Version 2.95 is not supported"),
        (409, "", CONFLICT, "while it is in task_state rebuilding"),
        (413, "Retry-After: 0\r\n", OVER_LIMIT, "rate-limited"),
        (429, "Retry-After: 0\r\n", "slow down", "Too Many Requests"),
        (301, "Location: http://192.0.2.1/\r\n", "", "Moved Permanently"),
    ];
    for (status, headers, body, expected) in samples {
        let cloud = ordering(Reply::Answer(status, headers.to_owned(), body.to_owned())).await;
        let outcome = cloud.nova().await.evacuate(id(SERVER), None).await;
        let Outcome::Refused(error) = outcome else { panic!("{status}: {outcome:?}") };
        assert!(error.status() == Some(status) && error.to_string().contains(expected), "{error}");
        assert_eq!(cloud.came("POST", &action()).len(), 1, "{status}");
    }
}

#[tokio::test]
async fn without_a_word_of_nova_itself_the_outcome_is_unknown_and_nothing_is_sent_again() {
    let answered = |status| Reply::json(status, if status == 500 { FAULT } else { NO_BACKEND });
    let replies = [500, 502, 503, 504, 408].map(answered);
    for reply in replies.into_iter().chain([Reply::Close, Reply::Torn, Reply::Hang]) {
        let cloud = ordering(reply.clone()).await;
        let outcome = cloud.nova_briefly().await.evacuate(id(SERVER), None).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{reply:?}: {outcome:?}");
        assert_eq!(cloud.came("POST", &action()).len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn what_could_not_be_sent_is_not_done() {
    let cloud = StubCloud::start().await;
    let nova = cloud.nova().await;
    cloud.down().await;
    let outcome = nova.evacuate(id(SERVER), None).await;
    assert!(matches!(outcome, Outcome::Refused(CloudError::Unreachable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_order_is_sent_anew_with_a_new_token_when_the_old_one_is_refused() {
    let cloud = StubCloud::answering(|request| {
        let is_old = request.header("x-auth-token") == Some(token_text(0).as_str());
        request
            .is("POST", &action())
            .then(|| if is_old { Reply::json(401, UNAUTHORIZED) } else { Reply::json(200, "") })
    })
    .await;
    assert_eq!(cloud.nova().await.evacuate(id(SERVER), None).await, Outcome::Accepted);
    let tokens: Vec<_> =
        cloud.came("POST", &action()).iter().map(|came| came.header("x-auth-token").map(str::to_owned)).collect();
    assert_eq!(tokens, [Some(token_text(0)), Some(token_text(1))]);
}

#[tokio::test]
async fn a_token_that_is_refused_twice_is_a_refusal() {
    let cloud = ordering(Reply::json(401, UNAUTHORIZED)).await;
    let outcome = cloud.nova().await.evacuate(id(SERVER), None).await;
    let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.status(), Some(401));
    assert_eq!((cloud.came("POST", &action()).len(), cloud.came("POST", TOKENS).len()), (2, 2));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    // The first token is refused when it is shown, and keystone stands still when the next one is asked for.
    let cloud = StubCloud::answering(|request| match request.path.as_str() {
        TOKENS if request.before > 0 => Some(Reply::Hang),
        path if path == action() => Some(Reply::json(401, UNAUTHORIZED)),
        _ => None,
    })
    .await;
    let outcome = cloud.nova_briefly().await.evacuate(id(SERVER), None).await;
    assert!(matches!(outcome, Outcome::Refused(CloudError::Unreachable { .. })), "{outcome:?}");
    assert_eq!(cloud.came("POST", &action()).len(), 1);
}

#[tokio::test]
async fn a_service_is_forced_down_again_until_nova_says_so() {
    let path = format!("/v2.1/os-services/{KVM1}");
    let place = path.clone();
    let cloud = StubCloud::answering(move |request| {
        let reply = match request.before {
            0 => Reply::json(503, NO_BACKEND),
            1 => Reply::Close,
            2 => Reply::json(200, FORCED_DOWN),
            _ => Reply::json(200, DISABLED),
        };
        request.is("PUT", &place).then_some(reply)
    })
    .await;
    let nova = cloud.nova().await;
    let forced = nova.force_down(id(KVM1)).await.expect("it is forced down");
    assert!(forced.service().forced_down && forced.service().state == ServiceState::Down);
    let disabled = nova.disable_dead(&forced, "dead").await.expect("it is disabled");
    assert_eq!(disabled.disabled_reason.as_deref(), Some("dead"));
    let bodies: Vec<_> = cloud.came("PUT", &path).iter().map(Request::json).collect();
    let down = json!({ "forced_down": true });
    let disable = json!({ "status": "disabled", "disabled_reason": "dead" });
    assert_eq!(bodies, [down.clone(), down.clone(), down, disable]);
}

#[tokio::test]
async fn a_service_is_let_up_once_its_host_was_restarted() {
    let path = format!("/v2.1/os-services/{KVM1}");
    let place = path.clone();
    let cloud = StubCloud::answering(move |request| {
        let reply = if request.before == 0 { Reply::json(400, RESTART_FIRST) } else { Reply::json(200, LIFTED) };
        request.is("PUT", &place).then_some(reply)
    })
    .await;
    let nova = cloud.nova().await;
    let first = nova.lift(id(KVM1)).await.expect("an answer");
    assert!(matches!(&first, Lifted::RestartFirst(why) if why.contains("has been restarted")), "{first:?}");
    let second = nova.lift(id(KVM1)).await.expect("an answer");
    assert!(matches!(&second, Lifted::Done(service) if !service.forced_down), "{second:?}");
    nova.enable(id(KVM1)).await.expect("it is enabled");
    let bodies: Vec<_> = cloud.came("PUT", &path).iter().map(Request::json).collect();
    let up = json!({ "forced_down": false });
    assert_eq!(bodies, [up.clone(), up, json!({ "status": "enabled" })]);
}
