//! What reports of availability and of recoveries look like to those who ask.

use crate::ledger::{Cause, Condition, Grouping, Kind, Stage};
use serde::{Deserialize, Serialize};

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
