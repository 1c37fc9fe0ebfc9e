//! What people ask the cluster to do with hosts and VMs.

use super::bodies::{Disarm, Move, Part, Plan, Recover, Stop};
use super::errors::Failure;
use super::extract::{Json, Path, Query};
use super::forward::{REASON, REQUEST_ID};
use super::handle::Api;
use super::live::movable;
use super::views::{ClusterView, ForecastView, HostView, VmView};
use crate::core::action::Request;
use crate::core::command::{Said, Want};
use crate::core::ids::{HostId, Ticket, VmId, VoterId};
use crate::core::reason::Refusal;
use crate::core::state::{ClusterState, Policy, Registration};
use crate::node::Node;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// Whoever disarms a cluster for longer has to come back to it.
pub const LONGEST_DISARM: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Somebody who may act, with the name of the request and its reason.
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) said: Said,
}

impl Asked {
    /// What follows from the same request: asked again, it bears the same name again.
    pub(super) fn another(&self) -> Asked {
        Asked { ticket: Ticket(self.ticket.0 ^ ANOTHER), said: self.said.clone() }
    }
}

impl FromRequestParts<Api> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Asked, Failure> {
        let person = api.person(parts).await?;
        person.may_act()?;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let ticket = match header(REQUEST_ID) {
            Some(text) => ticket(text)?,
            None => random_ticket()?,
        };
        let why = parts.headers.get(REASON).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let why = why.unwrap_or_default().chars().take(512).collect();
        Ok(Asked { ticket, said: Said { who: person.name, why } })
    }
}

/// Somebody who may look.
pub(super) struct Looking;

impl FromRequestParts<Api> for Looking {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Looking, Failure> {
        api.person(parts).await.map(|_| Looking)
    }
}

/// Tells the second part of a request from its first.
const ANOTHER: u64 = 1 << 61;
/// The two highest bits of a ticket belong to the masters' own.
const TICKETS: u64 = (1 << 62) - 1;

fn ticket(text: &str) -> Result<Ticket, Failure> {
    match text.parse::<u64>() {
        Ok(number) if number <= TICKETS => Ok(Ticket(number)),
        _ => Err(Failure::bad(format!("\"{text}\" is no request id")).hint("any number below 2^62, a random one")),
    }
}

fn random_ticket() -> Result<Ticket, Failure> {
    let mut bytes = [0; 8];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::internal("the system gives no random numbers"))?;
    Ok(Ticket(u64::from_be_bytes(bytes) & TICKETS))
}

/// `GET /v1/status`
pub(super) async fn status(State(api): State<Api>, _: Looking) -> Result<Json<ClusterView>, Failure> {
    Ok(Json(api.view(|viewer, _, _| viewer.cluster()).await?))
}

/// `GET /v1/hosts`
pub(super) async fn hosts(
    State(api): State<Api>,
    _: Looking,
    Query(part): Query<Part>,
) -> Result<Json<Vec<HostView>>, Failure> {
    api.list(part, find_host, |viewer, after, limit| viewer.hosts_after(after, limit)).await.map(Json)
}

/// `GET /v1/hosts/{host}`
pub(super) async fn host(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Looking,
) -> Result<Json<HostView>, Failure> {
    let view = api.view(move |viewer, _, _| {
        let id = find_host(viewer.state(), &name)?;
        let host = viewer.state().hosts.get(&id).ok_or_else(|| Failure::missing("the host is gone"))?;
        Ok(viewer.host(id, host))
    });
    view.await?.map(Json)
}

/// `GET /v1/vms`
pub(super) async fn vms(
    State(api): State<Api>,
    _: Looking,
    Query(part): Query<Part>,
) -> Result<Json<Vec<VmView>>, Failure> {
    api.list(part, find_vm, |viewer, after, limit| viewer.vms_after(after, limit)).await.map(Json)
}

/// `GET /v1/vms/{vm}`
pub(super) async fn vm(State(api): State<Api>, Path(name): Path<String>, _: Looking) -> Result<Json<VmView>, Failure> {
    let view = api.view(move |viewer, _, _| {
        let id = find_vm(viewer.state(), &name)?;
        let vm = viewer.state().vms.get(&id).ok_or_else(|| Failure::missing("the VM is gone"))?;
        Ok(viewer.vm(id, vm))
    });
    view.await?.map(Json)
}

/// `GET /v1/policy`
pub(super) async fn policy(State(api): State<Api>, _: Looking) -> Result<Json<Policy>, Failure> {
    Ok(Json(api.view(|viewer, _, _| viewer.policy()).await?))
}

/// `PUT /v1/policy`
pub(super) async fn set_policy(
    State(api): State<Api>,
    asked: Asked,
    Json(policy): Json<Policy>,
) -> Result<Json<Value>, Failure> {
    if let Err((what, hint)) = sound_policy(&policy) {
        return Err(Failure::bad(what).hint(hint));
    }
    do_it(&api, asked, Request::SetPolicy(Box::new(policy))).await
}

/// Whether rules can be followed; if not, what is wrong, and what would be right.
pub fn sound_policy(policy: &Policy) -> Result<(), (&'static str, &'static str)> {
    let counts = policy.parallel_starts > 0 && policy.max_attempts > 0;
    match policy.voters {
        1 | 3 | 5 | 7 if counts && (1..=100).contains(&policy.brake_percent) => Ok(()),
        _ => Err((
            "these rules cannot be followed",
            "brake_percent is 1 to 100, parallel_starts and max_attempts at least 1, voters 1, 3, 5 or 7",
        )),
    }
}

/// `POST /v1/plan`
pub(super) async fn plan(
    State(api): State<Api>,
    _: Looking,
    Json(plan): Json<Plan>,
) -> Result<Json<Vec<ForecastView>>, Failure> {
    let forecast = api.view(move |viewer, node: &Node, now| {
        let failing: Result<BTreeSet<HostId>, Failure> =
            plan.fail.iter().map(|name| find_host(viewer.state(), name)).collect();
        let forecast = node.forecast(now, &failing?).ok_or_else(Failure::no_master)?;
        Ok(forecast.iter().map(|forecast| viewer.forecast(forecast)).collect())
    });
    forecast.await?.map(Json)
}

/// `POST /v1/vms/{vm}/start`
pub(super) async fn start(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    intend(&api, name, Want::Running, asked).await
}

/// `POST /v1/vms/{vm}/stop`
pub(super) async fn stop(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
    Json(stop): Json<Stop>,
) -> Result<Json<Value>, Failure> {
    intend(&api, name, if stop.force { Want::Killed } else { Want::Stopped }, asked).await
}

async fn intend(api: &Api, name: String, want: Want, asked: Asked) -> Result<Json<Value>, Failure> {
    let vm = api.view(move |viewer, _, _| find_vm(viewer.state(), &name)).await??;
    do_it(api, asked, Request::Intend { vm, want }).await
}

/// `POST /v1/vms/{vm}/move`
pub(super) async fn move_vm(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
    Json(target): Json<Move>,
) -> Result<Json<Value>, Failure> {
    let named = name.clone();
    let found =
        api.view(move |viewer, _, _| Ok((find_vm(viewer.state(), &named)?, find_host(viewer.state(), &target.to)?)));
    let (vm, to) = found.await??;
    movable(&api, name).await?;
    do_it(&api, asked, Request::Move { vm, to }).await
}

/// `POST /v1/vms/{vm}/unprotect`
pub(super) async fn unprotect(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let vm = api.view(move |viewer, _, _| find_vm(viewer.state(), &name)).await??;
    do_it(&api, asked, Request::Unprotect(vm)).await
}

/// `DELETE /v1/vms/{vm}`
pub(super) async fn remove(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let vm = api.view(move |viewer, _, _| find_vm(viewer.state(), &name)).await??;
    do_it(&api, asked, Request::Remove(vm)).await
}

/// `POST /v1/hosts/{host}/{deed}`
pub(super) async fn on_host(
    State(api): State<Api>,
    Path((name, deed)): Path<(String, String)>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let host = api.view(move |viewer, _, _| find_host(viewer.state(), &name)).await??;
    let request = match deed.as_str() {
        "confirm-dead" => Request::ConfirmDead(host),
        "drill" => Request::Drill(host),
        "on" => Request::SwitchOn(host),
        "resolve" => Request::ResolveConflict(host),
        "end-quarantine" => Request::EndQuarantine(host),
        "keep" => Request::Register(Box::new(Registration::Leave(host, false))),
        _ => return Err(Failure::missing(format!("nothing called \"{deed}\" can be done with a host"))),
    };
    do_it(&api, asked, request).await
}

/// `POST /v1/arm`
pub(super) async fn arm(State(api): State<Api>, asked: Asked) -> Result<Json<Value>, Failure> {
    do_it(&api, asked, Request::Arm).await
}

/// `POST /v1/disarm`
pub(super) async fn disarm(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<Disarm>,
) -> Result<Json<Value>, Failure> {
    let length = body.for_seconds.map(Duration::from_secs);
    if length.is_some_and(|length| length.is_zero() || length > LONGEST_DISARM) {
        return Err(Failure::bad("a cluster is disarmed for between one second and thirty days, or until it is armed"));
    }
    let then = asked.another();
    match api.ask(asked.ticket, Request::Disarm, asked.said).await {
        // For how long may change while it only observes.
        Err(failure) if !failure.is(Refusal::NothingToDo) => return Err(failure),
        _ => {}
    }
    do_it(&api, then, Request::RearmAfter(length)).await
}

/// `POST /v1/recover`: the one thing that is asked of a voter that is no master.
pub(super) async fn recover(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<Recover>,
) -> Result<Json<Value>, Failure> {
    let dead = api.view(move |viewer, _, _| {
        let find = |name: &String| find_voter(viewer.state(), name);
        body.dead.iter().map(find).collect::<Result<Vec<VoterId>, Failure>>()
    });
    let dead = dead.await??;
    do_it(&api, asked, Request::Recover { dead }).await.map_err(of_recovery)
}

/// What the same refusals mean where voters are given up.
fn of_recovery(failure: Failure) -> Failure {
    let (text, hint) = match () {
        () if failure.is(Refusal::NothingToDo) => {
            ("fewer than half of the voters were named, or there is a majority", "name all that are dead for good")
        }
        () if failure.is(Refusal::NoSuchThing) => {
            ("one that was named does not vote, or is the one that is asked", "see who votes with `holdfast status`")
        }
        () if failure.is(Refusal::Busy) => (
            "a voter that was not named is not heard, or is the one that must do it",
            "name all that are dead for good; if all are named, ask on each of the others",
        ),
        () => return failure,
    };
    failure.reworded(text).hint(hint)
}

fn find_voter(state: &ClusterState, name: &str) -> Result<VoterId, Failure> {
    let host = find_host(state, name)?;
    let voter = state.voters.iter().find(|(_, home)| **home == host).map(|(voter, _)| *voter);
    voter.ok_or_else(|| Failure::bad(format!("no voter lives on {name}")))
}

pub(super) async fn do_it(api: &Api, asked: Asked, request: Request) -> Result<Json<Value>, Failure> {
    api.ask(asked.ticket, request, asked.said).await?;
    Ok(Json(json!({ "done": true })))
}

/// The host that somebody names, by name or UUID.
pub(super) fn find_host(state: &ClusterState, name: &str) -> Result<HostId, Failure> {
    let known = state.hosts.iter().map(|(id, host)| (*id, host.name.as_str(), host.uuid));
    one("host", name, &known.collect::<Vec<_>>())
}

/// The VM that somebody names, by name or UUID.
pub(super) fn find_vm(state: &ClusterState, name: &str) -> Result<VmId, Failure> {
    let known = state.vms.iter().map(|(id, vm)| (*id, vm.definition.name.as_str(), vm.definition.uuid));
    one("VM", name, &known.collect::<Vec<_>>())
}

/// A UUID counts for more than a name: whoever is called like another's UUID does not hide it.
fn one<Id: Copy>(what: &str, name: &str, known: &[(Id, &str, u128)]) -> Result<Id, Failure> {
    let uuid = name.parse::<Uuid>().ok().map(|uuid| uuid.as_u128());
    if let Some((id, ..)) = known.iter().find(|(.., known)| Some(*known) == uuid) {
        return Ok(*id);
    }
    let found: Vec<Id> = known.iter().filter(|(_, known, _)| *known == name).map(|(id, ..)| *id).collect();
    match found.as_slice() {
        [only] => Ok(*only),
        [] => {
            let failure = Failure::missing(format!("there is no {what} \"{name}\""));
            Err(match crate::words::nearest(name, known.iter().map(|(_, known, _)| *known)) {
                Some(meant) => failure.hint(format!("did you mean \"{meant}\"?")),
                None => failure,
            })
        }
        several => {
            Err(Failure::ambiguous(format!("{} {what}s are called \"{name}\"", several.len())).hint("name its UUID"))
        }
    }
}
