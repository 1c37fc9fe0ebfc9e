//! The QEMU processes of this host, as the kernel shows them, whatever the daemon says.
//!
//! A process is a VM's if its program is QEMU and its command line names the VM's UUID. Both are read from memory, never
//! from storage, so this hangs with nothing. A command line is read once for each process, as reading it can wait for
//! one that hangs in the kernel.

use crate::core::action::ProcessState;
use crate::platform::pid::{self, Process, ProcessName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// What is longer is no command line of QEMU.
const LONGEST: u64 = 1_024 * 1_024;
/// The flag of a process that is one of the kernel's own threads.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// The programs that are the daemon. The kernel cuts names to 15 letters.
const DAEMONS: [&str; 2] = ["libvirtd", "virtqemud"];

/// A process of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Qemu {
    /// Of which VM.
    pub(super) uuid: u128,
    pub(super) name: ProcessName,
    /// Whether it was started to wait for a VM's state: by a migration, or from a file.
    pub(super) incoming: bool,
    /// Executing, or dying.
    pub(super) state: ProcessState,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) qemus: Vec<Qemu>,
    pub(super) daemons: BTreeSet<ProcessName>,
}

/// The table. It remembers what each process is.
#[derive(Debug, Default)]
pub(super) struct Processes {
    known: Mutex<BTreeMap<Key, Option<Guest>>>,
}

/// A process may become another program: then it has another name.
type Key = (ProcessName, Box<[u8]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guest {
    uuid: u128,
    incoming: bool,
}

impl Processes {
    /// Looks through all processes.
    pub(super) fn scan(&self) -> io::Result<Found> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::take(&mut *known);
        let mut found = Found::default();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let Some((comm, fields)) = stat(pid) else { continue };
            let number = |field| pid::field(&fields, field).and_then(|text| text.parse::<u64>().ok());
            let (Some(flags), Some(started)) = (number(9), number(22)) else { continue };
            if flags & KERNEL_THREAD != 0 {
                continue;
            }
            let name = ProcessName { pid, started };
            if DAEMONS.iter().any(|daemon| daemon.as_bytes() == comm) && hold(name).is_some() {
                found.daemons.insert(name);
            }
            let key = (name, comm.into());
            let Some(guest) = former.get(&key).copied().or_else(|| guest(pid)) else { continue };
            known.insert(key, guest);
            if let Some(Guest { uuid, incoming }) = guest
                && let Some(state) = state(name)
            {
                found.qemus.push(Qemu { uuid, name, incoming, state });
            }
        }
        Ok(found)
    }

    /// The processes of one VM, each held on to.
    pub(super) fn of(&self, uuid: u128) -> io::Result<Vec<(ProcessName, Process)>> {
        let held = self.scan()?.qemus.into_iter().filter(|qemu| qemu.uuid == uuid);
        Ok(held.filter_map(|qemu| Some((qemu.name, hold(qemu.name)?))).collect())
    }
}

/// Holds on to a process, if it still lives.
pub(super) fn hold(name: ProcessName) -> Option<Process> {
    pid::open_if(name.pid, || pid::started(name.pid) == Some(name.started))
}

/// A name that a process gave itself, and what follows it in the kernel's line on the process.
fn stat(pid: u32) -> Option<(Vec<u8>, String)> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let begin = line.iter().position(|byte| *byte == b'(')?;
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let comm = line.get(begin + 1..end)?.to_vec();
    Some((comm, String::from_utf8(line.get(end + 1..)?.to_vec()).ok()?))
}

/// The state of a process that was there a moment ago. One whose last thread has ended holds nothing any more, and is
/// only not reaped.
fn state(name: ProcessName) -> Option<ProcessState> {
    hold(name)?;
    Some(if pid::is_dying(name) { ProcessState::Dying } else { ProcessState::Executing })
}

/// Which VM a process is, or that it is none; nothing if that cannot be told yet: a program that is just being begun has
/// its name before its command line.
fn guest(pid: u32) -> Option<Option<Guest>> {
    let mut line = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline")).ok()?.take(LONGEST).read_to_end(&mut line).ok()?;
    if line.is_empty() {
        return None;
    }
    let link = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let program = link.as_deref().and_then(|path| path.file_name()?.to_str());
    Some(guest_of(program, &line))
}

fn guest_of(program: Option<&str>, line: &[u8]) -> Option<Guest> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let first = words.first().and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.rsplit('/').next());
    let is_qemu = |name: &str| name.starts_with("qemu-system-") || name == "qemu-kvm" || name == "kvm";
    if !program.into_iter().chain(first).any(is_qemu) {
        return None;
    }
    let after = words.iter().position(|word| *word == b"-uuid")?;
    let uuid = Uuid::try_parse_ascii(words.get(after + 1)?).ok()?;
    Some(Guest { uuid: uuid.as_u128(), incoming: words.iter().any(|word| *word == b"-incoming") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    const UUID: &str = "5d6c6f0e-7a3b-4a55-9d5c-1f0a6b7c8d9e";

    fn line(words: &[&str]) -> Vec<u8> {
        words.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    #[test]
    fn a_guest_is_a_qemu_with_a_uuid() {
        let uuid = UUID.parse::<Uuid>().unwrap().as_u128();
        let words = |first: &str| line(&[first, "-name", "guest=a", "-uuid", UUID, "-S"]);
        let guest = Some(Guest { uuid, incoming: false });
        assert_eq!(guest_of(None, &words("/usr/bin/qemu-system-x86_64")), guest);
        assert_eq!(guest_of(Some("qemu-kvm"), &words("anything")), guest);
        assert_eq!(guest_of(None, &words("kvm")), guest);
        assert_eq!(guest_of(Some("grep"), &words("grep")), None);
        assert_eq!(guest_of(Some("qemu-img"), &words("qemu-img")), None);
        assert_eq!(guest_of(None, &line(&["kvm", "-uuid"])), None);
        assert_eq!(guest_of(None, &line(&["kvm", "-uuid", "no"])), None);
        let incoming = guest_of(None, &line(&["kvm", "-uuid", UUID, "-incoming", "defer"]));
        assert_eq!(incoming, Some(Guest { uuid, incoming: true }));
        assert_eq!(guest_of(None, b""), None);
    }

    /// A process that looks like QEMU from outside, and is ended with the test.
    struct Fake(Child);

    impl Fake {
        fn new(uuid: &str) -> Fake {
            let mut command = Command::new("sh");
            command.arg0("qemu-system-fake").args(["-c", "read line", "sh", "-uuid", uuid]);
            Fake(command.stdin(std::process::Stdio::piped()).spawn().unwrap())
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn processes_are_found_until_their_last_thread_has_ended() {
        let uuid = Uuid::new_v4();
        let mut fake = Fake::new(&uuid.to_string());
        let processes = Processes::default();
        let found = |processes: &Processes| {
            let qemus = processes.scan().unwrap().qemus;
            qemus.into_iter().find(|qemu| qemu.uuid == uuid.as_u128())
        };
        let qemu = found(&processes).unwrap();
        assert_eq!((qemu.name.pid, qemu.state, qemu.incoming), (fake.0.id(), ProcessState::Executing, false));
        let held = processes.of(uuid.as_u128()).unwrap();
        assert_eq!(held.len(), 1);
        let process = &held[0].1;
        process.signal(rustix::process::Signal::KILL).unwrap();
        let soon = crate::clock::boottime() + std::time::Duration::from_secs(20);
        assert!(crate::platform::wait::readable(process, soon).unwrap());
        assert!(found(&processes).is_none(), "it is not reaped, and not running");
        fake.0.wait().unwrap();
        assert!(found(&processes).is_none() && hold(qemu.name).is_none());
    }
}
