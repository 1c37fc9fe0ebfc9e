//! What hosts and VMs used, and what would be left of it.

use super::document::{Cell, Chart, Column, Document, Fact, Line, Mood, Point, Section, Table, Value};
use super::frame::Frame;
use crate::api::{CapacityView, LoadRow, LoadView, Measure, Use};
use std::cmp::Ordering;

/// So many are drawn.
const DRAWN: usize = 24;
/// The width of a small drawing, in characters.
const SPARK: usize = 30;

const LINES: &str = "The line is the mean of each step, the thin one its maximum, the dashed one the 95th percentile. \
    Where nobody measured there is a gap.";
const PROMISED: &str = "Promised is what the definitions of the VMs there come to; the mean and the 95th percentile are \
    of what was used. The bars are the 95th percentile of CPU in use.";
const LEFT: &str = "If the hosts with the most died, beyond what all protected VMs that should run need. These are sums: \
    a VM needs its whole memory on one host, so that what fits is less; holdfast plan --fail reckons it out.";

/// What the load of a period looks like.
pub fn load(view: &LoadView, frame: &Frame) -> Document {
    let rows = frame.ordered(&view.rows, heavier);
    let title = match view.of {
        Measure::Cpu => "CPU load",
        Measure::Memory => "Memory in use",
    };
    let mut document = frame.document(title, view.from, view.to, view);
    if rows.len() < view.rows.len() {
        document.warnings.push(frame.left_out(rows.len(), view.rows.len()));
    }
    let measured = rows.iter().filter(|row| row.mean.is_some()).count();
    document.facts = vec![Fact {
        label: "Measured",
        cell: Cell::plain(Value::Count(measured as u64)),
        note: format!("of {}", rows.len()),
    }];
    if let Some(first) = rows.first().filter(|row| row.p95.is_some()) {
        let cell = Cell::maybe(first.p95, |most| amount(view.of, most as f64));
        document.facts.push(Fact { label: "Heaviest, 95th percentile", cell, note: first.name.clone() });
    }
    document.definitions = "";
    document.sections = vec![section(view, &rows)];
    document
}

/// The same, as a part of another document.
pub(super) fn part(view: &LoadView, frame: &Frame, (name, title): (&'static str, &str)) -> Section {
    let rows = frame.ordered(&view.rows, heavier);
    Section { name, title: title.to_owned(), ..section(view, &rows) }
}

fn heavier(left: &LoadRow, right: &LoadRow) -> Ordering {
    let most = |row: &LoadRow| row.p95.or(row.mean).unwrap_or(0);
    most(right).cmp(&most(left)).then_with(|| left.name.cmp(&right.name))
}

fn amount(of: Measure, value: f64) -> Value {
    match of {
        Measure::Cpu => Value::Cores(value),
        Measure::Memory => Value::Memory(value),
    }
}

fn section(view: &LoadView, rows: &[&LoadRow]) -> Section {
    let lines = rows.iter().filter(|row| row.points.iter().any(Option::is_some)).take(DRAWN).map(|row| {
        Chart::Line(Line {
            name: row.name.clone(),
            value: match view.of {
                Measure::Cpu => Value::Cores,
                Measure::Memory => Value::Memory,
            },
            capacity: row.capacity.map(|capacity| capacity as f64),
            p95: row.p95.map(|p95| p95 as f64),
            from: view.from,
            step: view.step_milliseconds,
            points: row
                .points
                .iter()
                .map(|point| point.map(|point| Point { mean: point.mean as f64, max: point.max as f64 }))
                .collect(),
        })
    });
    let unit = match view.of {
        Measure::Cpu => "Cores that were busy.",
        Measure::Memory => "Memory of the host in use.",
    };
    Section {
        name: "load",
        title: "How it went".to_owned(),
        note: Some(format!("{unit} {LINES}")),
        charts: lines.collect(),
        table: Some(Table {
            columns: vec![
                Column::new("name", "Name"),
                Column::drawn("course", "Course"),
                Column::new("min", "Least"),
                Column::new("mean", "Mean"),
                Column::new("p95", "95th percentile"),
                Column::new("max", "Most"),
                Column::new("last", "Last"),
                Column::new("capacity", "Of"),
                Column::new("measured_percent", "Measured %"),
            ],
            rows: rows.iter().map(|row| cells(row, view.of)).collect(),
            empty: "Nothing was measured.",
        }),
    }
}

fn cells(row: &LoadRow, of: Measure) -> Vec<Cell> {
    let figure = |value: Option<u64>| Cell::maybe(value, |value| amount(of, value as f64));
    let full = row.capacity.zip(row.p95).is_some_and(|(capacity, p95)| p95 * 10 >= capacity * 9 && capacity > 0);
    let gaps = if row.measured_percent < 95 { Mood::Unsure } else { Mood::Plain };
    vec![
        Cell::text(row.name.clone()),
        Cell::plain(Value::Spark(spark(row))),
        figure(row.min),
        figure(row.mean),
        figure(row.p95).with(if full { Mood::Unsure } else { Mood::Plain }),
        figure(row.max),
        figure(row.last),
        figure(row.capacity),
        Cell::plain(Value::Count(u64::from(row.measured_percent))).with(gaps),
    ]
}

/// The course in a few steps: of each the mean, as a share of the greatest.
fn spark(row: &LoadRow) -> Vec<Option<f64>> {
    let top = row.points.iter().flatten().map(|point| point.mean).max().unwrap_or(0).max(1) as f64;
    let each = row.points.len().div_ceil(SPARK).max(1);
    let mean = |points: &[Option<crate::api::Point>]| {
        let known: Vec<f64> = points.iter().flatten().map(|point| point.mean as f64).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64 / top)
    };
    row.points.chunks(each).map(mean).collect()
}

/// What there is, what is promised and used of it, and what would be left if hosts died.
pub fn capacity(view: &CapacityView, frame: &Frame) -> Document {
    let mut document = frame.document("Capacity", view.from, view.to, view);
    let sum = |part: fn(&crate::api::HostCapacity) -> u64| view.hosts.iter().map(part).sum::<u64>() as f64;
    document.facts = vec![
        Fact {
            label: "Hosts",
            cell: Cell::plain(Value::Count(view.hosts.len() as u64)),
            note: "that can run VMs".to_owned(),
        },
        Fact {
            label: "Cores",
            cell: Cell::plain(Value::Cores(sum(|host| host.cpu.capacity))),
            note: format!("{:.2} promised", sum(|host| host.cpu.reserved) / 1_000.0),
        },
        Fact {
            label: "Memory",
            cell: Cell::plain(Value::Memory(sum(|host| host.memory.capacity))),
            note: format!("{:.1} GiB promised", sum(|host| host.memory.reserved) / 1_024.0),
        },
    ];
    let survived =
        view.left.iter().take_while(|left| left.millicores >= 0 && left.memory_mib >= 0).map(|left| left.dead).last();
    document.facts.push(Fact {
        label: "Hosts that may die",
        cell: Cell::maybe(survived.map(|dead| dead as u64), Value::Count),
        note: "before the sums no longer suffice".to_owned(),
    });
    document.definitions = "";
    document.sections = vec![hosts(view), left(view)];
    document
}

fn hosts(view: &CapacityView) -> Section {
    let columns = [
        ("host", "Host"),
        ("cores", "Cores"),
        ("cores_reserved", "Promised"),
        ("cores_mean", "Mean"),
        ("cores_p95", "95th perc."),
        ("memory", "Memory"),
        ("memory_reserved", "Promised"),
        ("memory_mean", "Mean"),
        ("memory_p95", "95th perc."),
    ];
    let rows = view.hosts.iter().map(|host| {
        let cpu = used(&host.cpu, Value::Cores);
        let memory = used(&host.memory, Value::Memory);
        [Cell::text(host.name.clone())].into_iter().chain(cpu).chain(memory).collect()
    });
    let bar = |value: fn(&Use) -> Option<u64>| {
        view.hosts
            .iter()
            .filter_map(|host| {
                let share = value(&host.cpu)? as f64 * 100.0 / host.cpu.capacity.max(1) as f64;
                Some((host.name.clone(), Cell::plain(Value::Target((share * 10.0).round() / 10.0))))
            })
            .collect::<Vec<_>>()
    };
    Section {
        name: "hosts",
        title: "Hosts".to_owned(),
        note: Some(PROMISED.to_owned()),
        charts: vec![Chart::Bars { title: "CPU in use, 95th percentile".to_owned(), bars: bar(|cpu| cpu.p95) }],
        table: Some(Table {
            columns: columns.map(|(name, title)| Column::new(name, title)).to_vec(),
            rows: rows.collect(),
            empty: "No host can run VMs.",
        }),
    }
}

fn used(used: &Use, kind: fn(f64) -> Value) -> [Cell; 4] {
    let figure = |value: u64| Cell::plain(kind(value as f64));
    let maybe = |value: Option<u64>| Cell::maybe(value, |value| kind(value as f64));
    let full = if used.reserved > used.capacity { Mood::Bad } else { Mood::Plain };
    [figure(used.capacity), figure(used.reserved).with(full), maybe(used.mean), maybe(used.p95)]
}

fn left(view: &CapacityView) -> Section {
    let mood = |left: i64| if left < 0 { Mood::Bad } else { Mood::Plain };
    let rows = view.left.iter().map(|left| {
        vec![
            Cell::plain(Value::Count(left.dead as u64)),
            Cell::plain(Value::Cores(left.millicores as f64)).with(mood(left.millicores)),
            Cell::plain(Value::Memory(left.memory_mib as f64)).with(mood(left.memory_mib)),
        ]
    });
    Section {
        name: "left",
        title: "What would be left".to_owned(),
        note: Some(LEFT.to_owned()),
        charts: Vec::new(),
        table: Some(Table {
            columns: vec![
                Column::new("dead", "Hosts dead"),
                Column::new("cores_left", "Cores left"),
                Column::new("memory_left", "Memory left"),
            ],
            rows: rows.collect(),
            empty: "There are no hosts.",
        }),
    }
}
