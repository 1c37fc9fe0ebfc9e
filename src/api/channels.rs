//! Channels: by which people and programs are told of what happens.

use super::actions::{Asked, Looking, do_it};
use super::bodies::NewChannel;
use super::errors::Failure;
use super::extract::{Json, Path};
use super::handle::Api;
use super::registry::{register, sound};
use crate::clock;
use crate::core::state::{
    Channel, ChannelChange, ChannelSetup, ClusterState, MOST_CHANNELS, Registration, Secret, Severity,
};
use crate::ledger::What;
use crate::notify::{Notification, Progress, Target, sender};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A channel, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub target: String,
    /// From which severity on it is told.
    pub least: Severity,
    /// Of which kinds only; none: of all.
    pub kinds: BTreeSet<String>,
    /// Whether it is told nothing for now.
    pub paused: bool,
    /// Up to where in the ledger it was told: `generation.index.part`.
    pub told: String,
    /// How many notifications it has refused for good.
    pub refused: u64,
    /// How many of them since it last took one.
    pub refused_in_a_row: u64,
    /// How far it is, if there is a master to know.
    pub progress: Option<Progress>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Whether the channel took it.
    pub told: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /v1/channels`
pub(super) async fn channels(State(api): State<Api>, _: Looking) -> Result<Json<Vec<ChannelView>>, Failure> {
    all(&api).await.map(Json)
}

/// All channels, by name.
pub(super) async fn all(api: &Api) -> Result<Vec<ChannelView>, Failure> {
    let mut progresses = api.progresses.all();
    let channels = api.view(|viewer, _, _| viewer.state().registry.channels.clone()).await?;
    let view = |(name, channel): (String, Channel)| ChannelView {
        target: target(&channel).map_or_else(|error| error, |target| target.to_string()),
        least: channel.setup.least,
        kinds: channel.setup.kinds,
        paused: channel.paused,
        told: channel.told.to_string(),
        refused: channel.refused,
        refused_in_a_row: channel.refused_in_a_row,
        progress: progresses.remove(&name),
        name,
    };
    Ok(channels.into_iter().map(view).collect())
}

fn target(channel: &Channel) -> Result<Target, String> {
    serde_json::from_slice(&channel.setup.target.0).map_err(|error| format!("its settings cannot be read: {error}"))
}

/// `POST /v1/channels`: one whose name is known gets the new settings, and goes on where it was.
pub(super) async fn add(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<NewChannel>,
) -> Result<Json<Value>, Failure> {
    let name = sound(&body.name)?;
    if let Some(wrong) = body.kinds.iter().find_map(|kind| What::check_kind(kind).err()) {
        return Err(Failure::bad(format!("no fact is of such a kind: {wrong}")));
    }
    let known = api.view(|viewer, _, _| viewer.state().registry.channels.clone()).await?;
    if !known.contains_key(&name) && known.len() >= MOST_CHANNELS {
        let text = format!("there are {MOST_CHANNELS} channels already, and no more are kept");
        return Err(Failure::bad(text).hint("remove one, or let whoever is told tell others"));
    }
    let target = serde_json::to_vec(&body.target).map_err(|error| Failure::internal(error.to_string()))?;
    let setup = ChannelSetup { least: body.least, kinds: body.kinds, target: Arc::new(Secret(target)) };
    change(&api, asked, name, ChannelChange::SetUp(setup)).await
}

/// `DELETE /v1/channels/{channel}`
pub(super) async fn remove(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    api.view({
        let name = name.clone();
        move |viewer, _, _| find(viewer.state(), &name).map(drop)
    })
    .await??;
    change(&api, asked, name, ChannelChange::Remove).await
}

/// `POST /v1/channels/{channel}/{deed}`
pub(super) async fn on_channel(
    State(api): State<Api>,
    Path((name, deed)): Path<(String, String)>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let named = name.clone();
    let channel = api.view(move |viewer, _, _| find(viewer.state(), &named)).await??;
    match deed.as_str() {
        "pause" => change(&api, asked, name, ChannelChange::Pause).await,
        "resume" => change(&api, asked, name, ChannelChange::Resume).await,
        "skip" => change(&api, asked, name, ChannelChange::Skip).await,
        "test" => test(&api, asked, name, channel).await,
        _ => Err(Failure::missing(format!("nothing called \"{deed}\" can be done with a channel"))),
    }
}

async fn change(api: &Api, asked: Asked, name: String, change: ChannelChange) -> Result<Json<Value>, Failure> {
    do_it(api, asked, register(Registration::Channel(name, change))).await
}

/// Sends a notification that means nothing, once, past all that waits.
async fn test(api: &Api, asked: Asked, name: String, channel: Channel) -> Result<Json<Value>, Failure> {
    let sender = sender(&channel, &api.local).await.map_err(Failure::internal)?;
    let now = clock::wall_milliseconds();
    let told = api.state(move |state| Notification::test(state, &name, &asked.said.who, now)).await?;
    let sent = sender.send(&told, 1).await;
    Ok(Json(json!(Tested { told: sent.is_ok(), problem: sent.err().map(|unsent| unsent.to_string()) })))
}

fn find(state: &ClusterState, name: &str) -> Result<Channel, Failure> {
    let channels = &state.registry.channels;
    channels.get(name).cloned().ok_or_else(|| {
        let known = channels.keys().map(String::as_str);
        Failure::missing(format!("there is no channel \"{name}\"")).hint(crate::reader::choice(name, known))
    })
}
