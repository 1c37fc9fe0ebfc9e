//! An embedded machine: one process that stands in for the hardware of one simulated host.
//!
//! It has what the product needs of hardware and a test machine lacks: power, a BMC that speaks Redfish, and a watchdog
//! that counts while the host stands still. The host is a process group: [`init`](run_init), which is its kernel, the
//! agent, and what the agent starts. The machine is not in that group, so neither what freezes the host nor what kills
//! it touches the machine.
//!
//! In its folder lie `machine.json` (how it is), `bmc.json` (how its BMC is reached), `watchdog.sock`, and `run/`, which
//! lives as long as a boot and holds `boot-id`, and `shutting-down` from when the host is shut down.

mod bmc;
mod family;
mod host;
mod https;
mod init;
mod power;
mod status;
mod watchdog;

pub use host::{Program, Role};
pub use init::run as run_init;
pub use power::AfterWatchdog;
pub use status::{HostState, Power, Status};

use power::Supply;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use status::{Shared, replace};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The file in `run/` that says that the host is being shut down in good order.
pub const SHUTDOWN_MARK: &str = "shutting-down";

/// More events do not wait at once.
const MOST_EVENTS: usize = 64;

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its folder, which no other machine has.
    pub directory: PathBuf,
    /// Its identity, which its BMC reports.
    pub uuid: Uuid,
    /// Where its BMC listens.
    pub bmc_listen: SocketAddr,
    /// The user of the BMC.
    pub user: String,
    /// Where the password of the BMC is; without one, it is made up.
    pub password_file: Option<PathBuf>,
    /// How long an order for the power takes to take effect.
    pub power_delay: Duration,
    /// What follows when the watchdog was not fed.
    pub after_watchdog: AfterWatchdog,
    /// Whether it ends when its standard input does, so that it does not outlive whoever holds the other end.
    pub ends_with_input: bool,
    /// What its host runs.
    pub program: Program,
}

/// How the BMC is reached, as `bmc.json` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BmcInfo {
    /// As a fence device is configured.
    pub address: String,
    /// Of its certificate, which is made anew each time the machine is started.
    pub fingerprint: String,
    /// The system on it.
    pub system: String,
    /// Which machine that is.
    pub uuid: Uuid,
    /// Who may use it.
    pub user: String,
    /// Where the password is.
    pub password_file: PathBuf,
}

/// Why a machine could not be.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Another has its folder.
    #[error("another machine runs in {0}: end that one, or give this one a folder of its own")]
    Taken(PathBuf),
    /// Something that it needs could not be had.
    #[error("the machine cannot start: {what}")]
    Setup {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn setup(what: impl Into<String>) -> impl FnOnce(io::Error) -> MachineError {
    let what = what.into();
    |source| MachineError::Setup { what, source }
}

/// Is a machine: switches itself on, and runs until this process is told to terminate. Then nothing of its host is left.
/// When all of it can be reached, it says how its BMC is, in one line on standard output.
pub fn run(config: Config) -> Result<(), MachineError> {
    let directory = config.directory.clone();
    std::fs::create_dir_all(&directory).map_err(setup(format!("{} cannot be made", directory.display())))?;
    let lock = lock(&directory)?;
    family::adopt_orphans().map_err(setup("the kernel hands it no orphans"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(setup("the runtime is not to be had"))?.block_on(live(config));
    for name in ["bmc.json", "watchdog.sock"] {
        // What is left there leads nowhere, and misleads nobody for long.
        std::fs::remove_file(directory.join(name)).ok();
    }
    drop(lock);
    outcome
}

fn lock(directory: &Path) -> Result<File, MachineError> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(setup(format!("{} cannot be opened", path.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::AGAIN) => Err(MachineError::Taken(directory.to_owned())),
        Err(errno) => Err(setup(format!("{} cannot be locked", path.display()))(errno.into())),
    }
}

async fn live(config: Config) -> Result<(), MachineError> {
    // Heard before anything is started whose end they tell.
    let no_signals = || setup("signals cannot be heard");
    let mut children = signal(SignalKind::child()).map_err(no_signals())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals())?;
    let (sender, events) = mpsc::sync_channel(MOST_EVENTS);
    let shared = Arc::new(Shared::new(config.uuid, config.power_delay, sender));

    let certificate = https::self_signed(config.bmc_listen.ip()).map_err(setup("its BMC has no certificate"))?;
    let listener = TcpListener::bind(config.bmc_listen).await;
    let listener = listener.map_err(setup(format!("its BMC cannot listen at {}", config.bmc_listen)))?;
    let address = listener.local_addr().map_err(setup("its BMC has no address"))?;
    let (account, password_file) = account(&config)?;
    let info = BmcInfo {
        address: format!("https://{address}"),
        fingerprint: crate::fence::fingerprint(&certificate.certificate).to_string(),
        system: bmc::SYSTEM.to_owned(),
        uuid: config.uuid,
        user: account.user.clone(),
        password_file,
    };
    let socket = config.directory.join("watchdog.sock");
    let device = watchdog::Device::new(&socket, Arc::clone(&shared));
    let device = device.map_err(setup(format!("its watchdog cannot listen at {}", socket.display())))?;
    let shown = shared.status().show(&config.directory);
    shown.map_err(setup("machine.json cannot be written"))?;
    announce(&config.directory, &info)?;

    if config.ends_with_input {
        end_with_input(&shared).map_err(setup("a thread cannot be started"))?;
    }
    let supply = Supply {
        directory: config.directory,
        program: config.program,
        after_watchdog: config.after_watchdog,
        shared: Arc::clone(&shared),
    };
    let (left, mut has_left) = oneshot::channel();
    let no_thread = || setup("a thread cannot be started");
    let watchdog = thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        if let Err(error) = device.run() {
            tracing::error!("the watchdog has broken: {error}");
        }
    });
    watchdog.map_err(no_thread())?;
    let power = thread::Builder::new().name("power".to_owned()).spawn(move || {
        power::run(supply, &events);
        // If nobody waits, the process ends already.
        left.send(()).ok();
    });
    power.map_err(no_thread())?;

    let serve = https::serve(listener, certificate.acceptor, bmc::router(Arc::clone(&shared), account));
    let mut serve = std::pin::pin!(serve);
    loop {
        tokio::select! {
            _ = &mut has_left => return Ok(()),
            () = &mut serve => {}
            _ = children.recv() => shared.nudge(),
            _ = terminate.recv() => leave(&shared),
            _ = interrupt.recv() => leave(&shared),
        }
    }
}

/// Ends the machine when nobody is left at the other end of its standard input.
fn end_with_input(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let work = move || {
        // However it ends, it has ended.
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        leave(&shared);
    };
    thread::Builder::new().name("input".to_owned()).spawn(work).map(drop)
}

fn leave(shared: &Shared) {
    shared.leaving.store(true, Ordering::SeqCst);
    shared.nudge();
}

fn account(config: &Config) -> Result<(bmc::Account, PathBuf), MachineError> {
    let path = match &config.password_file {
        Some(path) => path.clone(),
        None => {
            let path = config.directory.join("bmc-password");
            make_password(&path).map_err(setup(format!("{} cannot be written", path.display())))?;
            path
        }
    };
    let text = crate::files::read_text(&path).map_err(setup(format!("{} cannot be read", path.display())))?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    Ok((bmc::Account { user: config.user.clone(), password }, path))
}

fn make_password(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    writeln!(options.open(path)?, "{}", Uuid::new_v4().simple())
}

fn announce(directory: &Path, info: &BmcInfo) -> Result<(), MachineError> {
    let text = serde_json::to_string(info).map_err(io::Error::from).map_err(setup("bmc.json cannot be made"))?;
    replace(&directory.join("bmc.json"), &text).map_err(setup("bmc.json cannot be written"))?;
    // Whoever does not listen reads the file.
    writeln!(io::stdout(), "{text}").ok();
    Ok(())
}
