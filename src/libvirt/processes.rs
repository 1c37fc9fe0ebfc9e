//! The QEMU processes of this host, as the kernel shows them, whatever the daemon says.
//!
//! A process is a VM's if its program is QEMU and its command line names the VM's UUID. Both are read from memory, never
//! from storage, and once for each process. A look waits for none that hangs.

use crate::clock::boottime;
use crate::core::action::ProcessState;
use crate::libvirt::command_lines::{CommandLines, Guest, Key, Seen};
use crate::platform::pid::{self, Process, ProcessName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// All command lines that are new to a look are read within this, or a later look tells.
const PATIENCE: Duration = Duration::from_millis(200);
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
    /// Processes of QEMU that hang in such a way that nobody can tell of which VM they are.
    pub(super) hidden: Vec<u32>,
}

/// The table. It remembers what each process is.
#[derive(Default)]
pub(super) struct Processes {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    known: BTreeMap<Key, Option<Guest>>,
    lines: CommandLines,
}

impl Processes {
    /// Looks through all processes.
    pub(super) fn scan(&self) -> io::Result<Found> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory { known, lines } = &mut *memory;
        let former = std::mem::take(known);
        let deadline = boottime() + PATIENCE;
        let mut alive = BTreeSet::new();
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
            let key: Key = (name, comm.into());
            alive.insert(key.clone());
            let guest = match former.get(&key).map_or_else(|| lines.read(&key, deadline), |guest| Seen::Firmly(*guest))
            {
                Seen::Firmly(guest) => {
                    known.insert(key, guest);
                    guest
                }
                Seen::Noted(guest) => Some(guest),
                Seen::Hidden => {
                    found.hidden.push(pid);
                    None
                }
                Seen::NotYet => None,
            };
            if let Some(Guest { uuid, incoming }) = guest
                && let Some(state) = state(name)
            {
                found.qemus.push(Qemu { uuid, name, incoming, state });
            }
        }
        lines.forget_all_but(|key| alive.contains(key));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use uuid::Uuid;

    /// A process that looks like QEMU from outside, and is ended with the test.
    struct Fake(Child);

    impl Fake {
        fn new(uuid: &str) -> Fake {
            let mut command = Command::new("sh");
            command.arg0("qemu-system-fake").args(["-c", "echo; read line", "sh", "-uuid", uuid]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            // It may be spawned a moment before the kernel shows its arguments.
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            Fake(child)
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
