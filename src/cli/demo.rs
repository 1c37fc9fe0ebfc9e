//! `holdfast demo`: a cluster on this machine loses a host, and gets its VMs back.

use super::agent::{ProfileArg, runtime};
use super::output::Output;
use super::{Exit, Format};
use crate::api::FiguresView;
use crate::clock;
use crate::demo::{Cluster, Told, Victim, Wanted, all_run, tell};
use crate::member::Places;
use crate::words::{format_duration, parse_duration};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const HELP: &str = "\
Three hosts on loopback, each of real processes: an agent, its VMs, and a board with a watchdog and a BMC that speaks
Redfish. Six VMs run; then one host is killed with kill -9. Nothing needs root, and nothing is left behind.

Examples:
  holdfast demo
  holdfast demo --profile fast --victim master
  holdfast demo --no-fence          # no BMC: the lease and the watchdog prove the death
  holdfast demo --keep              # leave the cluster up, and say how to talk to it
  holdfast demo -o json";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Which time limits hold
    #[arg(long, value_enum, default_value_t = ProfileArg::Fast)]
    profile: ProfileArg,
    /// Which host is killed
    #[arg(long, value_enum, default_value_t = VictimArg::Other)]
    victim: VictimArg,
    /// How long a BMC takes to switch a host off
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    fence_delay: Duration,
    /// Without fence devices: the end of the lease must prove the host dead
    #[arg(long)]
    no_fence: bool,
    /// So many VMs
    #[arg(long, value_name = "NUMBER", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=60))]
    vms: u32,
    /// So many heartbeat datastores
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=8))]
    datastores: u32,
    /// Leaves the cluster up afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Where everything of it lies; a folder that is removed afterwards, if none is named
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// In which form
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum VictimArg {
    /// One that is not the master's
    Other,
    /// The master's
    Master,
}

pub(super) fn demo(args: &DemoArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let scratch = Scratch::new(args.directory.clone())?;
    let program = std::env::current_exe().context("the program does not know where it lies")?;
    let wanted = Wanted {
        profile: args.profile.into(),
        datastores: args.datastores as usize,
        fence: (!args.no_fence).then_some(args.fence_delay),
        ..Wanted::ordinary(scratch.path.clone(), program)
    };
    runtime()?.block_on(show(args, wanted, output))
}

async fn show(args: &DemoArgs, wanted: Wanted, output: &mut Output) -> anyhow::Result<Exit> {
    let mut cluster = Cluster::raise(wanted).await?;
    let result = played(args, &cluster, output).await;
    if args.keep && result.is_ok() {
        keep(&cluster, output).await?;
    }
    cluster.end().await?;
    result.map(|told| if told.clashes == 0 { Exit::Good } else { Exit::Violation })
}

async fn played(args: &DemoArgs, cluster: &Cluster, output: &mut Output) -> anyhow::Result<Told> {
    cluster.arm().await?;
    let hosts: Vec<String> = cluster.machines().iter().map(|machine| machine.name.clone()).collect();
    for number in 1..=args.vms {
        let home = hosts.get(number as usize % hosts.len()).map(String::as_str);
        cluster.add_vm(&format!("vm-{number}"), home, true).await?;
    }
    all_run(cluster, args.vms as usize).await?;
    let text = args.output == Format::Text;
    if text {
        let master = cluster.master().await?;
        output.line(&format!("{} hosts, {} VMs run, {master} is master", hosts.len(), args.vms))?;
        output.line("")?;
        output.flush()?;
    }
    let victim = match args.victim {
        VictimArg::Other => Victim::Other,
        VictimArg::Master => Victim::Master,
    };
    let began = clock::boottime();
    let mut failed = None;
    let told = tell(cluster, victim, |line| {
        let after = clock::boottime().since(began).as_secs_f64();
        let written =
            if text { output.line(&format!("{after:>8.3} s  {line}")).and_then(|()| output.flush()) } else { Ok(()) };
        failed = failed.take().or(written.err());
    })
    .await?;
    match failed {
        Some(error) => return Err(error),
        None if text => report(&told, output)?,
        None => output.line(&serde_json::to_string(&told)?)?,
    }
    Ok(told)
}

fn report(told: &Told, output: &mut Output) -> anyhow::Result<()> {
    output.line("")?;
    for vm in &told.vms {
        let recovery = told.recoveries.iter().rev().find(|recovery| recovery.vm == vm.name);
        let because = recovery.and_then(|recovery| recovery.because.clone()).unwrap_or_default();
        output.line(&format!("{}: {} -> {}, proven: {} ({because})", vm.name, vm.from, vm.to, vm.proof))?;
        if let Some(recovery) = recovery {
            output.line(&format!(
                "    kill to running {:.0} ms; by the ledger: detect {} ms, prove {} ms, queue {} ms, start {} ms",
                vm.kill_to_running_ms, recovery.detect_ms, recovery.prove_ms, recovery.queue_ms, recovery.start_ms
            ))?;
        }
    }
    output.line("")?;
    availability(&told.availability, output)?;
    output.line("")?;
    output.line(&format!("kill to running, median of {}: {:.0} ms", told.vms.len(), told.median_ms))?;
    output.line(&format!("disks ever written by two at once: {}", told.clashes))
}

fn availability(view: &FiguresView, output: &mut Output) -> anyhow::Result<()> {
    output.line(&format!(
        "{:<10} {:>12} {:>12} {:>12} {:>10} {:>7}",
        "VM", "up", "planned", "unplanned", "percent", "nines"
    ))?;
    for row in &view.rows {
        let time = |milliseconds: i64| format_duration(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)));
        output.line(&format!(
            "{:<10} {:>12} {:>12} {:>12} {:>10} {:>7}",
            row.name,
            time(row.up_ms),
            time(row.planned_ms),
            time(row.unplanned_ms),
            row.percent.map_or("-".to_owned(), |percent| format!("{percent:.3}")),
            row.nines.map_or("-".to_owned(), |nines| format!("{nines:.1}")),
        ))?;
    }
    Ok(())
}

async fn keep(cluster: &Cluster, output: &mut Output) -> anyhow::Result<()> {
    output.line("")?;
    output.line("the cluster stays up until Ctrl-C; talk to it so, from another terminal:")?;
    let program = std::env::current_exe().context("the program does not know where it lies")?;
    let sockets = cluster.machines().iter().map(|machine| Places::of(&machine.state()).socket());
    // Each by another host, to show that any will do.
    for (words, socket) in ["status", "vm list", "events --follow"].iter().zip(sockets) {
        output.line(&format!("  {} {words} --socket {}", quoted(&program), quoted(&socket)))?;
    }
    output.flush()?;
    tokio::signal::ctrl_c().await.context("Ctrl-C cannot be caught")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A folder for the time of a demonstration.
pub(super) struct Scratch {
    path: PathBuf,
    is_ours: bool,
}

impl Scratch {
    pub(super) fn new(named: Option<PathBuf>) -> anyhow::Result<Scratch> {
        let is_ours = named.is_none();
        let path = match named {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("holdfast-demo-{}", uuid::Uuid::new_v4())),
        };
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Scratch { path, is_ours })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder for those who seek what went wrong, and says where it is.
    pub(super) fn keep(mut self, output: &mut Output) -> anyhow::Result<()> {
        self.is_ours = false;
        output.line(&format!("logs and disks: {}", self.path.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_ours {
            // What can not be removed is in the folder for such things, and small.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/holdfast-demo-1/a.sock")), "/tmp/holdfast-demo-1/a.sock");
        assert_eq!(quoted(Path::new("/tmp/it's mine")), r"'/tmp/it'\''s mine'");
    }
}
