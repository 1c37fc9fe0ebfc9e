//! A host to test on: directories, a platform, and the end of every process that was started on it.

use holdfast::clock::boottime;
use holdfast::core::action::{Ended, Outcome, PlatformCall, PlatformEvent, ProcessSeen, ProcessState, View};
use holdfast::core::command::Want;
use holdfast::core::ids::{Epoch, Ticket, VmId};
use holdfast::platform::Platform;
use holdfast::process::disk::{Examination, create, examine};
use holdfast::process::life::{LifeDirectory, LifeRecord};
use holdfast::process::{HostSetup, ProcessPlatform};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing takes longer, or the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What several hosts share.
pub struct Shared {
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Shared {
    pub fn new() -> Shared {
        let folder = TempDir::new().expect("a folder");
        Shared { path: folder.path().to_owned(), _folder: Some(folder) }
    }

    /// What another process shares.
    pub fn at(path: PathBuf) -> Shared {
        Shared { path, _folder: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A VM's disk, made at the first use.
    pub fn disk(&self, vm: VmId) -> PathBuf {
        let path = self.path().join(format!("{vm}.disk"));
        if !path.exists() {
            create(&path).expect("a disk");
        }
        path
    }

    pub fn examine(&self, vm: VmId) -> Examination {
        examine(&self.disk(vm)).expect("a disk")
    }

    /// A definition of a VM.
    pub fn definition(&self, vm: VmId, more: &str) -> String {
        format!("disk = {:?}\n{more}", self.disk(vm))
    }

    pub fn host(&self, name: &str) -> Host {
        self.host_with_deadline(name, PATIENCE)
    }

    pub fn host_with_deadline(&self, name: &str, call_deadline: Duration) -> Host {
        let setup = HostSetup {
            host: name.to_owned(),
            run: self.path().join(name).join("run"),
            state: self.path().join(name).join("state"),
            program: PathBuf::from(env!("CARGO_BIN_EXE_holdfast")),
            call_deadline,
        };
        let (platform, events) = platform(&setup);
        let lives = LifeDirectory::open(&setup.run).expect("a directory");
        Host { setup, platform, events, unread: Vec::new(), tickets: 0, lives }
    }
}

fn platform(setup: &HostSetup) -> (ProcessPlatform, Receiver<PlatformEvent>) {
    let (tell, events) = channel();
    // The test may be over, and hear nothing any more.
    let tell = Arc::new(move |event| drop(tell.send(event)));
    (ProcessPlatform::new(setup.clone(), tell).expect("a platform"), events)
}

/// A host. Its processes end with it, also if a test fails.
pub struct Host {
    pub setup: HostSetup,
    pub platform: ProcessPlatform,
    events: Receiver<PlatformEvent>,
    unread: Vec<PlatformEvent>,
    tickets: u64,
    pub lives: LifeDirectory,
}

impl Host {
    /// Another run of the agent takes over.
    pub fn restart_agent(&mut self) {
        (self.platform, self.events) = platform(&self.setup);
        self.unread.clear();
    }

    pub fn define(&mut self, vm: VmId, definition: &str) {
        self.platform.define(vm, Arc::from(definition.as_bytes()));
    }

    pub fn begin(&mut self, call: PlatformCall) -> Ticket {
        self.tickets += 1;
        self.platform.call(Ticket(self.tickets), call);
        Ticket(self.tickets)
    }

    pub fn begin_start(&mut self, vm: VmId, epoch: u64) -> Ticket {
        self.begin(PlatformCall::Start { vm, epoch: Epoch { number: epoch, ..Epoch::NONE } })
    }

    pub fn call(&mut self, call: PlatformCall) -> Outcome {
        let ticket = self.begin(call);
        self.outcome(ticket)
    }

    pub fn start(&mut self, vm: VmId, epoch: u64) -> Outcome {
        let ticket = self.begin_start(vm, epoch);
        self.outcome(ticket)
    }

    pub fn stop(&mut self, vm: VmId, want: Want) -> Outcome {
        self.call(PlatformCall::Stop { vm, want })
    }

    pub fn outcome(&mut self, wanted: Ticket) -> Outcome {
        self.event("the answer to a call", |event| match event {
            PlatformEvent::Returned { ticket, outcome } if *ticket == wanted => Some(*outcome),
            _ => None,
        })
    }

    pub fn look(&mut self) -> View {
        let wanted = self.begin(PlatformCall::Look);
        self.event("a look", |event| match event {
            PlatformEvent::Looked { ticket, view } if *ticket == wanted => Some(view.clone()),
            _ => None,
        })
    }

    /// Waits until it is told that a VM's process has changed.
    pub fn changed(&mut self, wanted: VmId) {
        self.event("a change", |event| (*event == PlatformEvent::Changed { vm: wanted }).then_some(()));
    }

    fn event<T>(&mut self, what: &str, wanted: impl Fn(&PlatformEvent) -> Option<T>) -> T {
        let deadline = boottime() + PATIENCE;
        let mut seen = 0;
        loop {
            if let Some(found) = self.unread[seen..].iter().find_map(&wanted) {
                self.unread.retain(|event| wanted(event).is_none());
                return found;
            }
            seen = self.unread.len();
            match self.events.recv_timeout(deadline.since(boottime())) {
                Ok(event) => self.unread.push(event),
                Err(error) => panic!("{what} did not come: {error}; came: {:?}", self.unread),
            }
        }
    }

    /// Waits until something is so, and looks whenever something happens.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Host) -> bool) {
        let deadline = boottime() + PATIENCE;
        while !is_so(self) {
            assert!(boottime() < deadline, "it did not come to be that {what}");
            match self.events.recv_timeout(Duration::from_millis(2)) {
                Ok(event) => self.unread.push(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn record(&self, vm: VmId) -> LifeRecord {
        self.lives.file(vm).read().expect("a life file").expect("a record")
    }

    pub fn pid(&self, vm: VmId) -> u32 {
        self.record(vm).process.expect("a process").pid
    }

    pub fn is_alive(&self, vm: VmId) -> bool {
        self.lives.file(vm).is_held().expect("a life file")
    }

    /// That the VM runs, and how it is told so.
    pub fn assert_runs(&mut self, vm: VmId) {
        let view = self.look();
        let expected = ProcessSeen { vm, state: ProcessState::Executing };
        assert!(view.daemon && view.processes.contains(&expected), "{view:?}");
    }

    /// That nothing of the VM is left, and how it is told to have ended.
    pub fn assert_gone(&mut self, vm: VmId, how: Ended) {
        let view = self.look();
        assert!(!view.processes.iter().any(|process| process.vm == vm), "{view:?}");
        assert!(view.inactive.contains(&(vm, how)) && !view.busy.contains(&vm), "{view:?}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let lives = self.lives.clone();
        let left = || {
            let all = lives.all().unwrap_or_default().into_iter();
            all.filter(|vm| lives.file(*vm).is_held().unwrap_or(true)).collect::<Vec<_>>()
        };
        let deadline = boottime() + PATIENCE;
        while !left().is_empty() && boottime() < deadline {
            for vm in left() {
                self.platform.kill(vm);
            }
            let _any = self.events.recv_timeout(Duration::from_millis(5));
        }
    }
}
