//! The thread that watches processes and kills them: nothing in it waits for a process, so nothing delays a kill.

use crate::clock::boottime;
use crate::core::action::PlatformEvent;
use crate::core::ids::VmId;
use crate::core::time::Instant;
use crate::platform::Tell;
use crate::platform::pid::Process;
use crate::platform::wait;
use crate::process::life::{LifeDirectory, LifeRecord};
use crate::process::table;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tracing::{info, warn};
use uuid::Uuid;

/// A lock whose last holder is just going is looked at again after so long, as is a process that is just being made.
const AGAIN: Duration = Duration::from_millis(2);
/// If that one is not found for long, it is looked for more seldom, as that costs a look at all processes.
const SELDOM: Duration = Duration::from_millis(100);
/// A lock that is held for so long after its process ended is another one's business.
const LINGERS: Duration = Duration::from_secs(1);

/// Hands work to the thread. The thread ends with it.
pub(super) struct Watcher {
    shared: Arc<Shared>,
}

struct Shared {
    wake: OwnedFd,
    inbox: Mutex<Inbox>,
}

/// What the thread has not taken yet. Its size is bounded by the number of VMs, and of their starts under way.
#[derive(Default)]
struct Inbox {
    adopt: BTreeMap<(VmId, Uuid), Watched>,
    notice: BTreeSet<VmId>,
    /// Kills that were ordered before these VMs were started anew mean nothing any more.
    spare: BTreeSet<VmId>,
    kill: BTreeSet<VmId>,
    ended: bool,
}

struct Watched {
    process: Process,
    /// To be reaped, if this run has made it.
    child: Option<Child>,
}

impl Watcher {
    /// Starts the thread. It tells of every VM whose process has ended.
    pub(super) fn start(directory: LifeDirectory, tell: Tell) -> io::Result<Watcher> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wake, inbox: Mutex::default() });
        let thread = Thread {
            shared: Arc::clone(&shared),
            directory,
            tell,
            watched: BTreeMap::new(),
            lingering: BTreeMap::new(),
            kills: BTreeMap::new(),
        };
        thread::Builder::new().name("watch".to_owned()).spawn(move || thread.run())?;
        Ok(Watcher { shared })
    }

    /// Watches a process that this run has made.
    pub(super) fn adopt(&self, vm: VmId, nonce: Uuid, process: Process, child: Child) {
        self.put(|inbox| {
            inbox.adopt.insert((vm, nonce), Watched { process, child: Some(child) });
        });
    }

    /// Watches the process of a VM that was seen alive, whoever made it.
    pub(super) fn notice(&self, vm: VmId) {
        self.put(|inbox| {
            inbox.notice.insert(vm);
        });
    }

    /// Kills the process of a VM that exists or is just being made.
    pub(super) fn kill(&self, vm: VmId) {
        self.put(|inbox| {
            inbox.kill.insert(vm);
        });
    }

    /// A VM's life file was claimed for a new start: whoever was to be killed until now is gone.
    pub(super) fn spare(&self, vm: VmId) {
        self.put(|inbox| {
            inbox.kill.remove(&vm);
            inbox.spare.insert(vm);
        });
    }

    fn put(&self, what: impl FnOnce(&mut Inbox)) {
        what(&mut self.shared.inbox());
        // If it cannot be written to, it is full of wakes.
        let _awake = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.put(|inbox| inbox.ended = true);
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing in here panics while it has the lock.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kill that has not found its process yet, for that one is just being made.
struct Pursuit {
    due: Instant,
    delay: Duration,
}

/// Why the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// A process has ended, or it cannot be known that none has.
    ByAnEnd,
    /// There is work, or something is to be looked at again.
    Otherwise,
}

struct Thread {
    shared: Arc<Shared>,
    directory: LifeDirectory,
    tell: Tell,
    watched: BTreeMap<(VmId, Uuid), Watched>,
    /// Starts whose process has ended, and whose lock was still held then, with the end of patience.
    lingering: BTreeMap<(VmId, Uuid), Instant>,
    kills: BTreeMap<VmId, Pursuit>,
}

impl Thread {
    fn run(mut self) {
        loop {
            let inbox = std::mem::take(&mut *self.shared.inbox());
            if inbox.ended {
                return;
            }
            self.watched.extend(inbox.adopt);
            self.kills.retain(|vm, _| !inbox.spare.contains(vm));
            let pursuit = |vm| (vm, Pursuit { due: Instant::ZERO, delay: AGAIN });
            self.kills.extend(inbox.kill.into_iter().map(pursuit));
            self.pursue();
            for vm in inbox.notice {
                let was_watched = self.watched.range((vm, Uuid::nil())..=(vm, Uuid::max())).next().is_some();
                let is_watched = self.watch_holder(vm).is_some();
                // It was alive a moment ago. If it ended before it could be watched, that is news; its lock may go later.
                if !was_watched && !is_watched {
                    let nonce = read(&self.directory, vm).map_or(Uuid::nil(), |record| record.nonce);
                    self.lingering.entry((vm, nonce)).or_insert(boottime() + LINGERS);
                }
            }
            if self.wait() == Woken::ByAnEnd {
                self.bury();
            }
            self.tell_of_the_dead();
        }
    }

    /// Waits until a process has ended, or there is work, or something is to be looked at again.
    fn wait(&self) -> Woken {
        let lingers = (!self.lingering.is_empty()).then_some(AGAIN);
        let pursued = self.kills.values().map(|pursuit| pursuit.due.since(boottime())).min();
        let mut descriptors = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        descriptors.extend(self.watched.values().map(|watched| PollFd::new(&watched.process, PollFlags::IN)));
        if let Err(error) = wait::wait(&mut descriptors, lingers.into_iter().chain(pursued).min()) {
            warn!("processes cannot be waited for: {error}");
            wait::pause(LINGERS);
            return Woken::ByAnEnd;
        }
        let _nothing_to_read = rustix::io::read(&self.shared.wake, &mut [0; 8]);
        // With many VMs there is much work, and to look at each of them each time would cost the square of their number.
        match descriptors.iter().skip(1).any(|descriptor| !descriptor.revents().is_empty()) {
            true => Woken::ByAnEnd,
            false => Woken::Otherwise,
        }
    }

    /// Reaps the processes that have ended.
    fn bury(&mut self) {
        let lingering = &mut self.lingering;
        self.watched.retain(|start, watched| {
            let ended = watched.process.has_ended();
            if ended {
                if let Some(Err(error)) = watched.child.as_mut().map(Child::try_wait) {
                    warn!("{}: its process cannot be reaped: {error}", start.0);
                }
                lingering.insert(*start, boottime() + LINGERS);
            }
            !ended
        });
    }

    /// Tells of those that have ended, as soon as nobody has their lock any more.
    fn tell_of_the_dead(&mut self) {
        let (directory, tell) = (&self.directory, &self.tell);
        self.lingering.retain(|(vm, nonce), until| {
            let is_followed = || read(directory, *vm).is_some_and(|record| record.nonce != *nonce);
            let is_over = !is_held(directory, *vm) || is_followed() || boottime() >= *until;
            if is_over {
                tell(PlatformEvent::Changed { vm: *vm });
            }
            !is_over
        });
    }

    /// Goes on with the kills that have not found their process yet.
    fn pursue(&mut self) {
        let now = boottime();
        for (vm, pursuit) in std::mem::take(&mut self.kills) {
            if pursuit.due > now {
                self.kills.insert(vm, pursuit);
            } else if !self.kill(vm) {
                let delay = (pursuit.delay * 2).min(SELDOM);
                self.kills.insert(vm, Pursuit { due: now + pursuit.delay, delay });
            }
        }
    }

    /// Kills the process of a VM. Whether that is settled: the lock may be held, and nobody be found who has it.
    fn kill(&mut self, vm: VmId) -> bool {
        if !is_held(&self.directory, vm) {
            return true;
        }
        let Some(watched) = self.watch_holder(vm).and_then(|nonce| self.watched.get(&(vm, nonce))) else {
            return false;
        };
        // A new start announces itself before it makes its process: if this is that one, it is seen here.
        if self.shared.inbox().spare.contains(&vm) {
            return true;
        }
        match watched.process.signal(Signal::KILL) {
            Ok(()) => info!("{vm}: its process is killed"),
            Err(error) => warn!("{vm}: its process cannot be killed: {error}"),
        }
        true
    }

    /// Sees to it that the process that has a VM's lock is watched. Which start it is, if it could be found.
    fn watch_holder(&mut self, vm: VmId) -> Option<Uuid> {
        let nonce = read(&self.directory, vm)?.nonce;
        let known = self.watched.get(&(vm, nonce)).is_some_and(|watched| !watched.process.has_ended());
        if !known {
            let process = table::find(&self.directory.file(vm))?;
            // Else the process may be of another start than the one that was read.
            read(&self.directory, vm).filter(|record| record.nonce == nonce)?;
            self.watched.entry((vm, nonce)).or_insert(Watched { process, child: None });
        }
        Some(nonce)
    }
}

/// Whether somebody has the lock. What cannot be read is taken for alive.
fn is_held(directory: &LifeDirectory, vm: VmId) -> bool {
    directory.file(vm).is_held().unwrap_or(true)
}

fn read(directory: &LifeDirectory, vm: VmId) -> Option<LifeRecord> {
    directory.file(vm).read().ok().flatten()
}
