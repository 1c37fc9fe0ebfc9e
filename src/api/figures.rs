//! Questions to the ledger: how available each was, and how long it took to bring VMs back.

use super::actions::Looking;
use super::bodies::{Figuring, Recovering};
use super::errors::Failure;
use super::extract::{Json, Query};
use super::handle::Api;
use super::queries::{names, read};
use crate::clock;
use crate::explain::Names;
use crate::ledger::{Cause, Condition, Figures, Grouping, History, Kind, Recovery, Stage};
use crate::runtime::fact;
use crate::store::{LedgerReader, QueryError};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many rows are read at once.
const PORTION: usize = 10_000;
/// The row of VMs of which nobody knows the operating system, and of those without a tag.
const NONE: &str = "-";

/// How available VMs, hosts or groups of VMs were in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FiguresView {
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// Of what each row is.
    pub by: Grouping,
    /// How many rows there are in all.
    pub count: usize,
    /// The rows, or a part of them.
    pub rows: Vec<FigureRow>,
    /// All rows together: of VMs, where the rows are of VMs or of groups of them.
    pub total: FigureRow,
    /// When there was no master for so long that nobody saw anything.
    pub unwatched: Vec<SpanView>,
    /// What to ask for with `after` to have the next rows; none if these are the last.
    pub next: Option<String>,
}

/// How available one was, in milliseconds where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FigureRow {
    /// Its name.
    pub name: String,
    /// How many VMs or hosts it counts together.
    pub members: usize,
    /// For how long it was up.
    pub up_ms: i64,
    /// For how long it was down because a person meant it to be.
    pub planned_ms: i64,
    /// For how long it was down, and should not have been.
    pub unplanned_ms: i64,
    /// For how long nobody could see it.
    pub unseen_ms: i64,
    /// Unplanned outages that began in the period.
    pub failures: u64,
    /// All unplanned outages of which the period has a part.
    pub outages: u64,
    /// Up, in percent of the time in which it should have been up and was seen; none if there was no such time.
    pub percent: Option<f64>,
    /// The same in nines; none if it never was down.
    pub nines: Option<f64>,
    /// The mean time between failures; none if there was no failure.
    pub mtbf_ms: Option<i64>,
    /// The mean time to repair; none if there was no outage.
    pub mttr_ms: Option<i64>,
    /// The longest unplanned outage.
    pub longest_ms: Option<i64>,
    /// When that began, in milliseconds since 1970.
    pub longest_at: Option<i64>,
    /// The unplanned downtime of a year at this rate.
    pub year_down_ms: Option<i64>,
    /// What was aimed at, in percent.
    pub target_percent: Option<f64>,
    /// The unplanned downtime that this allows in the period.
    pub budget_ms: Option<i64>,
    /// What is left of it; less than nothing where the target was missed.
    pub budget_left_ms: Option<i64>,
    /// What downtime had which cause.
    pub causes: Vec<CauseRow>,
    /// How it fared when, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<SpanView>,
}

/// What one cause had a part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseRow {
    /// Which.
    pub cause: Cause,
    /// Whether a person meant it.
    pub planned: bool,
    /// How often it began in the period.
    pub count: u64,
    /// For how long, in milliseconds.
    pub ms: i64,
}

/// A while, cut to the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanView {
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// How it was.
    pub condition: Condition,
    /// Why, if it was down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// The VMs that were brought back or moved, and how long each stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailoversView {
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// How many there are in all.
    pub count: usize,
    /// Each of them, or a part, the oldest first.
    pub failovers: Vec<RecoveryView>,
    /// How long each stage took, over all of them.
    pub stages: Vec<StageRow>,
    /// What to ask for with `after` to have the next ones; none if these are the last.
    pub next: Option<String>,
}

/// A VM that was brought back or moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryView {
    /// Which.
    pub vm: String,
    /// Whether it was planned.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// From where.
    pub from: Option<String>,
    /// To where.
    pub to: String,
    /// The kind of the proof.
    pub proof: Option<String>,
    /// The proof in words.
    pub because: Option<String>,
    /// Since when it was down, in milliseconds since 1970.
    pub down_at: i64,
    /// Since when it is up again.
    pub up_at: i64,
    /// From the last sign to the judgement, in milliseconds.
    pub detect_ms: i64,
    /// From there to the proof.
    pub prove_ms: i64,
    /// From there to the placement.
    pub queue_ms: i64,
    /// From there until it ran.
    pub start_ms: i64,
    /// From there until its guest answered, where that is what counts.
    pub ready_ms: Option<i64>,
}

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRow {
    /// Of what.
    pub kind: Kind,
    /// Which.
    pub stage: Stage,
    /// How often.
    pub count: usize,
    /// The shortest, in milliseconds.
    pub min_ms: i64,
    /// The middle one.
    pub median_ms: i64,
    /// No more than one in twenty took longer.
    pub p95_ms: i64,
    /// The longest.
    pub max_ms: i64,
}

/// `GET /v1/report/availability`
pub(super) async fn availability(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<Figuring>,
) -> Result<Json<FiguresView>, Failure> {
    let names = names(&api).await;
    let now = clock::wall_milliseconds();
    read(&api, move |ledger| figures(ledger, &asked, now, &names)).await.map(Json)
}

/// `GET /v1/report/failovers`
pub(super) async fn failovers(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<Recovering>,
) -> Result<Json<FailoversView>, Failure> {
    let names = names(&api).await;
    let now = clock::wall_milliseconds();
    read(&api, move |ledger| recoveries(ledger, &asked, now, &names)).await.map(Json)
}

fn history(ledger: &LedgerReader) -> Result<(History, Option<i64>), QueryError> {
    let mut history = History::default();
    let mut first = None;
    let mut after = None;
    loop {
        let rows = ledger.after(after, PORTION)?;
        let Some(last) = rows.last() else { return Ok((history, first)) };
        after = Some(last.key);
        for entry in rows.iter().filter_map(fact) {
            first.get_or_insert(entry.at_milliseconds);
            history.add(&entry);
        }
    }
}

pub(super) fn figures(
    ledger: &LedgerReader,
    asked: &Figuring,
    now: i64,
    names: &dyn Names,
) -> Result<FiguresView, QueryError> {
    let (history, first) = history(ledger)?;
    let from = asked.from.or(first).unwrap_or(now);
    let to = asked.to.unwrap_or(now).min(now);
    let mut rows: BTreeMap<String, (usize, Figures)> = BTreeMap::new();
    let mut add = |name: String, figures: Figures| {
        let (members, sum) = rows.entry(name).or_default();
        *members += 1;
        sum.merge(&figures);
    };
    match asked.by {
        Grouping::Host => history.hosts().for_each(|id| add(names.host(id), history.host(id, from, to).into())),
        Grouping::Vm => history.vms().for_each(|(id, name)| add(name.to_owned(), history.vm(id, from, to).into())),
        // What each is is not in the ledger yet.
        Grouping::GuestOs | Grouping::Tag => {
            history.vms().for_each(|(id, _)| add(NONE.to_owned(), history.vm(id, from, to).into()))
        }
        Grouping::Cluster => {
            history.vms().for_each(|(id, _)| add("cluster".to_owned(), history.vm(id, from, to).into()))
        }
    }
    let mut total = (0, Figures::default());
    for (members, sum) in rows.values() {
        total.0 += members;
        total.1.merge(sum);
    }
    let wanted = rows.into_iter().filter(|(name, _)| asked.name.as_ref().is_none_or(|wanted| wanted == name));
    let mut rows: Vec<FigureRow> = wanted.map(|(name, (members, figures))| row(name, members, &figures)).collect();
    let count = rows.len();
    if let Some(worst) = asked.worst {
        rows.sort_by(crate::report::worse);
        rows.truncate(worst);
    }
    let (_, rows, next) = part(rows, asked.after.as_deref(), asked.limit, |row| row.name.clone());
    let total = row("total".to_owned(), total.0, &total.1);
    Ok(FiguresView { from, to, by: asked.by, count, rows, total, unwatched: Vec::new(), next })
}

/// The part of a list that was asked for, with how many there are in all, and what to ask for next.
fn part<T>(
    list: Vec<T>,
    after: Option<&str>,
    limit: Option<usize>,
    key: impl Fn(&T) -> String,
) -> (usize, Vec<T>, Option<String>) {
    let count = list.len();
    let mut rest = list.into_iter().skip_while(|one| after.is_some_and(|after| key(one).as_str() <= after));
    let part: Vec<T> = rest.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
    let next = rest.next().and_then(|_| part.last().map(&key));
    (count, part, next)
}

fn row(name: String, members: usize, figures: &Figures) -> FigureRow {
    let cause = |((planned, cause), share): (&(bool, Cause), &crate::ledger::Share)| CauseRow {
        cause: *cause,
        planned: *planned,
        count: share.count,
        ms: share.length,
    };
    FigureRow {
        name,
        members,
        up_ms: figures.up,
        planned_ms: figures.planned,
        unplanned_ms: figures.unplanned,
        unseen_ms: figures.unseen,
        failures: figures.failures,
        outages: figures.outages,
        percent: figures.percent(),
        nines: figures.nines(),
        mtbf_ms: figures.mtbf(),
        mttr_ms: figures.mttr(),
        longest_ms: figures.longest.map(|outage| outage.length),
        longest_at: figures.longest.map(|outage| outage.at),
        year_down_ms: figures.year_down(),
        target_percent: None,
        budget_ms: None,
        budget_left_ms: None,
        causes: figures.causes.iter().map(cause).collect(),
        spans: Vec::new(),
    }
}

pub(super) fn recoveries(
    ledger: &LedgerReader,
    asked: &Recovering,
    now: i64,
    names: &dyn Names,
) -> Result<FailoversView, QueryError> {
    let (history, first) = history(ledger)?;
    let from = asked.from.or(first).unwrap_or(now);
    let to = asked.to.unwrap_or(now).min(now);
    let within = history.recoveries().iter().filter(|recovery| recovery.up_at >= from && recovery.up_at <= to);
    let list: Vec<RecoveryView> = within
        .map(|recovery| recovered(recovery, names))
        .filter(|view| asked.name.as_ref().is_none_or(|name| *name == view.vm))
        .collect();
    let stages = stages(&list);
    let count = list.len();
    let begin = asked.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0).min(count);
    let end = begin.saturating_add(asked.limit.unwrap_or(count)).min(count);
    let next = (end < count).then(|| end.to_string());
    let failovers = list.into_iter().take(end).skip(begin).collect();
    Ok(FailoversView { from, to, count, failovers, stages, next })
}

fn recovered(recovery: &Recovery, names: &dyn Names) -> RecoveryView {
    let exit = recovery.exit.map(|exit| format!("it ended there: {}", crate::explain::exit(exit)));
    RecoveryView {
        vm: names.vm(recovery.vm),
        kind: Kind::Failover,
        cause: Cause::Unknown,
        from: recovery.from.map(|host| names.host(host)),
        to: names.host(recovery.to),
        proof: recovery.proof.map(|proof| proof.kind().to_owned()),
        because: exit.or_else(|| recovery.proof.map(|proof| crate::explain::proof(&proof, names))),
        down_at: recovery.down_at,
        up_at: recovery.up_at,
        detect_ms: recovery.detect,
        prove_ms: recovery.prove,
        queue_ms: recovery.queue,
        start_ms: recovery.start,
        ready_ms: None,
    }
}

fn stages(list: &[RecoveryView]) -> Vec<StageRow> {
    let mut lengths: BTreeMap<(Kind, Stage), Vec<i64>> = BTreeMap::new();
    for one in list {
        for stage in Stage::ALL {
            let length = match stage {
                Stage::Detect => Some(one.detect_ms),
                Stage::Prove => Some(one.prove_ms),
                Stage::Queue => Some(one.queue_ms),
                Stage::Start => Some(one.start_ms),
                Stage::Ready => one.ready_ms,
                Stage::Total => Some(one.up_at.saturating_sub(one.down_at)),
            };
            if let Some(length) = length {
                lengths.entry((one.kind, stage)).or_default().push(length);
            }
        }
    }
    lengths.into_iter().filter_map(|((kind, stage), lengths)| stage_row(kind, stage, lengths)).collect()
}

fn stage_row(kind: Kind, stage: Stage, mut lengths: Vec<i64>) -> Option<StageRow> {
    lengths.sort_unstable();
    // The smallest one that no more than so many percent exceed.
    let at = |percent: usize| lengths.get((lengths.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(StageRow {
        kind,
        stage,
        count: lengths.len(),
        min_ms: *lengths.first()?,
        median_ms: at(50)?,
        p95_ms: at(95)?,
        max_ms: *lengths.last()?,
    })
}
