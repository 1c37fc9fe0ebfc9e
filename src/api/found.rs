//! The VMs that hypervisors have, whether or not the cluster knows of them, and how they come under protection.
//!
//! The log holds protected VMs only. What else there is, each host is asked for when somebody wants to know; what a VM
//! is, its own host says, so that nobody has to write down what the hypervisor knows already.

use super::actions::{Asked, Looking, find_host};
use super::bodies::Adopt;
use super::errors::Failure;
use super::extract::{Json, Path, Query};
use super::forward::ask_node;
use super::handle::Api;
use super::live;
use super::protect::not_anothers;
use crate::core::action::Request;
use crate::core::ids::{Address, HostId, VmId};
use crate::core::state::{Shape, VmDefinition};
use crate::platform::Found;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Where a node answers its master for itself.
pub(super) const HERE: &str = "/v1/here";
/// A hypervisor tells what it has within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the hypervisors have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FoundView {
    /// The VMs.
    pub vms: Vec<FoundVm>,
    /// The hosts that could not be asked.
    pub unheard: Vec<Unheard>,
}

/// A VM that a hypervisor has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundVm {
    /// Its name there.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// The host.
    pub host: String,
    /// Whether it runs there.
    pub runs: bool,
    /// Whether it is protected.
    pub protected: bool,
    /// Its memory.
    pub memory_mib: u64,
    /// CPU in thousandths of a core.
    pub millicores: u64,
    /// Why no other host could run it.
    pub bonds: Vec<String>,
}

/// A host that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// Which.
    pub host: String,
    /// Why not.
    pub why: String,
}

/// A VM that has come under protection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// The host that has it.
    pub host: String,
    /// Whether it ran there when that host was asked.
    #[serde(default)]
    pub runs: bool,
    /// Why no other host could run it.
    pub bonds: Vec<String>,
}

/// Whose VMs somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    host: Option<String>,
}

/// A VM as its host tells the master of it. The whole of it is told of one alone: it may be long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    uuid: Uuid,
    runs: bool,
    shape: Shape,
    /// In the place of the shape's own, which is empty.
    payload: Option<String>,
}

/// `GET /v1/found`
pub(super) async fn found(
    State(api): State<Api>,
    _: Looking,
    Query(place): Query<Where>,
) -> Result<Json<FoundView>, Failure> {
    let (answers, unheard) = ask_hosts(&api, place.host, HERE.to_owned()).await?;
    let known = api.state(|state| state.vms.values().filter(|vm| vm.protected).map(|vm| vm.definition.uuid).collect());
    let known: Vec<u128> = known.await?;
    let view = |(host, told): (Asking, Told)| FoundVm {
        name: told.shape.name,
        uuid: told.uuid,
        host: host.name,
        runs: told.runs,
        protected: known.contains(&told.uuid.as_u128()),
        memory_mib: told.shape.memory_mib,
        millicores: told.shape.millicores,
        bonds: told.shape.bonds,
    };
    let mut vms: Vec<FoundVm> = answers.into_iter().map(view).collect();
    vms.sort_by(|left, right| (&left.name, &left.host).cmp(&(&right.name, &right.host)));
    Ok(Json(FoundView { vms, unheard }))
}

/// `POST /v1/found/{vm}`
pub(super) async fn adopt(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
    Json(adopt): Json<Adopt>,
) -> Result<Json<Adopted>, Failure> {
    let (answers, unheard) = ask_hosts(&api, adopt.host, HERE.to_owned()).await?;
    let (host, uuid) = choose(&name, &answers, &unheard)?;
    let whole = ask(&api, &host, format!("{HERE}/{uuid}")).await?;
    let told = whole.into_iter().next().ok_or_else(|| Failure::missing(format!("{} has lost {name}", host.name)))?;
    let (runs, id) = (told.runs, host.id);
    let definition = told.definition(adopt.response, adopt.priority)?;
    let (name, bonds) = (definition.name.clone(), definition.bonds.clone());
    let adopted = Adopted { name, uuid, host: host.name, runs, bonds };
    let definition = VmDefinition { home: Some(id), ..definition };
    let (name, own) = (definition.name.clone(), definition.uuid);
    api.view(move |viewer, _, _| not_anothers(viewer.state(), &name, own)).await??;
    api.ask(asked.ticket, Request::Protect(Box::new(definition)), asked.said).await?;
    Ok(Json(adopted))
}

/// The one VM that is meant: the one that runs, if several hosts have a definition of it.
fn choose(name: &str, answers: &[(Asking, Told)], unheard: &[Unheard]) -> Result<(Asking, Uuid), Failure> {
    let uuid: Option<Uuid> = name.parse().ok();
    let is_meant = |told: &Told| told.shape.name == name || Some(told.uuid) == uuid;
    let mut meant: Vec<&(Asking, Told)> = answers.iter().filter(|(_, told)| is_meant(told)).collect();
    let one = meant.first().map(|(_, told)| told.uuid);
    if meant.iter().all(|(_, told)| Some(told.uuid) == one) && meant.iter().any(|(_, told)| told.runs) {
        meant.retain(|(_, told)| told.runs);
    }
    match meant.as_slice() {
        [(host, told)] => Ok((host.clone(), told.uuid)),
        [] => {
            let failure = Failure::missing(format!("no hypervisor has a VM \"{name}\""));
            let names: Vec<&str> = unheard.iter().map(|unheard| unheard.host.as_str()).collect();
            Err(match names.as_slice() {
                [] => failure.hint("see `holdfast vm found`"),
                silent => failure.hint(format!("could not be asked: {}", silent.join(", "))),
            })
        }
        several => {
            let hosts: Vec<&str> = several.iter().map(|(host, _)| host.name.as_str()).collect();
            Err(Failure::ambiguous(format!("more than one host has \"{name}\": {}", hosts.join(", ")))
                .hint("say whose is meant with --host, or name it by its UUID"))
        }
    }
}

/// A host that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asking {
    pub(super) id: HostId,
    pub(super) address: Address,
    pub(super) name: String,
}

/// Asks one host, or all that may have VMs, at the same time.
async fn ask_hosts(
    api: &Api,
    only: Option<String>,
    path: String,
) -> Result<(Vec<(Asking, Told)>, Vec<Unheard>), Failure> {
    let hosts = api.state(move |state| {
        let only = only.map(|name| find_host(state, &name)).transpose()?;
        let is_asked = |id: HostId| only.is_none_or(|only| only == id);
        let hosts = state.hosts.iter().filter(|(id, host)| is_asked(**id) && !host.is_witness());
        Ok(hosts.map(|(id, host)| Asking { id: *id, address: host.address, name: host.name.clone() }).collect())
    });
    let hosts: Vec<Asking> = hosts.await??;
    let mut asked = JoinSet::new();
    for host in hosts {
        let (api, path) = (api.clone(), path.clone());
        asked.spawn(async move {
            let answer = ask(&api, &host, path).await;
            (host, answer)
        });
    }
    let (mut answers, mut unheard) = (Vec::new(), Vec::new());
    for (host, answer) in asked.join_all().await {
        match answer {
            Ok(told) => answers.extend(told.into_iter().map(|told| (host.clone(), told))),
            Err(failure) => unheard.push(Unheard { host: host.name, why: failure.to_string() }),
        }
    }
    unheard.sort_by(|left, right| left.host.cmp(&right.host));
    Ok((answers, unheard))
}

async fn ask(api: &Api, host: &Asking, path: String) -> Result<Vec<Told>, Failure> {
    if host.address == api.me {
        return tell(api, &path).await;
    }
    let body = ask_node(api, host.address, path, PATIENCE + Duration::from_secs(5)).await?;
    serde_json::from_slice(&body).map_err(|error| Failure::internal(format!("{}: {error}", host.name)))
}

/// Answers the master what this host's hypervisor has.
pub(super) async fn here(api: &Api, from: Address, path: &str) -> Response {
    // Definitions may hold what is nobody's business: only the master is told.
    if api.handle.glance.borrow().master != Some(from) {
        return Failure::bad("only the master is told what a hypervisor has").into_response();
    }
    if path.starts_with(live::LIVE_HERE) {
        return live::tell(api, path).await.map(Json).into_response();
    }
    tell(api, path).await.map(Json).into_response()
}

async fn tell(api: &Api, path: &str) -> Result<Vec<Told>, Failure> {
    let one: Option<Uuid> = path.strip_prefix(HERE).and_then(|rest| rest.strip_prefix('/')?.parse().ok());
    let Some(survey) = api.survey.clone() else { return Ok(Vec::new()) };
    let found = tokio::task::spawn_blocking(move || survey.found());
    let found = tokio::time::timeout(PATIENCE, found).await;
    let found = match found {
        Ok(Ok(Ok(found))) => found,
        Ok(Ok(Err(why))) => return Err(Failure::unanswered(format!("the hypervisor cannot be looked at: {why}"))),
        Ok(Err(_)) => return Err(Failure::internal("the look at the hypervisor was broken off")),
        Err(_) => return Err(Failure::unanswered("the hypervisor does not answer")),
    };
    let found = found.into_iter().filter(|found| one.is_none_or(|uuid| uuid.as_u128() == found.uuid));
    Ok(found.map(|found| Told::of(found, one.is_some())).collect())
}

impl Told {
    fn of(found: Found, whole: bool) -> Told {
        let payload = whole.then(|| STANDARD.encode(&found.shape.payload));
        let shape = Shape { payload: Arc::default(), ..found.shape };
        Told { uuid: Uuid::from_u128(found.uuid), runs: found.runs, shape, payload }
    }

    fn definition(self, response: crate::core::state::Response, priority: u8) -> Result<VmDefinition, Failure> {
        let payload = STANDARD.decode(self.payload.unwrap_or_default());
        let payload = payload.map_err(|error| Failure::internal(format!("the definition of the VM: {error}")))?;
        let Shape { name, memory_mib, millicores, datastores, needs, bonds, is_transient, .. } = self.shape;
        Ok(VmDefinition {
            // The log gives the number.
            id: VmId(0),
            name,
            uuid: self.uuid.as_u128(),
            memory_mib,
            millicores,
            datastores,
            networks: Default::default(),
            response,
            priority,
            home: None,
            locked: false,
            needs,
            bonds,
            is_transient,
            payload: payload.into(),
        })
    }
}
