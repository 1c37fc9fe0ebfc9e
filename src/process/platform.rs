//! The adapter: takes the orders of a node, and has them carried out.

use crate::core::action::{Outcome, PlatformCall, PlatformEvent, ProcessSeen, ProcessState, View};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::Known;
use crate::core::reason::Refusal;
use crate::platform::lanes::{Lane, Lanes};
use crate::platform::{Live, Platform, Tell, pid};
use crate::process::calls::Calls;
use crate::process::life::{LifeDirectory, LifeError, vms_in};
use crate::process::live::Gauge;
use crate::process::watch::Watcher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tracing::{error, warn};
use uuid::Uuid;

/// So many VMs are worked on at once. A graceful stop takes its thread for as long as the guest takes.
const THREADS: usize = 256;
/// No host's name is longer.
const LONGEST_NAME: usize = 64;

/// What a platform on a host is told.
#[derive(Debug, Clone)]
pub struct HostSetup {
    /// What the host is called.
    pub host: String,
    /// Where its run directory is, which lives as long as a boot of the machine.
    pub run: PathBuf,
    /// Where its state directory is, which outlives boots.
    pub state: PathBuf,
    /// The program that has the command `process-vm`. The agent's own is `/proc/self/exe`: the one that runs, whatever
    /// lies in its place by now.
    pub program: PathBuf,
    /// After so long a call is given up: what it began may still happen.
    pub call_deadline: Duration,
}

/// Why a host has no platform.
#[derive(Debug, Error)]
pub enum HostError {
    /// Its name is too long, or none.
    #[error("{0:?} is no name for a host: it must have between 1 and {LONGEST_NAME} characters")]
    Name(String),
    /// A directory cannot be used.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// The directory of definitions cannot be used.
    #[error("the directory {path:?} cannot be made: {source}; correct the host's state directory")]
    State {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Processes cannot be watched.
    #[error("processes cannot be watched: {0}; see the limits of open files and of threads")]
    Watch(#[source] io::Error),
}

/// The embedded hypervisor of a host. Its VMs outlive it.
pub struct ProcessPlatform {
    calls: Arc<Calls>,
    lanes: Lanes,
    tell: Tell,
    undefined: Arc<Mutex<BTreeSet<VmId>>>,
    gauge: Arc<Gauge>,
}

impl ProcessPlatform {
    /// Takes over a host, with the VMs that an earlier platform may have left running.
    pub fn new(setup: HostSetup, tell: Tell) -> Result<ProcessPlatform, HostError> {
        if setup.host.is_empty() || setup.host.len() > LONGEST_NAME {
            return Err(HostError::Name(setup.host));
        }
        let lives = LifeDirectory::open(&setup.run)?;
        let path = setup.state.join("definitions");
        let definitions = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
        let definitions = definitions.map_err(|source| HostError::State { path, source })?;
        let watcher = Watcher::start(lives.clone(), Arc::clone(&tell)).map_err(HostError::Watch)?;
        for vm in lives.all()? {
            if lives.file(vm).is_held()? {
                watcher.notice(vm);
            }
        }
        let gauge = Arc::new(Gauge::new(lives.clone()));
        let calls = Calls {
            lives,
            definitions,
            program: setup.program,
            host: setup.host,
            deadline: setup.call_deadline,
            watcher,
        };
        Ok(ProcessPlatform {
            calls: Arc::new(calls),
            lanes: Lanes::new(THREADS, Arc::clone(&tell)),
            tell,
            undefined: Arc::default(),
            gauge,
        })
    }

    fn call_vm(&self, ticket: Ticket, vm: VmId, call: PlatformCall) {
        let (calls, undefined) = (Arc::clone(&self.calls), Arc::clone(&self.undefined));
        let work = move || {
            let outcome = match call {
                PlatformCall::Start { .. } if lock(&undefined).contains(&vm) => {
                    warn!("{vm} could not be started: its newest definition could not be stored");
                    Outcome::Failed
                }
                PlatformCall::Start { epoch, .. } => Calls::settle(vm, "started", calls.start(vm, epoch)),
                PlatformCall::Stop { want, .. } => Calls::settle(vm, "stopped", calls.stop(vm, want)),
                PlatformCall::Undefine { .. } => Calls::settle(vm, "undefined", calls.undefine(vm)),
                PlatformCall::ProbeLock { .. } => Calls::settle(vm, "probed", calls.probe_lock(vm)),
                PlatformCall::Move { to, .. } => {
                    warn!("{vm} could not be moved to {to}: this hypervisor moves nothing alive; stop and start it");
                    Outcome::Failed
                }
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
        let (calls, lanes) = (Arc::clone(&self.calls), self.lanes.clone());
        let work = move || match view(&calls, &lanes) {
            Ok(view) => Some(PlatformEvent::Looked { ticket, view }),
            Err(error) => {
                // No answer is better than half a one: what it does not show would be taken for gone.
                error!("what runs here cannot be seen: {error}");
                None
            }
        };
        if !self.lanes.add(Lane::Looks, Box::new(work)) {
            error!("too many looks wait for their turn, or there is no thread left: this one is not answered");
        }
    }
}

impl Platform for ProcessPlatform {
    // Nothing but this starts VMs here, so there is no hook that would have to know them.
    fn know(&mut self, protected: &BTreeMap<VmId, Known>) {
        self.gauge.know(protected.iter().map(|(vm, known)| (*vm, Uuid::from_u128(known.uuid))).collect());
    }

    fn define(&mut self, vm: VmId, definition: Arc<[u8]>) {
        let (calls, undefined) = (Arc::clone(&self.calls), Arc::clone(&self.undefined));
        let work = move || {
            match calls.define(vm, &definition) {
                Ok(()) => {
                    lock(&undefined).remove(&vm);
                }
                Err(error) => {
                    error!("{vm} could not be defined: {error}");
                    lock(&undefined).insert(vm);
                }
            }
            None
        };
        if !self.lanes.add(Lane::Vm(vm), Box::new(work)) {
            error!("{vm}: too much waits for its turn, or there is no thread left: it was not defined");
            lock(&self.undefined).insert(vm);
        }
    }

    fn call(&mut self, ticket: Ticket, call: PlatformCall) {
        match call {
            PlatformCall::Look => self.look(ticket),
            PlatformCall::Start { vm, .. }
            | PlatformCall::Stop { vm, .. }
            | PlatformCall::Move { vm, .. }
            | PlatformCall::Undefine { vm }
            | PlatformCall::ProbeLock { vm } => self.call_vm(ticket, vm, call),
        }
    }

    fn answer(&mut self, _ticket: Ticket, _answer: Result<Epoch, Refusal>) {}

    fn kill(&mut self, vm: VmId) {
        self.calls.watcher.kill(vm);
    }

    fn reboot(&mut self) {
        // A host is a process group: without it nothing of the host is left, and its machine finds it crashed.
        if let Err(error) = rustix::process::kill_current_process_group(rustix::process::Signal::KILL) {
            error!(%error, "this host cannot be forced down");
        }
    }

    fn live(&self) -> Arc<dyn Live> {
        Arc::clone(&self.gauge) as Arc<dyn Live>
    }
}

fn lock(set: &Mutex<BTreeSet<VmId>>) -> MutexGuard<'_, BTreeSet<VmId>> {
    // Nothing panics while it has the lock.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees what runs.
fn view(calls: &Calls, lanes: &Lanes) -> io::Result<View> {
    // A call that ends meanwhile counts as under way: its process may have come up behind this look's back.
    let mut busy = lanes.busy();
    let mut processes = Vec::new();
    let mut alive = BTreeSet::new();
    for vm in calls.lives.all().map_err(io::Error::other)? {
        if let Some(state) = state(calls, vm) {
            processes.push(ProcessSeen { vm, state });
            alive.insert(vm);
            calls.watcher.notice(vm);
        }
    }
    let defined = vms_in(&calls.definitions, ".toml")?;
    let inactive = defined.into_iter().filter(|vm| !alive.contains(vm)).map(|vm| (vm, calls.lives.ended(vm))).collect();
    busy.extend(lanes.busy());
    busy.sort_unstable();
    busy.dedup();
    Ok(View { processes, daemon: true, busy, inactive })
}

/// The state of a VM's process, if it has one.
fn state(calls: &Calls, vm: VmId) -> Option<ProcessState> {
    let file = calls.lives.file(vm);
    // What cannot be seen is taken for alive.
    if !file.is_held().unwrap_or(true) {
        return None;
    }
    let name = file.read().ok().flatten().and_then(|record| record.process);
    Some(if name.is_some_and(pid::is_dying) { ProcessState::Dying } else { ProcessState::Executing })
}
