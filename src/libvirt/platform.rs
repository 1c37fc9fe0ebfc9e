//! The adapter: takes the orders of a node, and has them carried out.

use crate::core::action::{Outcome, PlatformCall, PlatformEvent};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::Known;
use crate::core::reason::Refusal;
use crate::libvirt::activity::Activity;
use crate::libvirt::books::Books;
use crate::libvirt::calls::Calls;
use crate::libvirt::checkup::Inspector;
use crate::libvirt::daemon::Daemon;
use crate::libvirt::definition::Datastore;
use crate::libvirt::events::Listener;
use crate::libvirt::hook::{HookError, HookServer};
use crate::libvirt::inquiry::Inquiry;
use crate::libvirt::keeper::Keeper;
use crate::libvirt::left::Left;
use crate::libvirt::live::Gauge;
use crate::libvirt::look::Looker;
use crate::libvirt::processes::Processes;
use crate::libvirt::survey::Surveyor;
use crate::libvirt::watch::Watcher;
use crate::libvirt::{Names, reboot};
use crate::platform::lanes::{Lane, Lanes};
use crate::platform::{Live, Platform, Survey, Tell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tracing::{error, warn};

/// So many VMs are worked on at once. A graceful stop takes its thread for as long as the guest takes.
const THREADS: usize = 256;
/// A hook waits for so much longer than the node does for a permit.
const HOOK_MARGIN: Duration = Duration::from_millis(500);

/// What the platform on a host is told.
#[derive(Clone)]
pub struct LibvirtSetup {
    /// Where the daemon is.
    pub uri: String,
    /// By which URI the daemon of another host is reached from this one's; `{host}` stands for its name.
    pub migration: String,
    /// By which name or address another host is reached.
    pub names: Names,
    /// Where the hook's socket is, which lives as long as a boot of the machine.
    pub run: PathBuf,
    /// Where its lists are, which outlive boots.
    pub state: PathBuf,
    /// Where the shared datastores are on this host.
    pub datastores: Vec<Datastore>,
    /// After so long a call is given up: what it began may still happen.
    pub call_deadline: Duration,
    /// After so long a live migration is told to give up.
    pub move_deadline: Duration,
    /// So long a start may wait for a permit.
    pub hook_deadline: Duration,
}

/// Why a host has no platform.
#[derive(Debug, Error)]
pub enum LibvirtError {
    /// A directory cannot be used.
    #[error("the directory {path:?} cannot be used: {source}; correct `run` or `state` in the configuration")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Hooks cannot be answered.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A thread cannot be made, or processes cannot be watched.
    #[error("processes cannot be watched: {0}; see the limits of open files and of threads")]
    Watch(#[source] io::Error),
}

/// The hypervisor of a KVM host. Its VMs outlive it.
pub struct LibvirtPlatform {
    calls: Arc<Calls>,
    looker: Arc<Looker>,
    lanes: Lanes,
    hooks: Arc<HookServer>,
    keeper: Keeper,
    lists: Sender<()>,
    tell: Tell,
    undefined: Arc<Mutex<BTreeSet<VmId>>>,
    surveyor: Arc<Surveyor>,
    gauge: Arc<Gauge>,
    _listener: Listener,
}

impl LibvirtPlatform {
    /// Takes over a host, with the VMs that run there. The daemon need not be there yet.
    pub fn new(setup: LibvirtSetup, tell: Tell) -> Result<LibvirtPlatform, LibvirtError> {
        for path in [&setup.run, &setup.state] {
            fs::create_dir_all(path).map_err(|source| LibvirtError::Directory { path: path.clone(), source })?;
        }
        let daemon = Daemon::new(&setup.uri);
        let (processes, activity, books) = <(Arc<Processes>, Arc<Activity>, Arc<Books>)>::default();
        let watcher = Watcher::start(Arc::clone(&processes), Arc::clone(&activity), Arc::clone(&tell));
        let watcher = Arc::new(watcher.map_err(LibvirtError::Watch)?);
        let lanes = Lanes::new(THREADS, Arc::clone(&tell));
        let looker = Arc::new(Looker {
            daemon: Arc::clone(&daemon),
            processes: Arc::clone(&processes),
            activity: Arc::clone(&activity),
            books: Arc::clone(&books),
            watcher: Arc::clone(&watcher),
            inquiry: Inquiry::default(),
            lanes: lanes.clone(),
        });
        let hooks = HookServer::start(
            &setup.run,
            &setup.state,
            setup.hook_deadline + HOOK_MARGIN,
            Arc::clone(&looker),
            Arc::clone(&tell),
        )?;
        let hooks = Arc::new(hooks);
        let keeper = Keeper::start(
            Arc::clone(&daemon),
            Arc::clone(&books),
            &setup.state,
            setup.datastores.clone(),
            Arc::clone(&tell),
        )
        .map_err(|source| LibvirtError::Directory { path: setup.state.clone(), source })?;
        let inspector = Arc::new(Inspector {
            daemon: Arc::clone(&daemon),
            books: Arc::clone(&books),
            hooks: Arc::clone(&hooks),
            run: setup.run.clone(),
            state: setup.state.clone(),
        });
        let listener = Listener::start(Arc::clone(&inspector), keeper.clone(), Arc::clone(&tell));
        let calls = Calls {
            daemon: Arc::clone(&daemon),
            processes: Arc::clone(&processes),
            activity,
            books,
            watcher,
            names: setup.names,
            migration: setup.migration,
            deadline: setup.call_deadline,
            move_deadline: setup.move_deadline,
            datastores: setup.datastores.clone(),
            left: Left::within(&setup.state),
            brought: Mutex::default(),
        };
        let surveyor = Surveyor::new(daemon, setup.datastores);
        let gauge = Gauge::new(processes, Arc::clone(&inspector));
        Ok(LibvirtPlatform {
            calls: Arc::new(calls),
            looker,
            lanes,
            lists: lists(Arc::clone(&hooks)).map_err(LibvirtError::Watch)?,
            hooks,
            keeper,
            tell,
            undefined: Arc::default(),
            surveyor: Arc::new(surveyor),
            gauge: Arc::new(gauge),
            _listener: listener.map_err(LibvirtError::Watch)?,
        })
    }

    fn call_vm(&self, ticket: Ticket, vm: VmId, call: PlatformCall) {
        let (calls, undefined) = (Arc::clone(&self.calls), Arc::clone(&self.undefined));
        let work = move || {
            let outcome = match call {
                PlatformCall::Start { .. } if lock(&undefined).contains(&vm) => {
                    warn!("{vm} could not be started: its newest definition could not be brought here");
                    Outcome::Failed
                }
                PlatformCall::Start { .. } => calls.start(vm),
                PlatformCall::Stop { want, .. } => Calls::settle(vm, "stopped", calls.stop(vm, want)),
                PlatformCall::Undefine { .. } => Calls::settle(vm, "undefined", calls.undefine(vm)),
                PlatformCall::ProbeLock { .. } => Calls::settle(vm, "probed", calls.probe_lock(vm)),
                PlatformCall::Move { to, .. } => Calls::settle(vm, "moved", calls.move_to(vm, to)),
                PlatformCall::Look => return None,
            };
            Some(PlatformEvent::Returned { ticket, outcome })
        };
        if !self.lanes.add(Lane::Vm(vm), Box::new(work)) {
            error!("{vm}: too much waits for its turn, or there is no thread left: a call was not made");
            (self.tell)(PlatformEvent::Returned { ticket, outcome: Outcome::Failed });
        }
    }

    fn look(&self, ticket: Ticket) {
        let looker = Arc::clone(&self.looker);
        let work = move || match looker.look() {
            Ok(view) => Some(PlatformEvent::Looked { ticket, view }),
            Err(error) => {
                // No answer is better than half a one: what it does not show would be taken for gone.
                error!("what runs here cannot be seen: {error}; mount /proc");
                None
            }
        };
        if !self.lanes.add(Lane::Looks, Box::new(work)) {
            error!("too many looks wait for their turn, or there is no thread left: this one is not answered");
        }
    }
}

impl Platform for LibvirtPlatform {
    fn know(&mut self, protected: &BTreeMap<VmId, Known>) {
        self.calls.books.know(protected);
        // A thread that has ended has said why.
        let _ = self.lists.send(());
        self.keeper.wake();
    }

    fn define(&mut self, vm: VmId, definition: Arc<[u8]>) {
        let (calls, undefined, keeper) = (Arc::clone(&self.calls), Arc::clone(&self.undefined), self.keeper.clone());
        let work = move || {
            keeper.bringing(vm);
            let read = match calls.define(vm, &definition) {
                Ok(read) => {
                    lock(&undefined).remove(&vm);
                    read
                }
                Err(error) => {
                    error!("{vm} could not be defined: {error}");
                    lock(&undefined).insert(vm);
                    None
                }
            };
            keeper.brought(vm, read);
            None
        };
        if !self.lanes.add(Lane::Vm(vm), Box::new(work)) {
            error!("{vm}: too much waits for its turn, or there is no thread left: it was not defined");
            lock(&self.undefined).insert(vm);
        }
    }

    fn describe(&mut self, vm: VmId, though_brought: bool) {
        self.keeper.describe(vm, though_brought);
    }

    fn call(&mut self, ticket: Ticket, call: PlatformCall) {
        if let PlatformCall::Undefine { vm } = call {
            self.keeper.left(vm);
        }
        match call {
            PlatformCall::Look => self.look(ticket),
            PlatformCall::Start { vm, .. }
            | PlatformCall::Stop { vm, .. }
            | PlatformCall::Move { vm, .. }
            | PlatformCall::Undefine { vm }
            | PlatformCall::ProbeLock { vm } => self.call_vm(ticket, vm, call),
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Epoch, Refusal>) {
        self.hooks.answer(ticket, answer);
    }

    fn kill(&mut self, vm: VmId) {
        match self.calls.books.uuid(vm) {
            Some(uuid) => {
                self.calls.books.ends_by_us(vm);
                self.calls.watcher.kill(vm, uuid);
            }
            None => error!("{vm} cannot be killed: this host was never told which VM that is"),
        }
    }

    fn reboot(&mut self) {
        reboot::force();
    }

    fn survey(&self) -> Option<Arc<dyn Survey>> {
        Some(Arc::clone(&self.surveyor) as Arc<dyn Survey>)
    }

    fn live(&self) -> Arc<dyn Live> {
        Arc::clone(&self.gauge) as Arc<dyn Live>
    }
}

/// Starts the thread that writes the list of protected VMs, which may wait for a disk.
fn lists(hooks: Arc<HookServer>) -> io::Result<Sender<()>> {
    let (work, todo): (Sender<()>, Receiver<()>) = channel();
    let run = move || {
        while todo.recv().is_ok() {
            // Several changes need one list.
            while todo.try_recv().is_ok() {}
            hooks.list();
        }
    };
    thread::Builder::new().name("hook-list".to_owned()).spawn(run)?;
    Ok(work)
}

fn lock(set: &Mutex<BTreeSet<VmId>>) -> MutexGuard<'_, BTreeSet<VmId>> {
    // Nothing panics while it has the lock.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
