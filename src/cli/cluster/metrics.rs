//! What Prometheus is told, for people.

use super::flags::Flags;
use super::session::Session;
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::metrics::describe;
use clap::Args;

pub const HELP: &str = "\
Examples:
  holdfast metrics                                # what this host tells
  holdfast metrics --server 192.0.2.2:7771        # what that one tells
  holdfast metrics --describe > metrics.md        # what each of them means

It is each host's own; the master's tells of the whole cluster, too. Rules, a dashboard and an example of how to scrape lie
in hosts/prometheus and hosts/grafana of the source.";

#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Says what there is, and what it means, as Markdown; asks nobody
    #[arg(long)]
    describe: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn metrics(args: &MetricsArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let text = if args.describe { describe() } else { Session::begin(&args.flags)?.text("/metrics")? };
    output.line(text.trim_end())?;
    Ok(Exit::Good)
}
