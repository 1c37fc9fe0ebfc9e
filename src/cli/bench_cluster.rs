//! `holdfast bench-cluster`: what the living cluster costs, and how quick it is.

use super::agent::{ProfileArg, runtime};
use super::demo::Scratch;
use super::figure::Figure;
use super::output::Output;
use super::{Exit, Format};
use crate::core::timing::Profile;
use crate::demo::measure::{Case, Cost, Failover, Idle, Scale, Scaled, failover, idle, scale};
use crate::demo::{Victim, Wanted};
use crate::words::{format_duration, parse_duration};
use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::time::Duration;

pub(super) const HELP: &str = "\
Real processes on loopback, all on the processors of this one machine: let nothing else run meanwhile. The middle of
all values is printed, with the least and the most.

Examples:
  holdfast bench-cluster                                  all of it, for half an hour
  holdfast bench-cluster failover --times 3               three runs of each case
  holdfast bench-cluster idle --vms 50 --profile fast     what an agent costs while nothing happens
  holdfast bench-cluster scale --hosts 50 --minutes 2     50 agents, 5 of them voters; then one host dies
  holdfast bench-cluster -o json                          for machines";

/// How long fence devices take, with the quick time limits.
const FENCES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

#[derive(Debug, Args)]
pub(super) struct BenchClusterArgs {
    /// What is measured; by default, all
    #[arg(value_enum, value_name = "WHAT")]
    what: Vec<What>,
    /// How often a host is killed, in each case
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    times: NonZeroUsize,
    /// How many VMs an idle agent has
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    vms: u16,
    /// For how long an idle agent is looked at
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    idle_for: Duration,
    /// Which time limits idle and many agents have
    #[arg(long, value_enum, default_value_t = ProfileArg::Lan)]
    profile: ProfileArg,
    /// How many agents there are at once
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(5..=100))]
    hosts: u32,
    /// How many of them vote
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=7))]
    voters: u32,
    /// For how many minutes many agents must be stable
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    minutes: u64,
    /// In which form the figures are printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// From the death of a host until its VMs run again.
    Failover,
    /// Processor and memory of an agent while nothing happens.
    Idle,
    /// Many agents at once.
    Scale,
}

/// What is printed, and whether all was as it must be.
struct Report<'a> {
    output: &'a mut Output,
    text: bool,
    figures: Vec<Figure>,
    exit: Exit,
}

impl Report<'_> {
    fn figure(&mut self, figure: Figure) -> anyhow::Result<()> {
        if self.text {
            self.output.line(&figure.line())?;
            self.output.flush()?;
        }
        self.figures.push(figure);
        Ok(())
    }

    fn wrong(&mut self, what: &str) {
        super::output::complain(what);
        self.exit = Exit::Violation;
    }
}

pub(super) fn run(args: &BenchClusterArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let all = [What::Failover, What::Idle, What::Scale];
    let wanted = if args.what.is_empty() { &all[..] } else { &args.what };
    let mut report = Report { output, text: args.output == Format::Text, figures: Vec::new(), exit: Exit::Good };
    let runtime = runtime()?;
    for what in wanted {
        runtime.block_on(async {
            match what {
                What::Failover => failovers(args, &mut report).await,
                What::Idle => idles(args, &mut report).await,
                What::Scale => scales(args, &mut report).await,
            }
        })?;
    }
    if args.output == Format::Json {
        let figures: Vec<Value> = report.figures.iter().map(Figure::json).collect();
        report.output.line(&json!({ "figures": figures }).to_string())?;
    }
    Ok(report.exit)
}

/// A folder, and an ordinary cluster in it.
fn ordinary() -> anyhow::Result<(Scratch, Wanted)> {
    let scratch = Scratch::new(None)?;
    let program = std::env::current_exe().context("the program does not know where it lies")?;
    let wanted = Wanted::ordinary(scratch.path().to_owned(), program);
    Ok((scratch, wanted))
}

async fn failovers(args: &BenchClusterArgs, report: &mut Report<'_>) -> anyhow::Result<()> {
    let quick = FENCES.map(|fence| (Profile::Fast, Some(fence)));
    let others = [(Profile::Fast, None), (Profile::Lan, Some(Duration::ZERO)), (Profile::Lan, None)];
    for (profile, fence) in quick.into_iter().chain(others) {
        for (victim, whose) in [(Victim::Other, "a host"), (Victim::Master, "the master's host")] {
            let mut all = Failover::default();
            for _ in 0..args.times.get() {
                let (_scratch, wanted) = ordinary()?;
                all.add(&failover(wanted, Case { profile, fence, victim }).await?);
            }
            let device = fence.map_or("no fence".to_owned(), |delay| format!("fence {}", format_duration(delay)));
            let name = format!("{} dies, {}, {device}", whose, profile_name(profile));
            let proofs: Vec<String> = all.proofs.iter().map(|(proof, count)| format!("{proof} {count}")).collect();
            report.figure(Figure::new(&name, "ms until it runs", all.kill_to_running_ms).note(proofs.join(", ")))?;
            if all.clashes > 0 {
                report.wrong(&format!("{name}: {} disks were written by two at once", all.clashes));
            }
        }
    }
    Ok(())
}

fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Lan => "lan",
        Profile::Fast => "fast",
    }
}

async fn idles(args: &BenchClusterArgs, report: &mut Report<'_>) -> anyhow::Result<()> {
    let (_scratch, wanted) = ordinary()?;
    let plan = Idle { profile: args.profile.into(), vms: usize::from(args.vms), lasts: args.idle_for };
    for Cost { who, usage } in idle(wanted, &plan).await? {
        let name = |what: &str| format!("idle {who}, {}: {what}", profile_name(plan.profile));
        report.figure(Figure::new(name("processor"), "percent of a core", vec![usage.cpu_percent]))?;
        report.figure(Figure::new(name("RSS"), "MiB", vec![usage.rss_mib]))?;
        report.figure(Figure::new(name("PSS"), "MiB", vec![usage.pss_mib]))?;
    }
    Ok(())
}

async fn scales(args: &BenchClusterArgs, report: &mut Report<'_>) -> anyhow::Result<()> {
    let (scratch, wanted) = ordinary()?;
    let lasts = Duration::from_secs(args.minutes * 60);
    let plan = Scale { profile: args.profile.into(), hosts: args.hosts, voters: args.voters, lasts };
    let text = report.text;
    let result = scale(wanted, &plan, |line| {
        if text {
            // Who does not read how far it is will read what came of it.
            let _ = report.output.line(line).and_then(|()| report.output.flush());
        }
    });
    match result.await {
        Ok(scaled) => scaled_figures(&plan, scaled, report),
        Err(error) => {
            scratch.keep(report.output)?;
            Err(error)
        }
    }
}

fn scaled_figures(plan: &Scale, scaled: Scaled, report: &mut Report<'_>) -> anyhow::Result<()> {
    let Scaled { elections, judgements, events, cpu_percent, pss_mib, told } = scaled;
    let name = |what: &str| format!("{} agents, {} voters: {what}", plan.hosts, plan.voters);
    let time = format_duration(plan.lasts);
    let master = |values: &[f64]| values.first().map(|value| format!("the master's {value:.2}")).unwrap_or_default();
    let notes = [master(&cpu_percent), master(&pss_mib)];
    let total: f64 = cpu_percent.iter().sum();
    report.figure(Figure::new(name(&format!("elections in {time}")), "", vec![elections as f64]))?;
    report.figure(Figure::new(name(&format!("judgements in {time}")), "", vec![judgements as f64]))?;
    report.figure(Figure::new(name("all processors"), "percent of a core", vec![total]))?;
    let [processor, memory] = notes;
    report.figure(Figure::new(name("an agent"), "percent of a core", cpu_percent).note(processor))?;
    report.figure(Figure::new(name("an agent"), "MiB (PSS)", pss_mib).note(memory))?;
    let times = told.vms.iter().map(|vm| vm.kill_to_running_ms).collect();
    let proofs: Vec<String> = told.vms.iter().map(|vm| vm.proof.clone()).collect();
    report.figure(Figure::new(name("a host dies"), "ms until it runs", times).note(proofs.join(", ")))?;
    if elections + judgements > 0 || told.clashes > 0 {
        report.wrong(&format!("{}: {}", name("it was not stable"), events.join("; ")));
    }
    Ok(())
}
