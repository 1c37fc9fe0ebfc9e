//! What hosts and VMs use just now, and what guests say. The master asks the host for two readings, and subtracts.
//!
//! A host that is not heard is not asked, and one that does not answer costs its time-out and nothing else.

use super::actions::{Looking, find_host, find_vm};
use super::errors::Failure;
use super::extract::{Json, Path};
use super::forward::ask_node;
use super::found::Asking;
use super::handle::Api;
use super::viewer::Viewer;
use crate::clock::boottime;
use crate::core::ids::HostId;
use crate::core::reason::HostState;
use crate::core::state::Role;
use crate::core::time::Instant;
use crate::node::Node;
use crate::platform::{Checkup, Guest, GuestAgent, Live, MoveProgress, Moving, Reading, VmUse};
use axum::extract::State;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Where a node tells its master what it uses; behind a slash, what a guest says.
pub(super) const LIVE_HERE: &str = "/v1/here/live";
/// Where it tells how its hypervisor is set up.
const CHECKUP_HERE: &str = "/v1/here/live/checkup";
/// A host tells within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far a move is, it tells within this, or the question comes again.
const BRIEFLY: Duration = Duration::from_secs(1);
/// What the way there and back may take besides.
const WAY: Duration = Duration::from_secs(1);
/// Between the two readings. The kernel counts in hundredths of a second.
const APART: Duration = Duration::from_millis(500);

/// What a host uses just now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostLive {
    /// Which.
    pub host: String,
    /// Its processors.
    pub cores: u32,
    /// How many of them are busy, in thousandths of one.
    pub busy_millicores: u64,
    /// Its memory.
    pub memory_mib: u64,
    /// How much of that is in use.
    pub used_mib: u64,
    /// The VMs that have a process there.
    pub vms: Vec<VmLoad>,
    /// Why its hypervisor's daemon said nothing, if so.
    pub silent: Option<String>,
}

/// What a VM uses just now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmLoad {
    /// Which.
    pub uuid: Uuid,
    /// The processor time that it takes, in thousandths of a core; nothing: it has only just come up.
    pub busy_millicores: Option<u64>,
    /// What its process has in its host's memory.
    pub resident_mib: u64,
    /// Its virtual processors, if they are known.
    pub vcpus: Option<u32>,
    /// The memory that its guest has now, if that is known.
    pub memory_mib: Option<u64>,
}

/// How the live migration of a VM fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveView {
    /// The host that it leaves.
    pub from: String,
    /// How many hundredths of its memory are sent, if that is known.
    pub percent: Option<u8>,
    /// What is still to be sent, if that is known.
    pub remaining_mib: Option<u64>,
    /// Why the last one came to nothing, if it did.
    pub failed: Option<String>,
}

/// What a VM uses just now, and what its guest says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmLive {
    /// The host.
    pub host: String,
    /// What it uses; nothing: its host has seen no process of it.
    pub load: Option<VmLoad>,
    /// The agent in its guest; nothing: nobody could be asked.
    pub agent: Option<GuestAgent>,
    /// Its guest's operating system, if that is known.
    pub system: Option<String>,
    /// Why nobody could be asked, if so.
    pub silent: Option<String>,
}

/// `GET /v1/hosts/{host}/live`
pub(super) async fn host(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Looking,
) -> Result<Json<HostLive>, Failure> {
    let host = api.view(move |viewer, node, _| asked(viewer, node, find_host(viewer.state(), &name)?)).await??;
    let (first, second) = readings(&api, &host).await?;
    let memory = second.host.memory_kib;
    Ok(Json(HostLive {
        host: host.name,
        cores: second.host.cores,
        busy_millicores: second.host_busy(&first).unwrap_or(0),
        memory_mib: memory / 1_024,
        used_mib: memory.saturating_sub(second.host.available_kib) / 1_024,
        vms: second.vms.iter().map(|vm| load(vm, &first, &second)).collect(),
        silent: second.silent,
    }))
}

/// `GET /v1/hosts/{host}/checkup`: apart from what is asked often, as it has libvirt do something.
pub(super) async fn checkup_of(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Looking,
) -> Result<Json<Checkup>, Failure> {
    let host = api.view(move |viewer, node, _| asked(viewer, node, find_host(viewer.state(), &name)?)).await??;
    checkup(&api, &host).await.map(Json)
}

/// `GET /v1/vms/{vm}/live`
pub(super) async fn vm(State(api): State<Api>, Path(name): Path<String>, _: Looking) -> Result<Json<VmLive>, Failure> {
    let (host, uuid) = holder(&api, name, [Role::Running, Role::Outgoing]).await?;
    let (readings, guest) =
        tokio::join!(readings(&api, &host), ask::<Guest>(&api, &host, format!("{LIVE_HERE}/{uuid}"), PATIENCE));
    let (first, second) = readings?;
    let load = second.vms.iter().find(|vm| vm.uuid == uuid).map(|vm| load(vm, &first, &second));
    let (guest, silent) = match guest {
        Ok(guest) => (Some(guest), None),
        Err(failure) => (None, Some(failure.to_string())),
    };
    let agent = guest.as_ref().map(|guest| guest.agent);
    Ok(Json(VmLive { host: host.name, load, agent, system: guest.and_then(|guest| guest.system), silent }))
}

/// `GET /v1/vms/{vm}/move`
pub(super) async fn moving(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Looking,
) -> Result<Json<MoveView>, Failure> {
    let (host, uuid) = holder(&api, name, [Role::Outgoing, Role::Running]).await?;
    let moving: Moving = ask(&api, &host, format!("{LIVE_HERE}/{uuid}/move"), BRIEFLY).await?;
    // Before it has counted the memory, nothing is known.
    let progress = moving.progress.filter(|progress| progress.total_bytes > 0);
    let sent = |progress: MoveProgress| {
        let part = u128::from(progress.remaining_bytes) * 100 / u128::from(progress.total_bytes.max(1));
        // It is all sent once it runs at the other end, and not before.
        u8::try_from(100_u128.saturating_sub(part.max(1))).unwrap_or(0)
    };
    Ok(Json(MoveView {
        from: host.name,
        percent: progress.map(sent),
        remaining_mib: progress.map(|progress| progress.remaining_bytes >> 20),
        failed: moving.failed,
    }))
}

/// Refuses a move that cannot come to anything, before it is begun. Where nobody can say so, it is tried.
pub(super) async fn movable(api: &Api, name: String) -> Result<(), Failure> {
    let Ok((host, uuid)) = holder(api, name, [Role::Running, Role::Outgoing]).await else { return Ok(()) };
    let reasons: Result<Vec<String>, Failure> =
        ask(api, &host, format!("{LIVE_HERE}/{uuid}/immovable"), PATIENCE).await;
    match reasons {
        Ok(reasons) if !reasons.is_empty() => {
            Err(Failure::immovable(format!("it cannot be moved alive: {}", reasons.join("; "))))
        }
        Ok(_) => Ok(()),
        Err(failure) => {
            tracing::info!("{} does not say whether {uuid} can be moved alive, so it is tried: {failure}", host.name);
            Ok(())
        }
    }
}

/// The host that has a VM in the first of these roles, if there is sense in asking it; and the VM's UUID.
async fn holder(api: &Api, name: String, roles: [Role; 2]) -> Result<(Asking, Uuid), Failure> {
    let found = api.view(move |viewer, node, _| {
        let id = find_vm(viewer.state(), &name)?;
        let vm = viewer.state().vms.get(&id).ok_or_else(|| Failure::missing("the VM is gone"))?;
        let of = |role: &Role| vm.holders.iter().find(|(_, holder)| holder.role == *role).map(|(host, _)| *host);
        let host = roles.iter().find_map(of).ok_or_else(|| Failure::bad("it is not known to run on any host"))?;
        Ok((asked(viewer, node, host)?, Uuid::from_u128(vm.definition.uuid)))
    });
    found.await?
}

/// How a host's hypervisor is set up.
pub(super) async fn checkup(api: &Api, host: &Asking) -> Result<Checkup, Failure> {
    ask(api, host, CHECKUP_HERE.to_owned(), PATIENCE).await
}

/// The host, if there is sense in asking it.
fn asked(viewer: &Viewer<'_>, node: &Node, id: HostId) -> Result<Asking, Failure> {
    let host = viewer.state().hosts.get(&id).ok_or_else(|| Failure::missing("the host is gone"))?;
    match node.host_state(id) {
        None | Some(HostState::Alive) => Ok(Asking { id, address: host.address, name: host.name.clone() }),
        Some(state) => Err(Failure::unanswered(format!("{} is {}", host.name, state.name()))),
    }
}

async fn readings(api: &Api, host: &Asking) -> Result<(Reading, Reading), Failure> {
    let first = ask(api, host, LIVE_HERE.to_owned(), PATIENCE).await?;
    tokio::time::sleep(APART).await;
    Ok((first, ask(api, host, LIVE_HERE.to_owned(), PATIENCE).await?))
}

fn load(vm: &VmUse, first: &Reading, second: &Reading) -> VmLoad {
    VmLoad {
        uuid: vm.uuid,
        busy_millicores: second.vm_busy(vm, first),
        resident_mib: vm.resident_kib / 1_024,
        vcpus: vm.vcpus,
        memory_mib: vm.memory_kib.map(|kib| kib / 1_024),
    }
}

/// Asks a host, which may be this one, and waits no longer than so long for what it tells.
pub(super) async fn ask<T: DeserializeOwned>(
    api: &Api,
    host: &Asking,
    path: String,
    patience: Duration,
) -> Result<T, Failure> {
    let nonsense = |error: serde_json::Error| Failure::internal(format!("{}: {error}", host.name));
    if host.address == api.me {
        return serde_json::from_value(tell(api, &path).await?).map_err(nonsense);
    }
    let body = ask_node(api, host.address, path, patience + WAY).await?;
    serde_json::from_slice(&body).map_err(nonsense)
}

/// What this host tells its master.
pub(super) async fn tell(api: &Api, path: &str) -> Result<Value, Failure> {
    let deadline = |patience| boottime() + patience;
    let one = path.strip_prefix(LIVE_HERE).unwrap_or_default();
    if path == CHECKUP_HERE {
        let deadline = deadline(PATIENCE);
        return blocking(&api.live, deadline, move |live| Ok(live.checkup(deadline))).await;
    }
    let Some(one) = one.strip_prefix('/') else {
        let deadline = deadline(PATIENCE);
        return blocking(&api.live, deadline, move |live| live.reading(deadline)).await;
    };
    let (uuid, what) = one.split_once('/').map_or((one, None), |(uuid, what)| (uuid, Some(what)));
    let uuid: Uuid = uuid.parse().map_err(|_| Failure::bad(format!("{uuid} is no UUID")))?;
    match what {
        None => {
            let deadline = deadline(PATIENCE);
            blocking(&api.live, deadline, move |live| live.guest(uuid, deadline)).await
        }
        Some("move") => {
            let deadline = deadline(BRIEFLY);
            blocking(&api.live, deadline, move |live| Ok(live.moving(uuid, deadline))).await
        }
        Some("immovable") => {
            let deadline = deadline(PATIENCE);
            blocking(&api.live, deadline, move |live| live.immovable(uuid, deadline)).await
        }
        Some(other) => Err(Failure::missing(format!("this host tells no \"{other}\" of a VM"))),
    }
}

/// Has something told where it may take its time.
async fn blocking<T: Serialize + Send + 'static>(
    live: &Arc<dyn Live>,
    deadline: Instant,
    work: impl FnOnce(&dyn Live) -> Result<T, String> + Send + 'static,
) -> Result<Value, Failure> {
    let live = Arc::clone(live);
    let told = tokio::task::spawn_blocking(move || work(live.as_ref()));
    match tokio::time::timeout(deadline.since(boottime()) + WAY / 2, told).await {
        Ok(Ok(Ok(told))) => serde_json::to_value(told).map_err(|error| Failure::internal(error.to_string())),
        Ok(Ok(Err(why))) => Err(Failure::unanswered(why)),
        Ok(Err(_)) => Err(Failure::internal("the look at what goes on was broken off")),
        Err(_) => Err(Failure::unanswered("the host does not say in time what goes on there")),
    }
}
