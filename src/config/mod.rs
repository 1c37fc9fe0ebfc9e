//! What the agent of one host is told by its configuration file.
//!
//! The file is read once, into a type that cannot be wrong; whatever is unknown or contradicts itself is refused, with
//! its line and a hint. Rules of the whole cluster are not here: they live in the replicated state.

mod commands;
mod read;
mod retention;

pub(crate) use read::is_name;

use crate::core::ids::SocketAddr;
use crate::reader::Problem;
use crate::samples::Retention;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where the configuration is if nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/holdfast/holdfast.toml";

/// A whole configuration, with a word on each key.
pub const EXAMPLE: &str = include_str!("../../hosts/holdfast.toml");

/// Where libvirt's daemon is if nobody says otherwise, and where that of another host is.
const LIBVIRT: &str = "qemu:///system";
const LIBVIRT_OF_OTHERS: &str = "qemu+tls://{host}/system";
/// Where the hook's socket is if nobody says otherwise.
const RUN: &str = "/run/holdfast";

/// Where the mark of a shutdown is if nobody says otherwise.
const SHUTDOWN_MARK: &str = "/run/holdfast/shutting-down";

/// The machine's watchdog if nobody says otherwise.
const WATCHDOG_DEVICE: &str = "/dev/watchdog";

/// The configuration of one host's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The host's name, which must be its own in the cluster.
    pub name: String,
    /// The machine's UUID, which its fence devices must show too.
    pub uuid: u128,
    /// Where the agent keeps what must outlast it.
    pub state: PathBuf,
    /// Where the agent listens for its peers, one address for each network of the cluster.
    pub listen: Vec<SocketAddr>,
    /// Where its peers reach it: as many, in the same order.
    pub advertise: Vec<SocketAddr>,
    /// Where the operators' interface listens.
    pub api: SocketAddr,
    /// Where metrics are told to anybody who asks; nowhere, if nothing is said.
    pub metrics: Option<SocketAddr>,
    /// What fails together with this host.
    pub failure_domain: String,
    /// Free words, for rules.
    pub tags: BTreeSet<String>,
    /// What the host has for VMs.
    pub capacity: Capacity,
    /// The shared datastores.
    pub datastores: Vec<DatastoreConfig>,
    /// The networks that guests can be attached to.
    pub networks: BTreeSet<String>,
    /// The hypervisor.
    pub platform: PlatformConfig,
    /// The watchdog.
    pub watchdog: WatchdogConfig,
    /// A file that is there while the machine is being shut down. It must be on a file system in memory.
    pub shutdown_mark: PathBuf,
    /// Programs by the names under which the cluster knows them, with their arguments.
    pub commands: BTreeMap<String, Vec<String>>,
    /// A program that is told of each alert that no log can carry, with its arguments.
    pub alert_command: Vec<String>,
    /// For how long the host keeps samples of load while it votes.
    pub retention: Retention,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// What a host has for VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Memory in MiB; none on a witness.
    pub memory_mib: u64,
    /// CPU in thousandths of a core.
    pub millicores: u64,
}

/// A shared datastore as this host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatastoreConfig {
    /// Its name in the cluster.
    pub name: String,
    /// The directory or block device.
    pub path: PathBuf,
    /// Whether the host keeps a liveness record there.
    pub heartbeat: bool,
}

/// The hypervisor of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformConfig {
    /// None: a witness, which only votes.
    None,
    /// The embedded one, whose VMs are processes.
    Process {
        /// Where the machine keeps what lasts as long as one boot of it, its boot id too.
        run: PathBuf,
    },
    /// KVM, by libvirt.
    Libvirt {
        /// Where its daemon is.
        uri: String,
        /// Where the daemon of another host is, for live migration; `{host}` stands for that host's name.
        migration: String,
        /// Where the hook's socket is.
        run: PathBuf,
    },
}

/// The watchdog of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchdogConfig {
    /// None.
    None,
    /// That of the embedded machine.
    Machine {
        /// Its socket.
        socket: PathBuf,
    },
    /// That of a real machine.
    Device {
        /// Its device.
        path: PathBuf,
    },
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// As lines of text, or of JSON.
    pub format: LogFormat,
    /// From which level on, as `tracing` writes its filters.
    pub level: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Why a configuration was not taken.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{} cannot be read: {source}; name another file with --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error(transparent)]
    Wrong(#[from] Problem),
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = crate::files::read_text(path).map_err(unreadable)?;
        Ok(read::config(path, &text)?)
    }

    /// Reads a text as if it stood in that file.
    pub fn parse(path: &Path, text: &str) -> Result<Config, Problem> {
        read::config(path, text)
    }
}
