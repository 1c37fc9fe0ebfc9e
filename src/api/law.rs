//! What holds for whatever people and peers ask: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::accounts::{NewAccount, NewTarget};
use super::bodies::{
    Adopt, Disarm, EventsAfter, Fence, Fences, Figuring, Invite, Invited, JoinAnswer, JoinBody, Loaded, MonthAsked,
    MonthPartAsked, Move, Name, NewAccess, NewChannel, NewVm, Plan, Recover, Recovering, Stop, Window,
};
use super::forward::{Answered, BODY_LIMIT, Passed, request};
use super::pieces::PiecesView;
use super::queries::key;
use crate::laws::{settles, settles_as_json};
use axum::extract::Query;
use axum::http::Uri;

/// Each body in turn, then what stands behind a question mark, then a place in the ledger.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let bodies = [
        settles_as_json::<NewVm>(bytes),
        settles_as_json::<Adopt>(bytes),
        settles_as_json::<Stop>(bytes),
        settles_as_json::<Move>(bytes),
        settles_as_json::<Disarm>(bytes),
        settles_as_json::<Plan>(bytes),
        settles_as_json::<Recover>(bytes),
        settles_as_json::<Name>(bytes),
        settles_as_json::<Fence>(bytes),
        settles_as_json::<Fences>(bytes),
        settles_as_json::<NewChannel>(bytes),
        settles_as_json::<Invite>(bytes),
        settles_as_json::<Invited>(bytes),
        settles_as_json::<NewAccess>(bytes),
        settles_as_json::<JoinBody>(bytes),
        settles_as_json::<JoinAnswer>(bytes),
        settles_as_json::<PiecesView>(bytes),
        settles_as_json::<NewAccount>(bytes),
        settles_as_json::<NewTarget>(bytes),
        passed_on(bytes),
    ];
    bodies.contains(&true) || asked(bytes) || place(bytes)
}

/// What a peer passes on becomes a request or is refused, and the answer is no longer than what may be passed back.
fn passed_on(bytes: &[u8]) -> bool {
    let taken = settles_as_json::<Passed>(bytes) | settles_as_json::<Answered>(bytes);
    if let Ok(passed) = serde_json::from_slice::<Passed>(bytes) {
        assert!(passed.body.len() <= BODY_LIMIT);
        drop(request(passed));
    }
    taken
}

fn asked(bytes: &[u8]) -> bool {
    let Ok(uri) = format!("/v1/events?{}", String::from_utf8_lossy(bytes)).parse::<Uri>() else { return false };
    let events = Query::<EventsAfter>::try_from_uri(&uri).is_ok();
    let figures = Query::<Figuring>::try_from_uri(&uri).is_ok() | Query::<Recovering>::try_from_uri(&uri).is_ok();
    let load = Query::<Window>::try_from_uri(&uri).is_ok() | Query::<Loaded>::try_from_uri(&uri).is_ok();
    let month = Query::<MonthAsked>::try_from_uri(&uri).is_ok() | Query::<MonthPartAsked>::try_from_uri(&uri).is_ok();
    figures || events || load || month
}

fn place(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| key(std::str::from_utf8(bytes).ok()?).ok();
    settles(bytes, read, |key| Ok::<_, ()>(format!("{}.{}.{}", key.generation, key.log_index, key.part).into_bytes()))
}
