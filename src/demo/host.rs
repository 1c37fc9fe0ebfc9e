//! What a cluster of this machine is made of: what is wanted of it, and its hosts.

use crate::client::Client;
use crate::clock;
use crate::core::message::FenceOp;
use crate::core::time::Instant;
use crate::core::timing::Profile;
use crate::fence::{FenceClients, FenceDevice};
use crate::machine::{BmcInfo, HostState, Power, Status};
use crate::member::Places;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Child;
use uuid::Uuid;

/// Where peers reach each host.
pub(super) const PEER_PORT: u16 = 7770;
/// Where each host tells its metrics.
const METRICS_PORT: u16 = 7772;
/// The relay before a host has this much in the last place of its address.
const RELAYS: u8 = 100;
/// A BMC answers within this.
const BMC_PATIENCE: Duration = Duration::from_secs(10);

/// What kind of cluster is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where everything of it lies.
    pub directory: PathBuf,
    /// The program that it is made of.
    pub program: PathBuf,
    /// How many hosts it has.
    pub hosts: u32,
    /// Its time limits.
    pub profile: Profile,
    /// Whether its hosts have fence devices, and how long these take.
    pub fence: Option<Duration>,
    /// Whether its hosts have watchdogs.
    pub watchdog: bool,
    /// Whether an agent that dies alone is started again, as a service manager would.
    pub restart_agents: bool,
    /// How many heartbeat datastores it has, which all its hosts reach.
    pub datastores: usize,
    /// Whether peers reach each other by a relay's addresses, [`Machine::relayed`], which somebody else serves.
    pub relayed: bool,
    /// Whether its hosts tell their metrics to anybody, at [`Machine::metrics`].
    pub metrics: bool,
    /// What the agents run for each alert that no log can carry.
    pub alert_command: Vec<String>,
    /// The programs that its hosts have for channels, by name.
    pub commands: BTreeMap<String, Vec<String>>,
    /// How much the agents log.
    pub log: String,
}

impl Wanted {
    /// An ordinary cluster of three hosts with fence devices and watchdogs.
    pub fn ordinary(directory: PathBuf, program: PathBuf) -> Wanted {
        Wanted {
            directory,
            program,
            hosts: 3,
            profile: Profile::Lan,
            fence: Some(Duration::ZERO),
            watchdog: true,
            restart_agents: true,
            datastores: 0,
            relayed: false,
            metrics: false,
            alert_command: Vec::new(),
            commands: BTreeMap::new(),
            log: "info".to_owned(),
        }
    }
}

/// A host of it.
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    pub(super) directory: PathBuf,
    pub(super) uuid: Uuid,
    pub(super) child: Option<Child>,
}

impl Machine {
    /// The configuration of its agent.
    pub fn config(&self) -> PathBuf {
        self.directory.join("holdfast.toml")
    }

    /// The program that its agent runs.
    pub(super) fn program(&self) -> PathBuf {
        self.directory.join("holdfast")
    }

    /// Puts a program in the place of the one that its agent runs, which goes on as it is until it ends.
    pub fn install(&self, program: &Path) -> anyhow::Result<()> {
        let fresh = self.directory.join("holdfast.new");
        std::os::unix::fs::symlink(program, &fresh).with_context(|| fresh.display().to_string())?;
        Ok(fs::rename(&fresh, self.program())?)
    }

    /// Starts an agent that has ended in good order, as a person would after an upgrade.
    pub fn start_agent(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.first_process()?, Signal::USR1)?)
    }

    /// Shuts its host down in good order, as a person would.
    pub fn shut_down(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.first_process()?, Signal::TERM)?)
    }

    /// What its agent keeps.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// What its agent says.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Where it finds a heartbeat datastore: a link of its own to what all share, which can be led elsewhere.
    pub fn datastore(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Leads it elsewhere where it looks for a heartbeat datastore. What it has open there counts no more, either.
    pub fn lead(&self, name: &str, to: &Path) -> anyhow::Result<()> {
        let link = self.datastore(name);
        let new = link.with_extension("new");
        symlink(to, &new)?;
        fs::rename(&new, &link)?;
        Ok(())
    }

    /// Where its peers are told to reach it, if there is a relay between them.
    pub fn relayed(&self) -> SocketAddr {
        let [a, b, c, d] = self.address.octets();
        SocketAddr::from((Ipv4Addr::new(a, b, c, d + RELAYS), PEER_PORT))
    }

    /// Where its agent tells its metrics to anybody, if it does.
    pub fn metrics(&self) -> SocketAddr {
        SocketAddr::from((self.address, METRICS_PORT))
    }

    /// Where its agent listens to its peers.
    pub fn peers(&self) -> SocketAddr {
        SocketAddr::from((self.address, PEER_PORT))
    }

    /// Where its hardware is.
    pub(super) fn hardware(&self) -> PathBuf {
        self.directory.join("machine")
    }

    /// How its hardware stands.
    pub fn status(&self) -> anyhow::Result<Status> {
        let path = self.hardware().join("machine.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// A way to the cluster through its agent.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::local(&Places::of(&self.state()).socket())?)
    }

    /// Ends everything that runs on the host, at once. Its hardware does not notice.
    pub fn kill(&self) -> anyhow::Result<Instant> {
        let group = self.first_process()?;
        let now = clock::boottime();
        kill_process_group(group, Signal::KILL)?;
        Ok(now)
    }

    /// Gives power to a machine that is off, and takes it for a moment from one whose host has crashed.
    pub async fn revive(&self) -> anyhow::Result<()> {
        let status = self.status()?;
        let crashed = status.host == HostState::Crashed;
        if status.power == Power::On && !crashed {
            return Ok(());
        }
        let device = self.bmc()?;
        let clients = FenceClients::new();
        if crashed {
            clients.perform(&device, FenceOp::PowerOff, BMC_PATIENCE).await;
        }
        // The master may have done the same meanwhile; either way it comes up.
        clients.perform(&device, FenceOp::PowerOn, BMC_PATIENCE).await;
        Ok(())
    }

    /// Its BMC, as a fence device is configured.
    pub fn bmc(&self) -> anyhow::Result<FenceDevice> {
        let text = fs::read_to_string(self.hardware().join("bmc.json"))?;
        let bmc: BmcInfo = serde_json::from_str(&text)?;
        let password = fs::read_to_string(&bmc.password_file)?;
        Ok(serde_json::from_value(json!({ "Redfish": {
            "address": bmc.address,
            "system": bmc.system,
            "user": bmc.user,
            "password": password.trim_end(),
            "verify": { "Fingerprint": bmc.fingerprint },
        } }))?)
    }

    /// Sends a signal to its agent alone.
    pub fn signal_agent(&self, signal: Signal) -> anyhow::Result<()> {
        let agent = self.status()?.agent_pid.and_then(Pid::from_raw);
        let agent = agent.with_context(|| format!("{} has no agent", self.name))?;
        Ok(kill_process(agent, signal)?)
    }

    /// Sends a signal to everything that runs on the host.
    pub fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process_group(self.first_process()?, signal)?)
    }

    /// The first process of the host, which leads the group of all others.
    fn first_process(&self) -> anyhow::Result<Pid> {
        self.status()?.pgid.and_then(Pid::from_raw).with_context(|| format!("{} runs nothing", self.name))
    }
}
