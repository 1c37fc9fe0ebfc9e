//! Questions to the ledger: how available each was, and how long it took to bring VMs back.

use super::actions::Looking;
use super::bodies::{Figuring, Recovering};
use super::errors::Failure;
use super::extract::{Json, Query};
use super::figure_views::{CauseRow, FailoversView, FigureRow, FiguresView, RecoveryView, SpanView, StageRow};
use super::handle::Api;
use super::queries::{names, read};
use super::readings::{Asked, Readings};
use crate::clock;
use crate::core::ids::HostId;
use crate::explain::Names;
use crate::ledger::{Cause, Condition, Kind, Period, Piece, Recovery, Row, Scope, Share, Stage};
use crate::store::{LedgerReader, QueryError};
use axum::extract::State;
use std::collections::BTreeMap;

/// `GET /v1/report/availability`
pub(super) async fn availability(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<Figuring>,
) -> Result<Json<FiguresView>, Failure> {
    let names = names(&api).await;
    let now = clock::wall_milliseconds();
    let readings = api.readings.clone();
    read(&api, move |ledger| figures((ledger, &readings), &asked, now, &names)).await.map(Json)
}

/// `GET /v1/report/failovers`
pub(super) async fn failovers(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<Recovering>,
) -> Result<Json<FailoversView>, Failure> {
    let names = names(&api).await;
    let now = clock::wall_milliseconds();
    let readings = api.readings.clone();
    read(&api, move |ledger| recoveries((ledger, &readings), &asked, now, &names)).await.map(Json)
}

/// The period that was asked for, as far as it is over. Its beginning may be that of all facts.
fn period(from: Option<i64>, to: Option<i64>, now: i64) -> Period {
    Period { from: from.unwrap_or(i64::MIN), to: to.unwrap_or(now).min(now) }
}

/// How available each was.
pub(crate) fn figures(
    (ledger, readings): (&LedgerReader, &Readings),
    asked: &Figuring,
    now: i64,
    names: &dyn Names,
) -> Result<FiguresView, QueryError> {
    let period = period(asked.from, asked.to, now);
    let scope = Scope { period, draws: asked.spans, recovers: false };
    let told = readings.told(ledger, scope, again(asked.after.as_ref()))?;
    let from = asked.from.or(told.began_at).unwrap_or(now);
    let mut rows = told.rows(asked.by);
    for row in rows.iter_mut().filter(|row| row.name.is_empty()) {
        // The first host of a cluster has never joined it.
        row.name = row.key.parse().map(|id| names.host(HostId(id))).unwrap_or_default();
    }
    let wanted = |row: &Row| asked.name.as_ref().is_none_or(|name| *name == row.name);
    let mut rows: Vec<(String, FigureRow)> =
        rows.into_iter().filter(wanted).map(|row| (row.key.clone(), figure_row(row))).collect();
    let count = rows.len();
    if let Some(worst) = asked.worst {
        rows.sort_by(|(_, left), (_, right)| crate::report::worse(left, right));
        rows.truncate(worst);
    }
    let (rows, next) = part(rows, asked.after.as_deref(), asked.limit);
    let total = figure_row(told.total(asked.by));
    let span = |(from, to): &(i64, i64)| SpanView { from: *from, to: *to, condition: Condition::Unseen, cause: None };
    let unwatched = told.unwatched.iter().map(span).collect();
    Ok(FiguresView { from, to: period.to, by: asked.by, count, rows, total, unwatched, next })
}

fn again(after: Option<&String>) -> Asked {
    if after.is_some() { Asked::ForMore } else { Asked::Anew }
}

/// The part of a list that was asked for, and what to ask for next.
fn part<T>(list: Vec<(String, T)>, after: Option<&str>, limit: Option<usize>) -> (Vec<T>, Option<String>) {
    let begin = after.map_or(0, |after| list.iter().position(|(key, _)| key == after).map_or(list.len(), |at| at + 1));
    let end = begin.saturating_add(limit.unwrap_or(usize::MAX)).min(list.len());
    let last = end.checked_sub(1).filter(|_| end < list.len()).and_then(|last| list.get(last));
    let next = last.map(|(key, _)| key.clone());
    (list.into_iter().take(end).skip(begin).map(|(_, one)| one).collect(), next)
}

fn figure_row(row: Row) -> FigureRow {
    let Row { name, members, target, figures, pieces, .. } = row;
    let cause = |((planned, cause), share): (&(bool, Cause), &Share)| CauseRow {
        cause: *cause,
        planned: *planned,
        count: share.count,
        ms: share.length,
    };
    let span =
        |piece: &Piece| SpanView { from: piece.from, to: piece.to, condition: piece.condition, cause: piece.cause };
    let budget = target.map(|target| figures.budget(target));
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
        target_percent: target.map(|target| f64::from(target.parts_per_million()) / 10_000.0),
        budget_ms: budget,
        budget_left_ms: budget.map(|budget| budget - figures.unplanned),
        causes: figures.causes.iter().map(cause).collect(),
        spans: pieces.iter().map(span).collect(),
    }
}

pub(super) fn recoveries(
    (ledger, readings): (&LedgerReader, &Readings),
    asked: &Recovering,
    now: i64,
    names: &dyn Names,
) -> Result<FailoversView, QueryError> {
    let period = period(asked.from, asked.to, now);
    let scope = Scope { period, draws: false, recovers: true };
    let told = readings.told(ledger, scope, again(asked.after.as_ref()))?;
    let from = asked.from.or(told.began_at).unwrap_or(now);
    let list: Vec<RecoveryView> = told
        .recoveries
        .iter()
        .map(|recovery| recovered(recovery, names))
        .filter(|view| asked.name.as_ref().is_none_or(|name| *name == view.vm))
        .collect();
    let stages = stages(&list);
    let count = list.len();
    let begin = asked.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0).min(count);
    let end = begin.saturating_add(asked.limit.unwrap_or(count)).min(count);
    let next = (end < count).then(|| end.to_string());
    let failovers = list.into_iter().take(end).skip(begin).collect();
    Ok(FailoversView { from, to: period.to, count, failovers, stages, next })
}

fn recovered(recovery: &Recovery, names: &dyn Names) -> RecoveryView {
    let exit = recovery.exit.map(|exit| format!("it ended there: {}", crate::explain::exit(exit)));
    RecoveryView {
        vm: names.vm(recovery.vm),
        kind: recovery.kind,
        cause: recovery.cause,
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
        ready_ms: recovery.ready,
    }
}

fn stages(list: &[RecoveryView]) -> Vec<StageRow> {
    let mut lengths: BTreeMap<(Kind, Stage), Vec<i64>> = BTreeMap::new();
    // What was moved alive has no stages.
    for one in list.iter().filter(|one| one.up_at > one.down_at || one.kind == Kind::Failover) {
        for stage in Stage::ALL {
            let length = match stage {
                Stage::Detect => Some(one.detect_ms),
                Stage::Prove => Some(one.prove_ms),
                Stage::Queue => Some(one.queue_ms),
                Stage::Start => Some(one.start_ms),
                Stage::Ready => one.ready_ms,
                Stage::Total => Some(one.up_at.saturating_sub(one.down_at) + one.ready_ms.unwrap_or(0)),
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
