//! What hosts and VMs have used: over a time, just now, and against what there is.
//!
//! CPU is told in thousandths of a core, memory in MiB. A gap is told as a gap: where nobody has measured there is no
//! point, and no figure is made up for it.

use super::actions::Looking;
use super::bodies::{Loaded, Part, Window};
use super::errors::Failure;
use super::extract::{Json, Query};
use super::handle::Api;
use crate::clock;
pub use crate::ledger::Grouping;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The processor time that is used, in thousandths of a core.
    Cpu,
    /// The memory of the host that is in use, in MiB. Of a VM it is what its process has in its host's memory.
    Memory,
}

/// What was used over a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadView {
    /// What.
    pub of: Measure,
    /// By what the rows are made.
    pub by: Grouping,
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// So many milliseconds are in one point.
    pub step_milliseconds: i64,
    /// How fine the figures are that were read: one is the mean over so many milliseconds.
    pub resolution_milliseconds: i64,
    /// In the order of their names.
    pub rows: Vec<LoadRow>,
    /// The name after which the rest begins, if there is more.
    pub next: Option<String>,
}

/// What one of them used. The figures are over all that was measured, which may be less than the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadRow {
    /// Its name.
    pub name: String,
    /// What it has of it at the most; of a VM, what its definition says; of several, the sum.
    pub capacity: Option<u64>,
    /// The least.
    pub min: Option<u64>,
    /// The mean.
    pub mean: Option<u64>,
    /// The most.
    pub max: Option<u64>,
    /// At most so much for 95 percent of the time.
    pub p95: Option<u64>,
    /// The newest figure within the time.
    pub last: Option<u64>,
    /// Of the time, so many hundredths were measured.
    pub measured_percent: u8,
    /// One for each step from `from` on; nothing: nobody has measured then.
    pub points: Vec<Option<Point>>,
}

/// What was used within one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// In the mean.
    pub mean: u64,
    /// At the most.
    pub max: u64,
}

/// What is used just now, by the newest sample of each host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NowView {
    /// When this was, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// All hosts that can run VMs.
    pub hosts: Vec<HostNow>,
    /// The host after which the rest begins, if there is more.
    pub next: Option<String>,
}

/// What a host uses just now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostNow {
    /// Which.
    pub name: String,
    /// How old the sample is; nothing: none has come.
    pub age_milliseconds: Option<i64>,
    /// What it has for VMs, in thousandths of a core.
    pub millicores: u64,
    /// How much of its processors is busy.
    pub busy_millicores: Option<u64>,
    /// What it has for VMs.
    pub memory_mib: u64,
    /// How much of its memory is in use.
    pub used_mib: Option<u64>,
    /// The VMs that had a process there.
    pub vms: Vec<VmNow>,
}

/// What a VM uses just now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmNow {
    /// Which.
    pub name: String,
    /// What it may have, in thousandths of a core.
    pub millicores: u64,
    /// How much of that it takes.
    pub busy_millicores: u64,
    /// The memory of its guest.
    pub memory_mib: u64,
    /// What its process has in the host's memory.
    pub used_mib: u64,
}

/// What there is, what is promised of it, and what is used of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityView {
    /// Since when the use was looked at, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// All hosts that can run VMs.
    pub hosts: Vec<HostCapacity>,
    /// What would be left if none, one, two ... of them died: those that have the most.
    pub left: Vec<Left>,
}

/// A host's part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostCapacity {
    /// Which.
    pub name: String,
    /// Of its processors, in thousandths of a core.
    pub cpu: Use,
    /// Of its memory, in MiB.
    pub memory: Use,
}

/// What there is of one thing, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// What the host has for VMs.
    pub capacity: u64,
    /// What the definitions of the VMs that it holds come to.
    pub reserved: u64,
    /// What was used in the mean, by all that runs on the host.
    pub mean: Option<u64>,
    /// At most so much was used for 95 percent of the time.
    pub p95: Option<u64>,
}

/// What would be left. Both are sums over hosts: a VM needs its whole memory on one of them, so that what fits is less.
/// Below zero, not all protected VMs that should run could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// If so many hosts died.
    pub dead: usize,
    /// In thousandths of a core, beyond what all protected VMs that should run need.
    pub millicores: i64,
    /// In MiB.
    pub memory_mib: i64,
}

/// `GET /v1/report/load`
pub(super) async fn load(
    State(_api): State<Api>,
    _: Looking,
    Query(asked): Query<Loaded>,
) -> Result<Json<LoadView>, Failure> {
    let to = asked.to.unwrap_or_else(clock::wall_milliseconds);
    let from = asked.from.unwrap_or(to - 24 * 3_600_000).min(to);
    Ok(Json(LoadView {
        of: asked.of,
        by: asked.by.unwrap_or(Grouping::Vm),
        from,
        to,
        step_milliseconds: (to - from).max(1),
        resolution_milliseconds: 5_000,
        rows: Vec::new(),
        next: None,
    }))
}

/// `GET /v1/load/now`
pub(super) async fn now(
    State(_api): State<Api>,
    _: Looking,
    Query(_part): Query<Part>,
) -> Result<Json<NowView>, Failure> {
    Ok(Json(NowView { at_milliseconds: clock::wall_milliseconds(), hosts: Vec::new(), next: None }))
}

/// `GET /v1/report/capacity`
pub(super) async fn capacity(
    State(_api): State<Api>,
    _: Looking,
    Query(window): Query<Window>,
) -> Result<Json<CapacityView>, Failure> {
    let to = window.to.unwrap_or_else(clock::wall_milliseconds);
    let from = window.from.unwrap_or(to - 24 * 3_600_000).min(to);
    Ok(Json(CapacityView { from, to, hosts: Vec::new(), left: Vec::new() }))
}
