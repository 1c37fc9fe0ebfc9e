//! `holdfast simulate soak`.

use super::output::Output;
use super::seeds::{Keep, ShapeArgs, play, replay_command};
use super::{Exit, Format, Sabotage};
use crate::sim::coverage::{self, Counts};
use crate::sim::generate::Shape;
use crate::sim::timeline::Violation;
use crate::sim::words::{format_duration, parse_duration};
use crate::sim::{explain, facts};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

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

/// A range of seeds, its ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seeds {
    first: u64,
    last: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let number = |text: &str| {
            let text = text.trim();
            text.parse::<u64>().map_err(|_| format!("\"{text}\" is no seed: write 1..1000, or one number"))
        };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let seeds = Seeds { first: number(first)?, last: number(last.trim_start_matches('='))? };
        if seeds.first > seeds.last || seeds.last == u64::MAX {
            return Err(format!("there is no seed in {text}: the first comes before the last"));
        }
        Ok(seeds)
    }
}

impl Seeds {
    fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What came of a seed.
#[derive(Debug)]
struct Played {
    counts: Counts,
    violations: Vec<Violation>,
    /// The program itself gave up, with these words.
    panic: Option<String>,
}

impl Played {
    fn failures(&self) -> Vec<String> {
        let unexcused = self.violations.iter().filter(|violation| !violation.excused);
        let panic = self.panic.iter().map(|words| format!("PANIC: {words}"));
        unexcused.map(explain::violation).chain(panic).collect()
    }
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
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let bar = progress_bar(args.seeds.count());
    let next = AtomicU64::new(args.seeds.first);
    let (sender, receiver) = mpsc::channel::<(u64, Played)>();
    thread::scope(|scope| -> anyhow::Result<()> {
        let deadline = args.budget.map(|budget| now() + budget);
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || work(args, next, deadline, &sender));
        }
        drop(sender);
        // Seeds end in any order; they are added up and printed in theirs.
        let mut early: BTreeMap<u64, Played> = BTreeMap::new();
        let mut due = args.seeds.first;
        for (seed, played) in receiver {
            early.insert(seed, played);
            bar.inc(1);
            while let Some(played) = early.remove(&due) {
                let failures = sum.add(due, played);
                if args.output == Format::Text && !failures.is_empty() {
                    bar.suspend(|| tell_failure(due, &failures, &shape, output))?;
                }
                due += 1;
            }
        }
        Ok(())
    })?;
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

/// The real clock: it says when no further seed is begun, and nothing that happens in a world hangs on it.
#[allow(clippy::disallowed_methods, reason = "a person's time limit is in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Plays one seed after another until there is none left, or no time.
fn work(args: &SoakArgs, next: &AtomicU64, deadline: Option<Instant>, results: &mpsc::Sender<(u64, Played)>) {
    let shape = args.shape.shape();
    // Whether a rule is broken is a matter of each thread; that the name is known was found before.
    if args.sabotage.begin().is_err() {
        return;
    }
    while deadline.is_none_or(|deadline| now() < deadline) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed > args.seeds.last || results.send((seed, play_one(seed, &shape))).is_err() {
            return;
        }
    }
}

/// Plays a seed. An assertion that fails inside is a finding about that seed and no reason to lose the others.
fn play_one(seed: u64, shape: &Shape) -> Played {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let (simulation, _) = play(seed, shape, Keep::Counts);
        (simulation.counts(), simulation.violations().to_vec())
    }));
    match played {
        Ok((counts, violations)) => Played { counts, violations, panic: None },
        Err(words) => {
            let text = words.downcast_ref::<String>().cloned();
            let text = text.or_else(|| words.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let panic = Some(text.unwrap_or_else(|| "without words".to_owned()));
            Played { counts: Counts::default(), violations: Vec::new(), panic }
        }
    }
}

impl Sum {
    /// Adds what came of the next seed. What went wrong in it is returned, to be told at once.
    fn add(&mut self, seed: u64, played: Played) -> Vec<String> {
        self.played += 1;
        coverage::merge(&mut self.counts, &played.counts);
        let excused = played.violations.iter().filter(|violation| violation.excused).count();
        self.excused += u64::try_from(excused).unwrap_or(u64::MAX);
        let failures = played.failures();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_one_or_a_range() {
        assert_eq!("1..1000".parse(), Ok(Seeds { first: 1, last: 1_000 }));
        assert_eq!("17".parse(), Ok(Seeds { first: 17, last: 17 }));
        for bad in ["", "3..1", "a..b", "1..", "-1"] {
            assert!(bad.parse::<Seeds>().is_err(), "{bad}");
        }
    }
}
