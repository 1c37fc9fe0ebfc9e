//! Names, devices, invitations and rights.

use super::actions::{Asked, Looking, do_it, find_host};
use super::bodies::{Fence, Fences, GivenAccess, Name, NewAccess};
use super::errors::Failure;
use super::extract::{Json, Path};
use super::handle::Api;
use crate::core::action::Request;
use crate::core::ids::{FenceId, Fingerprint, LogIndex};
use crate::core::reason::Refusal;
use crate::core::state::{Access, ClusterState, FenceEntry, Named, Registration, Right, Secret};
use crate::fence::{AgentMetadata, BadAgent, FenceClients, FenceDevice, describe, installed};
use crate::trust::{Authority, Principal, Role, SigningRequest, fingerprint};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use std::path::Path as Folder;
use std::sync::Arc;
use std::time::Duration;

/// A fence agent that does not describe itself by then is of no use.
const DESCRIPTION: Duration = Duration::from_secs(15);
pub(super) fn register(change: Registration) -> Request {
    Request::Register(Box::new(change))
}

/// The cluster's authority, as every voter has it. Its keys are worked on here, not on the node's loop.
pub(super) async fn authority(api: &Api) -> Result<Authority, Failure> {
    let identity = api.state(|state| state.registry.cluster.clone()).await?;
    Authority::restore(&identity.certificate, &identity.key.0)
        .map_err(|error| Failure::internal(format!("the cluster's authority cannot be used: {error}")))
}

/// `GET /v1/datastores`
pub(super) async fn datastores(State(api): State<Api>, _: Looking) -> Result<Json<Value>, Failure> {
    let list = api.view(|viewer, _, _| {
        let known = &viewer.state().registry.datastores;
        known.iter().map(|(id, named)| shown(u32::from(id.0), named)).collect::<Vec<_>>()
    });
    Ok(Json(json!(list.await?)))
}

/// `GET /v1/networks`
pub(super) async fn networks(State(api): State<Api>, _: Looking) -> Result<Json<Value>, Failure> {
    let list = api.view(|viewer, _, _| {
        let known = &viewer.state().registry.networks;
        known.iter().map(|(id, named)| shown(u32::from(id.0), named)).collect::<Vec<_>>()
    });
    Ok(Json(json!(list.await?)))
}

fn shown(number: u32, named: &Named) -> Value {
    json!({ "number": number, "name": named.name, "uuid": uuid::Uuid::from_u128(named.uuid) })
}

/// `POST /v1/datastores`: answers with its number, which is then written onto it.
pub(super) async fn add_datastore(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<Name>,
) -> Result<Json<Value>, Failure> {
    let named = Named { name: sound(&body.name)?, uuid: body.uuid.unwrap_or_else(uuid::Uuid::new_v4).as_u128() };
    let name = named.name.clone();
    api.ask(asked.ticket, register(Registration::Datastore(named)), asked.said).await?;
    let found = api.view(move |viewer, _, _| {
        let mut known = viewer.state().registry.datastores.iter();
        known.find(|(_, named)| named.name == name).map(|(id, named)| shown(u32::from(id.0), named))
    });
    found.await?.map(Json).ok_or_else(|| Failure::internal("the datastore was named and is gone"))
}

/// `POST /v1/networks`
pub(super) async fn add_network(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<Name>,
) -> Result<Json<Value>, Failure> {
    let named = Named { name: sound(&body.name)?, uuid: body.uuid.map_or(0, |uuid| uuid.as_u128()) };
    do_it(&api, asked, register(Registration::Network(named))).await
}

/// `GET /v1/fences`
pub(super) async fn fences(State(api): State<Api>, _: Looking) -> Result<Json<Value>, Failure> {
    let list = api.view(|viewer, _, _| {
        let shown = |entry: &FenceEntry| {
            // A device says of itself where it is and what it is; never with which password it is asked.
            let device = serde_json::from_slice::<crate::fence::FenceDevice>(&entry.settings.0);
            json!({ "name": entry.name, "device": device.map(|device| device.to_string()).unwrap_or_default() })
        };
        viewer.state().registry.fences.values().map(shown).collect::<Vec<_>>()
    });
    Ok(Json(json!(list.await?)))
}

/// `POST /v1/fences`
pub(super) async fn add_fence(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<Fence>,
) -> Result<Json<Value>, Failure> {
    if let FenceDevice::Agent(agent) = &body.device {
        let program = agent.program();
        let metadata = describe(Folder::new(FenceClients::AGENTS), program, DESCRIPTION).await.map_err(bad_agent)?;
        agent.suits(&metadata).map_err(bad_agent)?;
    }
    let settings = serde_json::to_vec(&body.device).map_err(|error| Failure::internal(error.to_string()))?;
    let entry = FenceEntry { name: sound(&body.name)?, settings: Arc::new(Secret(settings)), set_up: LogIndex(0) };
    do_it(&api, asked, register(Registration::Fence(entry))).await
}

fn bad_agent(error: BadAgent) -> Failure {
    Failure::bad(error.to_string())
        .hint("see `holdfast fence agents` for those that are installed, and what each takes")
}

/// `GET /v1/fence-agents`: those on the master's host.
pub(super) async fn fence_agents(_: Looking) -> Result<Json<Vec<String>>, Failure> {
    let found = tokio::task::spawn_blocking(|| installed(Folder::new(FenceClients::AGENTS))).await;
    found.map(Json).map_err(|error| Failure::internal(error.to_string()))
}

/// `GET /v1/fence-agents/{agent}`
pub(super) async fn fence_agent(Path(name): Path<String>, _: Looking) -> Result<Json<AgentMetadata>, Failure> {
    let described = describe(Folder::new(FenceClients::AGENTS), &name, DESCRIPTION).await;
    described.map(Json).map_err(bad_agent)
}

/// `DELETE /v1/fences/{fence}`
pub(super) async fn remove_fence(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let id = api.view(move |viewer, _, _| find_fence(viewer.state(), &name)).await??;
    do_it(&api, asked, register(Registration::RemoveFence(id))).await
}

/// `PUT /v1/hosts/{host}/fences`
pub(super) async fn set_host_fences(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
    Json(body): Json<Fences>,
) -> Result<Json<Value>, Failure> {
    let mut named = std::collections::BTreeSet::new();
    if let Some(twice) = body.levels.iter().flatten().find(|name| !named.insert(name.as_str())) {
        return Err(Failure::bad(format!("the fence device \"{twice}\" is named twice")).hint("name each device once"));
    }
    let found = api.view(move |viewer, _, _| {
        let state = viewer.state();
        let level = |level: &Vec<String>| level.iter().map(|name| find_fence(state, name)).collect();
        let levels = body.levels.iter().map(level).collect::<Result<Vec<Vec<FenceId>>, Failure>>()?;
        Ok::<_, Failure>((find_host(state, &name)?, levels))
    });
    let (host, levels) = found.await??;
    do_it(&api, asked, register(Registration::HostFences(host, levels))).await
}

pub(super) fn find_fence(state: &ClusterState, name: &str) -> Result<FenceId, Failure> {
    let fences = &state.registry.fences;
    let found = fences.iter().find(|(_, entry)| entry.name == name).map(|(id, _)| *id);
    found.ok_or_else(|| {
        let known = fences.values().map(|entry| entry.name.as_str());
        Failure::missing(format!("there is no fence device \"{name}\"")).hint(crate::reader::choice(name, known))
    })
}

/// `DELETE /v1/hosts/{host}`: first its voter is moved elsewhere, if it has one; asked again, it is removed.
pub(super) async fn remove_host(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let found = api.view(move |viewer, _, _| {
        let id = find_host(viewer.state(), &name)?;
        Ok::<_, Failure>((id, viewer.state().voters.values().any(|home| *home == id)))
    });
    let (id, votes) = found.await??;
    if votes {
        match api.ask(asked.ticket, register(Registration::Leave(id, true)), asked.said).await {
            Err(failure) if !failure.is(Refusal::NothingToDo) => return Err(failure),
            _ => {}
        }
        return Ok(Json(json!({ "done": false, "waits_for": "its voter to move to another host" })));
    }
    do_it(&api, asked, register(Registration::RemoveHost(id))).await
}

/// `GET /v1/access`
pub(super) async fn accesses(State(api): State<Api>, _: Looking) -> Result<Json<Value>, Failure> {
    let list = api.view(|viewer, _, _| {
        let shown = |(print, access): (&Fingerprint, &Access)| {
            json!({ "print": print.to_string(), "name": access.name, "right": access.right })
        };
        viewer.state().registry.accesses.iter().map(shown).collect::<Vec<_>>()
    });
    Ok(Json(json!(list.await?)))
}

/// `POST /v1/access`: a certificate for whoever sends a request for one, else a token.
pub(super) async fn grant(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<NewAccess>,
) -> Result<Json<GivenAccess>, Failure> {
    let authority = authority(&api).await?;
    let access = Access { name: person(&body.name)?, right: body.right };
    let name = access.name.clone();
    let taken =
        api.view(move |viewer, _, _| viewer.state().registry.accesses.values().any(|access| access.name == name));
    if taken.await? {
        return Err(Failure::ambiguous(format!("somebody is called \"{}\" already", access.name))
            .hint("give another name, or take the other right back first: `holdfast access list`"));
    }
    let mut given = GivenAccess {
        print: String::new(),
        certificate: None,
        authority: BASE64.encode(authority.certificate()),
        token: None,
    };
    let print = match &body.request {
        Some(request) => {
            let certificate = certificate_for(&authority, request, &access)?;
            given.certificate = Some(BASE64.encode(&certificate));
            fingerprint(&certificate)
        }
        None => {
            let mut secret = [0; 32];
            let filled = SystemRandom::new().fill(&mut secret);
            filled.map_err(|_| Failure::internal("the system gives no random numbers"))?;
            let token = format!("holdfast-api-{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret));
            let print = fingerprint(token.as_bytes());
            given.token = Some(token);
            print
        }
    };
    given.print = print.to_string();
    api.ask(asked.ticket, register(Registration::Grant(print, access)), asked.said).await?;
    Ok(Json(given))
}

fn certificate_for(authority: &Authority, request: &str, access: &Access) -> Result<Vec<u8>, Failure> {
    let der = BASE64.decode(request).map_err(|_| Failure::bad("the request for a certificate is no base64"))?;
    let request = SigningRequest::parse(&der).map_err(|error| Failure::bad(error.to_string()))?;
    let role = match access.right {
        Right::Viewer => Role::Viewer,
        Right::Operator => Role::Operator,
    };
    let person = Principal::new(&access.name, role).map_err(|error| Failure::bad(error.to_string()))?;
    authority.issue_person(&request, &person).map_err(|error| Failure::internal(error.to_string()))
}

/// `DELETE /v1/access/{print}`
pub(super) async fn revoke(
    State(api): State<Api>,
    Path(print): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let found = api.view(move |viewer, _, _| {
        let mut known = viewer.state().registry.accesses.keys();
        known.find(|known| known.to_string() == print).copied()
    });
    let print = found.await?.ok_or_else(|| Failure::missing("nobody has a right with this print"))?;
    do_it(&api, asked, register(Registration::Revoke(print))).await
}

/// The name of somebody who may ask, which stands in the history with all that he does: no such name may look like that
/// of root on a host.
fn person(name: &str) -> Result<String, Failure> {
    match name.contains('@') {
        true => Err(Failure::bad(format!("\"{name}\" is no name for a person: with an @ it is root on a host"))),
        false => sound(name),
    }
}

pub(super) fn sound(name: &str) -> Result<String, Failure> {
    let fits = !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
    if fits { Ok(name.to_owned()) } else { Err(Failure::bad("a name has between one and 64 bytes, all to be seen")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_bears_the_name_of_root() {
        assert!(person("ada").is_ok() && person("ada of the night shift").is_ok());
        for name in ["root@node-1", "@", "", "a\nb"] {
            assert!(person(name).is_err(), "{name:?}");
        }
    }
}
