//! The command line: reads what a person wants, calls what does it, and says how it went.

mod agent;
mod bench;
mod bench_cluster;
mod bench_history;
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
use crate::config::EXAMPLE;
use crate::member::JoinError;
use crate::openstack::CloudError;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use output::Output;
use serde_json::{Value, json};
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

/// No name of anything is longer.
const NAME_LIMIT: usize = 255;

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
    #[command(after_help = agent::AGENT_HELP)]
    Agent(agent::AgentArgs),
    /// Makes a cluster, with this host as its first member
    #[command(after_help = agent::INIT_HELP)]
    Init(agent::InitArgs),
    /// Joins the cluster that has given the token
    #[command(after_help = agent::JOIN_HELP)]
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
    #[command(after_help = "Examples:\n  holdfast config check\n  holdfast config check --config node-1.toml")]
    Check(agent::CheckArgs),
    /// Prints a whole configuration, with a word on each key
    #[command(after_help = "Examples:\n  holdfast config example > /etc/holdfast/holdfast.toml")]
    Example,
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
pub fn dispatch(cli: &Cli, complaints: Complaints) -> Exit {
    let mut output = Output::new();
    let result = match &cli.command {
        Command::Cluster(command) => cluster::cluster(command, &mut output),
        Command::Agent(args) => agent::agent(args),
        Command::Init(args) => agent::init(args, &mut output),
        Command::Join(args) => agent::joins(args, &mut output),
        Command::Demo(args) => demo::demo(args, &mut output),
        Command::Config(ConfigCommand::Check(args)) => agent::check(args, &mut output),
        Command::Config(ConfigCommand::Example) => output.line(EXAMPLE.trim_end()).map(|()| Exit::Good),
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
        let exit = exit_after(&error);
        match complaints {
            Complaints::Text => output::complain(&told(&error)),
            Complaints::Json => output::complain_in_json(&in_json(&error, exit)),
        }
        exit
    })
}

/// In which form it is said on standard error what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaints {
    /// For people.
    Text,
    /// For programs: one JSON object in a line.
    Json,
}

/// Reads what stands on the command line, and in which form it wants to be told what is wrong.
pub fn parse() -> (Cli, Complaints) {
    let matches = Cli::command().get_matches();
    let complaints = complaints(&matches);
    // What clap has taken, it can give.
    (Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()), complaints)
}

/// As the answer is wanted, so is the error.
fn complaints(matches: &ArgMatches) -> Complaints {
    let mut level = Some(matches);
    while let Some(matches) = level {
        let mut wanted = matches.try_get_raw("output").ok().flatten().into_iter().flatten();
        if wanted.any(|form| form == "json") {
            return Complaints::Json;
        }
        level = matches.subcommand().map(|(_, matches)| matches);
    }
    Complaints::Text
}

/// What went wrong, as an answer of the cluster would say it.
fn in_json(error: &anyhow::Error, exit: Exit) -> Value {
    let text = told(error);
    let (what, hint) = text.split_once("\n  hint: ").unwrap_or((&text, ""));
    let hint = (!hint.is_empty()).then_some(hint);
    let code = error.downcast_ref::<ClientError>().and_then(ClientError::code);
    json!({ "error": what, "hint": hint, "code": code, "exit": exit.code() })
}

/// A name, UUID or print, as somebody writes it.
fn named(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_LIMIT || text.chars().any(char::is_control) {
        return Err(format!("a name has between one and {NAME_LIMIT} bytes, all to be seen"));
    }
    match text {
        "." | ".." => Err(format!("nothing is called \"{text}\"; name it by its UUID")),
        _ => Ok(text.to_owned()),
    }
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
    match error.downcast_ref::<CloudError>() {
        Some(CloudError::Unreachable { .. } | CloudError::Lost { .. }) => return Exit::NoAnswer,
        Some(_) => return Exit::Failed,
        None => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_readme_is_one() {
        let text = include_str!("../../README.md");
        let commands = text.lines().filter_map(|line| line.strip_prefix("    holdfast "));
        let mut count = 0;
        for line in commands {
            let line = line.split(['#', '>']).next().unwrap_or_default();
            let quoted: Vec<&str> = line.split('"').collect();
            let words = quoted.iter().enumerate().flat_map(|(place, part)| match place % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect::<Vec<String>>(),
                _ => vec![(*part).to_owned()],
            });
            let parsed = Cli::try_parse_from(std::iter::once("holdfast".to_owned()).chain(words));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
            count += 1;
        }
        assert!(count > 20, "only {count} commands were found");
    }

    #[test]
    fn a_name_is_one_that_can_be_asked_for() {
        assert_eq!(named("a/b c"), Ok("a/b c".to_owned()));
        for wrong in ["", ".", "..", "a\nb", &"x".repeat(256)] {
            assert!(named(wrong).is_err(), "{wrong:?}");
        }
    }
}
