//! Figures of a cluster that never was, with all that a report may meet: names from outside, outages of all lengths, and
//! thousands of VMs.

use holdfast::api::{
    CapacityView, CauseRow, FailoversView, FigureRow, FiguresView, HostCapacity, Left, LoadRow, LoadView, Measure,
    Point, RecoveryView, SpanView, StageRow, Use,
};
use holdfast::ledger::{Cause, Condition, Grouping, Kind, Stage};
use holdfast::report::{DEFINITIONS, Frame, Month, Order, Statement};
use jiff::tz::TimeZone;

/// The first of October 2026 in Berlin, and the first of November.
pub const FROM: i64 = 1_790_805_600_000;
pub const TO: i64 = 1_793_487_600_000;
const HOUR: i64 = 3_600_000;

/// Names that would do something if they were not escaped, and names that are hard to lay out.
pub const NAMES: [&str; 9] = [
    "db-1",
    "<script>alert('x')</script>",
    "\"quoted\" & 'quoted'",
    "</script><!--",
    "\u{202e}right-to-left",
    "קובץ-שרת",
    "🐘 elephant",
    "a|b `c` *d* _e_",
    "a-very-long-name-that-somebody-made-up-of-all-that-the-machine-is-for-so-that-nobody-has-to-look-it-up-anywhere-else-ever",
];

pub fn frame(most: usize) -> Frame {
    let zone = TimeZone::get("Europe/Berlin").expect("a zone");
    let order = Order::Worst;
    Frame { cluster: "frankfurt <1>".to_owned(), zone, made_at: TO + HOUR, order, most, definitions: DEFINITIONS }
}

/// Numbers that look like chance and are the same each time.
fn dice(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn name(number: usize) -> String {
    NAMES.get(number).map_or_else(|| format!("vm-{number:05}"), |name| (*name).to_owned())
}

/// So many VMs in October; every third was down once.
pub fn figures(count: usize, drawn: usize) -> FiguresView {
    let rows: Vec<FigureRow> = (0..count).map(|number| row(number, drawn)).collect();
    let mut total = FigureRow { name: "total".to_owned(), members: count, ..row(1, 0) };
    total.up_ms = rows.iter().map(|row| row.up_ms).sum();
    total.unplanned_ms = rows.iter().map(|row| row.unplanned_ms).sum();
    total.planned_ms = rows.iter().map(|row| row.planned_ms).sum();
    total.unseen_ms = rows.iter().map(|row| row.unseen_ms).sum();
    total.failures = rows.iter().map(|row| row.failures).sum();
    total.outages = total.failures;
    total.mttr_ms = Some(total.unplanned_ms / total.failures.max(1).cast_signed());
    total.mtbf_ms = Some(total.up_ms / total.failures.max(1).cast_signed());
    total.budget_left_ms = total.budget_ms.map(|budget| budget * count.cast_signed() as i64 - total.unplanned_ms);
    total.longest_ms = rows.iter().filter_map(|row| row.longest_ms).max();
    total.longest_at = Some(FROM + 50 * HOUR);
    let due = (total.up_ms + total.unplanned_ms).max(1) as f64;
    total.percent = Some(total.up_ms as f64 * 100.0 / due);
    total.nines = (total.unplanned_ms > 0).then(|| -(total.unplanned_ms as f64 / due).log10());
    total.causes = [
        (Cause::HostFailure, false, 7, total.unplanned_ms / 2),
        (Cause::GuestCrash, false, 3, total.unplanned_ms / 3),
        (Cause::Storage, false, 1, total.unplanned_ms / 6),
        (Cause::Maintenance, true, 4, total.planned_ms / 2),
        (Cause::PlannedMove, true, 19, 4_200),
    ]
    .map(|(cause, planned, count, ms)| CauseRow { cause, planned, count, ms })
    .to_vec();
    FiguresView { from: FROM, to: TO, by: Grouping::Vm, count, rows, total, unwatched: Vec::new(), next: None }
}

fn row(number: usize, drawn: usize) -> FigureRow {
    let chance = dice(number as u64);
    let unplanned = if number.is_multiple_of(3) { i64::try_from(chance % 9_000_000).unwrap_or(0) + 900 } else { 0 };
    let planned = if number.is_multiple_of(4) { 2 * HOUR } else { 0 };
    let unseen = if number.is_multiple_of(5) { HOUR } else { 0 };
    let up = TO - FROM - unplanned - planned - unseen;
    let at = FROM + i64::try_from(chance % 500).unwrap_or(0) * HOUR;
    let failures = u64::from(unplanned > 0);
    let ends = [
        (FROM, Condition::Up),
        (at, Condition::Unplanned),
        (at + unplanned, Condition::Up),
        (at + 100 * HOUR, Condition::Planned),
        (at + 100 * HOUR + planned, Condition::Unseen),
        (at + 100 * HOUR + planned + unseen, Condition::Up),
        (TO, Condition::Up),
    ];
    let spans =
        ends.windows(2).map(|pair| SpanView { from: pair[0].0, to: pair[1].0, condition: pair[0].1, cause: None });
    let spans = if number < drawn { spans.filter(|span| span.to > span.from).collect() } else { Vec::new() };
    let due = (up + unplanned) as f64;
    FigureRow {
        name: name(number),
        members: 1,
        up_ms: up,
        planned_ms: planned,
        unplanned_ms: unplanned,
        unseen_ms: unseen,
        failures,
        outages: failures,
        percent: Some(up as f64 * 100.0 / due),
        nines: (unplanned > 0).then(|| -(unplanned as f64 / due).log10()),
        mtbf_ms: (failures > 0).then_some(up),
        mttr_ms: (failures > 0).then_some(unplanned),
        longest_ms: (failures > 0).then_some(unplanned),
        longest_at: (failures > 0).then_some(at),
        year_down_ms: Some(unplanned * 12),
        target_percent: Some(99.95),
        budget_ms: Some(1_339_200),
        budget_left_ms: Some(1_339_200 - unplanned),
        causes: Vec::new(),
        spans,
    }
}

/// So many failovers, and half as many switch-overs.
pub fn failovers(count: usize) -> FailoversView {
    let failovers: Vec<RecoveryView> = (0..count).map(recovery).collect();
    let row = |kind, stage, median_ms| StageRow {
        kind,
        stage,
        count: count / 2,
        min_ms: median_ms / 2,
        median_ms,
        p95_ms: median_ms * 2,
        max_ms: median_ms * 3,
    };
    let failover = |stage, median| row(Kind::Failover, stage, median);
    let stages = vec![
        failover(Stage::Detect, 1_500),
        failover(Stage::Prove, 900),
        failover(Stage::Queue, 40),
        failover(Stage::Start, 1_200),
        failover(Stage::Ready, 8_300),
        failover(Stage::Total, 11_940),
        row(Kind::SwitchOver, Stage::Start, 600),
        row(Kind::SwitchOver, Stage::Total, 600),
    ];
    FailoversView { from: FROM, to: TO, count, failovers, stages, next: None }
}

fn recovery(number: usize) -> RecoveryView {
    let chance = i64::try_from(dice(number as u64) % 5_000).unwrap_or(0);
    let planned = number.is_multiple_of(3);
    let stages =
        if planned { [0, 0, 0, chance / 10] } else { [1_500 + chance / 9, 400 + chance, 20, 900 + chance / 3] };
    let at = FROM + i64::try_from(number).unwrap_or(0) * 7 * HOUR;
    RecoveryView {
        vm: name(number),
        kind: if planned { Kind::SwitchOver } else { Kind::Failover },
        cause: if planned { Cause::PlannedMove } else { Cause::HostFailure },
        from: Some("host-1".to_owned()),
        to: "<b>host-2</b>".to_owned(),
        proof: (!planned).then(|| "fenced".to_owned()),
        because: None,
        down_at: at,
        up_at: at + stages.iter().sum::<i64>() + 8_000,
        detect_ms: stages[0],
        prove_ms: stages[1],
        queue_ms: stages[2],
        start_ms: stages[3],
        ready_ms: (!planned).then_some(8_000),
    }
}

/// All of October.
pub fn month() -> Month {
    Month {
        statement: Statement {
            cluster: "frankfurt <1>".to_owned(),
            uuid: uuid::Uuid::from_u128(7),
            authority: "1f6daa56".repeat(8),
            month: "2026-10".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            from: FROM,
            to: TO,
            provisional: false,
            signed_at_milliseconds: TO + HOUR,
            signed_on: "host-1".to_owned(),
        },
        vms: figures(60, 48),
        tags: FiguresView { by: Grouping::Tag, ..figures(4, 0) },
        hosts: FiguresView { by: Grouping::Host, ..figures(6, 0) },
        failovers: failovers(40),
        cpu: LoadView { by: Grouping::Host, ..load(6) },
        memory: LoadView { of: Measure::Memory, by: Grouping::Host, ..load(6) },
    }
}

/// The CPU of so many, with a gap in each.
pub fn load(count: usize) -> LoadView {
    let step = (TO - FROM) / 240;
    let rows = (0..count).map(|number| {
        let point = |at: usize| {
            let day = (at as f64 / 240.0 * 31.0 * std::f64::consts::TAU).sin();
            let mean = (2_400.0 + 1_500.0 * day) as u64 + dice((number * 1_000 + at) as u64) % 600;
            (!(90..97).contains(&at)).then_some(Point { mean, max: mean + dice(at as u64) % 2_500 })
        };
        LoadRow {
            name: name(number),
            capacity: Some(8_000),
            min: Some(310),
            mean: Some(2_700),
            max: Some(7_600),
            p95: Some(4_400 + number as u64),
            last: Some(2_900),
            measured_percent: 97,
            points: (0..240).map(point).collect(),
        }
    });
    LoadView {
        of: Measure::Cpu,
        by: Grouping::Host,
        from: FROM,
        to: TO,
        step_milliseconds: step,
        resolution_milliseconds: 60_000,
        rows: rows.collect(),
        next: None,
    }
}

/// What six hosts have.
pub fn capacity() -> CapacityView {
    let used = |capacity: u64, number: u64| Use {
        capacity,
        reserved: capacity * (6 + number) / 10,
        mean: Some(capacity * 4 / 10),
        p95: Some(capacity * (5 + number) / 12),
    };
    let hosts = (0..6).map(|number| HostCapacity {
        name: format!("host-{number}"),
        cpu: used(64_000, number),
        memory: used(524_288, number),
    });
    let left = (0..4).map(|dead: i64| Left {
        dead: usize::try_from(dead).unwrap_or(0),
        millicores: 90_000 - dead * 64_000,
        memory_mib: 900_000 - dead * 524_288,
    });
    CapacityView { from: FROM, to: TO, hosts: hosts.collect(), left: left.collect() }
}
