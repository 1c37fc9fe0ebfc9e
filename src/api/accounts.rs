//! By what the time of VMs is accounted for: tags, what "up" means, and targets.

use super::actions::{Asked, Looking, do_it, find_vm};
use super::errors::Failure;
use super::extract::{Json, Path};
use super::handle::Api;
use crate::core::action::Request;
use crate::core::state::{AccountChange, ClusterState, Registration, Tag, Target, UpMeans};
use axum::extract::State;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};
use std::collections::BTreeSet;

/// By what a VM's time is to be accounted for. What is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its tags, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<Tag>>,
    /// When it counts as up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<UpMeans>,
    /// How much of its time it is to be up; `null` takes that back.
    #[serde(default, deserialize_with = "though_null", skip_serializing_if = "Option::is_none")]
    pub target: Option<Option<Percent>>,
}

/// A target for all VMs with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// How much of their time they are to be up.
    pub target: Percent,
}

/// A target that a tag has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// Which tag.
    pub tag: Tag,
    /// How much of their time VMs with it are to be up.
    pub target: Percent,
    /// How many VMs have it.
    pub vms: usize,
}

/// A share of the time, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub Target);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Four digits behind the point are told and read again without loss.
        serializer.serialize_f64(f64::from(self.0.parts_per_million()) / 10_000.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Percent, D::Error> {
        let number = Number::deserialize(deserializer)?;
        number.to_string().parse().map(Percent).map_err(D::Error::custom)
    }
}

/// Tells a `null` from what is left out.
fn though_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `PUT /v1/vms/{vm}/account`
pub(super) async fn set_account(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
    Json(new): Json<NewAccount>,
) -> Result<Json<Value>, Failure> {
    let target = new.target.map(|target| target.map(|Percent(target)| target));
    let change = AccountChange { tags: new.tags, up: new.up, target };
    change.check().map_err(|error| Failure::bad(error.to_string()))?;
    let vm = api.view(move |viewer, _, _| find_vm(viewer.state(), &name)).await??;
    do_it(&api, asked, Request::Account { vm, change: Box::new(change) }).await
}

/// `GET /v1/targets`
pub(super) async fn targets(State(api): State<Api>, _: Looking) -> Result<Json<Vec<TargetView>>, Failure> {
    let view = |state: &ClusterState, tag: &Tag, target: Target| {
        let vms = state.vms.values().filter(|vm| vm.protected && vm.account.tags.contains(tag)).count();
        TargetView { tag: tag.clone(), target: Percent(target), vms }
    };
    let list = api.view(move |viewer, _, _| {
        let state = viewer.state();
        state.registry.targets.iter().map(|(tag, target)| view(state, tag, *target)).collect()
    });
    Ok(Json(list.await?))
}

/// `PUT /v1/targets/{tag}`
pub(super) async fn set_target(
    State(api): State<Api>,
    Path(tag): Path<String>,
    asked: Asked,
    Json(new): Json<NewTarget>,
) -> Result<Json<Value>, Failure> {
    register(&api, asked, tag, Some(new.target.0)).await
}

/// `DELETE /v1/targets/{tag}`
pub(super) async fn remove_target(
    State(api): State<Api>,
    Path(tag): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    register(&api, asked, tag, None).await
}

async fn register(api: &Api, asked: Asked, tag: String, target: Option<Target>) -> Result<Json<Value>, Failure> {
    let tag = Tag::try_from(tag).map_err(|error| Failure::bad(error.to_string()))?;
    do_it(api, asked, Request::Register(Box::new(Registration::Target(tag, target)))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stays_and_what_is_null_goes() {
        let read = |text: &str| serde_json::from_str::<NewAccount>(text);
        assert_eq!(read("{}").expect("nothing"), NewAccount::default());
        assert_eq!(read(r#"{"target":null}"#).expect("none").target, Some(None));
        let target = read(r#"{"target":99.95}"#).expect("one").target.flatten().expect("one").0;
        assert_eq!(target.parts_per_million(), 999_500);
        for text in [r#"{"target":101}"#, r#"{"target":"x"}"#, r#"{"tags":["a b"]}"#, r#"{"uptime":1}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_told_and_read_again_without_loss() {
        for parts in (1..=1_000_000).step_by(7) {
            let told = serde_json::to_string(&Percent(Target::try_from(parts).expect("a target"))).expect("text");
            let read: Percent = serde_json::from_str(&told).expect("a share");
            assert_eq!(read.0.parts_per_million(), parts, "{told}");
        }
    }
}
