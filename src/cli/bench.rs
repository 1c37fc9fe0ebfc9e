//! `holdfast bench`: how quick the simulator, the planner, the master and what is kept of the past are on this machine,
//! on one core.

use super::figure::{Figure, timed};
use super::output::Output;
use super::{Exit, Format, bench_history};
use crate::api::Handle;
use crate::core::timing::Profile;
use crate::metrics::cluster_page;
use crate::runtime::{Call, Glance};
use crate::sim::bench::{Heartbeats, rack_example};
use crate::sim::generate::{self, Shape};
use crate::sim::play::{Keep, play};
use crate::sim::world::Simulation;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Shown below the options.
pub const HELP: &str = "\
Everything runs on one core, several times, and the middle of all runs is printed, with the best and the worst. The
history is made once, in the folder for temporary files, takes some minutes and 2 GiB there, and has to be named.

Examples:
  holdfast bench                              all of them
  holdfast bench plan heartbeat --runs 9      two of them, each nine times
  holdfast bench history                      a year of 1,000 hosts and 20,000 VMs
  holdfast bench -o json                      for machines";

/// The soak's own worlds.
const SHAPE: Shape = Shape { hosts: 5, vms: 20, profile: Profile::Lan, lasts: Duration::from_secs(600) };
/// The seeds that are played.
const SEEDS: u64 = 20;
/// A cluster's hosts and VMs, and the hosts of a rack.
const RACK: (u32, u32, u32) = (1_000, 20_000, 40);
/// The sizes at which a heartbeat's cost is measured.
const HOSTS: [u32; 4] = [10, 100, 1_000, 10_000];
/// So many heartbeats are measured at the least, in each run.
const BEATS: u64 = 200_000;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What is measured; by default, all but the history
    #[arg(value_enum, value_name = "WHAT")]
    what: Vec<What>,
    /// How often
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    runs: NonZeroUsize,
    /// In which form the figures are printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Virtual against real time, with the checkers, every heartbeat, and faults or none.
    Simulator,
    /// The plan for a dead rack of 40 among 1,000 hosts with 20,000 VMs.
    Plan,
    /// What a heartbeat costs the master of 10 to 10,000 hosts.
    Heartbeat,
    /// What it costs to keep load and what happened, of 1,000 hosts with 20,000 VMs, and how soon it is told.
    History,
    /// What the master of 1,000 hosts with 20,000 VMs takes to tell Prometheus of them, and for how long at a time.
    Metrics,
}

/// Measures, and prints the figures as they come.
pub fn bench(args: &BenchArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let all = [What::Simulator, What::Plan, What::Heartbeat, What::Metrics];
    let wanted = if args.what.is_empty() { &all[..] } else { &args.what };
    let runs = args.runs.get();
    let mut figures = Vec::new();
    for what in wanted {
        let measured = match what {
            What::Simulator => simulator(runs),
            What::Plan => vec![plan(runs)],
            What::Heartbeat => heartbeat(runs),
            What::History => bench_history::history(runs)?,
            What::Metrics => metrics(runs)?,
        };
        if args.output == Format::Text {
            for figure in &measured {
                output.line(&figure.line())?;
            }
            output.flush()?;
        }
        figures.extend(measured);
    }
    if args.output == Format::Json {
        let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
        output.line(&json!({ "runs": runs, "figures": figures }).to_string())?;
    }
    Ok(Exit::Good)
}

fn simulator(runs: usize) -> Vec<Figure> {
    let virtual_time = SHAPE.lasts.as_secs_f64() * SEEDS as f64;
    let speed = |one: &dyn Fn(u64)| -> Vec<f64> {
        (0..runs).map(|_| virtual_time / timed(|| (1..=SEEDS).for_each(one)).as_secs_f64()).collect()
    };
    let unit = "times real time";
    let with_faults = speed(&|seed| drop(black_box(play(seed, &SHAPE, Keep::Counts))));
    let without = speed(&|seed| {
        let mut simulation = Simulation::new(generate::world(seed, &SHAPE).spec);
        simulation.run_until(SHAPE.lasts);
        black_box(simulation.steps());
    });
    vec![
        Figure::new("simulator: 5 hosts, 20 VMs, checkers, faults", unit, with_faults),
        Figure::new("simulator: 5 hosts, 20 VMs, checkers", unit, without),
    ]
}

fn plan(runs: usize) -> Figure {
    let (hosts, vms, rack) = RACK;
    let example = rack_example(hosts, vms, rack);
    let one = || timed(|| drop(black_box(example.plan()))).as_secs_f64() * 1e3;
    let values = (0..runs.max(25)).map(|_| one()).collect();
    Figure::new(format!("plan: {rack} of {hosts} hosts dead, {vms} VMs"), "ms", values)
}

/// The node stands still between two looks at it, as its loop would, and is looked at as by whoever asks.
fn metrics(runs: usize) -> anyhow::Result<Vec<Figure>> {
    let (calls, mut called) = mpsc::channel(1);
    let (_glance, glance) = watch::channel(Glance::default());
    let (_facts, facts) = watch::channel(0);
    let looked_at = thread::spawn(move || {
        let (node, now) = Heartbeats::of(RACK.0).into_node();
        let mut looks = Vec::new();
        while let Some(Call::Look(look)) = called.blocking_recv() {
            looks.push(timed(|| look(&node, now)).as_secs_f64() * 1e3);
        }
        looks
    });
    let handle = Handle { calls, glance, facts };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    // The first one waits for the cluster to be made.
    let lines = runtime.block_on(cluster_page(&handle)).lines().count();
    let one = || timed(|| drop(black_box(runtime.block_on(cluster_page(&handle))))).as_secs_f64() * 1e3;
    let pages = (0..runs.max(9)).map(|_| one()).collect();
    drop(handle);
    let looks = looked_at.join().map_err(|_| anyhow::anyhow!("the node has panicked"))?;
    let (hosts, vms, _) = RACK;
    Ok(vec![
        Figure::new(format!("metrics: {hosts} hosts, {vms} VMs, {lines} lines"), "ms", pages),
        Figure::new("metrics: one look at the node".to_owned(), "ms", looks),
    ])
}

fn heartbeat(runs: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for hosts in HOSTS {
        let (alone, all) = (0..runs).map(|_| heartbeats(hosts)).unzip();
        figures.push(Figure::new(format!("heartbeat at {hosts} hosts"), "ns each", alone));
        figures.push(Figure::new(format!("with all that is periodic at {hosts} hosts"), "ns for each heartbeat", all));
    }
    figures
}

/// The nanoseconds of a heartbeat alone, and with its share of scans, quorum rounds and reading of records.
fn heartbeats(hosts: u32) -> (f64, f64) {
    let mut example = Heartbeats::of(hosts);
    let (mut beats, mut alone, mut periodic) = (0, Duration::ZERO, Duration::ZERO);
    while beats < BEATS.max(u64::from(hosts) * 20) {
        alone += timed(|| beats += example.beats());
        periodic += timed(|| example.wake());
        example.look();
        periodic += timed(|| example.answers());
    }
    let each = |time: Duration| time.as_secs_f64() * 1e9 / beats as f64;
    (each(alone), each(alone + periodic))
}
