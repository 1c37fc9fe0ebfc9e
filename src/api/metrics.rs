//! `GET /metrics`: what this very node tells Prometheus. It is passed on to nobody, and asks nothing of a master.

use super::errors::Failure;
use super::forward::pass_on;
use super::handle::Api;
use super::who::Who;
use crate::clock;
use crate::core::ids::Fingerprint;
use crate::core::time::Instant;
use crate::metrics::CONTENT_TYPE;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Where it is.
pub(super) const METRICS: &str = "/metrics";
/// What whoever may look may read, and is short: a node that does not vote asks the master for it, in that one's name.
const PROBE: &str = "/v1/policy";
/// Whom a master knew is believed for so long; then it is asked again.
const BELIEVED: Duration = Duration::from_secs(60);
/// A master that lives answers within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// No more people are remembered.
const REMEMBERED: usize = 64;

/// Those who were found to be known to the cluster, each with when that was. A node that does not vote has no other way
/// to tell, and is to answer while there is no master, too.
#[derive(Debug, Clone, Default)]
pub struct KnownPeople(Arc<Mutex<BTreeMap<Fingerprint, Instant>>>);

impl KnownPeople {
    /// When that one was known last.
    fn known(&self, print: &Fingerprint) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(print).copied()
    }

    fn remember(&self, print: Fingerprint, now: Instant) {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= REMEMBERED && !people.contains_key(&print) {
            let oldest = people.iter().min_by_key(|(_, at)| **at).map(|(print, _)| *print);
            oldest.and_then(|print| people.remove(&print));
        }
        people.insert(print, now);
    }

    fn forget(&self, print: &Fingerprint) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(print);
    }
}

/// Answers whoever may look.
pub(super) async fn metrics(api: &Api, who: &Who, method: &Method) -> Response {
    if method != Method::GET {
        let failure =
            Failure::unfit(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is nothing that {METRICS} does"));
        return failure.into_response();
    }
    match may_look(api, who).await {
        Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], api.metrics.page().await.to_string()).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn may_look(api: &Api, who: &Who) -> Result<(), Failure> {
    let print = match who {
        Who::Local { .. } => return Ok(()),
        Who::Certificate(print) | Who::Token(print) => *print,
        Who::Nobody | Who::Vouched { .. } => return Err(Failure::unknown_person()),
    };
    if api.handle.glance.borrow().votes {
        let who = who.clone();
        let person = api.state(move |state| who.person(state)).await?;
        return person.map(drop).ok_or_else(Failure::unknown_person);
    }
    let Some(at) = api.known.known(&print) else { return ask_master(api, who, print).await };
    if clock::boottime().since(at) >= BELIEVED {
        // Meanwhile the old word counts: where there is no master to ask, that is waited for in vain.
        api.known.remember(print, clock::boottime());
        let (api, who) = (api.clone(), who.clone());
        tokio::spawn(async move { ask_master(&api, &who, print).await.ok() });
    }
    Ok(())
}

/// Whether the master knows that one; what it says is kept in mind.
async fn ask_master(api: &Api, who: &Who, print: Fingerprint) -> Result<(), Failure> {
    let master = api.handle.glance.borrow().master.ok_or_else(Failure::no_master)?;
    let asked = timeout(PATIENCE, pass_on(api, master, who.clone(), probe()?)).await;
    let answer = asked.map_err(|_| Failure::unanswered("the master does not say who that is"))??;
    match answer.status() {
        status if status.is_success() => {
            api.known.remember(print, clock::boottime());
            Ok(())
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            api.known.forget(&print);
            Err(Failure::unknown_person())
        }
        status => Err(Failure::unanswered(format!("the master does not say who that is: {status}"))),
    }
}

fn probe() -> Result<Request, Failure> {
    Request::builder().uri(PROBE).body(Body::empty()).map_err(|error| Failure::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_people_are_remembered_than_there_is_room_for_and_the_oldest_go() {
        let people = KnownPeople::default();
        let print = |number: usize| Fingerprint([u8::try_from(number).unwrap(); 32]);
        for number in 0..=REMEMBERED {
            people.remember(print(number), Instant::from_micros(number as u64));
        }
        assert_eq!(people.known(&print(0)), None);
        assert_eq!(people.known(&print(1)), Some(Instant::from_micros(1)));
        people.forget(&print(1));
        assert_eq!(people.known(&print(1)), None);
    }
}
