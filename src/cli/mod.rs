//! The command line: reads what a person wants, calls what does it, and says how it went.

mod agent;
mod bench;
mod bench_cluster;
mod chaos;
mod cluster;
mod datastore;
mod demo;
mod figure;
#[cfg(feature = "libvirt")]
mod libvirt;
mod machine;
mod output;
mod process;
mod replay;
mod run;
#[cfg(feature = "sabotage")]
mod sabotage;
mod seeds;
mod soak;
mod trial;
mod watchdog;

use crate::client::ClientError;
use crate::member::JoinError;
use clap::{Args, Parser, Subcommand, ValueEnum};
use output::Output;
use std::time::Instant;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is as it should be.
    Good,
    /// An invariant was violated, or a scenario's demand was not met.
    Violation,
    /// The command, or a file that it names, is wrong.
    BadUsage,
    /// Something that a soak must bring about never occurred.
    CoverageGap,
    /// It was tried and did not come about, or the cluster refused it.
    Failed,
    /// Nobody answers, or there is no master.
    NoAnswer,
    /// It was not seen to come about in time. It may still happen.
    TimedOut,
    /// A VM of the embedded hypervisor ended otherwise than by its guest's powering off.
    VmEnded(u8),
}

impl Exit {
    /// The code that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Good => 0,
            Exit::Violation => 1,
            Exit::BadUsage => 2,
            Exit::CoverageGap => 3,
            Exit::Failed => 4,
            Exit::NoAnswer => 5,
            Exit::TimedOut => 6,
            Exit::VmEnded(code) => code,
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all is as it should be
  1  an invariant was violated, or a scenario's demand was not met
  2  the command, or a file that it names, is wrong
  3  a soak never brought about something that it must
  4  it was tried and did not come about, or the cluster refused it
  5  nobody answers, or there is no master
  6  it was not seen to come about in time; it may still happen";

/// Keeps virtual machines running when hosts die: never two copies, a stored proof for every restart.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Cluster(cluster::ClusterCommand),
    /// Runs the agent of this host
    Agent(agent::AgentArgs),
    /// Makes a cluster, with this host as its first member
    Init(agent::InitArgs),
    /// Joins the cluster that has given the token
    Join(agent::JoinArgs),
    /// Shows the main job: a cluster on this machine loses a host, and gets its VMs back
    #[command(after_help = demo::HELP)]
    Demo(demo::DemoArgs),
    /// Looks after the configuration of this host
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Plays whole clusters through faults, in virtual time: the same code that decides on real hosts
    #[command(subcommand, after_help = EXIT_CODES)]
    Simulate(Simulate),
    /// Makes heartbeat datastores, and shows what is on them
    #[command(subcommand)]
    Datastore(datastore::Datastore),
    /// Looks at the hardware watchdog of this host
    #[command(subcommand)]
    Watchdog(watchdog::WatchdogCommand),
    /// Lets random faults befall a cluster of real processes, and checks what must hold
    #[command(hide = true)]
    Chaos(chaos::ChaosArgs),
    /// Measures how quick the simulator, the planner and the master are
    #[command(hide = true, after_help = bench::HELP)]
    Bench(bench::BenchArgs),
    /// Measures the living cluster: how soon VMs are back, what an idle agent costs, and many agents at once
    #[command(hide = true, after_help = bench_cluster::HELP)]
    BenchCluster(bench_cluster::BenchClusterArgs),
    /// Makes an empty disk for a VM of the embedded hypervisor
    #[command(hide = true)]
    ProcessDisk(process::ProcessDiskArgs),
    /// Is a VM of the embedded hypervisor
    #[command(hide = true)]
    ProcessVm(process::ProcessVmArgs),
    /// Answers libvirt's hook for QEMU
    #[cfg(feature = "libvirt")]
    #[command(hide = true)]
    LibvirtHook(libvirt::LibvirtHookArgs),
    /// Stands in for the hardware of one simulated host: power, BMC and watchdog
    #[command(hide = true, after_help = machine::HELP)]
    Machine(machine::MachineArgs),
    /// The first process of such a machine's host
    #[command(hide = true)]
    MachineInit(machine::InitArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says what is wrong with the configuration, if anything is
    Check(agent::CheckArgs),
}

#[derive(Debug, Subcommand)]
enum Simulate {
    /// Runs scenarios and compares what is decided with what they expect
    #[command(after_help = run::HELP)]
    Run(run::RunArgs),
    /// Runs random worlds, one for each seed, and looks for violations and for what never occurred
    #[command(after_help = soak::HELP)]
    Soak(soak::SoakArgs),
    /// Runs one seed of a soak again and prints all that happened
    #[command(after_help = replay::HELP)]
    Replay(replay::ReplayArgs),
    /// Plays hours of a bad network and short stalls, in which no VM may be restarted
    #[command(hide = true, after_help = trial::CALM_HELP)]
    Calm(trial::CalmArgs),
    /// Lets one master after another die, which no other host's VMs may feel
    #[command(hide = true, after_help = trial::SUCCESSIONS_HELP)]
    Successions(trial::SuccessionsArgs),
    /// Breaks the rules of the protocol one at a time, and seeks the first seed whose checkers notice
    #[cfg(feature = "sabotage")]
    Sabotage(sabotage::SabotageArgs),
}

/// In which form something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object in a line.
    Json,
}

/// Breaks one rule of the protocol on purpose, to show that the checkers notice. Only in builds made for that.
#[derive(Debug, Clone, Args)]
struct Sabotage {
    /// Breaks the named rule
    #[cfg(feature = "sabotage")]
    #[arg(long, value_name = "NAME", hide = true)]
    sabotage: Option<String>,
}

impl Sabotage {
    #[cfg(feature = "sabotage")]
    fn begin(&self) -> anyhow::Result<()> {
        if let Some(name) = &self.sabotage {
            crate::core::sabotage::set(Some(Sabotage::named(name)?));
        }
        Ok(())
    }

    /// The rule of this name.
    #[cfg(feature = "sabotage")]
    fn named(name: &str) -> anyhow::Result<crate::core::sabotage::Sabotage> {
        use crate::core::sabotage::Sabotage;
        use crate::reader::choice;
        use anyhow::Context;
        let known = Sabotage::ALL.map(|sabotage| format!("{sabotage:?}"));
        let unknown = || format!("no rule is called \"{name}\"; {}", choice(name, known.iter().map(String::as_str)));
        Sabotage::named(name).with_context(unknown)
    }

    #[cfg(not(feature = "sabotage"))]
    fn begin(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Does what the command line asks for.
pub fn dispatch(cli: &Cli) -> Exit {
    let mut output = Output::new();
    let result = match &cli.command {
        Command::Cluster(command) => cluster::cluster(command, &mut output),
        Command::Agent(args) => agent::agent(args),
        Command::Init(args) => agent::init(args, &mut output),
        Command::Join(args) => agent::joins(args, &mut output),
        Command::Demo(args) => demo::demo(args, &mut output),
        Command::Config(ConfigCommand::Check(args)) => agent::check(args, &mut output),
        Command::Simulate(simulate) => simulate_as(simulate, &mut output),
        Command::Datastore(command) => datastore::datastore(command, &mut output),
        Command::Watchdog(command) => watchdog::watchdog(command, &mut output),
        Command::Chaos(args) => chaos::run(args, &mut output),
        Command::Bench(args) => bench::bench(args, &mut output),
        Command::BenchCluster(args) => bench_cluster::run(args, &mut output),
        Command::ProcessDisk(args) => process::process_disk(args),
        Command::ProcessVm(args) => Ok(process::process_vm(args)),
        #[cfg(feature = "libvirt")]
        Command::LibvirtHook(args) => Ok(libvirt::hook(args)),
        Command::Machine(args) => machine::machine(args),
        Command::MachineInit(args) => machine::init(args),
    };
    result.and_then(|exit| output.finish().map(|()| exit)).unwrap_or_else(|error| {
        output::complain(&told(&error));
        exit_after(&error)
    })
}

/// What went wrong, down to the cause, without saying anything twice.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The code for scripts, by what went wrong.
fn exit_after(error: &anyhow::Error) -> Exit {
    if let Some(ended) = error.downcast_ref::<cluster::Ended>() {
        return ended.exit;
    }
    match error.downcast_ref::<JoinError>() {
        Some(JoinError::Unreachable { .. }) => return Exit::NoAnswer,
        Some(JoinError::Refused(_) | JoinError::Nonsense { .. }) => return Exit::Failed,
        _ => {}
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. } | ClientError::Lost { .. }) => Exit::NoAnswer,
        Some(refused @ ClientError::Refused { .. }) => match refused.code() {
            Some("no-master" | "unanswered") => Exit::NoAnswer,
            _ => Exit::Failed,
        },
        Some(ClientError::Nonsense { .. }) => Exit::Failed,
        Some(ClientError::Trust(_)) | None => Exit::BadUsage,
    }
}

fn simulate_as(simulate: &Simulate, output: &mut Output) -> anyhow::Result<Exit> {
    match simulate {
        Simulate::Run(args) => args.sabotage.begin().and_then(|()| run::run(args, output)),
        Simulate::Soak(args) => args.sabotage.begin().and_then(|()| soak::soak(args, output)),
        Simulate::Replay(args) => args.sabotage.begin().and_then(|()| replay::replay(args, output)),
        Simulate::Calm(args) => args.common.sabotage.begin().and_then(|()| trial::calm(args, output)),
        Simulate::Successions(args) => args.common.sabotage.begin().and_then(|()| trial::successions(args, output)),
        #[cfg(feature = "sabotage")]
        Simulate::Sabotage(args) => sabotage::sabotage(args, output),
    }
}

/// The real clock: for a person's time limit, and to measure. Nothing that happens in a world hangs on it.
#[expect(clippy::disallowed_methods, reason = "a person's time is real time")]
fn real_now() -> Instant {
    Instant::now()
}
