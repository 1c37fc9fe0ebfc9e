//! `holdfast watchdog`: what the watchdog of this host is, and, for tests, to work one without an agent.

use super::Exit;
use super::output::Output;
use crate::watchdog::{DeviceWatchdog, Kind, Opened, Watchdog};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

pub(super) const PROBE_HELP: &str = "\
Opens nothing, for to open a watchdog is to start it. Says what its driver calls it, whether it counts as hardware, which
time-out it would be given, and who holds it if it is taken. A cluster of the profile `lan` needs 4 s or less, one of the
profile `fast` 1 s.

Put into the configuration of the host:
  [watchdog]
  kind = \"device\"
  path = \"/dev/watchdog\"

If an agent ends without taking leave (a crash, kill -9), the device counts on, and resets the machine unless an agent
runs again within the time-out: systemd starts it again at once and keeps the open device meanwhile. An agent that is
stopped in good order stops the device, too, as soon as the cluster no longer counts on it. A driver loaded with
nowayout=1 cannot be stopped by anybody: while the agent runs it is fed, and after the agent has ended it resets the
machine some minutes later.

Examples:
  holdfast watchdog probe
  holdfast watchdog probe --device /dev/watchdog1 --seconds 1";

#[derive(Debug, Subcommand)]
pub(super) enum WatchdogCommand {
    /// Says what the watchdog of this host is, without starting it
    #[command(after_help = PROBE_HELP)]
    Probe(DeviceArgs),
    /// Opens a watchdog and feeds it for a while: the machine is reset when it is left alone
    #[command(hide = true)]
    Hold(HoldArgs),
}

#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// The device
    #[arg(long, value_name = "PATH", default_value = "/dev/watchdog")]
    device: PathBuf,
    /// The longest time-out that is of use
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    seconds: u64,
}

#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    device: DeviceArgs,
    /// How long it is fed
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    feed: u64,
    /// What is done then
    #[arg(long, value_enum)]
    then: Then,
    /// How long this process lives on after that
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    stay: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Then {
    /// It is closed in good order.
    Close,
    /// It is left to itself.
    Leave,
}

impl DeviceArgs {
    fn watchdog(&self) -> DeviceWatchdog {
        DeviceWatchdog::new(&self.device, Duration::from_secs(self.seconds))
    }
}

/// Does what is asked for.
pub(super) fn watchdog(command: &WatchdogCommand, output: &mut Output) -> anyhow::Result<Exit> {
    match command {
        WatchdogCommand::Probe(args) => {
            let mut watchdog = args.watchdog();
            output.line(&format!("{}: {}", args.device.display(), watchdog.describe()?))?;
            let found = watchdog.probe()?;
            output.line(&format!("usable as {}", told(&found)))?;
            Ok(Exit::Good)
        }
        WatchdogCommand::Hold(args) => hold(args, output),
    }
}

fn hold(args: &HoldArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let mut watchdog = args.device.watchdog();
    watchdog.probe()?;
    let opened = watchdog.open()?;
    output.line(&format!("open as {}", told(&opened)))?;
    let (_end, ended): (Sender<()>, _) = channel();
    let wait = |duration| ended.recv_timeout(duration);
    let interval = opened.timeout / 4;
    for _ in 0..Duration::from_secs(args.feed).as_millis() / interval.as_millis().max(1) {
        watchdog.feed()?;
        // Nobody ends it: the time is over.
        wait(interval).ok();
    }
    if args.then == Then::Close {
        watchdog.close()?;
        output.line("closed")?;
    }
    wait(Duration::from_secs(args.stay)).ok();
    Ok(Exit::Good)
}

fn told(found: &Opened) -> String {
    let kind = match found.kind {
        Kind::Hardware => "hardware",
        Kind::Software => "software",
    };
    format!("{kind}, {} s", found.timeout.as_secs())
}
