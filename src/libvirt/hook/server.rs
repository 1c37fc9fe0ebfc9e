//! The agent's side: it has each question decided, and keeps the list of protected VMs.

use super::{LONGEST, Question, Step, answer_line, list, socket};
use crate::clock::boottime;
use crate::core::action::PlatformEvent;
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::Coming;
use crate::core::reason::Refusal;
use crate::core::time::Instant;
use crate::explain::{self, NameList};
use crate::libvirt::checkup::Trial;
use crate::libvirt::keeper;
use crate::libvirt::look::Looker;
use crate::platform::Tell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tracing::{error, info, warn};
use uuid::Uuid;

/// So many questions may wait at once: as many as there can be starts under way.
const QUESTIONS: usize = 256;
/// Who connects asks at once.
const ASKS: Duration = Duration::from_secs(2);
/// The process of a live migration follows its announcement at once: libvirt does both in one go, if slowly on a host that
/// has much to do. Of one that never came, the next start must not be taken for it.
const MIGRATES: Duration = Duration::from_secs(10);
/// So does that of a saved state. To take a plain start for one costs a refusal at worst; not to, the VM's disks.
const RESTORES: Duration = Duration::from_secs(60);
/// What a question needs of a stack is little.
const STACK: usize = 256 * 1_024;

/// Why nobody can be asked.
#[derive(Debug, Error)]
#[error("the hook's socket {path:?} cannot be made: {source}; see whether another agent runs on this host")]
pub struct HookError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Answers hooks.
pub(in crate::libvirt) struct HookServer {
    shared: Arc<Shared>,
    /// Held during a trial: a domain of its name comes up once at a time.
    trial: Mutex<()>,
}

struct Shared {
    looker: Arc<Looker>,
    tell: Tell,
    list: PathBuf,
    /// How long an answer may take.
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<Ticket, SyncSender<Result<Epoch, Refusal>>>,
    /// How the next processes of VMs come up, if they do before this.
    announced: BTreeMap<VmId, (Coming, Instant)>,
    connections: usize,
    /// Domains that are only to show whether somebody asks, and whether somebody has.
    trials: BTreeMap<Uuid, bool>,
    /// What the list holds; nothing: not known.
    listed: Option<BTreeSet<Uuid>>,
}

impl HookServer {
    /// Starts to listen, on a thread of its own.
    pub(in crate::libvirt) fn start(
        run: &Path,
        state: &Path,
        patience: Duration,
        looker: Arc<Looker>,
        tell: Tell,
    ) -> Result<HookServer, HookError> {
        let path = socket(run);
        let failed = |source| HookError { path: path.clone(), source };
        let listener = bind(&path).map_err(failed)?;
        let shared = Shared { looker, tell, list: list(state), patience, state: Mutex::default() };
        let server = HookServer { shared: Arc::new(shared), trial: Mutex::default() };
        // The listener's thread must not keep the agent's parts alive: it ends with the process.
        let shared = Arc::downgrade(&server.shared);
        let run = move || {
            for stream in listener.incoming() {
                match (shared.upgrade(), stream) {
                    (None, _) => return,
                    (Some(shared), Ok(stream)) => shared.take(stream),
                    (_, Err(error)) => warn!("a hook cannot be heard: {error}"),
                }
            }
        };
        thread::Builder::new().name("hook".to_owned()).spawn(run).map_err(failed)?;
        Ok(server)
    }

    /// The node has decided.
    pub(in crate::libvirt) fn answer(&self, ticket: Ticket, answer: Result<Epoch, Refusal>) {
        if let Some(waiting) = self.shared.state().waiting.remove(&ticket) {
            // Who does not wait any more has been refused.
            let _ = waiting.try_send(answer);
        }
    }

    /// Sees whether this agent is asked before a domain comes up that is no VM's. `attempt` has it come up, as far as it
    /// can without a disk.
    pub(in crate::libvirt) fn try_out(&self, attempt: impl FnOnce(Uuid) -> Result<(), String>) -> Trial {
        let _one_at_a_time = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let uuid = Uuid::new_v4();
        self.shared.state().trials.insert(uuid, false);
        let attempted = attempt(uuid);
        match (self.shared.state().trials.remove(&uuid), attempted) {
            (Some(true), _) => Trial::Asked,
            (_, Ok(())) => Trial::NotAsked,
            (_, Err(why)) => Trial::Unknown(why),
        }
    }

    /// Writes down who is protected, for hooks that find no agent. It waits for a disk.
    pub(in crate::libvirt) fn list(&self) {
        let protected: BTreeSet<Uuid> =
            self.shared.looker.books.protected().into_values().map(Uuid::from_u128).collect();
        let mut state = self.shared.state();
        if state.listed.as_ref() == Some(&protected)
            || (state.listed.is_none() && is_listed(&self.shared.list, &protected))
        {
            return;
        }
        match keeper::write(&self.shared.list, &protected) {
            Ok(()) => state.listed = Some(protected),
            Err(error) => error!(
                "{:?} cannot be written: {error}; a hook that finds no agent may let a protected VM pass",
                self.shared.list
            ),
        }
    }
}

fn is_listed(list: &Path, protected: &BTreeSet<Uuid>) -> bool {
    // Where nothing was ever protected there is no list.
    protected.is_empty() && !list.exists()
}

/// A socket that an earlier agent left is in the way; that of one that lives is not taken from it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it has the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: Arc<Self>, stream: UnixStream) {
        {
            let mut state = self.state();
            if state.connections >= QUESTIONS {
                // Its end tells the hook that nobody answers.
                return warn!("more than {QUESTIONS} starts ask at once: one of them is not heard");
            }
            state.connections += 1;
        }
        let shared = Arc::clone(&self);
        let work = move || {
            if let Err(error) = shared.serve(stream) {
                info!("a hook went away: {error}");
            }
            shared.state().connections -= 1;
        };
        if thread::Builder::new().name("hook-question".to_owned()).stack_size(STACK).spawn(work).is_err() {
            self.state().connections -= 1;
            warn!("there is no thread for a hook's question: it is not heard");
        }
    }

    fn serve(&self, stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(ASKS))?;
        stream.set_write_timeout(Some(ASKS))?;
        let mut line = String::new();
        BufReader::new((&stream).take(LONGEST)).read_line(&mut line)?;
        let Some(question) = Question::parse(&line) else {
            return Err(io::Error::other("it does not speak as this build does"));
        };
        let trial = self.state().trials.get_mut(&question.uuid).map(|was_asked| *was_asked = true);
        if trial.is_some() {
            return (&stream).write_all(answer_line(&Err("it was only to show whether it asks".to_owned())).as_bytes());
        }
        let Some(vm) = self.looker.books.vm(question.uuid.as_u128()) else {
            if !self.looker.books.is_told() {
                let why = "this host has not been told yet which VMs are protected, and this may be one of them";
                return (&stream).write_all(answer_line(&Err(why.to_owned())).as_bytes());
            }
            return (&stream).write_all(answer_line(&Ok(())).as_bytes());
        };
        let coming = match question.step {
            Step::Prepare => None,
            Step::Migrate => Some(Coming::Moved),
            // From a file of its own a person may take a VM to any host.
            Step::Restore if !self.looker.books.may_be_saved(vm) => Some(Coming::Started),
            Step::Restore => Some(Coming::Restored),
        };
        if let Some(coming) = coming {
            let follows = if coming == Coming::Moved { MIGRATES } else { RESTORES };
            self.state().announced.insert(vm, (coming, boottime() + follows));
            return (&stream).write_all(answer_line(&Ok(())).as_bytes());
        }
        // As long as this lasts, the daemon has the start under way; and a look that began before does not count.
        let _under_way = self.looker.activity.begin(vm);
        let answer = self.decide(vm).map_err(|reason| {
            warn!("{vm} is kept from coming up: {reason}");
            reason
        });
        (&stream).write_all(answer_line(&answer).as_bytes())
    }

    fn decide(&self, vm: VmId) -> Result<(), String> {
        let (tell, told) = sync_channel(1);
        let ended = self.looker.ended(vm);
        let (ticket, coming) = {
            let mut state = self.state();
            state.next += 1;
            let ticket = Ticket(state.next);
            state.waiting.insert(ticket, tell);
            let announced = state.announced.remove(&vm).filter(|(_, until)| boottime() < *until);
            (ticket, announced.map_or(Coming::Started, |(coming, _)| coming))
        };
        (self.tell)(PlatformEvent::Asks { ticket, vm, coming, ended });
        let answer = told.recv_timeout(self.patience);
        self.state().waiting.remove(&ticket);
        match answer {
            Ok(Ok(_epoch)) => Ok(()),
            Ok(Err(refusal)) => Err(explain::refusal(&refusal, &NameList::default())),
            Err(_) => Err("the agent did not decide in time".to_owned()),
        }
    }
}
