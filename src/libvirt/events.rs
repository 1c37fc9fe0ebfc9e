//! The fast path: what the daemon tells without being asked. All of it is only a hint to look.

use crate::clock::boottime;
use crate::core::action::PlatformEvent;
use crate::core::ids::VmId;
use crate::libvirt::books::Books;
use crate::libvirt::checkup::Inspector;
use crate::libvirt::daemon::Daemon;
use crate::libvirt::keeper::Keeper;
use crate::libvirt::raw::{Happening, Sink};
use crate::platform::Tell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use tracing::{info, warn};

/// A daemon that is not there is sought again after so long, and then more seldom: one that is started by its socket and
/// falls is not to be worn out. But whoever ends a VM meanwhile is not told from its guest.
const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(2);
/// To be told of events is a call like others.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whether the connection still lives is looked at so often: it is asked of the own end alone.
const LIVES: Duration = Duration::from_millis(500);

/// Listens, until it is dropped.
pub(super) struct Listener {
    _lives: Sender<()>,
}

impl Listener {
    /// Starts to listen, on a thread of its own.
    pub(super) fn start(inspector: Arc<Inspector>, keeper: Keeper, tell: Tell) -> io::Result<Listener> {
        let (lives, ended) = channel();
        let (daemon, books) = (Arc::clone(&inspector.daemon), Arc::clone(&inspector.books));
        let thread = Thread { daemon, books, inspector, keeper, tell };
        thread::Builder::new().name("libvirt-listener".to_owned()).spawn(move || thread.run(&ended))?;
        Ok(Listener { _lives: lives })
    }
}

struct Thread {
    daemon: Arc<Daemon>,
    books: Arc<Books>,
    inspector: Arc<Inspector>,
    keeper: Keeper,
    tell: Tell,
}

impl Thread {
    fn run(self, ended: &Receiver<()>) {
        let mut delay = FIRST;
        loop {
            match self.daemon.listen(boottime() + PATIENCE, self.sink()) {
                Ok(listening) => {
                    info!("libvirt tells what happens");
                    delay = FIRST;
                    // What happened before this was told to nobody.
                    self.resync();
                    self.try_hook();
                    while listening.lives() {
                        if pause(ended, LIVES) == Pause::Ended {
                            return;
                        }
                    }
                    warn!("the connection to libvirt broke: it is opened anew");
                    self.resync();
                }
                Err(trouble) if delay == FIRST => {
                    warn!("libvirt tells nothing of what happens: {trouble}; looks see it a little later");
                }
                Err(_) => {}
            }
            if pause(ended, delay) == Pause::Ended {
                return;
            }
            delay = (delay * 2).min(LAST);
        }
    }

    /// It may be another daemon than before, which looked for hooks when it came up.
    fn try_hook(&self) {
        let inspector = Arc::clone(&self.inspector);
        let spawned = thread::Builder::new().name("hook-trial".to_owned()).spawn(move || inspector.try_hook());
        if let Err(error) = spawned {
            warn!("there is no thread to see whether libvirt's hook has an effect: {error}");
        }
    }

    fn resync(&self) {
        self.keeper.wake();
        // A look sees all VMs, so one word is enough.
        if let Some(vm) = self.books.uuids().into_values().next() {
            (self.tell)(PlatformEvent::Changed { vm });
        }
    }

    fn sink(&self) -> Sink {
        let (books, keeper, tell) = (Arc::clone(&self.books), self.keeper.clone(), Arc::clone(&self.tell));
        Arc::new(move |uuid, happening| {
            if let Some(vm) = books.vm(uuid) {
                take(&books, &keeper, vm, happening);
                tell(PlatformEvent::Changed { vm });
            }
        })
    }
}

fn take(books: &Books, keeper: &Keeper, vm: VmId, happening: Happening) {
    match happening {
        Happening::PoweredOff => books.powers_off(vm, false),
        Happening::ToldToEnd => books.powers_off(vm, true),
        Happening::Stopped(ended) => {
            books.stops(vm, Some(ended));
            // One that was saved has a state now that only this host has.
            keeper.look_at(vm);
        }
        Happening::Defined | Happening::Undefined => keeper.look_at(vm),
        Happening::IoError => warn!("{vm}: a disk cannot be read or written"),
        Happening::Watchdog => warn!("{vm}: the guest's own watchdog has fired"),
        Happening::Changed | Happening::Agent => {}
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Pause {
    Over,
    Ended,
}

fn pause(ended: &Receiver<()>, time: Duration) -> Pause {
    match ended.recv_timeout(time) {
        Err(RecvTimeoutError::Timeout) => Pause::Over,
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Pause::Ended,
    }
}
