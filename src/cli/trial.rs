//! `holdfast simulate calm` and `holdfast simulate successions`: not one VM that is well may be restarted.

use super::output::Output;
use super::{Exit, Sabotage};
use crate::sim::explain;
use crate::sim::parallel::{in_order, jobs};
use crate::sim::trial::{self, Trial};
use clap::Args;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

/// Shown below the options of `calm`.
pub const CALM_HELP: &str = "\
Five hosts and 20 VMs on two datastores. Every link loses 20 % and delays up to 400 ms; every ten seconds, an agent, a
host's way to a datastore or a datastore stands still for 2 s. Each hour is a world of its own, with its number as seed.

Examples:
  holdfast simulate calm --hours 200      the whole proof
  holdfast simulate calm --only 17        the 17th hour again, with all that happens

Exit codes: 0 every VM ran on where it was, 1 one did not, 2 a bad command.";

/// Shown below the options of `successions`.
pub const SUCCESSIONS_HELP: &str = "\
Five hosts and 20 VMs, no datastore to renew a lease by, and every link loses 5 %. The master's host loses power, and
gets it back when its successor has restarted what ran there. Each hundred deaths are a world of their own.

Examples:
  holdfast simulate successions --count 10000     the whole proof
  holdfast simulate successions --only 17         the 17th hundred again, with all that happens

Exit codes: 0 no VM on another host ended, 1 one did, 2 a bad command.";

const HOUR: Duration = Duration::from_secs(3_600);
/// So many deaths of masters happen in one world.
const DEATHS: u64 = 100;
/// So many moments before and after a failure are shown.
const BEFORE: usize = 40;
const AFTER: usize = 10;

#[derive(Debug, Args)]
pub struct CalmArgs {
    /// How many hours, in virtual time
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    hours: u64,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct SuccessionsArgs {
    /// How many masters die; rounded up to whole hundreds
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Plays the world of this seed alone, and prints all that happens in it
    #[arg(long, value_name = "SEED")]
    only: Option<u64>,
    /// How many worlds are played at once; by default, one on each core
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub sabotage: Sabotage,
}

/// Plays the hours.
pub fn calm(args: &CalmArgs, output: &mut Output) -> anyhow::Result<Exit> {
    play(&args.common, args.hours, "stalls", |seed, keep| trial::calm(seed, HOUR, keep), output)
}

/// Plays the successions.
pub fn successions(args: &SuccessionsArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let worlds = args.count.div_ceil(DEATHS);
    play(&args.common, worlds, "masters died", |seed, keep| trial::successions(seed, DEATHS, keep), output)
}

fn play(
    args: &CommonArgs,
    worlds: u64,
    what: &str,
    one: impl Fn(u64, bool) -> Trial + Sync,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let seeds = args.only.map_or(1..=worlds, |seed| seed..=seed);
    let (mut sum, mut failed, mut told) = (Trial::default(), 0, Ok(()));
    // Whether a rule is broken is a matter of each thread; that the name is known was found before.
    let work = |seed| args.sabotage.begin().map(|()| one(seed, args.only.is_some()));
    in_order(
        jobs(args.jobs),
        seeds,
        || true,
        work,
        |seed, trial| {
            told = trial.and_then(|trial| {
                sum.lasted += trial.lasted;
                sum.trials += trial.trials;
                sum.judged += trial.judged;
                failed += u64::from(!trial.failures.is_empty());
                tell(seed, &trial, args.only.is_some(), failed == 1, output)
            });
            if told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    );
    told?;
    let hours = sum.lasted.as_secs_f64() / HOUR.as_secs_f64();
    output
        .line(&format!("{hours:.1} hours, {} {what}, {} judgements, {failed} worlds failed", sum.trials, sum.judged))?;
    Ok(if failed == 0 { Exit::Good } else { Exit::Violation })
}

/// Says what went wrong in a world; for the first one, with what happened around it.
fn tell(seed: u64, trial: &Trial, whole: bool, is_first: bool, output: &mut Output) -> anyhow::Result<()> {
    if !trial.failures.is_empty() {
        output.line(&format!("seed {seed} FAILED; to see it: --only {seed}"))?;
    }
    for failure in &trial.failures {
        output.line(&format!("  {failure}"))?;
    }
    let lines: Vec<String> = trial.timeline.iter().map(|moment| explain::line(moment, &trial.names)).collect();
    let first = trial.failures.iter().find_map(|failure| lines.iter().position(|line| line == failure));
    let (from, to) = match first {
        _ if whole => (0, lines.len()),
        Some(first) if is_first => (first.saturating_sub(BEFORE), (first + AFTER).min(lines.len())),
        _ => return output.flush(),
    };
    for line in lines.get(from..to).into_iter().flatten() {
        output.line(&format!("    {line}"))?;
    }
    output.flush()
}
