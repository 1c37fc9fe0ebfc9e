//! Whether this host's libvirt is set up as the cluster needs it.
//!
//! Above all, whether the hook has an effect. Libvirt looks for hooks when it starts, or is told to read its
//! configuration anew: if there was none then, one that was installed later is not asked. Nobody can ask libvirt for
//! that, so it is tried: a domain is started that the hook refuses, and that could not come up without it either, as its
//! disk does not exist.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::libvirt::books::Books;
use crate::libvirt::daemon::{Daemon, Trouble};
use crate::libvirt::hook::{HookServer, command};
use crate::platform::{Checkup, Flaw, Gravity};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info};
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};
use virt::sys;

/// Where libvirt looks for hooks.
const HOOKS: &str = "/etc/libvirt/hooks";
/// No hook is longer.
const LONGEST: u64 = 64 * 1_024;
/// A trial after a daemon has come up may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a person does about a hook that is not there.
const INSTALL: &str = "install hosts/libvirt/holdfast as /etc/libvirt/hooks/qemu.d/holdfast, executable, then reload \
                       or restart libvirtd, or virtqemud, which ends no VM";
/// What the domain of a trial is called: each time the same, as libvirt may keep a log for each name.
const NAME: &str = "holdfast-trial";
/// Where the service that ends guests with their host is told what to do, the first that says so; the last two are the
/// program itself, which knows what holds if nothing is said.
const GUESTS: [&str; 4] = [
    "/etc/default/libvirt-guests",
    "/etc/sysconfig/libvirt-guests",
    "/usr/lib/libvirt/libvirt-guests.sh",
    "/usr/libexec/libvirt-guests.sh",
];
/// Where the service manager keeps that it is to run.
const GUESTS_WANTED: &str = "/etc/systemd/system/multi-user.target.wants/libvirt-guests.service";

/// Looks, and tries.
pub(super) struct Inspector {
    pub(super) daemon: Arc<Daemon>,
    pub(super) books: Arc<Books>,
    pub(super) hooks: Arc<HookServer>,
    pub(super) run: PathBuf,
    pub(super) state: PathBuf,
}

impl Inspector {
    /// Looks at all of it.
    pub(super) fn look(&self, deadline: Instant) -> Checkup {
        let mut checkup = Checkup::default();
        let (files, command) = (hook_files(Path::new(HOOKS)), command(&self.run, &self.state));
        match self.hooks.try_out(|uuid| attempt(&self.daemon, uuid, deadline)) {
            Trial::Asked => checkup.works.push("libvirt asks this agent before a VM comes up".to_owned()),
            Trial::NotAsked => checkup.flaws.push(without_effect(&files, &command)),
            Trial::Unknown(why) => checkup.flaws.push(Flaw {
                gravity: Gravity::Weak,
                text: format!("whether libvirt asks before a VM comes up cannot be tried: {why}"),
                advice: "see whether libvirtd answers (virsh version), and what its log says".to_owned(),
            }),
        }
        checkup.flaws.extend(files.iter().filter_map(|file| file.flaw(&command)));
        checkup.flaws.extend(self.autostart(deadline));
        checkup.flaws.extend(guests(Path::new(GUESTS_WANTED).exists(), |path| fs::read_to_string(path).ok()));
        checkup
    }

    /// Tries the hook, and says in the log what came of it: a daemon has come up, and may know no hook.
    pub(super) fn try_hook(&self) {
        match self.hooks.try_out(|uuid| attempt(&self.daemon, uuid, boottime() + PATIENCE)) {
            Trial::Asked => info!("libvirt asks this agent before a VM comes up"),
            Trial::NotAsked => {
                let command = command(&self.run, &self.state);
                let Flaw { text, advice, .. } = without_effect(&hook_files(Path::new(HOOKS)), &command);
                error!("{text}; {advice}");
            }
            Trial::Unknown(why) => info!("whether libvirt asks before a VM comes up could not be tried: {why}"),
        }
    }

    /// Protected VMs that libvirt starts by itself. That is taken over within seconds, so who is found here resists.
    fn autostart(&self, deadline: Instant) -> Option<Flaw> {
        let work = |connect: &Connect| {
            let all = connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_AUTOSTART)?;
            Ok(all.iter().filter_map(|domain| domain.uuid().ok()).map(|uuid| uuid.as_u128()).collect::<BTreeSet<_>>())
        };
        let alone = self.daemon.ask(deadline, work).ok()?;
        let protected = self.books.protected();
        let vms: Vec<String> =
            protected.iter().filter(|(_, uuid)| alone.contains(uuid)).map(|(vm, _)| vm.to_string()).collect();
        (!vms.is_empty()).then(|| Flaw {
            gravity: Gravity::Weak,
            text: format!("libvirt starts VMs by itself that Holdfast starts: {}", vms.join(", ")),
            advice: "if this lasts: virsh autostart --disable VM, and see what the agent there says".to_owned(),
        })
    }
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trial {
    /// The hook has asked this agent.
    Asked,
    /// It came as far as it could, and nobody asked.
    NotAsked,
    /// It did not come as far as the hook.
    Unknown(String),
}

/// Has the daemon start a domain that cannot come up; whether it came as far as missing the domain's disk.
fn attempt(daemon: &Arc<Daemon>, uuid: Uuid, deadline: Instant) -> Result<(), String> {
    let disk = format!("/nonexistent/holdfast-trial-{uuid}");
    let xml = move |kind: &str, disk: &str| {
        format!(
            "<domain type='{kind}'><name>{NAME}</name><uuid>{uuid}</uuid><memory unit='MiB'>8</memory>\
             <os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='{disk}'/>\
             <target dev='vda' bus='virtio'/></disk><controller type='usb' model='none'/>\
             <memballoon model='none'/></devices></domain>"
        )
    };
    let path = disk.clone();
    // Not every host has both kinds. Neither comes as far as a process.
    let work = move |connect: &Connect| {
        let flags = sys::VIR_DOMAIN_START_PAUSED | sys::VIR_DOMAIN_START_AUTODESTROY;
        let start = |kind| connect.create_domain_xml(&xml(kind, &path), flags);
        let is_end = |error: &Error| {
            error.code().known() == Some(ErrorNumber::HookScriptFailed) || error.message().contains(&path)
        };
        start("qemu").or_else(|error| if is_end(&error) { Err(error) } else { start("kvm") })?.destroy()
    };
    match daemon.ask(deadline, work) {
        Err(Trouble::Refused { message, .. }) if message.contains(&disk) => Ok(()),
        Err(trouble) => Err(trouble.to_string()),
        Ok(()) => Err("a domain without a disk came up".to_owned()),
    }
}

/// What is said where no hook is asked.
fn without_effect(files: &[HookFile], command: &str) -> Flaw {
    let why = match files {
        [] => "it is not installed",
        files if files.iter().any(|file| file.flaw(command).is_none()) => "libvirt was started before it was installed",
        files if files.iter().any(|file| file.is_executable) => "it is not that of this version, and asks elsewhere",
        _ => "it is not executable",
    };
    Flaw {
        gravity: Gravity::Bad,
        text: format!(
            "libvirt's hook has no effect ({why}): whoever starts a protected VM here by hand, or by another tool, may \
             have it run twice"
        ),
        advice: INSTALL.to_owned(),
    }
}

/// A hook that calls this program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HookFile {
    path: PathBuf,
    text: String,
    is_executable: bool,
}

impl HookFile {
    fn flaw(&self, command: &str) -> Option<Flaw> {
        let lines = self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<&str> = lines.collect();
        let is_ours = matches!(lines.as_slice(), [line] if line.starts_with("exec ") && line.ends_with(command));
        let text = match (self.is_executable, is_ours) {
            (true, true) => return None,
            (false, _) => format!("the hook {} is not executable", self.path.display()),
            (true, false) => format!("the hook {} is not that of this version", self.path.display()),
        };
        Some(Flaw { gravity: Gravity::Weak, text, advice: INSTALL.to_owned() })
    }
}

fn hook_files(folder: &Path) -> Vec<HookFile> {
    let all = fs::read_dir(folder.join("qemu.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = std::iter::once(folder.join("qemu")).chain(all).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let mut text = String::new();
        let file = fs::File::open(&path).ok()?;
        let mode = file.metadata().ok().filter(fs::Metadata::is_file)?.permissions().mode();
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        text.contains("libvirt-hook").then_some(HookFile { path, text, is_executable: mode & 0o111 != 0 })
    };
    paths.into_iter().filter_map(read).collect()
}

/// What the service that ends guests with their host would do to protected ones.
fn guests(is_wanted: bool, read: impl Fn(&Path) -> Option<String>) -> Option<Flaw> {
    let says = |path| Some((path, setting(&read(Path::new(path))?, "ON_SHUTDOWN")?));
    let (path, what): (&str, String) = GUESTS.into_iter().find_map(says).filter(|_| is_wanted)?;
    (what == "suspend").then(|| Flaw {
        gravity: Gravity::Bad,
        text: format!(
            "libvirt-guests saves VMs when this host is shut down ({path}): what is saved here cannot be started elsewhere"
        ),
        advice: format!("set ON_SHUTDOWN=shutdown in {}", GUESTS[usize::from(path.contains("sysconfig"))]),
    })
}

/// What a shell's file sets something to, the last time.
fn setting(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    lines.next_back().map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_ours_if_it_calls_this_version_and_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let files = || hook_files(folder.path());
        assert!(files().is_empty());
        let own = command(Path::new(super::super::hook::RUN), Path::new(super::super::hook::STATE));
        let why = |command: &str| without_effect(&files(), command).text;
        assert!(why(&own).contains("it is not installed"));
        let path = folder.path().join("qemu.d/holdfast");
        fs::create_dir(folder.path().join("qemu.d")).unwrap();
        fs::write(folder.path().join("qemu"), "#!/bin/sh\necho another\n").unwrap();
        fs::write(&path, include_str!("../../hosts/libvirt/holdfast")).unwrap();
        let flaw = |command: &str| files()[0].flaw(command).map(|flaw| flaw.text);
        assert!(flaw(&own).unwrap().ends_with("is not executable"));
        assert!(why(&own).contains("it is not executable"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!((files().len(), flaw(&own)), (1, None));
        assert!(why(&own).contains("was started before"));
        let other = command(Path::new("/run/other"), Path::new("/var/lib/other"));
        assert!(flaw(&other).unwrap().ends_with("is not that of this version") && why(&other).contains("elsewhere"));
    }

    #[test]
    fn guests_that_are_saved_with_their_host_are_told() {
        let told = |is_wanted, default: Option<&str>, script: &str| {
            guests(is_wanted, |path| match path.to_str() {
                Some("/etc/default/libvirt-guests") => default.map(str::to_owned),
                Some("/usr/lib/libvirt/libvirt-guests.sh") => Some(script.to_owned()),
                _ => None,
            })
        };
        let (suspends, stops) = ("ON_BOOT=start\nON_SHUTDOWN=suspend\n", "ON_SHUTDOWN=\"shutdown\"\n");
        assert!(told(true, None, suspends).unwrap().advice.ends_with("/etc/default/libvirt-guests"));
        assert_eq!(told(false, None, suspends), None);
        assert_eq!(told(true, Some(stops), suspends), None);
        assert!(told(true, Some("#ON_SHUTDOWN=shutdown\n"), suspends).is_some());
        assert!(told(true, Some(suspends), stops).unwrap().text.contains("/etc/default"));
    }
}
