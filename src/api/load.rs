//! What hosts and VMs have used: over a time, just now, and against what there is.
//!
//! CPU is told in thousandths of a core, memory in MiB. A gap is told as a gap: where nobody has measured there is no
//! point, and no figure is made up for it.

use super::actions::Looking;
use super::bodies::{Loaded, Part};
use super::errors::Failure;
use super::extract::{Json, Query};
use super::handle::Api;
use super::usage::{self, Plan, Row, Wanted};
use crate::clock;
use crate::core::command::Want;
use crate::core::state::{ClusterState, VmDefinition};
use crate::ledger::Grouping;
use crate::samples::{ArchiveError, Batch, Look, Measure, SLOT_MILLISECONDS, Slot, Subject, VmSample, Window};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The last day is told if nobody says of when.
const USUAL: i64 = 24 * 3_600 * 1_000;
/// Of so many dead hosts it is told what would be left.
const MOST_DEAD: usize = 3;

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
    /// How much of that it takes; nothing: it has only just come up.
    pub busy_millicores: Option<u64>,
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
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<Loaded>,
) -> Result<Json<LoadView>, Failure> {
    used(&api, asked).await.map(Json)
}

/// As much of what was asked for as one answer holds.
pub(super) async fn used(api: &Api, asked: Loaded) -> Result<LoadView, Failure> {
    let by = asked.by.unwrap_or(Grouping::Vm);
    let (window, now) = window(asked.from, asked.to)?;
    let wanted = Wanted {
        of: asked.of,
        window,
        name: asked.name,
        points: asked.points.unwrap_or(0),
        after: asked.after,
        limit: asked.limit.unwrap_or(usize::MAX),
    };
    let plan = Plan::new(&api.samples, usage::rows(api, by).await?, wanted, now)?;
    look(api, move |look| {
        Ok(LoadView {
            of: plan.of,
            by,
            from: plan.window.from.begins(),
            to: plan.window.to.begins(),
            step_milliseconds: i64::from(plan.step.unwrap_or(plan.window.slots())) * SLOT_MILLISECONDS,
            resolution_milliseconds: plan.level.milliseconds(),
            rows: plan.read(look)?,
            next: plan.next,
        })
    })
    .await
}

/// The time that is asked for, in whole slots, and the slot in which this is.
fn window(from: Option<i64>, to: Option<i64>) -> Result<(Window, Slot), Failure> {
    let now = clock::wall_milliseconds();
    let to = to.unwrap_or(now).min(now);
    let from = from.unwrap_or(to.saturating_sub(USUAL)).max(0);
    let window = Window { from: Slot::at(from), to: Slot::at(to) };
    match window.slots() {
        0 => Err(Failure::bad("the time that is asked for is over before it begins, or not yet there")
            .hint("`from` and `to` are milliseconds since 1970")),
        _ => Ok((window, Slot::at(now))),
    }
}

/// Looks at samples where that may take its time, for a few at once.
pub(super) async fn look<T: Send + 'static>(
    api: &Api,
    look: impl FnOnce(&Look) -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, Failure> {
    let reader = api.samples.clone();
    let Ok(_place) = reader.places().acquire_owned().await else {
        return Err(Failure::internal("nobody reads samples any more"));
    };
    let looked = tokio::task::spawn_blocking(move || look(&reader.open()?)).await;
    looked.map_err(|error| Failure::internal(error.to_string()))?.map_err(|error| Failure::internal(error.to_string()))
}

/// `GET /v1/load/now`
pub(super) async fn now(
    State(api): State<Api>,
    _: Looking,
    Query(part): Query<Part>,
) -> Result<Json<NowView>, Failure> {
    let mut hosts = usage::hosts(&api).await?;
    hosts.sort_by(|left, right| left.name.cmp(&right.name));
    if let Some(after) = &part.after {
        hosts.retain(|host| host.name > *after);
    }
    let vms = usage::vms(&api, |vm| vec![(vm.definition.uuid, usage::Row::of_vm(vm))]).await?;
    let vms: BTreeMap<u128, Row> = vms.into_iter().collect();
    let (newest, at_milliseconds) = (api.samples.newest(), clock::wall_milliseconds());
    let (mut view, mut room) = (NowView { at_milliseconds, hosts: Vec::new(), next: None }, usage::ANSWER_BYTES);
    for host in hosts {
        let host = host_now(host, &newest, &vms, at_milliseconds);
        let bytes = usage::ROW_BYTES * (host.vms.len() + 1);
        let is_full = bytes > room || part.limit.is_some_and(|limit| view.hosts.len() >= limit);
        if let (true, Some(last)) = (is_full, view.hosts.last()) {
            view.next = Some(last.name.clone());
            break;
        }
        room = room.saturating_sub(bytes);
        view.hosts.push(host);
    }
    Ok(Json(view))
}

fn host_now(host: Row, newest: &BTreeMap<u32, Batch>, vms: &BTreeMap<u128, Row>, now: i64) -> HostNow {
    let number = host.members.iter().find_map(|member| match member {
        Subject::Host(number) => Some(*number),
        Subject::Vm(_) => None,
    });
    let batch = number.and_then(|number| newest.get(&number));
    let vm = |sample: &VmSample| {
        let row = vms.get(&sample.uuid)?;
        Some(VmNow {
            name: row.name.clone(),
            millicores: row.millicores,
            busy_millicores: sample.busy_millicores.map(u64::from),
            memory_mib: row.memory_mib,
            used_mib: sample.used_mib.into(),
        })
    };
    HostNow {
        name: host.name,
        age_milliseconds: batch.map(|batch| (now - batch.slot.begins() - SLOT_MILLISECONDS).max(0)),
        millicores: host.millicores,
        busy_millicores: batch.and_then(|batch| batch.busy_millicores).map(u64::from),
        memory_mib: host.memory_mib,
        used_mib: batch.map(|batch| batch.used_mib.into()),
        vms: batch.map(|batch| batch.vms.iter().filter_map(vm).collect()).unwrap_or_default(),
    }
}

/// `GET /v1/report/capacity`
pub(super) async fn capacity(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<super::bodies::Window>,
) -> Result<Json<CapacityView>, Failure> {
    let (window, now) = window(asked.from, asked.to)?;
    let reserved: Reserved = api.state(Reserved::of).await?;
    let plan = |of, rows| {
        let wanted = Wanted { of, window, name: None, points: 0, after: None, limit: usize::MAX };
        Plan::new(&api.samples, rows, wanted, now)
    };
    let mut hosts = usage::hosts(&api).await?;
    hosts.sort_by(|left, right| left.name.cmp(&right.name));
    let left = reserved.left(&hosts);
    let mut view = CapacityView { from: window.from.begins(), to: window.to.begins(), hosts: Vec::new(), left };
    // As many at a time as are read in one go.
    while !hosts.is_empty() {
        let plans = [plan(Measure::Cpu, hosts.clone())?, plan(Measure::Memory, hosts.clone())?];
        let rows = look(&api, move |look| Ok([plans[0].read(look)?, plans[1].read(look)?])).await?;
        let [cpu, memory] = rows;
        let done = cpu.len().min(memory.len());
        view.hosts.extend(cpu.into_iter().zip(memory).map(|(cpu, memory)| reserved.host(cpu, memory)));
        hosts.drain(..done.max(1));
    }
    Ok(Json(view))
}

/// What the definitions of VMs come to, in thousandths of a core and in MiB.
#[derive(Debug, Default)]
struct Reserved {
    /// By the name of the host that holds them.
    on: BTreeMap<String, (u64, u64)>,
    /// Of all protected VMs that should run.
    wanted: (u64, u64),
}

impl Reserved {
    fn of(state: &ClusterState) -> Reserved {
        let mut reserved = Reserved::default();
        let add = |sum: &mut (u64, u64), vm: &VmDefinition| *sum = (sum.0 + vm.millicores, sum.1 + vm.memory_mib);
        for vm in state.vms.values().filter(|vm| vm.protected) {
            for host in vm.holders.keys().filter_map(|host| state.hosts.get(host)) {
                add(reserved.on.entry(host.name.clone()).or_default(), &vm.definition);
            }
            if vm.intent.want == Want::Running {
                add(&mut reserved.wanted, &vm.definition);
            }
        }
        reserved
    }

    fn host(&self, cpu: LoadRow, memory: LoadRow) -> HostCapacity {
        let (millicores, memory_mib) = self.on.get(&cpu.name).copied().unwrap_or_default();
        let of = |row: &LoadRow, reserved| Use {
            capacity: row.capacity.unwrap_or(0),
            reserved,
            mean: row.mean,
            p95: row.p95,
        };
        HostCapacity { cpu: of(&cpu, millicores), memory: of(&memory, memory_mib), name: cpu.name }
    }

    /// What is left of these hosts when those that have the most are dead.
    fn left(&self, hosts: &[Row]) -> Vec<Left> {
        let beyond = |of: fn(&Row) -> u64, dead: usize, wanted: u64| {
            let mut all: Vec<u64> = hosts.iter().map(of).collect();
            all.sort_unstable_by(|left, right| right.cmp(left));
            let rest: u64 = all.iter().skip(dead).sum();
            i64::try_from(i128::from(rest) - i128::from(wanted)).unwrap_or(i64::MIN)
        };
        let left = |dead| Left {
            dead,
            millicores: beyond(|host| host.millicores, dead, self.wanted.0),
            memory_mib: beyond(|host| host.memory_mib, dead, self.wanted.1),
        };
        (0..hosts.len().min(MOST_DEAD + 1)).map(left).collect()
    }
}
