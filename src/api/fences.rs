//! Asking fence devices now, from every host that could have to order them: what works from one may not from another.

use super::actions::{Asked, Looking, do_it, find_host};
use super::bodies::Off;
use super::errors::Failure;
use super::extract::{Json, Path};
use super::forward::fetch;
use super::handle::Api;
use super::registry::find_fence;
use crate::clock::boottime;
use crate::core::action::Request;
use crate::core::ids::{Address, FenceId};
use crate::core::message::{FenceOp, FenceResult};
use crate::core::reason::HostState;
use crate::core::state::ClusterState;
use crate::fence::{FenceClients, FenceDevice};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// A device that takes longer than this for one answer is of little use.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a fence device says now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceTest {
    /// Its name.
    pub name: String,
    /// What it is.
    pub device: String,
    /// The hosts that it fences.
    pub fences: Vec<String>,
    /// Whether all is as it should be.
    pub good: bool,
    /// What each voter that lives was told by it: only voters have its password.
    pub readings: Vec<FenceReading>,
}

/// What a fence device told one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceReading {
    /// Which host asked.
    pub by: String,
    /// Whether it answered what it can answer.
    pub reached: bool,
    /// Which machine it controls, if it can say so: a fence agent cannot.
    pub machine: Option<Uuid>,
    /// Whether that is the host that it is to fence; `None` if it cannot say.
    pub right_machine: Option<bool>,
    /// `on` or `off`.
    pub power: Option<String>,
    /// How long it took for all of this.
    pub took_milliseconds: u64,
    /// What went wrong.
    pub problem: Option<String>,
}

/// A device as the log has it.
struct Known {
    name: String,
    device: Result<FenceDevice, String>,
    fences: Vec<(String, u128)>,
    voters: Vec<(String, Address)>,
}

/// `GET /v1/fences/{fence}/test`
pub(super) async fn test(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Looking,
) -> Result<Json<FenceTest>, Failure> {
    let known = find(&api, name).await?;
    let mut asked = JoinSet::new();
    for (host, address) in &known.voters {
        let (api, host, address, name) = (api.clone(), host.clone(), *address, known.name.clone());
        asked.spawn(async move { reading(&api, host, address, &name).await });
    }
    let mut readings = asked.join_all().await;
    readings.sort_by(|left, right| left.by.cmp(&right.by));
    let good = !readings.is_empty() && readings.iter().all(|one| one.reached && one.right_machine != Some(false));
    let device = known.device.map_or_else(|error| error, |device| device.to_string());
    let fences = known.fences.into_iter().map(|(name, _)| name).collect();
    Ok(Json(FenceTest { name: known.name, device, fences, good, readings }))
}

/// What the device tells this voter, here or over the cluster's links.
async fn reading(api: &Api, host: String, address: Address, name: &str) -> FenceReading {
    let path = format!("/v1/fences/{}/probe", crate::client::segment(name));
    let told = if address == api.me {
        match find(api, name.to_owned()).await {
            Ok(known) => Ok(probe_it(&api.host, &known).await),
            Err(_) => Err("it does not know the device any more".to_owned()),
        }
    } else {
        fetch(api, address, &path).await
    };
    told.unwrap_or_else(|error| FenceReading {
        by: host,
        reached: false,
        machine: None,
        right_machine: None,
        power: None,
        took_milliseconds: 0,
        problem: Some(format!("this host did not answer: {error}")),
    })
}

/// `GET /v1/fences/{fence}/probe`: what the device tells the very host that is asked.
pub(super) async fn probe(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Looking,
) -> Result<Json<FenceReading>, Failure> {
    let known = find(&api, name).await?;
    Ok(Json(probe_it(&api.host, &known).await))
}

async fn probe_it(by: &str, known: &Known) -> FenceReading {
    let mut reading = FenceReading {
        by: by.to_owned(),
        reached: false,
        machine: None,
        right_machine: None,
        power: None,
        took_milliseconds: 0,
        problem: None,
    };
    let device = match &known.device {
        Ok(device) => device,
        Err(error) => {
            reading.problem = Some(format!("its settings cannot be read: {error}"));
            return reading;
        }
    };
    let clients = FenceClients::new();
    let began = boottime();
    let power = clients.perform(device, FenceOp::Power, PATIENCE).await;
    match power.result {
        FenceResult::On => reading.power = Some("on".to_owned()),
        FenceResult::Off => reading.power = Some("off".to_owned()),
        _ => reading.problem = power.detail,
    }
    reading.reached = reading.power.is_some();
    if let (FenceDevice::Redfish(_), true) = (device, reading.reached) {
        let identity = clients.perform(device, FenceOp::Identity, PATIENCE).await;
        match identity.result {
            FenceResult::Identity(uuid) => {
                reading.machine = Some(Uuid::from_u128(uuid));
                reading.right_machine = Some(known.fences.iter().all(|(_, host)| *host == uuid));
            }
            _ => {
                reading.reached = false;
                reading.problem = identity.detail;
            }
        }
    }
    reading.took_milliseconds = u64::try_from(boottime().since(began).as_millis()).unwrap_or(u64::MAX);
    reading
}

async fn find(api: &Api, name: String) -> Result<Known, Failure> {
    api.view(move |viewer, node, _| {
        let state = viewer.state();
        let id = find_fence(state, &name)?;
        let lives = |host| node.host_state(host).is_none_or(|state| state == HostState::Alive);
        let voters = state.voters.values().filter(|home| lives(**home));
        let voters = voters.filter_map(|home| state.hosts.get(home)).map(|host| (host.name.clone(), host.address));
        let entry = state.registry.fences.get(&id).ok_or_else(|| Failure::missing("the device is gone"))?;
        Ok(Known {
            name,
            device: serde_json::from_slice(&entry.settings.0).map_err(|error| error.to_string()),
            fences: fenced_by(state, id),
            voters: voters.collect(),
        })
    })
    .await?
}

/// The hosts that a device fences, with their machines' UUIDs.
fn fenced_by(state: &ClusterState, id: FenceId) -> Vec<(String, u128)> {
    let hosts = state.hosts.values().filter(|host| host.fences.iter().flatten().any(|device| *device == id));
    hosts.map(|host| (host.name.clone(), host.uuid)).collect()
}

/// `POST /v1/hosts/{host}/off`
pub(super) async fn switch_off(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
    Json(off): Json<Off>,
) -> Result<Json<Value>, Failure> {
    let host = api.view(move |viewer, _, _| find_host(viewer.state(), &name)).await??;
    do_it(&api, asked, Request::SwitchOff { host, force: off.force }).await
}
