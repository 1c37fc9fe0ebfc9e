//! `holdfast agent`, and how a host becomes a member: `init`, `join`.

use super::Exit;
use super::output::Output;
use crate::config::{Config, DEFAULT_PATH, LogConfig, LogFormat};
use crate::core::timing::Profile;
use crate::member::{found, join};
use crate::runtime::{End, Leave, ShutdownMark, start};
use crate::trust::JoinToken;
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

pub(super) const AGENT_HELP: &str = "\
It is started by the service manager, as hosts/systemd/holdfast.service does. Told to end, it ends no VM. While it is away
nobody speaks for its host: an end that it announced is borne for some minutes, as long as the machine answers pings.

Examples:
  systemctl enable --now holdfast holdfast-shutdown
  holdfast agent --config ./node-1.toml";

pub(super) const INIT_HELP: &str = "\
On the first host, once. It writes keys into the state directory, and those of the first operator into `operator` there;
then start the agent. Further hosts join with `holdfast token create` here and `holdfast join` there.

Examples:
  holdfast config example > /etc/holdfast/holdfast.toml
  holdfast init --cluster lab
  systemctl enable --now holdfast holdfast-shutdown";

pub(super) const JOIN_HELP: &str = "\
On a new host, once, with a configuration of its own; then start the agent. ADDRESS is what any member has as `api` in its
configuration. A host that was removed joins as a new one: stop its agent, and move its state directory away first.

Examples:
  holdfast join 192.0.2.1:7771 --token holdfast-join-1.0f3c...
  systemctl enable --now holdfast holdfast-shutdown";

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct ConfigArg {
    /// The configuration of this host
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

impl ConfigArg {
    pub(super) fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The name of the new cluster
    #[arg(long, value_name = "NAME", value_parser = super::named)]
    cluster: String,
    /// Which time limits hold in it
    #[arg(long, value_enum, default_value_t = ProfileArg::Lan)]
    profile: ProfileArg,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ProfileArg {
    /// An ordinary data-centre network
    Lan,
    /// A quiet network of its own
    Fast,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Profile {
        match profile {
            ProfileArg::Lan => Profile::Lan,
            ProfileArg::Fast => Profile::Fast,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// Where any member listens to people: its address and port
    address: SocketAddr,
    /// The token that a member has made with `holdfast token create`
    #[arg(long, value_name = "TOKEN", env = "HOLDFAST_TOKEN", hide_env_values = true)]
    token: String,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// Runs the agent until it is told to end.
pub(super) fn agent(args: &AgentArgs) -> anyhow::Result<Exit> {
    let config = args.config.load()?;
    let logging = logging(&config.log)?;
    let runtime = runtime()?;
    let end = runtime.block_on(async {
        let mut terminate = signals(SignalKind::terminate())?;
        let mut interrupt = signals(SignalKind::interrupt())?;
        let mut hangup = signals(SignalKind::hangup())?;
        let running = start(config).await?;
        tracing::info!(api = %running.api, "the agent is ready");
        // Nobody waits for these words where the agent was not started by systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let (handle, shutdown) = (running.handle.clone(), Arc::clone(&running.shutdown));
        let ended = running.ended();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                end = &mut ended => break Ok::<_, anyhow::Error>(end?),
                _ = terminate.recv() => stop(&handle, &shutdown).await,
                _ = interrupt.recv() => stop(&handle, &shutdown).await,
                _ = hangup.recv() => reload(&args.config, &logging),
            }
        }
    })?;
    match end {
        End::Parted => Ok(Exit::Good),
        // The service manager starts it again.
        End::Guardless | End::Anew => Ok(Exit::Failed),
    }
}

async fn stop(handle: &crate::api::Handle, shutdown: &ShutdownMark) {
    let leave = shutdown.leave();
    match leave {
        Leave::Upgrade => tracing::info!("asked to end: the VMs run on, the guards are taken off the books first"),
        Leave::ShutDown => tracing::info!("the machine is being shut down: the agent ends when its VMs are told gone"),
    }
    // Nobody waits for these words where the agent was not started by systemd.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    handle.stop(leave).await;
}

/// What can change without a new start: what is logged. For the rest, start the agent anew: its VMs do not feel it.
fn reload(config: &ConfigArg, logging: &Logging) {
    match config.load() {
        Ok(config) => match logging.set(&config.log) {
            Ok(()) => tracing::info!("the log follows the configuration; all else takes effect when the agent starts"),
            Err(error) => tracing::error!(%error, "the log stays as it is"),
        },
        Err(error) => tracing::error!(%error, "the configuration was not taken"),
    }
}

fn signals(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("signals cannot be caught")
}

pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().context("no runtime can be made")
}

type Reload = tracing_subscriber::reload::Handle<EnvFilter, tracing_subscriber::Registry>;

/// The log, whose level can change.
struct Logging(Reload);

impl Logging {
    fn set(&self, config: &LogConfig) -> anyhow::Result<()> {
        Ok(self.0.reload(config.level.parse::<EnvFilter>()?)?)
    }
}

fn logging(config: &LogConfig) -> anyhow::Result<Logging> {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    use tracing_subscriber::{Layer, fmt, reload};
    let (filter, handle) = reload::Layer::new(config.level.parse::<EnvFilter>()?);
    let lines = match config.format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("the log cannot be begun")?;
    Ok(Logging(handle))
}

/// Makes a cluster.
pub(super) fn init(args: &InitArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let config = args.config.load()?;
    let founded = found(&config, &args.cluster, args.profile.into())?;
    output.line(&format!("cluster \"{}\" with {} as its first host and only voter", args.cluster, config.name))?;
    output.line(&format!("UUID {}", founded.cluster))?;
    output.line(&format!("key and certificate of the first operator: {}", founded.operator.display()))?;
    output.line("next: start `holdfast agent` here, then `holdfast token create` for each further host")?;
    Ok(Exit::Good)
}

/// Joins a cluster.
pub(super) fn joins(args: &JoinArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let config = args.config.load()?;
    let token: JoinToken = args.token.parse().context("the token")?;
    let member = runtime()?.block_on(join(&config, args.address, &token))?;
    output.line(&format!("{} is host {} of cluster \"{}\"", member.name, member.host, member.cluster_name))?;
    output.line("next: start `holdfast agent` here")?;
    Ok(Exit::Good)
}

/// Reads a configuration and says what is wrong with it.
pub(super) fn check(args: &CheckArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let config = args.config.load()?;
    output.line(&format!("{}: as it should be, for host {}", args.config.config.display(), config.name))?;
    Ok(Exit::Good)
}
