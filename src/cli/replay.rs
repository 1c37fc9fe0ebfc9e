//! `holdfast simulate replay`.

use super::output::Output;
use super::seeds::ShapeArgs;
use super::{Exit, Format, Sabotage};
use crate::explain::NameList;
use crate::reader::choice;
use crate::sim::play::{Keep, play};
use crate::sim::timeline::{Happening, Moment};
use crate::sim::{explain, facts};
use crate::words::parse_duration;
use anyhow::bail;
use clap::Args;
use std::time::Duration;

/// Shown below the options.
pub const HELP: &str = "\
The shape must be that of the soak, as the seed makes another world in another shape; a soak prints the whole command.
The same command prints the same bytes on every machine.

Examples:
  holdfast simulate replay --seed 17                              all that happened
  holdfast simulate replay --seed 17 --from 2m --to 2m30s         half a minute of it
  holdfast simulate replay --seed 17 --vm vm-3 --host host-2      what concerns one of these

Exit codes: 0 no violation, 1 a violation, 2 a bad command.";

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Which seed
    #[arg(long, value_name = "NUMBER")]
    seed: u64,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Leaves out what happened before
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    from: Option<Duration>,
    /// Leaves out what happened after
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    to: Option<Duration>,
    /// Prints what concerns this VM; with more of --vm and --host, what concerns any of them
    #[arg(long, value_name = "NAME")]
    vm: Vec<String>,
    /// Prints what concerns this host
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// In which form it is printed; JSON: one object for each moment
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    pub sabotage: Sabotage,
}

/// Plays a seed and prints what happened.
pub fn replay(args: &ReplayArgs, output: &mut Output) -> anyhow::Result<Exit> {
    if args.output == Format::Text {
        output.line(&format!("seed {}", args.seed))?;
        output.flush()?;
    }
    let (simulation, names) = play(args.seed, &args.shape.shape(), Keep::Everything);
    check_names("vm", &args.vm, names.vms.values())?;
    check_names("host", &args.host, names.hosts.values())?;
    for moment in simulation.timeline().iter().filter(|moment| is_wanted(args, moment, &names)) {
        match args.output {
            Format::Text => output.line(&explain::line(moment, &names))?,
            Format::Json => output.line(&facts::event(moment, &names).to_string())?,
        }
    }
    let unexcused = simulation.violations().iter().filter(|violation| !violation.excused).count();
    if args.output == Format::Text {
        let verdict = if unexcused == 0 { "no violation".to_owned() } else { format!("{unexcused} violations") };
        output.line(&verdict)?;
    }
    Ok(if unexcused == 0 { Exit::Good } else { Exit::Violation })
}

fn check_names<'a>(kind: &str, wanted: &[String], known: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match wanted.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => bail!("this world has no {kind} \"{name}\"; {}", choice(name, known)),
        None => Ok(()),
    }
}

/// Whether a moment passes the filters. A violation passes those for names, as it is what one looks for.
fn is_wanted(args: &ReplayArgs, moment: &Moment, names: &NameList) -> bool {
    let at = Duration::from_micros(moment.at_micros);
    if args.from.is_some_and(|from| at < from) || args.to.is_some_and(|to| at > to) {
        return false;
    }
    let mut wanted = args.vm.iter().chain(&args.host).peekable();
    if wanted.peek().is_none() || matches!(moment.what, Happening::Violation(_)) {
        return true;
    }
    let event = facts::event(moment, names);
    wanted.any(|name| facts::is_about(&event, name))
}
