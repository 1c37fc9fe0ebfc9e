//! `holdfast simulate soak`.

use super::output::Output;
use super::seeds::{Seeds, ShapeArgs, replay_command};
use super::{Exit, Format, Sabotage, real_now};
use crate::sim::coverage::{self, Counts};
use crate::sim::generate::Shape;
use crate::sim::parallel::{in_order, jobs};
use crate::sim::play::{Played, outcome};
use crate::sim::{explain, facts};
use crate::words::{format_duration, parse_duration};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

/// Shown below the options.
pub const HELP: &str = "\
Each seed is a world of its own: a cluster, its faults and people for the set time, then everything is mended and each
VM that should run must run within the stated bound. What is printed depends on the seeds and the shape alone.

Examples:
  holdfast simulate soak --seeds 1..1000 --for 10m                    a thousand worlds, ten virtual minutes each
  holdfast simulate soak --seeds 1..100000 --for 10m --budget 2m      as many as begin within two real minutes
  holdfast simulate soak --seeds 17 --profile fast -o json            one world, for machines

Exit codes: 0 all good, 1 a violation, 2 a bad command, 3 something that must occur over all seeds never did.";

#[derive(Debug, Args)]
pub struct SoakArgs {
    /// Which seeds: 1..1000 is from 1 to 1000, both included
    #[arg(long, value_name = "RANGE", default_value = "1..100")]
    seeds: Seeds,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Begins no further seed after so much real time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    budget: Option<Duration>,
    /// How many worlds are played at once; by default, one on each core
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
    /// In which form the result is printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    pub sabotage: Sabotage,
}

/// What went wrong in a seed, a line each.
fn failures(played: &Played) -> Vec<String> {
    let panic = played.panic.iter().map(|words| format!("PANIC: {words}"));
    played.unexcused().map(explain::violation).chain(panic).collect()
}

/// All that came of a soak so far, in the order of the seeds.
#[derive(Debug, Default)]
struct Sum {
    played: u64,
    excused: u64,
    counts: Counts,
    failed: Vec<(u64, Played)>,
}

/// Plays the seeds.
pub fn soak(args: &SoakArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let shape = args.shape.shape();
    let mut sum = Sum::default();
    if args.output == Format::Text {
        let Seeds { first, last } = args.seeds;
        output.line(&format!("seeds {first} to {last}, {} each", format_duration(shape.lasts)))?;
        output.flush()?;
    }
    let bar = progress_bar(args.seeds.count());
    let deadline = args.budget.map(|budget| real_now() + budget);
    let goes_on = || deadline.is_none_or(|deadline| real_now() < deadline);
    let work = |seed| {
        // Whether a rule is broken is a matter of each thread; that the name is known was found before.
        args.sabotage.begin().map(|()| outcome(seed, &shape))
    };
    let mut told = Ok(());
    in_order(jobs(args.jobs), args.seeds.first..=args.seeds.last, goes_on, work, |seed, played| {
        bar.inc(1);
        told = played.and_then(|played| {
            let failures = sum.add(seed, played);
            if args.output == Format::Json || failures.is_empty() {
                return Ok(());
            }
            bar.suspend(|| tell_failure(seed, &failures, &shape, output))
        });
        if told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    told?;
    bar.finish_and_clear();
    let never = coverage::never_occurred(&sum.counts);
    match args.output {
        Format::Text => print(&sum, &never, args.seeds, output)?,
        Format::Json => output.line(&json(&sum, &never, args.seeds, &shape).to_string())?,
    }
    Ok(match (sum.failed.is_empty(), never.is_empty()) {
        (false, _) => Exit::Violation,
        (true, false) => Exit::CoverageGap,
        (true, true) => Exit::Good,
    })
}

impl Sum {
    /// Adds what came of the next seed. What went wrong in it is returned, to be told at once.
    fn add(&mut self, seed: u64, played: Played) -> Vec<String> {
        self.played += 1;
        coverage::merge(&mut self.counts, &played.counts);
        let excused = played.violations.iter().filter(|violation| violation.excused).count();
        self.excused += u64::try_from(excused).unwrap_or(u64::MAX);
        let failures = failures(&played);
        if !failures.is_empty() {
            self.failed.push((seed, played));
        }
        failures
    }
}

fn tell_failure(seed: u64, failures: &[String], shape: &Shape, output: &mut Output) -> anyhow::Result<()> {
    output.line(&format!("seed {seed} FAILED; to see it: {}", replay_command(seed, shape)))?;
    for failure in failures {
        output.line(&format!("  {failure}"))?;
    }
    output.flush()
}

fn progress_bar(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} seeds, {eta} left");
    ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(sum: &Sum, never: &[&str], seeds: Seeds, output: &mut Output) -> anyhow::Result<()> {
    for (group, kinds) in coverage::grouped(&sum.counts) {
        output.line(&format!("{group}:"))?;
        for (kind, times) in kinds {
            output.line(&format!("  {times:>10}  {kind}"))?;
        }
    }
    for what in never {
        output.line(&format!("never occurred: {what}"))?;
    }
    let cut = if sum.played < seeds.count() {
        format!(" of {}, then the budget was spent", seeds.count())
    } else {
        String::new()
    };
    output.line(&format!("{} seeds played{cut}", sum.played))?;
    output.line(&format!("{} failed, {} violations excused", sum.failed.len(), sum.excused))
}

fn json(sum: &Sum, never: &[&str], seeds: Seeds, shape: &Shape) -> Value {
    let failed: Vec<Value> = sum
        .failed
        .iter()
        .map(|(seed, played)| {
            let violations: Vec<Value> = played.violations.iter().map(facts::violation).collect();
            let replay = replay_command(*seed, shape);
            json!({ "seed": seed, "violations": violations, "panic": played.panic, "replay": replay })
        })
        .collect();
    json!({
        "first_seed": seeds.first,
        "last_seed": seeds.last,
        "played": sum.played,
        "failed": failed,
        "excused": sum.excused,
        "counts": sum.counts,
        "never_occurred": never,
    })
}
