//! How VMs were brought back and moved, and how long each stage took.

use super::availability::words;
use super::document::{Cell, Chart, Column, Document, Fact, Mood, Section, Share, Table, Value};
use super::frame::Frame;
use crate::api::{FailoversView, RecoveryView, StageRow};
use crate::ledger::{Kind, Stage};

/// So many of the slowest are drawn.
const SLOWEST: usize = 12;

/// The stages in their order, with their names; the total is no stage.
const STAGES: [(Stage, &str); 5] = [
    (Stage::Detect, "detect"),
    (Stage::Prove, "prove"),
    (Stage::Queue, "queue"),
    (Stage::Start, "start"),
    (Stage::Ready, "guest ready"),
];

const COLUMNS: [Column; 14] = [
    Column::new("vm", "VM"),
    Column::new("down_at", "Down at"),
    Column::raw("up_at"),
    Column::new("kind", "Kind"),
    Column::new("cause", "Cause"),
    Column::new("from", "From"),
    Column::new("to", "To"),
    Column::new("proof", "Proof"),
    Column::new("down", "Down for"),
    Column::new("detect", "Detect"),
    Column::new("prove", "Prove"),
    Column::new("queue", "Queue"),
    Column::new("start", "Start"),
    Column::new("ready", "Guest ready"),
];

/// What the failovers of a period look like.
pub fn failovers(view: &FailoversView, frame: &Frame) -> Document {
    let rows = frame.ordered(&view.failovers, slower);
    let mut document = frame.document("Failovers and switch-overs", view.from, view.to, view);
    if rows.len() < view.count {
        document.warnings.push(frame.left_out(rows.len(), view.count));
    }
    document.facts = facts(view);
    document.sections = vec![stages(view), slowest(view), each(&rows)];
    document
}

/// The parts, which the report of a month has, too.
pub(super) fn parts(view: &FailoversView, frame: &Frame) -> Vec<Section> {
    let rows = frame.ordered(&view.failovers, slower);
    let each = Section { title: "Failovers and switch-overs".to_owned(), ..each(&rows) };
    vec![stages(view), slowest(view), each]
}

fn slower(left: &RecoveryView, right: &RecoveryView) -> std::cmp::Ordering {
    down(right).cmp(&down(left)).then_with(|| left.down_at.cmp(&right.down_at)).then_with(|| left.vm.cmp(&right.vm))
}

fn down(row: &RecoveryView) -> i64 {
    row.up_at.saturating_sub(row.down_at)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::SwitchOver => "switch-over",
        Kind::Failover => "failover",
    }
}

fn facts(view: &FailoversView) -> Vec<Fact> {
    let count = |wanted: Kind| view.failovers.iter().filter(|row| row.kind == wanted).count() as u64;
    let stage = |wanted: Kind| view.stages.iter().find(|row| row.kind == wanted && row.stage == Stage::Total);
    let fact = |label, cell, note: &str| Fact { label, cell, note: note.to_owned() };
    let failover = stage(Kind::Failover);
    let moves = stage(Kind::SwitchOver);
    vec![
        fact("Failovers", Cell::plain(Value::Count(count(Kind::Failover))), "nobody had meant them"),
        fact("Median", Cell::maybe(failover.map(|row| row.median_ms), Value::Span), "from the last sign to up again"),
        fact("95th percentile", Cell::maybe(failover.map(|row| row.p95_ms), Value::Span), "of failovers"),
        fact("Worst", Cell::maybe(failover.map(|row| row.max_ms), Value::Span), "of failovers"),
        fact("Switch-overs", Cell::plain(Value::Count(count(Kind::SwitchOver))), "as planned"),
        fact("Their median", Cell::maybe(moves.map(|row| row.median_ms), Value::Span), "down while moving"),
    ]
}

fn stages(view: &FailoversView) -> Section {
    let lengths = |wanted: Kind, length: fn(&StageRow) -> i64| -> Vec<Share> {
        let of = |stage| view.stages.iter().find(|row| row.kind == wanted && row.stage == stage).map_or(0, length);
        STAGES.iter().map(|(stage, name)| Share { name, milliseconds: of(*stage) }).collect()
    };
    let has = |wanted: Kind| view.stages.iter().any(|row| row.kind == wanted);
    let mut drawn = Vec::new();
    for wanted in [Kind::Failover, Kind::SwitchOver].into_iter().filter(|kind| has(*kind)) {
        drawn.push((format!("{}, median", kind(wanted)), lengths(wanted, |row| row.median_ms)));
        drawn.push((format!("{}, p95", kind(wanted)), lengths(wanted, |row| row.p95_ms)));
    }
    let rows = view.stages.iter().map(|row| {
        let name = STAGES.iter().find(|(stage, _)| *stage == row.stage).map_or("total", |(_, name)| name);
        let spans = [row.min_ms, row.median_ms, row.p95_ms, row.max_ms].map(|length| Cell::plain(Value::Span(length)));
        let head = [Cell::text(kind(row.kind)), Cell::text(name), Cell::plain(Value::Count(row.count as u64))];
        head.into_iter().chain(spans).collect()
    });
    Section {
        name: "stages",
        title: "How long each stage took".to_owned(),
        note: Some("Each stage by itself: the medians of stages do not add up to the median of the whole.".to_owned()),
        charts: vec![Chart::Stages { title: "Stages, one after the other".to_owned(), rows: drawn }],
        table: Some(Table {
            columns: vec![
                Column::new("kind", "Kind"),
                Column::new("stage", "Stage"),
                Column::new("count", "Count"),
                Column::new("min", "Shortest"),
                Column::new("median", "Median"),
                Column::new("p95", "95th percentile"),
                Column::new("max", "Longest"),
            ],
            rows: rows.collect(),
            empty: "No VM had to be brought back.",
        }),
    }
}

fn slowest(view: &FailoversView) -> Section {
    let mut rows: Vec<&RecoveryView> = view.failovers.iter().filter(|row| row.kind == Kind::Failover).collect();
    rows.sort_by(|left, right| slower(left, right));
    let drawn = rows.into_iter().take(SLOWEST).map(|row| {
        let lengths = [row.detect_ms, row.prove_ms, row.queue_ms, row.start_ms, row.ready_ms.unwrap_or(0)];
        let named = STAGES.iter().zip(lengths);
        (row.vm.clone(), named.map(|((_, name), milliseconds)| Share { name, milliseconds }).collect())
    });
    Section {
        name: "slowest",
        title: "The slowest failovers".to_owned(),
        note: None,
        charts: vec![Chart::Stages { title: "The stages of the slowest failovers".to_owned(), rows: drawn.collect() }],
        table: None,
    }
}

fn each(rows: &[&RecoveryView]) -> Section {
    Section {
        name: "failovers",
        title: "Each of them".to_owned(),
        note: None,
        charts: Vec::new(),
        table: Some(Table {
            columns: COLUMNS.to_vec(),
            rows: rows.iter().map(|row| cells(row)).collect(),
            empty: "No VM had to be brought back.",
        }),
    }
}

fn cells(row: &RecoveryView) -> Vec<Cell> {
    let span = |milliseconds: i64| Cell::plain(Value::Span(milliseconds));
    let mood = if row.kind == Kind::Failover { Mood::Bad } else { Mood::Plain };
    vec![
        Cell::text(row.vm.clone()),
        Cell::plain(Value::Moment(row.down_at)),
        Cell::plain(Value::Moment(row.up_at)),
        Cell::text(kind(row.kind)),
        Cell::text(words(row.cause.name())),
        Cell::maybe(row.from.clone(), Value::Text),
        Cell::text(row.to.clone()),
        Cell::maybe(row.proof.clone(), Value::Text),
        span(down(row)).with(mood),
        span(row.detect_ms),
        span(row.prove_ms),
        span(row.queue_ms),
        span(row.start_ms),
        Cell::maybe(row.ready_ms, Value::Span),
    ]
}
