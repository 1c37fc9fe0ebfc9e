//! A VM under protection, as somebody describes it.

use super::actions::{Asked, find_host, find_vm};
use super::bodies::NewVm;
use super::errors::Failure;
use super::extract::Json;
use super::handle::Api;
use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::VmId;
use crate::core::reason::Refusal;
use crate::core::state::{Armed, ClusterState, Named, VmDefinition};
use crate::explain::NameList;
use axum::extract::State;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// No name, reason or definition is longer.
const TEXT_LIMIT: usize = 256 * 1024;
/// No VM or host has more memory, in MiB: sums of it must stay numbers.
pub const MOST_MEMORY: u64 = 1 << 30;
/// Nor more thousandths of a core.
pub const MOST_MILLICORES: u64 = 100_000_000;
/// `POST /v1/vms`
pub(super) async fn protect(
    State(api): State<Api>,
    asked: Asked,
    Json(new): Json<NewVm>,
) -> Result<Json<Value>, Failure> {
    sound(&new)?;
    let uuid = new.uuid.unwrap_or_else(Uuid::new_v4);
    let name = new.name.clone();
    let start = new.start;
    let definition = api.view(move |viewer, _, _| {
        // Nothing is done of what cannot be done as a whole.
        match start && viewer.state().armed != Armed::Armed {
            true => Err(Failure::refused(&Refusal::NotArmed, &NameList::default())
                .reworded("the cluster is not armed, so it starts no VM; nothing was done, the VM is not protected")),
            false => definition(viewer.state(), new, uuid),
        }
    });
    let definition = definition.await??;
    let second = asked.another();
    api.ask(asked.ticket, Request::Protect(Box::new(definition)), asked.said).await?;
    if start {
        let id = api.view(move |viewer, _, _| find_vm(viewer.state(), &uuid.to_string())).await??;
        let started = api.ask(second.ticket, Request::Intend { vm: id, want: Want::Running }, second.said).await;
        started.map_err(|failure| {
            let text = format!("{name} is protected, and is not to run yet: {failure}");
            failure.reworded(&text)
        })?;
    }
    Ok(Json(json!({ "name": name, "uuid": uuid })))
}

/// A VM that can be named, asked for and placed.
fn sound(new: &NewVm) -> Result<(), Failure> {
    // A path cannot lead to the last two, however they are written.
    let named = !new.name.is_empty() && new.name.len() <= 255 && ![".", ".."].contains(&new.name.as_str());
    let sized = (1..=MOST_MEMORY).contains(&new.memory_mib) && (1..=MOST_MILLICORES).contains(&new.millicores);
    if !named || new.name.chars().any(char::is_control) || new.definition.len() > TEXT_LIMIT || !sized {
        return Err(Failure::bad(
            "a VM needs a name of at most 255 bytes, all to be seen, memory up to 1 PiB, up to 100000 cores, and a \
             definition of at most 256 KiB",
        ));
    }
    match new.uuid.is_some_and(|uuid| uuid.is_nil()) {
        true => Err(Failure::bad("a UUID of zeros is nobody's").hint("leave it out, and the VM gets one")),
        false => Ok(()),
    }
}

/// Whether this name, or this UUID, would have people find another VM.
pub(super) fn not_anothers(state: &ClusterState, name: &str, uuid: u128) -> Result<(), Failure> {
    let read = name.parse::<Uuid>().ok().map(|uuid| uuid.as_u128()).filter(|read| *read != uuid);
    for vm in state.vms.values().map(|vm| &vm.definition) {
        if vm.uuid != uuid && vm.name == name {
            return Err(Failure::ambiguous(format!("another VM is called \"{name}\"")).hint("give it another name"));
        }
        if Some(vm.uuid) == read {
            let text = format!("\"{name}\" is the UUID of {}: whoever named one would find the other", vm.name);
            return Err(Failure::ambiguous(text).hint("give it another name"));
        }
        if vm.uuid == uuid && vm.name != name {
            let text = format!("the UUID {} is that of {}", Uuid::from_u128(uuid), vm.name);
            return Err(Failure::ambiguous(text).hint("give its own UUID, or none"));
        }
    }
    Ok(())
}

fn definition(state: &ClusterState, new: NewVm, uuid: Uuid) -> Result<VmDefinition, Failure> {
    not_anothers(state, &new.name, uuid.as_u128())?;
    Ok(VmDefinition {
        // The log gives the number.
        id: VmId(0),
        name: new.name,
        uuid: uuid.as_u128(),
        memory_mib: new.memory_mib,
        millicores: new.millicores,
        datastores: named("datastore", &state.registry.datastores, &new.datastores)?,
        networks: named("network", &state.registry.networks, &new.networks)?,
        response: new.response,
        priority: new.priority,
        home: new.home.map(|name| find_host(state, &name)).transpose()?,
        locked: new.locked,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: new.definition.into_bytes().into(),
    })
}

fn named<Id: Ord + Copy>(what: &str, known: &BTreeMap<Id, Named>, wanted: &[String]) -> Result<BTreeSet<Id>, Failure> {
    let find = |name: &String| {
        let found = known.iter().find(|(_, named)| named.name == *name).map(|(id, _)| *id);
        found.ok_or_else(|| {
            let names = known.values().map(|named| named.name.as_str());
            Failure::missing(format!("there is no {what} \"{name}\"")).hint(crate::reader::choice(name, names))
        })
    };
    wanted.iter().map(find).collect()
}
