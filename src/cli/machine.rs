//! `holdfast machine`: stands in for the hardware of one simulated host.

use super::Exit;
use crate::machine::{self, AfterWatchdog, Config, Program, Role};
use crate::words::parse_duration;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Shown below the options.
pub const HELP: &str = "\
It switches itself on. SIGTERM switches it off and ends it; nothing of its host is left then.

Examples:
  holdfast machine --directory m1 --uuid 6f2c… -- holdfast agent --run m1/run
  curl -k -u admin:$(cat m1/bmc-password) $(jq -r .address m1/bmc.json)/redfish/v1/Systems/1";

#[derive(Debug, Args)]
pub struct MachineArgs {
    /// Its folder: machine.json, bmc.json, watchdog.sock, and run, which lives as long as a boot
    #[arg(long, value_name = "FOLDER")]
    directory: PathBuf,
    /// Its identity
    #[arg(long, value_name = "UUID")]
    uuid: Uuid,
    /// Where its BMC listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    bmc_listen: SocketAddr,
    /// The user of its BMC
    #[arg(long, value_name = "NAME", default_value = "admin")]
    user: String,
    /// Where the password of its BMC is; by default it makes one up, in its folder
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// How long an order for the power takes to take effect
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    power_delay: Duration,
    /// What follows when its watchdog was not fed
    #[arg(long, value_enum, value_name = "WHAT", default_value = "restart")]
    after_watchdog: After,
    /// Ends when its standard input does
    #[arg(long)]
    end_with_input: bool,
    #[command(flatten)]
    program: ProgramArgs,
}

#[derive(Debug, Args)]
pub struct ProgramArgs {
    /// Starts an agent again that ended with an error
    #[arg(long)]
    restart_agent: bool,
    /// Takes the command for a whole system, which is told to shut down, ends its guests by itself, and is the host
    #[arg(long, conflicts_with = "restart_agent")]
    system: bool,
    /// What its host runs: the agent
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file that it puts there when it shuts down
    #[arg(long, value_name = "FILE")]
    shutdown_mark: PathBuf,
    #[command(flatten)]
    program: ProgramArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum After {
    /// It stays off
    Off,
    /// It boots anew
    Restart,
}

/// Is a machine until it is told to end.
pub fn machine(args: &MachineArgs) -> anyhow::Result<Exit> {
    log();
    machine::run(Config {
        directory: args.directory.clone(),
        uuid: args.uuid,
        bmc_listen: args.bmc_listen,
        user: args.user.clone(),
        password_file: args.password_file.clone(),
        power_delay: args.power_delay,
        after_watchdog: match args.after_watchdog {
            After::Off => AfterWatchdog::Off,
            After::Restart => AfterWatchdog::Restart,
        },
        ends_with_input: args.end_with_input,
        program: program(&args.program),
    })?;
    Ok(Exit::Good)
}

/// Is the first process of a machine's host until that is shut down.
pub fn init(args: &InitArgs) -> anyhow::Result<Exit> {
    log();
    machine::run_init(program(&args.program), args.shutdown_mark.clone())?;
    Ok(Exit::Good)
}

fn program(args: &ProgramArgs) -> Program {
    let role = if args.system { Role::System } else { Role::Agent };
    Program { command: args.command.clone(), restart: args.restart_agent, role }
}

fn log() {
    let errors = std::io::stderr();
    tracing_subscriber::fmt().with_ansi(errors.is_terminal()).with_writer(std::io::stderr).init();
}
