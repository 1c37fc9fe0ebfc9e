//! A cluster of KVM hosts on the lab, with VMs of libvirt that are protected, and what people ask of it.

use crate::rig::Lab;
use holdfast::api::{ClusterView, EventView, FailoversView, HostView, RecoveryView, VmView};
use holdfast::core::command::Want;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::process::Output;
use std::time::Duration;

/// Between two questions to an agent.
const PAUSE: Duration = Duration::from_millis(200);

/// What runs in a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// A system that writes to its disk all the time, so that two of them are found.
    Linux,
    /// Nothing: it costs little.
    Bios,
}

pub struct Kvm {
    lab: Lab,
    hosts: Vec<String>,
}

impl Deref for Kvm {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Kvm {
    /// A lab made with these options, with these VMs on these hosts, all of them protected, running, and without locks on
    /// their disks: what keeps two from writing is what is under test.
    pub fn up(options: &[&str], vms: &[(&str, &str, Guest)]) -> Option<Kvm> {
        let lab = Lab::up(options)?;
        let hosts = (1..).map(|number| format!("kvm{number}"));
        let hosts = hosts.take_while(|host| lab.path().join("hosts").join(host).exists()).collect();
        let kvm = Kvm { lab, hosts };
        kvm.must(&["locks", "ds1", "off"]);
        kvm.must(&["locks", "ds2", "off"]);
        // Which host dies how often depends on who is master: none is to be kept off for it.
        kvm.holdfast(&["policy", "set", "max_fences=1000"]);
        for (name, host, guest) in vms {
            kvm.add(name, host, *guest);
        }
        kvm.holdfast(&["vm", "protect", "--all"]);
        for (name, host, guest) in vms {
            kvm.until_runs(name, |runs| runs == *host);
            if *guest == Guest::Linux {
                kvm.until_writing(name);
            }
        }
        Some(kvm)
    }

    pub fn add(&self, name: &str, host: &str, guest: Guest) {
        let kind = if guest == Guest::Bios { "--bios" } else { "--linux" };
        self.must(&["vm", "add", name, "--on", host, kind]);
    }

    /// What an operator's command prints, on the first host that has an answer. One that knows no master is passed over:
    /// what it shows is old.
    pub fn holdfast(&self, words: &[&str]) -> String {
        self.until(&format!("an answer to {words:?}"), |kvm| {
            let answers = kvm.hosts.iter().map(|host| kvm.command(host, words));
            answers
                .filter(|output| !text(&output.stderr).contains("there is no master"))
                .find_map(|output| said(&output))
        })
    }

    /// The same, asked of one host; nothing if it fails there.
    pub fn holdfast_on(&self, host: &str, words: &[&str]) -> Option<String> {
        said(&self.command(host, words))
    }

    fn command(&self, host: &str, words: &[&str]) -> Output {
        self.ask(&[&["exec", host, "timeout", "40", "holdfast"], words].concat())
    }

    fn view<T: DeserializeOwned>(&self, words: &[&str]) -> T {
        let text = self.holdfast(&[words, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// Waits until something is so. To ask an agent costs more than to look at the lab.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Kvm) -> Option<T>) -> T {
        self.lab.until(what, |_| {
            let found = look(self);
            if found.is_none() {
                std::thread::park_timeout(PAUSE);
            }
            found
        })
    }

    /// libvirt's own tool, as people use it.
    pub fn virsh(&self, host: &str, words: &[&str]) -> Output {
        self.ask(&[&["exec", host, "timeout", "60", "virsh", "-q"], words].concat())
    }

    pub fn must_virsh(&self, host: &str, words: &[&str]) -> String {
        self.must(&[&["exec", host, "timeout", "60", "virsh", "-q"], words].concat())
    }

    /// What libvirt says instead of doing it.
    pub fn refused(&self, host: &str, words: &[&str]) -> String {
        let output = self.virsh(host, words);
        assert!(!output.status.success(), "virsh {words:?} on {host} was let pass");
        text(&output.stderr)
    }

    pub fn vm(&self, name: &str) -> VmView {
        self.view(&["vm", "show", name])
    }

    /// What a VM uses just now, and how far its move is.
    pub fn live(&self, name: &str) -> Value {
        self.view(&["vm", "show", name, "--live"])
    }

    pub fn vms(&self) -> Vec<VmView> {
        self.view(&["vm", "list"])
    }

    pub fn host(&self, name: &str) -> HostView {
        self.view(&["host", "show", name])
    }

    /// What the doctor finds. It ends with an error if there is anything.
    pub fn doctor(&self) -> String {
        let output = self.ask(&["exec", &self.master(), "timeout", "60", "holdfast", "doctor", "-o", "json"]);
        text(&output.stdout)
    }

    pub fn master(&self) -> String {
        self.until("a master", |kvm| kvm.view::<ClusterView>(&["status"]).master)
    }

    /// A host that is not this one, nor the master's.
    pub fn beside(&self, host: &str) -> String {
        let master = self.master();
        let mut others = self.hosts.iter().filter(|other| *other != host && **other != master);
        others.next().expect("another host").clone()
    }

    /// Waits until a VM runs on a host that is right, by the log, and tells which one that is.
    pub fn until_runs(&self, name: &str, right: impl Fn(&str) -> bool) -> String {
        self.until(&format!("{name} runs where it should"), |kvm| {
            let vm = kvm.vm(name);
            vm.host.filter(|host| vm.state == "running" && right(host))
        })
    }

    pub fn until_vm(&self, name: &str, state: &str) -> VmView {
        self.until(&format!("{name} is {state}"), |kvm| Some(kvm.vm(name)).filter(|vm| vm.state == state))
    }

    pub fn until_host(&self, name: &str, state: &str) {
        self.until(&format!("{name} is {state}"), |kvm| (kvm.host(name).state == state).then_some(()));
    }

    pub fn until_waits(&self, name: &str, reason: &str) {
        self.until(&format!("{name} waits: {reason}"), |kvm| kvm.vm(name).waits?.contains(reason).then_some(()));
    }

    pub fn told(&self, text: &str) -> usize {
        let events: Vec<EventView> = self.view(&["events", "--limit", "1000"]);
        events.iter().filter(|event| event.text.contains(text)).count()
    }

    pub fn until_told(&self, text: &str) {
        self.until(&format!("the ledger tells \"{text}\""), |kvm| (kvm.told(text) > 0).then_some(()));
    }

    /// The last recovery of a VM, by the ledger.
    pub fn recovery(&self, name: &str) -> Option<RecoveryView> {
        let report: FailoversView = self.view(&["report", "failovers"]);
        report.failovers.into_iter().rfind(|recovery| recovery.vm == name && recovery.proof.is_some())
    }

    /// Waits until a VM was restarted elsewhere, by a proof of this kind and no other, and its guest writes again.
    pub fn until_recovered(&self, name: &str, from: &str, proof: &str) -> String {
        let host = self.until_runs(name, |host| host != from);
        let recovery = self.until("the recovery in the ledger", |kvm| kvm.recovery(name));
        assert_eq!((recovery.proof.as_deref(), recovery.from.as_deref()), (Some(proof), Some(from)), "{recovery:?}");
        assert_eq!(recovery.to, host);
        assert!(recovery.down_at < recovery.up_at, "{recovery:?}");
        host
    }

    /// The VMs that a host's own libvirt has, with what it says of each.
    pub fn domains(&self, host: &str) -> BTreeMap<String, String> {
        let text = self.must_virsh(host, &["list", "--all"]);
        let line = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            Some((words.next()?.to_owned(), words.collect::<Vec<_>>().join(" ")))
        };
        text.lines().filter_map(line).collect()
    }

    /// How often a VM's guest has begun to write to its disk.
    pub fn starts(&self, name: &str) -> usize {
        self.must(&["vm", "verify", name]).matches("\"nonce\"").count()
    }

    /// Ends a test: what should run runs on the one host that the log says, by each libvirt's own word; no disk was ever
    /// written by two; and whoever is asked tells the same history.
    pub fn settle(&self) {
        self.until("everything to run that should", |kvm| {
            let vms = kvm.vms();
            vms.iter().all(|vm| vm.want != Want::Running || vm.state == "running").then_some(())
        });
        for vm in self.vms() {
            let runs_on = |host: &&String| self.domains(host).get(&vm.name).is_some_and(|state| state == "running");
            let runs: Vec<&String> = self.hosts.iter().filter(|host| self.lives(host)).filter(runs_on).collect();
            assert_eq!(runs, vm.host.iter().filter(|_| vm.want == Want::Running).collect::<Vec<_>>(), "{}", vm.name);
        }
        let verified = self.ask(&["vm", "verify"]);
        assert!(verified.status.success(), "written by two: {}", String::from_utf8_lossy(&verified.stdout));
        self.ledgers_agree();
    }

    /// Whether anything runs on a host.
    fn lives(&self, host: &str) -> bool {
        self.succeeds(&["exec", host, "true"])
    }

    fn ledgers_agree(&self) {
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        for host in self.hosts.iter().filter(|host| self.lives(host)) {
            let Some(text) = self.holdfast_on(host, &["events", "--limit", "1000", "-o", "json"]) else { continue };
            let events: Vec<EventView> = serde_json::from_str(&text).expect("events");
            for event in events {
                let before = told.insert(event.key.clone(), event.text.clone());
                assert!(before.is_none_or(|text| text == event.text), "{host} tells another history: {event:?}");
            }
        }
        assert!(!told.is_empty(), "nobody tells what happened");
    }
}

/// What a command that ended well has printed.
fn said(output: &Output) -> Option<String> {
    output.status.success().then(|| text(&output.stdout).trim().to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Drop for Kvm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = self.hosts.iter().find_map(|host| self.holdfast_on(host, &["events", "--limit", "60"]));
            eprintln!("{}", told.unwrap_or_else(|| "no host tells what happened".to_owned()));
        }
    }
}
