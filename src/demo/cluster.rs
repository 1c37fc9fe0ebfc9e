//! A whole cluster on this machine: each host is an embedded machine with an address of its own on loopback.
//!
//! Nothing here is a short cut: clusters are made and joined, devices named and VMs protected as on real hosts, by the
//! same program and the same interface.

use super::ground::{claim, free_net};
use super::host::{Machine, PEER_PORT, Wanted};
use crate::api::{ClusterView, Invited, NewVm, VmView};
use crate::client::{Client, Note};
use crate::core::state::Response;
use crate::core::timing::Profile;
use crate::process::disk;
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

/// Where people reach each host.
pub(super) const API_PORT: u16 = 7771;
/// Whatever is to come about, comes about within this or not at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// A cluster.
pub struct Cluster {
    wanted: Wanted,
    net: [u8; 2],
    machines: Vec<Machine>,
}

impl Cluster {
    /// Brings up a cluster: founded, joined and fenced.
    pub async fn raise(wanted: Wanted) -> anyhow::Result<Cluster> {
        Cluster::plan(wanted)?.build().await
    }

    /// Decides where everything will be, and runs nothing yet.
    pub fn plan(wanted: Wanted) -> anyhow::Result<Cluster> {
        let net = free_net(&wanted)?;
        claim(&wanted)?;
        let mut cluster = Cluster { net, machines: Vec::new(), wanted };
        for number in 1..=cluster.wanted.hosts {
            let machine = cluster.prepare(number)?;
            cluster.machines.push(machine);
        }
        Ok(cluster)
    }

    /// Brings up what was planned.
    pub async fn build(mut self) -> anyhow::Result<Cluster> {
        let cluster = &mut self;
        cluster.found().await?;
        for place in 1..cluster.machines.len() {
            cluster.join(place).await?;
        }
        cluster.until("all hosts to be alive", |cluster| async move { cluster.all_alive().await }).await?;
        if cluster.wanted.fence.is_some() {
            cluster.add_fences().await?;
        }
        Ok(self)
    }

    fn prepare(&self, number: u32) -> anyhow::Result<Machine> {
        let name = format!("host-{number}");
        let directory = self.wanted.directory.join(&name);
        fs::create_dir_all(directory.join("machine"))?;
        let address = Ipv4Addr::new(127, self.net[0], self.net[1], u8::try_from(number)?);
        let machine = Machine { name, address, directory, uuid: Uuid::new_v4(), child: None };
        for name in self.datastores() {
            machine.lead(&name, &self.shared(&name))?;
        }
        fs::write(machine.config(), self.configuration(&machine))?;
        machine.install(&self.wanted.program)?;
        Ok(machine)
    }

    /// The names of its heartbeat datastores.
    pub fn datastores(&self) -> Vec<String> {
        (1..=self.wanted.datastores).map(|number| format!("storage-{number}")).collect()
    }

    /// Where something lies that all hosts reach.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.wanted.directory.join("shared").join(name)
    }

    fn configuration(&self, machine: &Machine) -> String {
        let mut text = format!(
            "name = \"{}\"\nuuid = \"{}\"\nstate = {:?}\nlisten = [\"{}:{PEER_PORT}\"]\napi = \"{}:{API_PORT}\"\n\
             memory = \"64GiB\"\ncores = 16\n\n[platform]\nkind = \"process\"\nrun = {:?}\n\n[log]\nlevel = {:?}\n",
            machine.name,
            machine.uuid,
            machine.state(),
            machine.address,
            machine.address,
            machine.hardware().join("run"),
            self.wanted.log,
        );
        if self.wanted.relayed {
            text = format!("advertise = [\"{}\"]\n{text}", machine.relayed());
        }
        if self.wanted.metrics {
            text = format!("metrics = \"{}\"\n{text}", machine.metrics());
        }
        if !self.wanted.alert_command.is_empty() {
            text = format!("alert_command = {:?}\n{text}", self.wanted.alert_command);
        }
        if self.wanted.watchdog {
            let socket = machine.hardware().join("watchdog.sock");
            text.push_str(&format!("\n[watchdog]\nkind = \"machine\"\nsocket = {socket:?}\n"));
        }
        if !self.wanted.commands.is_empty() {
            text.push_str("\n[commands]\n");
            for (name, words) in &self.wanted.commands {
                text.push_str(&format!("{name} = {words:?}\n"));
            }
        }
        for name in self.datastores() {
            let path = machine.datastore(&name);
            text.push_str(&format!("\n[[datastore]]\nname = {name:?}\npath = {path:?}\n"));
        }
        text
    }

    async fn found(&mut self) -> anyhow::Result<()> {
        let profile = match self.wanted.profile {
            Profile::Lan => "lan",
            Profile::Fast => "fast",
        };
        self.command(0, &["init", "--cluster", "demo", "--profile", profile]).await?;
        self.switch_on(0).await?;
        self.until("a master", |cluster| async move { Ok(cluster.master().await.is_ok()) }).await?;
        if self.wanted.datastores > 0 {
            self.format_datastores().await?;
        }
        Ok(())
    }

    /// Makes the heartbeat datastores, as soon as there is a cluster that gives them their numbers. The first agent is
    /// older than they are, and starts anew to find them.
    async fn format_datastores(&mut self) -> anyhow::Result<()> {
        for name in self.datastores() {
            let folder = self.shared(&name);
            fs::create_dir_all(&folder)?;
            let path = folder.to_str().context("the folder's name is no text")?;
            self.command(0, &["datastore", "format", path, "--name", &name, "--register", "--capacity", "16"]).await?;
        }
        self.power_cycle(0).await?;
        self.until("a master again", |cluster| async move { Ok(cluster.master().await.is_ok()) }).await
    }

    async fn join(&mut self, place: usize) -> anyhow::Result<()> {
        let invited: Invited =
            self.client().await?.post("/v1/tokens", &json!({ "for_seconds": 600 }), &Note::default()).await?;
        let member = format!("{}:{API_PORT}", self.machines[0].address);
        self.command(place, &["join", &member, "--token", &invited.token]).await?;
        self.switch_on(place).await
    }

    /// Runs a command of the program, with a host's configuration.
    pub async fn command(&self, place: usize, words: &[&str]) -> anyhow::Result<()> {
        let machine = &self.machines[place];
        let mut command = Command::new(&self.wanted.program);
        command.args(words).arg("--config").arg(machine.config()).stdin(Stdio::null());
        let output = command.output().await.with_context(|| self.wanted.program.display().to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "holdfast {} on {}: {said}", words.first().unwrap_or(&""), machine.name);
        Ok(())
    }

    /// Switches a machine on, and waits until its hardware is there.
    pub async fn switch_on(&mut self, place: usize) -> anyhow::Result<()> {
        let delay = self.wanted.fence.unwrap_or_default();
        let machine = &mut self.machines[place];
        let log = fs::OpenOptions::new().create(true).append(true).open(machine.log())?;
        let mut command = Command::new(&self.wanted.program);
        command.arg("machine").arg("--directory").arg(machine.hardware());
        command.arg("--uuid").arg(machine.uuid.to_string());
        command.arg("--power-delay").arg(format!("{}ms", delay.as_millis()));
        if self.wanted.restart_agents {
            command.arg("--restart-agent");
        }
        // Whatever becomes of this process, nothing of the cluster outlives it.
        command.arg("--end-with-input");
        command.arg("--").arg(machine.program()).arg("agent").arg("--config").arg(machine.config());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| self.wanted.program.display().to_string())?;
        let out = child.stdout.take().context("the machine has no output")?;
        let mut lines = BufReader::new(out).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.context("the machine does not come up")??;
        ensure!(first.is_some(), "{} did not come up: see {}", machine.name, machine.log().display());
        machine.child = Some(child);
        Ok(())
    }

    async fn add_fences(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        for machine in &self.machines {
            let name = format!("bmc-of-{}", machine.name);
            let device = machine.bmc()?;
            let _: Value =
                client.post("/v1/fences", &json!({ "name": name, "device": device }), &Note::default()).await?;
            let path = format!("/v1/hosts/{}/fences", machine.name);
            let _: Value = client.put(&path, &json!({ "levels": [[name]] }), &Note::default()).await?;
        }
        Ok(())
    }

    /// From observing to acting.
    pub async fn arm(&self) -> anyhow::Result<()> {
        let _: Value = self.client().await?.post("/v1/arm", &json!({}), &Note::default()).await?;
        Ok(())
    }

    /// Has so many hosts vote, and waits until they do.
    pub async fn set_voters(&self, count: u32) -> anyhow::Result<()> {
        let client = self.client().await?;
        let mut policy: Value = client.get("/v1/policy").await?;
        policy["voters"] = json!(count);
        let _: Value = client.put("/v1/policy", &policy, &Note::default()).await?;
        self.until("that many voters", move |cluster| async move {
            let view: ClusterView = cluster.client().await?.get("/v1/status").await?;
            Ok(view.voters.len() == count as usize)
        })
        .await
    }

    /// Makes a VM with a disk of its own, and has it started.
    pub async fn add_vm(&self, name: &str, home: Option<&str>, lock: bool) -> anyhow::Result<()> {
        let (memory_mib, millicores) = (1_024, 500);
        self.add(name, home, memory_mib, millicores, &format!("lock = {lock}\n")).await
    }

    /// The same, of a small VM that hardly ever writes: what it does itself is not what is measured.
    pub async fn add_quiet_vm(&self, name: &str, home: Option<&str>) -> anyhow::Result<()> {
        let (memory_mib, millicores) = (64, 10);
        self.add(name, home, memory_mib, millicores, "write_interval_ms = 60000\n").await
    }

    async fn add(
        &self,
        name: &str,
        home: Option<&str>,
        memory_mib: u64,
        millicores: u64,
        settings: &str,
    ) -> anyhow::Result<()> {
        let disk = self.disk(name);
        disk::create(&disk)?;
        let new = NewVm {
            name: name.to_owned(),
            uuid: None,
            memory_mib,
            millicores,
            datastores: Vec::new(),
            networks: Vec::new(),
            response: Response::Restart,
            priority: 0,
            home: home.map(str::to_owned),
            locked: false,
            definition: format!("disk = {disk:?}\n{settings}"),
            start: true,
        };
        let _: Value = self.client().await?.post("/v1/vms", &new, &Note::default()).await?;
        Ok(())
    }

    /// Where a VM's disk lies.
    pub fn disk(&self, vm: &str) -> PathBuf {
        self.shared(&format!("{vm}.disk"))
    }

    /// Its hosts.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// One of its hosts.
    pub fn machine(&self, name: &str) -> anyhow::Result<&Machine> {
        self.machines.iter().find(|machine| machine.name == name).with_context(|| format!("no host is called {name}"))
    }

    /// Where everything of it lies.
    pub fn directory(&self) -> &Path {
        &self.wanted.directory
    }

    /// A way to the cluster through a voter that knows the master. One that is cut off still answers, with what it knew.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.led().await.map(|(client, _)| client)
    }

    /// The host of the master.
    pub async fn master(&self) -> anyhow::Result<String> {
        self.led().await.map(|(_, master)| master)
    }

    async fn led(&self) -> anyhow::Result<(Client, String)> {
        let lives = |machine: &&Machine| machine.status().is_ok_and(|status| status.agent_pid.is_some());
        for machine in self.machines.iter().filter(lives) {
            let client = machine.client()?;
            let Ok(view) = client.get::<Value>("/v1/status").await else { continue };
            // Through a host that does not vote one may only look.
            let voters = view.get("voters").and_then(Value::as_array);
            let votes = voters.is_some_and(|voters| voters.iter().any(|voter| *voter == *machine.name));
            if let (true, Some(master)) = (votes, view.get("master").and_then(Value::as_str)) {
                return Ok((client, master.to_owned()));
            }
        }
        bail!("no voter knows a master")
    }

    /// Whether every host is alive, and as many vote as should.
    pub async fn all_alive(&self) -> anyhow::Result<bool> {
        let Ok(view) = self.client().await?.get::<Value>("/v1/status").await else { return Ok(false) };
        let count = |key: &str| view.pointer(&format!("/hosts/{key}")).and_then(Value::as_u64);
        let voters = view.get("voters").and_then(Value::as_array).map_or(0, Vec::len);
        let hosts = self.machines.len();
        // One or two voters grow to three as soon as there are three hosts.
        Ok(count("good") == Some(hosts as u64) && voters == if hosts >= 3 { 3 } else { 1 })
    }

    /// All VMs.
    pub async fn vms(&self) -> anyhow::Result<Vec<VmView>> {
        Ok(self.client().await?.get("/v1/vms").await?)
    }

    /// Waits until a condition holds. What cannot be looked at yet does not hold.
    pub async fn until<'a, F, R>(&'a self, what: &str, holds: F) -> anyhow::Result<()>
    where
        F: Fn(&'a Cluster) -> R,
        R: Future<Output = anyhow::Result<bool>>,
    {
        let mut last = None;
        let wait = async {
            loop {
                match holds(self).await {
                    Ok(true) => return,
                    Ok(false) => last = None,
                    Err(error) => last = Some(error),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_ok() {
            return Ok(());
        }
        let why = last.map(|error| format!(": {error:#}")).unwrap_or_default();
        bail!("waited in vain for {what}{why}; see the logs in {}", self.wanted.directory.display())
    }

    /// Takes the power from a machine and gives it back, as a person would who walks up to it.
    pub async fn power_cycle(&mut self, place: usize) -> anyhow::Result<()> {
        self.switch_off(place).await?;
        self.switch_on(place).await
    }

    /// Takes a machine out, its hardware too.
    pub async fn switch_off(&mut self, place: usize) -> anyhow::Result<()> {
        let machine = &mut self.machines[place];
        if let Some(mut child) = machine.child.take() {
            terminate(&child);
            timeout(PATIENCE, child.wait()).await.with_context(|| format!("{} does not end", machine.name))??;
        }
        Ok(())
    }

    /// Switches everything off, and waits until nothing is left.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        for machine in &mut self.machines {
            let Some(child) = &machine.child else { continue };
            terminate(child);
        }
        for machine in &mut self.machines {
            if let Some(mut child) = machine.child.take() {
                timeout(PATIENCE, child.wait()).await.with_context(|| format!("{} does not end", machine.name))??;
            }
        }
        Ok(())
    }
}

/// Tells a machine to end, with all that runs on it.
fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
