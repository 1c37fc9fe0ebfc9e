//! What people send, read into types that say what they mean.

use crate::core::state::{Response, Right, Severity};
use crate::core::timing::Profile;
use crate::ledger::Grouping;
use crate::samples::Measure;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A VM to be put under protection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewVm {
    /// Its name.
    pub name: String,
    /// Its UUID; a new one is made if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// CPU in thousandths of a core.
    pub millicores: u64,
    /// The datastores that hold its disks, by name.
    #[serde(default)]
    pub datastores: Vec<String>,
    /// The networks that it needs, by name.
    #[serde(default)]
    pub networks: Vec<String>,
    /// What is done when its host dies.
    #[serde(default = "restart")]
    pub response: Response,
    /// Greater goes first.
    #[serde(default)]
    pub priority: u8,
    /// Where it is put at its very first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Whether all its disks lie where a lock lives as long as the process that took it.
    #[serde(default)]
    pub locked: bool,
    /// What the hypervisor needs to know of it, in its own words.
    pub definition: String,
    /// Whether it is to be started.
    #[serde(default)]
    pub start: bool,
}

fn restart() -> Response {
    Response::Restart
}

/// How a VM that a hypervisor has is put under protection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// Whose it is, if more than one host has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What is done when its host dies.
    #[serde(default = "restart")]
    pub response: Response,
    /// Greater goes first.
    #[serde(default)]
    pub priority: u8,
}

/// How a VM is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    /// At once, instead of by asking the guest.
    #[serde(default)]
    pub(super) force: bool,
}

/// How a host is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Off {
    /// Although it holds VMs, which are restarted elsewhere.
    #[serde(default)]
    pub(super) force: bool,
}

/// Where a VM is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    pub(super) to: String,
}

/// For how long the cluster is disarmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disarm {
    #[serde(default)]
    pub(super) for_seconds: Option<u64>,
}

/// Which hosts die, in thought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) fail: Vec<String>,
}

/// The voters that are given up, by the names of their hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recover {
    pub(super) dead: Vec<String>,
}

/// A datastore or network, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uuid: Option<Uuid>,
}

/// A fence device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fence {
    pub(super) name: String,
    pub(super) device: crate::fence::FenceDevice,
}

/// The devices that fence a host, by name, in levels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fences {
    pub(super) levels: Vec<Vec<String>>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewChannel {
    pub(super) name: String,
    pub(super) target: crate::notify::Target,
    #[serde(default)]
    pub(super) least: Severity,
    #[serde(default)]
    pub(super) kinds: std::collections::BTreeSet<String>,
}

/// For how long an invitation is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invite {
    pub(super) for_seconds: u64,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// What the new host must show. It is told once, and never again.
    pub token: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_milliseconds: i64,
}

/// An invitation that was given, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The part of the token that is no secret: what stands behind its first point.
    pub id: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_milliseconds: i64,
}

/// Somebody who may use this interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccess {
    pub(super) name: String,
    pub(super) right: Right,
    /// The request for a certificate, in base64; without one a token is made.
    #[serde(default)]
    pub(super) request: Option<String>,
}

/// The right that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenAccess {
    /// What it is known by.
    pub print: String,
    /// The certificate, in base64, if one was asked for.
    pub certificate: Option<String>,
    /// The authority's certificate, in base64.
    pub authority: String,
    /// The token, which is told once, and never again.
    pub token: Option<String>,
}

/// A host that wants to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    /// The token that it was given.
    pub token: String,
    /// Its name.
    pub name: String,
    /// Its machine's UUID.
    pub uuid: Uuid,
    /// Where its agent is reached, on each network.
    pub endpoints: Vec<std::net::SocketAddr>,
    /// Where its operators' interface is reached.
    pub api: std::net::SocketAddr,
    /// What fails together with it.
    pub failure_domain: String,
    /// Free words.
    pub tags: std::collections::BTreeSet<String>,
    /// Memory for VMs in MiB; none on a witness.
    pub memory_mib: u64,
    /// CPU in thousandths of a core.
    pub millicores: u64,
    /// The request for its certificates, in base64.
    pub request: String,
}

/// What a host needs to be a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// Its number.
    pub host: u32,
    /// The cluster's UUID.
    pub cluster: Uuid,
    /// The cluster's name.
    pub cluster_name: String,
    /// Which time limits hold in it.
    pub profile: Profile,
    /// Its certificate, in base64.
    pub certificate: String,
    /// The certificate of its operators' interface, in base64.
    pub api_certificate: String,
    /// The authority's certificate, in base64.
    pub authority: String,
    /// All members, as the list is kept.
    pub roster: String,
    /// Where the voters are.
    pub voters: Vec<u32>,
}

/// Which figures are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figuring {
    /// Of what each row is.
    #[serde(default)]
    pub(crate) by: Grouping,
    /// In milliseconds since 1970; the beginning if missing.
    pub(crate) from: Option<i64>,
    /// In milliseconds since 1970; now if missing.
    pub(crate) to: Option<i64>,
    /// Only the row of this name.
    pub(crate) name: Option<String>,
    /// Whether each row has its spans, for a drawing.
    #[serde(default)]
    pub(crate) spans: bool,
    /// Only so many rows, those that fared worst first; the sums are of all.
    pub(crate) worst: Option<usize>,
    /// The rows after this one: `next` of the answer before.
    pub(crate) after: Option<String>,
    /// At most so many rows; by default, all.
    pub(crate) limit: Option<usize>,
}

/// Of which month a signed report is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MonthAsked {
    /// Such as `2026-10`.
    pub(super) month: String,
    /// In which time zone it begins and ends; UTC if missing.
    pub(super) zone: Option<String>,
    /// Though the month is not over yet.
    #[serde(default)]
    pub(super) provisional: bool,
}

/// Which part of a signed report is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MonthPartAsked {
    /// The SHA-256 of the whole, as its first part tells it.
    pub(super) print: String,
    /// Where the part begins.
    pub(super) offset: usize,
}

/// Which recoveries and moves are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recovering {
    /// Those that were over since then, in milliseconds since 1970; since the beginning if missing.
    pub(super) from: Option<i64>,
    /// Those that were over by then; by now if missing.
    pub(super) to: Option<i64>,
    /// Only those of this VM.
    pub(super) name: Option<String>,
    /// Those after this one: `next` of the answer before.
    pub(super) after: Option<String>,
    /// At most so many; by default, all.
    pub(super) limit: Option<usize>,
}

/// Which part of the past is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    /// In milliseconds since 1970; the beginning if missing.
    pub(super) from: Option<i64>,
    /// In milliseconds since 1970; now if missing.
    pub(super) to: Option<i64>,
}

/// Of what the use is asked for, and when.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Loaded {
    /// What was used.
    pub(super) of: Measure,
    /// By what the rows are made; by VM if missing.
    pub(super) by: Option<Grouping>,
    /// Only this one, by name or UUID.
    pub(super) name: Option<String>,
    /// In milliseconds since 1970; a day before the end if missing.
    pub(super) from: Option<i64>,
    /// In milliseconds since 1970; now if missing.
    pub(super) to: Option<i64>,
    /// Into so many points, at most; none if missing.
    pub(super) points: Option<usize>,
    /// Those after this one, by name.
    pub(super) after: Option<String>,
    /// At most so many rows; by default, as many as an answer holds.
    pub(super) limit: Option<usize>,
}

/// Which samples a voter lacks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PiecesAfter {
    /// Since which hour, counted from 1970.
    pub(super) since: u32,
    /// Those after this place.
    pub(super) after: Option<i64>,
}

/// Which part of a long list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Those after this one, by name or UUID.
    pub(super) after: Option<String>,
    /// At most so many; by default, all.
    pub(super) limit: Option<usize>,
}

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsAfter {
    /// The key of the last one that was seen: `generation.index.part`.
    pub(super) after: Option<String>,
    /// Those since then, in milliseconds since 1970.
    pub(super) from: Option<i64>,
    /// Not the first ones but the last ones, at most so many.
    pub(super) last: Option<usize>,
    /// At most so many.
    pub(super) limit: Option<usize>,
    /// For so many seconds to wait for one, if there is none.
    pub(super) wait: Option<u64>,
}
