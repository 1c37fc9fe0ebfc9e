//! What a channel is told.

use crate::core::ids::{FactKey, HostId, VmId};
use crate::core::reason::Alert;
use crate::core::state::{ClusterState, Identity, Severity};
use crate::explain::{self, Names};
use crate::ledger::{Entry, What};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// The version of the form.
const VERSION: u32 = 1;

/// A notification, in the form that receivers read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// The version of this form.
    pub version: u32,
    /// Its name for ever: sent again, it bears the same.
    pub id: String,
    /// Of which cluster.
    pub cluster: ClusterName,
    /// When it happened, in UTC.
    pub at: String,
    /// How much it matters.
    pub severity: Severity,
    /// What, in a word.
    pub kind: String,
    /// What, in a sentence.
    pub text: String,
    /// The VM that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
    /// The host that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Who asked for it, if a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in that person's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fact as the ledger has it.
    pub fact: Value,
    /// When it happened, in milliseconds since 1970.
    #[serde(skip)]
    pub(super) at_milliseconds: i64,
}

/// A cluster, for those who hear of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterName {
    /// Its name.
    pub name: String,
    /// Its name for ever.
    pub uuid: Uuid,
}

impl ClusterName {
    fn of(identity: &Identity) -> ClusterName {
        ClusterName { name: identity.name.clone(), uuid: Uuid::from_u128(identity.uuid) }
    }
}

impl Notification {
    /// Tells of a fact.
    pub fn of(entry: &Entry, state: &ClusterState) -> Notification {
        let said = entry.said.as_ref();
        let mut told = Notification::plain(state, entry.at_milliseconds);
        told.id = format!("{}.{}", told.cluster.uuid, entry.key);
        told.severity = entry.what.severity();
        told.kind = entry.what.kind();
        told.text = explain::fact(&entry.what, state);
        let (vm, host) = subject(&entry.what);
        told.vm = vm.map(|vm| state.vm(vm));
        told.host = host.map(|host| state.host(host));
        told.by = said.map(|said| said.who.clone());
        told.reason = said.map(|said| said.why.clone()).filter(|why| !why.is_empty());
        told.fact = serde_json::to_value(&entry.what).unwrap_or_default();
        told
    }

    /// Tells of many lesser facts in one, from the first to the last of them.
    pub(super) fn summary(facts: &[(FactKey, i64)], state: &ClusterState) -> Option<Notification> {
        let (first, last) = (facts.first()?, facts.last()?);
        let mut told = Notification::plain(state, last.1);
        let (count, since) = (facts.len(), utc(first.1));
        told.id = format!("{}.{}.summary", told.cluster.uuid, last.0);
        told.kind = "summary".to_owned();
        told.text = format!(
            "this channel is far behind, so {count} lesser events from {since} to {} are told in one: `holdfast events` \
             shows them",
            told.at
        );
        let (first, last) = (first.0.to_string(), last.0.to_string());
        told.fact = json!({ "kind": "summary", "count": count, "first": first, "last": last });
        Some(told)
    }

    /// Shows whether a channel works.
    pub fn test(state: &ClusterState, channel: &str, by: &str, now_milliseconds: i64) -> Notification {
        let mut told = Notification::plain(state, now_milliseconds);
        told.id = format!("{}.test.{}", told.cluster.uuid, Uuid::new_v4());
        told.kind = "test".to_owned();
        told.text = format!("a test of the channel {channel}: nothing has happened");
        told.by = Some(by.to_owned());
        told.fact = json!({ "kind": "test", "channel": channel });
        told
    }

    fn plain(state: &ClusterState, at_milliseconds: i64) -> Notification {
        Notification {
            version: VERSION,
            id: String::new(),
            cluster: ClusterName::of(&state.registry.cluster),
            at: utc(at_milliseconds),
            severity: Severity::Info,
            kind: String::new(),
            text: String::new(),
            vm: None,
            host: None,
            by: None,
            reason: None,
            fact: Value::Null,
            at_milliseconds,
        }
    }

    /// As JSON. It is the same bytes at each attempt, so that a signature of one is one of all.
    pub(super) fn body(&self) -> Vec<u8> {
        // It is made of texts and numbers, which can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a fact is about: an alert, too, is about a VM or a host, though it is no step in their history.
fn subject(what: &What) -> (Option<VmId>, Option<HostId>) {
    let What::Alert { alert } = what else { return (what.vm(), what.host()) };
    match alert {
        Alert::Waiting { vm, .. } | Alert::GaveUp { vm } => (Some(*vm), None),
        Alert::Unanswered { host, vm } | Alert::Clash { vm, host } => (Some(*vm), Some(*host)),
        Alert::TwoMachines { host }
        | Alert::Isolated { host }
        | Alert::Quarantined { host }
        | Alert::DeadShowsLife { host }
        | Alert::AgentAway { host } => (None, Some(*host)),
        Alert::WrongMachine { .. }
        | Alert::FenceFailed { .. }
        | Alert::Brake { .. }
        | Alert::StoreLost
        | Alert::NoMajority
        | Alert::Storage { .. } => (None, None),
    }
}

fn utc(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map(|at| format!("{at:.3}")).unwrap_or_default()
}
