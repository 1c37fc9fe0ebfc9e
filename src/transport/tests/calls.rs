//! Calls and their answers.

use super::*;
use crate::wire::CALL_LIMIT;

/// An owner that answers each call with its body doubled, refuses an empty one, and keeps `wait` for good.
fn serve(node: Node) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let Node { transport: _transport, mut inbox } = node;
        let mut kept = Vec::new();
        while let Some(inbound) = inbox.recv().await {
            let Inbound::Call { body, answer, .. } = inbound else { continue };
            match &body[..] {
                b"" => drop(answer),
                b"wait" => kept.push(answer),
                b"long" => drop(answer.send(vec![0; CALL_LIMIT + 100])),
                _ => drop(answer.send([&body[..], &body[..]].concat())),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_refused_or_given_up() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let server = serve(nodes.pop().unwrap());
    let caller = &nodes[0].transport;
    let call = |body: &[u8]| caller.call(Address(2), body.to_vec(), LIMIT);
    assert_eq!(call(b"abc").await, Ok(b"abcabc".to_vec()));
    assert_eq!(call(b"").await, Err(CallError::Unanswered(Address(2))));
    assert_eq!(call(b"long").await, Err(CallError::Unanswered(Address(2))));
    let brief = Duration::from_millis(50);
    assert_eq!(caller.call(Address(2), b"wait".to_vec(), brief).await, Err(CallError::TimedOut(Address(2))));
    assert_eq!(caller.call(Address(9), Vec::new(), LIMIT).await, Err(CallError::NotAMember(Address(9))));
    let long = vec![0; CALL_LIMIT + 1];
    assert_eq!(caller.call(Address(2), long, LIMIT).await, Err(CallError::TooLong(CALL_LIMIT + 1)));
    let half = vec![1; CALL_LIMIT / 2];
    assert_eq!(call(&half).await.unwrap().len(), CALL_LIMIT, "the longest answer");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_each_get_their_own_answer() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let server = serve(nodes.pop().unwrap());
    let caller = Arc::new(nodes.pop().unwrap().transport);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100_u32 {
        let caller = caller.clone();
        calls.spawn(async move {
            let body = format!("call {number},").into_bytes();
            (caller.call(Address(2), body.clone(), LIMIT).await, body)
        });
    }
    while let Some(done) = calls.join_next().await {
        let (answer, body) = done.unwrap();
        assert_eq!(answer, Ok([&body[..], &body[..]].concat()));
    }
    server.abort();
}

/// Given up calls must not use up the places that a peer has for calls.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_given_up_make_room() {
    let realm = Realm::new();
    let mut nodes = realm.cluster(&[1, 2]);
    let server = serve(nodes.pop().unwrap());
    let caller = &nodes[0].transport;
    assert!(caller.call(Address(2), b"up".to_vec(), LIMIT).await.is_ok());
    for _ in 0..quic::CALLS * 2 {
        let brief = Duration::from_millis(5);
        assert!(caller.call(Address(2), b"wait".to_vec(), brief).await.is_err());
    }
    assert_eq!(caller.call(Address(2), b"abc".to_vec(), LIMIT).await, Ok(b"abcabc".to_vec()));
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_may_call_oneself() {
    let realm = Realm::new();
    let mut node = realm.start(1);
    let call = node.transport.call(Address(1), b"abc".to_vec(), LIMIT);
    let answer = async {
        let Some(Inbound::Call { from, body, answer }) = node.inbox.recv().await else { panic!("no call") };
        assert_eq!((from, &body[..]), (Address(1), &b"abc"[..]));
        answer.send(b"def".to_vec()).unwrap();
    };
    assert_eq!(tokio::join!(call, answer).0, Ok(b"def".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_down_is_waited_for_until_the_limit() {
    let realm = Realm::new();
    let node = realm.start(1);
    node.transport.set_roster(roster_of(1, vec![realm.member(1, &[]), realm.member(2, &[])]));
    let brief = Duration::from_millis(50);
    let error = node.transport.call(Address(2), Vec::new(), brief).await;
    assert_eq!(error, Err(CallError::TimedOut(Address(2))));
}
