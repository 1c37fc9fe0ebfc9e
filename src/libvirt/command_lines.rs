//! Which VM a process is, by its command line; and by libvirt's own notes where that cannot be read.
//!
//! To read a command line the kernel looks into the process's memory, and waits for whoever changes that: with a process
//! that hangs in the middle of it, for ever. So each is read on a thread that can be left behind. Kills look for
//! processes, and must not wait behind one that hangs, least of all behind the one that is to be killed.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::platform::pid::ProcessName;
use roxmltree::Document;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// What is longer is no command line of QEMU.
const LONGEST: u64 = 1_024 * 1_024;
/// Where libvirt notes what it has running, in memory: the notes outlive the daemon, and not the machine.
const NOTES: &str = "/run/libvirt/qemu";
/// No note is longer.
const LONGEST_NOTE: u64 = 4 * 1_024 * 1_024;
/// However late it is, a thread gets so long: most answer at once.
const LEAST: Duration = Duration::from_millis(2);
/// What reading needs of a stack is little.
const STACK: usize = 128 * 1_024;

/// A process that is a VM's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) uuid: u128,
    /// Whether it was started to wait for the VM's state.
    pub(super) incoming: bool,
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is so, and stays so.
    Firmly(Option<Guest>),
    /// It cannot be read, and libvirt says so.
    Noted(Guest),
    /// That cannot be told yet: a program that is just being begun has its name before its command line.
    NotYet,
    /// It is a QEMU, and nobody can tell of which VM.
    Hidden,
}

/// A process may become another program: then it has another name, and what was read before means nothing.
pub(super) type Key = (ProcessName, Box<[u8]>);

type Reader = Arc<dyn Fn(u32) -> Option<Option<Guest>> + Send + Sync>;

/// Reads command lines.
pub(super) struct CommandLines {
    read: Reader,
    worker: Option<Worker>,
    /// What is still being read, since a look that did not wait for it.
    late: BTreeMap<Key, Receiver<Option<Option<Guest>>>>,
}

struct Worker {
    ask: Sender<u32>,
    told: Receiver<Option<Option<Guest>>>,
}

impl Default for CommandLines {
    fn default() -> CommandLines {
        CommandLines { read: Arc::new(guest), worker: None, late: BTreeMap::new() }
    }
}

impl CommandLines {
    /// Reads that of one process, and waits for it until then.
    pub(super) fn read(&mut self, key: &Key, deadline: Instant) -> Seen {
        let name = key.0;
        match self.begun(key, deadline) {
            Some(Some(guest)) => Seen::Firmly(guest),
            Some(None) => Seen::NotYet,
            None => match noted(Path::new(NOTES), name.pid) {
                Some(guest) => Seen::Noted(guest),
                // The name of the program is to be had without looking into its memory.
                None if program(name.pid).as_deref().is_some_and(is_qemu) => Seen::Hidden,
                None => Seen::NotYet,
            },
        }
    }

    /// Of processes that are gone nobody waits for anything.
    pub(super) fn forget_all_but(&mut self, lives: impl Fn(&Key) -> bool) {
        self.late.retain(|key, _| lives(key));
    }

    /// What a thread has read; nothing: it is still at it.
    fn begun(&mut self, key: &Key, deadline: Instant) -> Option<Option<Option<Guest>>> {
        if let Some(told) = self.late.get(key) {
            let told = told.try_recv();
            if told != Err(TryRecvError::Empty) {
                self.late.remove(key);
            }
            return match told {
                Ok(guest) => Some(guest),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(None),
            };
        }
        let worker = self.worker.take().or_else(|| Worker::start(Arc::clone(&self.read)))?;
        worker.ask.send(key.0.pid).ok()?;
        match worker.told.recv_timeout(deadline.since(boottime()).max(LEAST)) {
            Ok(guest) => {
                self.worker = Some(worker);
                Some(guest)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.late.insert(key.clone(), worker.told);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

impl Worker {
    /// It ends as soon as nobody can ask it any more.
    fn start(read: Reader) -> Option<Worker> {
        let ((ask, asked), (tell, told)) = (channel(), channel());
        let run = move || {
            for pid in asked {
                if tell.send(read(pid)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("command-lines".to_owned()).stack_size(STACK).spawn(run).ok()?;
        Some(Worker { ask, told })
    }
}

/// Which VM a process is, or that it is none; nothing if that cannot be told yet.
fn guest(pid: u32) -> Option<Option<Guest>> {
    let mut line = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline")).ok()?.take(LONGEST).read_to_end(&mut line).ok()?;
    if line.is_empty() {
        return None;
    }
    Some(guest_of(program(pid).as_deref(), &line))
}

fn program(pid: u32) -> Option<String> {
    Some(fs::read_link(format!("/proc/{pid}/exe")).ok()?.file_name()?.to_str()?.to_owned())
}

fn is_qemu(name: &str) -> bool {
    name.starts_with("qemu-system-") || name == "qemu-kvm" || name == "kvm"
}

fn guest_of(program: Option<&str>, line: &[u8]) -> Option<Guest> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let first = words.first().and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.rsplit('/').next());
    if !program.into_iter().chain(first).any(is_qemu) {
        return None;
    }
    let after = words.iter().position(|word| *word == b"-uuid")?;
    let uuid = Uuid::try_parse_ascii(words.get(after + 1)?).ok()?;
    Some(Guest { uuid: uuid.as_u128(), incoming: words.iter().any(|word| *word == b"-incoming") })
}

/// Which VM libvirt has noted a process to be.
fn noted(folder: &Path, pid: u32) -> Option<Guest> {
    let notes = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut notes = notes.filter(|path| path.extension().is_some_and(|extension| extension == "xml"));
    notes.find_map(|path| {
        let mut text = String::new();
        fs::File::open(path).ok()?.take(LONGEST_NOTE).read_to_string(&mut text).ok()?;
        of_note(&text, pid)
    })
}

fn of_note(text: &str, pid: u32) -> Option<Guest> {
    let document = Document::parse(text).ok()?;
    let status = document.root_element();
    if !status.has_tag_name("domstatus") || status.attribute("pid")?.parse() != Ok(pid) {
        return None;
    }
    let child = |name| move |node: &roxmltree::Node<'_, '_>| node.has_tag_name(name);
    let domain = status.children().find(child("domain"))?;
    let uuid = Uuid::try_parse(domain.children().find(child("uuid"))?.text()?.trim()).ok()?;
    let job = status.children().find(child("job")).and_then(|job| job.attribute("async"));
    Some(Guest { uuid: uuid.as_u128(), incoming: job == Some("migration in") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const UUID: &str = "5d6c6f0e-7a3b-4a55-9d5c-1f0a6b7c8d9e";

    fn line(words: &[&str]) -> Vec<u8> {
        words.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    fn uuid() -> u128 {
        UUID.parse::<Uuid>().unwrap().as_u128()
    }

    #[test]
    fn a_guest_is_a_qemu_with_a_uuid() {
        let words = |first: &str| line(&[first, "-name", "guest=a", "-uuid", UUID, "-S"]);
        let guest = Some(Guest { uuid: uuid(), incoming: false });
        assert_eq!(guest_of(None, &words("/usr/bin/qemu-system-x86_64")), guest);
        assert_eq!(guest_of(Some("qemu-kvm"), &words("anything")), guest);
        assert_eq!(guest_of(None, &words("kvm")), guest);
        assert_eq!(guest_of(Some("grep"), &words("grep")), None);
        assert_eq!(guest_of(Some("qemu-img"), &words("qemu-img")), None);
        assert_eq!(guest_of(None, &line(&["kvm", "-uuid"])), None);
        assert_eq!(guest_of(None, &line(&["kvm", "-uuid", "no"])), None);
        let incoming = guest_of(None, &line(&["kvm", "-uuid", UUID, "-incoming", "defer"]));
        assert_eq!(incoming, Some(Guest { uuid: uuid(), incoming: true }));
        assert_eq!(guest_of(None, b""), None);
    }

    #[test]
    fn a_process_whose_memory_nobody_can_look_into_holds_up_nobody() {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let read: Reader = Arc::new(move |pid| {
            if pid == 1 {
                released.lock().unwrap().recv().unwrap();
            }
            Some(Some(Guest { uuid: u128::from(pid), incoming: false }))
        });
        let mut lines = CommandLines { read, worker: None, late: BTreeMap::new() };
        let key = |pid| (ProcessName { pid, started: 7 }, Box::from(*b"qemu"));
        let firmly = |pid: u32| Seen::Firmly(Some(Guest { uuid: u128::from(pid), incoming: false }));
        let soon = boottime() + Duration::from_secs(20);
        assert_eq!(lines.read(&key(2), soon), firmly(2));
        // No note of libvirt names the first process of a machine.
        assert_eq!(lines.read(&key(1), boottime()), Seen::NotYet);
        assert_eq!((lines.read(&key(3), soon), lines.read(&key(1), soon)), (firmly(3), Seen::NotYet));
        release.send(()).unwrap();
        while lines.read(&key(1), soon) == Seen::NotYet {
            assert!(boottime() < soon);
        }
        assert!(lines.late.is_empty());
        lines.forget_all_but(|_| false);
        assert!(lines.late.is_empty());
    }

    #[test]
    fn libvirt_has_noted_which_vm_a_process_is() {
        let note = |job: &str| {
            format!(
                "<domstatus state='running' reason='booted' pid='42'>{job}<domain type='kvm'><name>a</name>\
                 <uuid>{UUID}</uuid></domain></domstatus>"
            )
        };
        let guest = |incoming| Some(Guest { uuid: uuid(), incoming });
        assert_eq!(of_note(&note(""), 42), guest(false));
        assert_eq!(of_note(&note("<job type='none' async='migration in' phase='prepare'/>"), 42), guest(true));
        assert_eq!((of_note(&note(""), 43), of_note("<domain/>", 42), of_note("no xml", 42)), (None, None, None));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.pid"), "42").unwrap();
        assert_eq!(noted(folder.path(), 42), None);
        fs::write(folder.path().join("a.xml"), note("")).unwrap();
        assert_eq!(noted(folder.path(), 42), guest(false));
        assert_eq!(noted(&folder.path().join("missing"), 42), None);
    }
}
