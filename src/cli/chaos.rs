//! `holdfast chaos`: random faults on a cluster of real processes.

use super::Exit;
use super::agent::{ProfileArg, runtime};
use super::demo::Scratch;
use super::output::Output;
use crate::demo::{Chaos, Wanted, chaos};
use anyhow::Context;
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct ChaosArgs {
    /// For how long
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    minutes: u64,
    /// Where every choice comes from; a random one if none is given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// So many hosts
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=9))]
    hosts: u32,
    /// So many VMs
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    vms: u32,
    /// Which time limits hold
    #[arg(long, value_enum, default_value_t = ProfileArg::Lan)]
    profile: ProfileArg,
}

pub(super) fn run(args: &ChaosArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let scratch = Scratch::new(None)?;
    let program = std::env::current_exe().context("the program does not know where it lies")?;
    let wanted = Wanted {
        hosts: args.hosts,
        profile: args.profile.into(),
        datastores: 2,
        ..Wanted::ordinary(scratch.path().to_owned(), program)
    };
    let seed = args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let plan = Chaos { lasts: Duration::from_secs(args.minutes * 60), seed, vms: args.vms as usize };
    output.line(&format!("seed {seed}, {} hosts, {} VMs, {} minutes", args.hosts, args.vms, args.minutes))?;
    output.flush()?;
    let mut failed = None;
    let result = runtime()?.block_on(chaos(wanted, &plan, |line| {
        failed = failed.take().or(output.line(line).and_then(|()| output.flush()).err());
    }));
    match (failed, result) {
        (Some(error), _) => Err(error),
        (None, Ok(ended)) => {
            let faults: Vec<String> = ended.faults.iter().map(|(name, times)| format!("{name} {times}")).collect();
            output.line(&format!("faults: {}", faults.join(", ")))?;
            output.line(&format!("{} rounds, {} restarts, nothing violated", ended.rounds, ended.restarts))?;
            Ok(Exit::Good)
        }
        (None, Err(error)) => {
            output.line(&format!("FAILED: {error:#}"))?;
            scratch.keep(output)?;
            Ok(Exit::Violation)
        }
    }
}
