//! How available VMs, hosts and groups of VMs were.

use super::document::{Band, Cell, Chart, Column, Document, Fact, Mood, Section, Table, Value};
use super::frame::{Frame, Order};
use super::words::text;
use crate::api::{CauseRow, FigureRow, FiguresView, SpanView};
use crate::ledger::Grouping;
use std::collections::BTreeMap;

/// So many rows a timeline has at most.
const TIMELINE: usize = 48;

const COLUMNS: [Column; 18] = [
    Column::new("name", "Name"),
    Column::raw("members"),
    Column::new("percent", "Availability"),
    Column::new("nines", "Nines"),
    Column::raw("up"),
    Column::new("unplanned", "Unplanned"),
    Column::new("planned", "Planned"),
    Column::new("unseen", "Unseen"),
    Column::new("failures", "Failures"),
    Column::raw("outages"),
    Column::new("longest", "Longest"),
    Column::raw("longest_at"),
    Column::new("mttr", "MTTR"),
    Column::new("mtbf", "MTBF"),
    Column::new("year_down", "Per year"),
    Column::new("target", "Target"),
    Column::raw("budget"),
    Column::new("budget_left", "Budget left"),
];

/// What the figures of a period look like.
pub fn availability(view: &FiguresView, frame: &Frame) -> Document {
    let rows = frame.ordered(&view.rows, worse);
    let mut document = frame.document("Availability", view.from, view.to, view);
    if rows.len() < view.count {
        document.warnings.push(frame.left_out(rows.len(), view.count));
    }
    document.facts = facts(&view.total, view.by, frame);
    document.sections = sections(view, &rows, frame);
    document
}

/// The parts, which the report of a month has, too.
pub(super) fn sections(view: &FiguresView, rows: &[&FigureRow], frame: &Frame) -> Vec<Section> {
    let timeline = timeline(view, rows, frame);
    timeline.into_iter().chain([causes(&view.total), figures(view.by, rows)]).collect()
}

/// Takes the spans of those that are drawn.
pub fn take_spans(view: &mut FiguresView, drawn: FiguresView) {
    let mut spans: BTreeMap<String, Vec<SpanView>> = drawn.rows.into_iter().map(|row| (row.name, row.spans)).collect();
    for row in &mut view.rows {
        row.spans = spans.remove(&row.name).unwrap_or_default();
    }
}

/// Which of two fared worse: it comes first.
pub fn worse(left: &FigureRow, right: &FigureRow) -> std::cmp::Ordering {
    let percent = |row: &FigureRow| row.percent.unwrap_or(f64::INFINITY);
    let by_percent = percent(left).total_cmp(&percent(right));
    by_percent.then_with(|| right.unplanned_ms.cmp(&left.unplanned_ms)).then_with(|| left.name.cmp(&right.name))
}

pub(super) fn facts(total: &FigureRow, by: Grouping, frame: &Frame) -> Vec<Fact> {
    let fact = |label, cell, note: String| Fact { label, cell, note };
    let times = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let kind = if by == Grouping::Host { "host" } else { "VM" };
    let bad = |milliseconds: i64| if milliseconds > 0 { Mood::Bad } else { Mood::Good };
    let mut facts = vec![
        fact("Availability", percent(total), format!("of {}", times(total.members as u64, kind))),
        fact("Nines", Cell::maybe(total.nines, Value::Nines), "of the time due and seen".to_owned()),
        fact(
            "Unplanned downtime",
            Cell::plain(Value::Span(total.unplanned_ms)).with(bad(total.unplanned_ms)),
            times(total.outages, "outage"),
        ),
        fact(
            "Longest outage",
            Cell::maybe(total.longest_ms, Value::Span),
            total.longest_at.map(|at| text(&Value::Moment(at), &frame.zone)).unwrap_or_default(),
        ),
        fact("Mean time to repair", Cell::maybe(total.mttr_ms, Value::Span), String::new()),
        fact("Mean time between failures", Cell::maybe(total.mtbf_ms, Value::Span), times(total.failures, "failure")),
        fact("Planned downtime", Cell::plain(Value::Span(total.planned_ms)), "not held against the figure".to_owned()),
        fact("Unseen", Cell::plain(Value::Span(total.unseen_ms)), "neither up nor down".to_owned()),
    ];
    if let Some(left) = total.budget_left_ms {
        let mood = if left < 0 { Mood::Bad } else { Mood::Good };
        let note = total.target_percent.map(|target| format!("of a target of {target}%")).unwrap_or_default();
        facts.push(fact("Error budget left", Cell::plain(Value::Span(left)).with(mood), note));
    }
    facts
}

fn timeline(view: &FiguresView, rows: &[&FigureRow], frame: &Frame) -> Option<Section> {
    let drawn: Vec<(String, Vec<Band>)> = rows
        .iter()
        .filter(|row| !row.spans.is_empty())
        .take(TIMELINE)
        .map(|row| (row.name.clone(), row.spans.iter().map(band).collect()))
        .collect();
    if drawn.is_empty() {
        return None;
    }
    let first = match frame.order {
        Order::Worst => "The worst first; ",
        Order::Name => "",
    };
    let count = drawn.len();
    Some(Section {
        name: "timeline",
        title: "When".to_owned(),
        note: Some(format!(
            "{first}{count} of {} are drawn. The shortest outage is drawn wide enough to be seen.",
            view.count
        )),
        charts: vec![Chart::Timeline { from: view.from, to: view.to, rows: drawn }],
        table: None,
    })
}

fn band(span: &SpanView) -> Band {
    Band { from: span.from, to: span.to, condition: span.condition }
}

/// What downtime had which cause.
pub(super) fn causes(total: &FigureRow) -> Section {
    let mut causes: Vec<&CauseRow> = total.causes.iter().filter(|cause| cause.ms > 0 || cause.count > 0).collect();
    causes.sort_by_key(|cause| (cause.planned, std::cmp::Reverse(cause.ms), cause.cause));
    let kind = |planned: bool| if planned { "planned" } else { "unplanned" };
    let bars = causes.iter().map(|cause| {
        (
            if cause.planned { format!("{} (planned)", words(cause.cause.name())) } else { words(cause.cause.name()) },
            down(cause),
        )
    });
    let rows = causes.iter().map(|cause| {
        vec![
            Cell::text(words(cause.cause.name())),
            Cell::text(kind(cause.planned)),
            Cell::plain(Value::Count(cause.count)),
            down(cause),
        ]
    });
    Section {
        name: "causes",
        title: "Why".to_owned(),
        note: None,
        charts: vec![Chart::Bars { title: "Downtime by cause".to_owned(), bars: bars.collect() }],
        table: Some(Table {
            columns: vec![
                Column::new("cause", "Cause"),
                Column::new("kind", "Kind"),
                Column::new("count", "Began"),
                Column::new("downtime", "Downtime"),
            ],
            rows: rows.collect(),
            empty: "Nothing was down.",
        }),
    }
}

/// Downtime that nobody meant is bad.
fn down(cause: &CauseRow) -> Cell {
    Cell::plain(Value::Span(cause.ms)).with(if cause.planned { Mood::Plain } else { Mood::Bad })
}

/// The figures of each.
pub(super) fn figures(by: Grouping, rows: &[&FigureRow]) -> Section {
    let (title, empty) = match by {
        Grouping::Vm => ("VMs", "There was no VM under protection."),
        Grouping::Host => ("Hosts", "There was no host."),
        Grouping::GuestOs => ("Guest operating systems", "There was no VM under protection."),
        Grouping::Tag => ("Tags", "There was no VM under protection."),
        Grouping::Cluster => ("The cluster", "There was no VM under protection."),
    };
    Section {
        name: "figures",
        title: title.to_owned(),
        note: None,
        charts: Vec::new(),
        table: Some(Table { columns: COLUMNS.to_vec(), rows: rows.iter().map(|row| cells(row)).collect(), empty }),
    }
}

fn cells(row: &FigureRow) -> Vec<Cell> {
    let span = |milliseconds: i64| Cell::plain(Value::Span(milliseconds));
    let maybe = |milliseconds: Option<i64>| Cell::maybe(milliseconds, Value::Span);
    let unplanned = if row.unplanned_ms > 0 { Mood::Bad } else { Mood::Plain };
    let left = if row.budget_left_ms.is_some_and(|left| left < 0) { Mood::Bad } else { Mood::Plain };
    vec![
        Cell::text(row.name.clone()),
        Cell::plain(Value::Count(row.members as u64)),
        percent(row),
        Cell::maybe(row.nines, Value::Nines),
        span(row.up_ms),
        span(row.unplanned_ms).with(unplanned),
        span(row.planned_ms),
        span(row.unseen_ms),
        Cell::plain(Value::Count(row.failures)),
        Cell::plain(Value::Count(row.outages)),
        maybe(row.longest_ms),
        Cell::maybe(row.longest_at, Value::Moment),
        maybe(row.mttr_ms),
        maybe(row.mtbf_ms),
        maybe(row.year_down_ms),
        Cell::maybe(row.target_percent, Value::Target),
        maybe(row.budget_ms),
        maybe(row.budget_left_ms).with(left),
    ]
}

fn percent(row: &FigureRow) -> Cell {
    let missed = row.percent.zip(row.target_percent).is_some_and(|(percent, target)| percent < target);
    Cell::maybe(row.percent, Value::Percent).with(if missed { Mood::Bad } else { Mood::Plain })
}

/// A name for programs, for people.
pub(super) fn words(name: &str) -> String {
    name.replace('-', " ")
}
