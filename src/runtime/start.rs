//! Starting a node: from its configuration and its disk to the running loop.

use super::alerts::Alerts;
use super::catch_up::keep_up;
use super::engine::{End, Engine, EngineError, Inputs};
use super::guests::GuestAsker;
use super::hands::{Glance, Hands, LED, REFUSED_WATCHDOG};
use super::input::Answer;
use super::ledger::Facts;
use super::pings::Pings;
use super::platforms::platform;
use super::roster::{self, Keeper, ROSTER};
use super::samples;
use super::shutdown::ShutdownMark;
use super::storage::{Search, Storage, attach};
use crate::api::{self, Api, ApiError, Handle, KnownPeople, Listeners, MadeReports, Readings};
use crate::clock;
use crate::config::{Config, PlatformConfig, WatchdogConfig};
use crate::core::action::Event;
use crate::core::ids::{Address, BootId, HostId, NetworkId};
use crate::core::message::Watchdog as Guard;
use crate::core::timing::{Timing, UnsafeTiming};
use crate::fence::FenceClients;
#[cfg(feature = "libvirt")]
use crate::libvirt::LibvirtError;
use crate::member::{MemberError, Membership, Places};
use crate::metrics::{Counts, Exporter, MetricsListener, Recoveries, Sources};
use crate::node::{Machine, NodeEvent, Setup};
use crate::notify::{Local, Progresses, notify};
use crate::process::HostError;
use crate::samples::Keeper as SampleKeeper;
use crate::store::{Opened, Store, StoreError};
use crate::transport::{Inbound, Inbox, Patience, Transport, TransportError, TransportOptions};
use crate::trust::{Identity, TrustError, fingerprint};
use crate::watchdog::{DeviceWatchdog, MachineWatchdog, Watchdog};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// So many requests of people may wait for the loop.
const CALLS: usize = 256;
/// So many requests that peers have passed on may wait.
const PASSED_ON: usize = 128;

/// The file of samples in the state directory.
const SAMPLES: &str = "samples.db";

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The host is no member.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The configuration names another host than the one that joined.
    #[error("this host joined as \"{joined}\", and the configuration calls it \"{configured}\"; correct `name`")]
    Renamed {
        /// The name that it joined with.
        joined: String,
        /// The name that the configuration gives it.
        configured: String,
    },
    /// Its key or certificate cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Its store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its time limits contradict each other.
    #[error(transparent)]
    Timing(#[from] UnsafeTiming),
    /// Peers cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// People cannot be answered.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Metrics cannot be told.
    #[error("metrics cannot be told on {address}: {source}; correct `metrics` in the configuration")]
    Metrics {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The hypervisor cannot be used.
    #[error(transparent)]
    Platform(#[from] HostError),
    /// Libvirt cannot be used.
    #[cfg(feature = "libvirt")]
    #[error(transparent)]
    Libvirt(#[from] LibvirtError),
    /// Which boot of the machine this is cannot be told.
    #[error("the boot id cannot be read from {}: {source}; see `run` in the configuration", path.display())]
    Boot {
        /// From where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A thread could not be made.
    #[error("a thread cannot be made: {0}")]
    Thread(#[source] io::Error),
    /// The node could not begin.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A node that runs.
pub struct Running {
    /// The way to its loop.
    pub handle: Handle,
    /// Where it listens to people.
    pub api: SocketAddr,
    /// Whether its machine is being shut down.
    pub shutdown: Arc<ShutdownMark>,
    ended: oneshot::Receiver<Result<End, EngineError>>,
}

impl Running {
    /// Waits until the loop has ended.
    pub async fn ended(self) -> Result<End, EngineError> {
        // A loop that is gone without a word has panicked, which the log tells.
        self.ended.await.unwrap_or_else(|_| Err(EngineError::Corrupt("the loop is gone".to_owned())))
    }
}

/// Starts a node. Its tasks run on the tokio runtime that this is called from.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let places = Places::of(&config.state);
    let (member, timing) = member(&config, &places)?;
    let boot = boot(&config.platform)?;
    let opened = Store::open(places.state())?;
    let (answers, answered) = mpsc::unbounded_channel();
    let mut watchdog = watchdog(&config.watchdog, boot.uuid, &timing);
    let guard = guard(watchdog.as_deref_mut(), &opened, boot.id);
    let counts = counts(&config);
    let (storage, searches) = storage(&config, &member, &timing, &counts, &answers);
    let setup = setup(&config, &member, &opened, (boot.id, guard), &storage, &timing);
    let (transport, inbox) = transport(&config, &member, &opened, boot.id, &timing)?;
    let shutdown = Arc::new(ShutdownMark::new(config.shutdown_mark.clone()));
    let platform = platform(&config, &timing, (&storage, &transport), &shutdown, &answers)?;
    let ((calls, called), (calls_in, passed_on)) = (mpsc::channel(CALLS), mpsc::channel(PASSED_ON));
    let (glance, glances) = watch::channel(Glance::default());
    let (facts, more_facts) = watch::channel(0);
    let (listeners, plain, api_address) = listen(&config, &places).await?;
    let keeper = sample_keeper(&config, &opened)?;
    let handle = Handle { calls, glance: glances, facts: more_facts };
    let api = Api {
        handle: handle.clone(),
        ledger: opened.store.ledger(),
        transport: Arc::clone(&transport),
        me: Address(member.host),
        host: config.name.clone(),
        begun: clock::boottime(),
        metrics: exporter(&config, &handle, &counts, &transport, &timing),
        known: KnownPeople::default(),
        survey: platform.survey(),
        live: platform.live(),
        reports: MadeReports::default(),
        readings: Readings::default(),
        samples: keeper.reader().clone(),
        progresses: Progresses::default(),
        local: Local { host: config.name.clone(), commands: Arc::new(config.commands.clone()) },
    };
    let mut hands = Hands {
        pings: pings(&config, &answers),
        guests: GuestAsker::new(platform.live(), config.commands.clone(), answers.clone()),
        me: config.name.clone(),
        boot: boot.id,
        answers,
        store: opened.store,
        transport,
        datastores: storage.threads,
        _searches: searches,
        platform,
        known: None,
        watchdog,
        fences: Arc::new(FenceClients::new()),
        fence_timeout: timing.fence_timeout,
        fence_troubles: Arc::default(),
        calls_in,
        alerts: Alerts::start(config.alert_command.clone(), config.name.clone()),
        facts: Facts::default(),
        more_facts: facts,
        roster: Keeper::default(),
        samples: keeper.clone(),
        glance,
        last_master: None,
        recoveries: Recoveries::new(Arc::clone(&counts), clock::wall_milliseconds()),
        counts,
    };
    hands.know(&opened.agent);
    let ended = run(setup, hands, Inputs { answers: answered, inbox, calls: called })?;
    samples::begin(&api, keeper);
    attend(api, listeners, plain, passed_on);
    Ok(Running { handle, api: api_address, shutdown, ended })
}

/// As which member of which cluster it runs, and the time limits that hold there.
fn member(config: &Config, places: &Places) -> Result<(Membership, Timing), StartError> {
    let member = Membership::load(places)?;
    if member.name != config.name {
        return Err(StartError::Renamed { joined: member.name, configured: config.name.clone() });
    }
    let timing = Timing::of(member.profile);
    timing.check()?;
    Ok((member, timing))
}

/// The datastores that are there, and the search for those that are not.
fn storage(
    config: &Config,
    member: &Membership,
    timing: &Timing,
    counts: &Arc<Counts>,
    answers: &mpsc::UnboundedSender<Answer>,
) -> (Storage, Vec<Search>) {
    let (cluster, patience) = (member.cluster.as_u128(), timing.hard_deadline / 4);
    let storage = attach(&config.datastores, cluster, patience, counts, answers);
    let searches = storage.search(cluster, patience, answers);
    (storage, searches)
}

/// Starts what keeps samples while this host votes. Its runs have the numbers of the agent's.
fn sample_keeper(config: &Config, opened: &Opened) -> Result<SampleKeeper, StartError> {
    let file = Places::of(&config.state).state().join(SAMPLES);
    SampleKeeper::start(&file, config.retention, opened.session).map_err(StartError::Thread)
}

/// What the node begins with.
fn setup(
    config: &Config,
    member: &Membership,
    opened: &Opened,
    (boot, watchdog): (BootId, Guard),
    storage: &Storage,
    timing: &Timing,
) -> Setup {
    Setup {
        machine: Machine {
            host: HostId(member.host),
            address: Address(member.host),
            boot,
            hardware: hardware(config),
            watchdog,
            heartbeat_datastores: storage.heartbeat.clone(),
            datastores: storage.reached.clone(),
            formattings: storage.formattings.clone(),
            networks: config.networks.iter().map(|name| NetworkId::of(name)).collect(),
        },
        session: opened.session,
        agent: opened.agent.clone(),
        store: opened.voter.clone(),
        blind: blind(opened),
        timing: Arc::new(timing.clone()),
        seed: Uuid::new_v4().as_u64_pair().0,
    }
}

fn transport(
    config: &Config,
    member: &Membership,
    opened: &Opened,
    boot: BootId,
    timing: &Timing,
) -> Result<(Arc<Transport>, Inbox), StartError> {
    let options = TransportOptions {
        me: Address(member.host),
        identity: Identity::load(&Places::of(&config.state).trust(), "host")?,
        cluster: member.cluster.as_u128(),
        listen: config.listen.clone(),
        roster: opened.settings.get(ROSTER).and_then(|text| roster::read(text)).unwrap_or_default(),
        session: opened.session,
        boot,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        patience: Patience::of(timing),
    };
    let (transport, inbox) = Transport::start(options)?;
    Ok((Arc::new(transport), inbox))
}

/// What the node counts; nothing yet.
fn counts(config: &Config) -> Arc<Counts> {
    let names: Vec<&str> = config.datastores.iter().map(|datastore| datastore.name.as_str()).collect();
    Counts::new(&names)
}

/// What tells Prometheus of all this.
fn exporter(
    config: &Config,
    handle: &Handle,
    counts: &Arc<Counts>,
    transport: &Arc<Transport>,
    timing: &Timing,
) -> Exporter {
    Exporter::new(Sources {
        handle: handle.clone(),
        counts: Arc::clone(counts),
        transport: Arc::clone(transport),
        host: config.name.clone(),
        timing: timing.clone(),
        begun: clock::wall_milliseconds(),
    })
}

/// Where people are listened to, and where metrics are told to anybody, if anywhere.
async fn listen(
    config: &Config,
    places: &Places,
) -> Result<(Listeners, Option<MetricsListener>, SocketAddr), StartError> {
    let identity = Identity::load(&places.trust(), "api")?;
    let listeners = Listeners::bind(config.api, &identity, &places.socket()).await?;
    let api = listeners.address().unwrap_or(config.api);
    let Some(address) = config.metrics else { return Ok((listeners, None, api)) };
    let plain = MetricsListener::bind(address).await;
    plain.map(|plain| (listeners, Some(plain), api)).map_err(|source| StartError::Metrics { address, source })
}

/// Starts what answers people, peers and Prometheus.
fn attend(api: Api, listeners: Listeners, plain: Option<MetricsListener>, passed_on: mpsc::Receiver<Inbound>) {
    if let Some(plain) = plain {
        tokio::spawn(plain.serve(api.metrics.clone()));
    }
    let (whole, is_whole) = watch::channel(None);
    tokio::spawn(keep_up(api.clone(), whole));
    tokio::spawn(notify(api.clone(), is_whole));
    tokio::spawn(api::serve(api, listeners, passed_on));
}

/// Starts the loop, on a thread of its own.
fn run(setup: Setup, hands: Hands, inputs: Inputs) -> Result<oneshot::Receiver<Result<End, EngineError>>, StartError> {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _context = runtime.enter();
        match Engine::start(setup, hands) {
            Ok(mut engine) => {
                let result = runtime.block_on(engine.run(inputs));
                // Told before the store is closed, which a disk that hangs never lets happen. Whoever waited may have gone.
                let _ = end.send(result);
            }
            Err(error) => drop(end.send(Err(error))),
        }
    };
    thread::Builder::new().name("loop".to_owned()).spawn(work).map_err(StartError::Thread)?;
    Ok(ended)
}

struct Boot {
    id: BootId,
    uuid: Uuid,
}

/// Which boot of the machine this is.
fn boot(platform: &PlatformConfig) -> Result<Boot, StartError> {
    let path = match platform {
        PlatformConfig::None | PlatformConfig::Libvirt { .. } => PathBuf::from("/proc/sys/kernel/random/boot_id"),
        PlatformConfig::Process { run } => run.join("boot-id"),
    };
    let failed = |source| StartError::Boot { path: path.clone(), source };
    let text = crate::files::read_text(&path).map_err(failed)?;
    let uuid: Uuid = text.trim().parse().map_err(|error| failed(io::Error::other(error)))?;
    Ok(Boot { id: BootId(uuid.as_u64_pair().0 ^ uuid.as_u64_pair().1), uuid })
}

/// A print of the machine's parts: another machine under the same UUID has another one.
fn hardware(config: &Config) -> u64 {
    let machine = match &config.platform {
        PlatformConfig::None | PlatformConfig::Libvirt { .. } => {
            fs::read_to_string("/etc/machine-id").unwrap_or_default()
        }
        PlatformConfig::Process { run } => run.display().to_string(),
    };
    let print = fingerprint(format!("{}\n{machine}", Uuid::from_u128(config.uuid)).as_bytes());
    print.0.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn watchdog(config: &WatchdogConfig, boot: Uuid, timing: &Timing) -> Option<Box<dyn Watchdog>> {
    match config {
        WatchdogConfig::None => None,
        WatchdogConfig::Machine { socket } => Some(Box::new(MachineWatchdog::new(socket, boot, timing.hard_deadline))),
        WatchdogConfig::Device { path } => Some(Box::new(DeviceWatchdog::new(path, timing.hard_deadline))),
    }
}

/// What the watchdog is worth. One that does not answer is worth nothing, and is said so.
fn guard(watchdog: Option<&mut (dyn Watchdog + 'static)>, opened: &Opened, boot: BootId) -> Guard {
    let Some(watchdog) = watchdog else { return Guard::None };
    if opened.settings.get(REFUSED_WATCHDOG) == Some(&boot.to_string()) {
        tracing::error!(
            "the watchdog failed in this boot of the machine: this host does without it until the next one"
        );
        return Guard::None;
    }
    match watchdog.probe() {
        Ok(found) => found.into(),
        Err(error) => {
            let was_open = opened.agent.watchdog_opened == Some(boot);
            tracing::error!(%error, was_open, "the watchdog cannot be used");
            Guard::None
        }
    }
}

/// For how long nobody on this node has known a master.
fn blind(opened: &Opened) -> Duration {
    let led = opened.settings.get(LED).and_then(|text| text.parse::<i64>().ok());
    let since = led.map_or(0, |led| clock::wall_milliseconds().saturating_sub(led));
    Duration::from_millis(u64::try_from(since).unwrap_or(0))
}

fn pings(config: &Config, answers: &mpsc::UnboundedSender<Answer>) -> Pings {
    let answers = answers.clone();
    Pings::start(config, move |from| {
        // A loop that has ended waits for nothing.
        let _ = answers.send(Answer::Event(NodeEvent::Core(Event::Pong { from })));
    })
}
