//! The thread that watches the processes of VMs and kills them: nothing in it waits for a process or for the daemon, so
//! nothing delays a kill.

use crate::clock::boottime;
use crate::core::action::PlatformEvent;
use crate::core::ids::VmId;
use crate::core::time::Instant;
use crate::libvirt::activity::Activity;
use crate::libvirt::processes::{Processes, hold};
use crate::platform::Tell;
use crate::platform::pid::{Process, ProcessName};
use crate::platform::wait;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tracing::{info, warn};

/// A process that is just being made, or just going, is looked for again after so long.
const AGAIN: Duration = Duration::from_millis(5);
/// If that takes long, it is looked for more seldom, as each time costs a look at all processes.
const SELDOM: Duration = Duration::from_millis(200);
/// Where processes cannot be waited for, they are looked at so often.
const BLIND: Duration = Duration::from_secs(1);

/// Hands work to the thread. The thread ends with it.
pub(super) struct Watcher {
    shared: Arc<Shared>,
}

struct Shared {
    wake: OwnedFd,
    inbox: Mutex<Inbox>,
}

/// What the thread has not taken yet. Its size is bounded by the number of VMs and of their processes.
#[derive(Default)]
struct Inbox {
    notice: BTreeSet<(VmId, ProcessName)>,
    kill: BTreeMap<VmId, u128>,
    /// Kills that were ordered before these VMs were started anew mean nothing any more.
    spare: BTreeSet<VmId>,
    ended: bool,
}

impl Watcher {
    /// Starts the thread. It tells of every VM whose process has ended.
    pub(super) fn start(processes: Arc<Processes>, activity: Arc<Activity>, tell: Tell) -> io::Result<Watcher> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wake, inbox: Mutex::default() });
        let thread = Thread {
            shared: Arc::clone(&shared),
            processes,
            activity,
            tell,
            watched: BTreeMap::new(),
            pursued: BTreeMap::new(),
        };
        thread::Builder::new().name("watch".to_owned()).spawn(move || thread.run())?;
        Ok(Watcher { shared })
    }

    /// Watches a process that was seen alive.
    pub(super) fn notice(&self, vm: VmId, name: ProcessName) {
        self.put(|inbox| {
            inbox.notice.insert((vm, name));
        });
    }

    /// Kills the process of a VM that exists or is just being made.
    pub(super) fn kill(&self, vm: VmId, uuid: u128) {
        self.put(|inbox| {
            inbox.spare.remove(&vm);
            inbox.kill.insert(vm, uuid);
        });
    }

    /// A new start of a VM begins: whoever was to be killed until now is another one.
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

/// A kill that is not over: its process has not ended, or one may still be in the making.
struct Pursuit {
    uuid: u128,
    due: Instant,
    delay: Duration,
}

struct Thread {
    shared: Arc<Shared>,
    processes: Arc<Processes>,
    activity: Arc<Activity>,
    tell: Tell,
    watched: BTreeMap<(VmId, ProcessName), Process>,
    pursued: BTreeMap<VmId, Pursuit>,
}

impl Thread {
    fn run(mut self) {
        loop {
            let inbox = std::mem::take(&mut *self.shared.inbox());
            if inbox.ended {
                return;
            }
            self.pursued.retain(|vm, _| !inbox.spare.contains(vm));
            for (vm, uuid) in inbox.kill {
                self.pursued.insert(vm, Pursuit { uuid, due: Instant::ZERO, delay: AGAIN });
            }
            self.pursue();
            for (vm, name) in inbox.notice {
                if self.watched.contains_key(&(vm, name)) {
                    continue;
                }
                match hold(name) {
                    Some(process) => drop(self.watched.insert((vm, name), process)),
                    // It was alive a moment ago: that it is not any more is news.
                    None => (self.tell)(PlatformEvent::Changed { vm }),
                }
            }
            self.wait();
        }
    }

    /// Waits until a process has ended, or there is work, and tells of the ends.
    fn wait(&mut self) {
        let limit = self.pursued.values().map(|pursuit| pursuit.due.since(boottime())).min();
        let mut descriptors = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        descriptors.extend(self.watched.values().map(|process| PollFd::new(process, PollFlags::IN)));
        if let Err(error) = wait::wait(&mut descriptors, limit) {
            warn!("processes cannot be waited for: {error}");
            wait::pause(BLIND);
            return self.bury(|process| process.has_ended());
        }
        let ended = descriptors.iter().skip(1).any(|descriptor| !descriptor.revents().is_empty());
        let _nothing_to_read = rustix::io::read(&self.shared.wake, &mut [0; 8]);
        // With many VMs there is much work, and to ask for each of them each time would cost the square of their number.
        if ended {
            self.bury(Process::has_ended);
        }
    }

    fn bury(&mut self, has_ended: impl Fn(&Process) -> bool) {
        let tell = &self.tell;
        self.watched.retain(|(vm, _), process| {
            let ended = has_ended(process);
            if ended {
                tell(PlatformEvent::Changed { vm: *vm });
            }
            !ended
        });
    }

    /// Goes on with the kills that are not over.
    fn pursue(&mut self) {
        let now = boottime();
        if self.pursued.values().all(|pursuit| pursuit.due > now) {
            return;
        }
        // What is busy before the look is: what begins later was not to be killed.
        let busy: BTreeSet<VmId> = self.pursued.keys().copied().filter(|vm| self.activity.is_busy(*vm)).collect();
        let found = match self.processes.scan() {
            Ok(found) => found.qemus,
            Err(error) => {
                warn!("the processes of this host cannot be seen: {error}; mount /proc");
                Vec::new()
            }
        };
        // A start that has just begun is spared before it makes its process: if one of these is of it, that is seen here.
        let spared = self.shared.inbox().spare.clone();
        self.pursued.retain(|vm, _| !spared.contains(vm));
        let watched = &mut self.watched;
        self.pursued.retain(|vm, pursuit| {
            if pursuit.due > now {
                return true;
            }
            let mut is_left = false;
            for qemu in found.iter().filter(|qemu| qemu.uuid == pursuit.uuid) {
                is_left = true;
                if let Some(process) = hold(qemu.name) {
                    kill(*vm, &process);
                    watched.insert((*vm, qemu.name), process);
                }
            }
            pursuit.due = now + pursuit.delay;
            pursuit.delay = (pursuit.delay * 2).min(SELDOM);
            is_left || busy.contains(vm)
        });
    }
}

fn kill(vm: VmId, process: &Process) {
    match process.signal(Signal::KILL) {
        Ok(()) => info!("{vm}: its process is killed"),
        Err(error) => warn!("{vm}: its process cannot be killed: {error}"),
    }
}
