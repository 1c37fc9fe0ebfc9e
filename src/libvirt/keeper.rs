//! Keeps up with definitions: it sees those of protected VMs change, and takes over who starts them with the host.
//!
//! A VM that the daemon starts by itself when its host comes up would be started by two: so that is set off, and written
//! down before, to be given back when the VM is not protected any more.

use crate::clock::boottime;
use crate::core::action::PlatformEvent;
use crate::core::ids::{FeatureId, VmId};
use crate::libvirt::books::Books;
use crate::libvirt::daemon::{Daemon, Trouble};
use crate::libvirt::definition::{Datastore, offers};
use crate::libvirt::survey::Read;
use crate::platform::Tell;
use crate::trust::fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use tracing::{error, info, warn};
use uuid::Uuid;
use virt::connect::Connect;

/// All definitions are looked at so often, whatever the daemon tells: of a disk that is added for later, or of memory, it
/// tells nothing.
const EVERY: Duration = Duration::from_secs(20);
/// Each of them may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The file that names, a line each, whose start with the host was taken over.
const TAKEN_OVER: &str = "autostart";

/// The way to the thread that keeps up. The thread ends with the last of them.
#[derive(Clone)]
pub(super) struct Keeper {
    work: Sender<Work>,
}

enum Work {
    All,
    One(VmId),
    /// It is told even if it was told before; if so said, also if it was brought here.
    Anew(VmId, bool),
    /// It runs elsewhere by now, and is nobody's to start here.
    Left(VmId),
    /// A definition is being brought here: until that is over, what this host has is not told.
    Bringing(VmId),
    /// It was, and this is what the daemon has made of it, which is no news; or it came to nothing.
    Brought(VmId, Option<Box<Read>>),
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(
        daemon: Arc<Daemon>,
        books: Arc<Books>,
        state: &Path,
        datastores: Vec<Datastore>,
        tell: Tell,
    ) -> io::Result<Keeper> {
        let (work, todo) = channel();
        let path = state.join(TAKEN_OVER);
        let taken_over = read(&path)?;
        let thread = Thread {
            daemon,
            books,
            path,
            taken_over,
            datastores,
            tell,
            known: BTreeMap::new(),
            bringing: BTreeSet::new(),
            offered: BTreeSet::new(),
        };
        thread::Builder::new().name("definitions".to_owned()).spawn(move || thread.run(&todo))?;
        Ok(Keeper { work })
    }

    /// Has all looked at.
    pub(super) fn wake(&self) {
        // A thread that has ended has said why.
        let _ = self.work.send(Work::All);
    }

    /// Has one looked at.
    pub(super) fn look_at(&self, vm: VmId) {
        let _ = self.work.send(Work::One(vm));
    }

    /// Has one told anew; if it is as it was brought here, only `though_brought`.
    pub(super) fn describe(&self, vm: VmId, though_brought: bool) {
        let _ = self.work.send(Work::Anew(vm, though_brought));
    }

    /// The VM runs elsewhere by now: when its protection ends, it is not to start with this host again.
    pub(super) fn left(&self, vm: VmId) {
        let _ = self.work.send(Work::Left(vm));
    }

    /// A definition is being brought to this host.
    pub(super) fn bringing(&self, vm: VmId) {
        let _ = self.work.send(Work::Bringing(vm));
    }

    /// That is over. What the daemon made of it was read then and there: what it has a moment later may be a person's.
    pub(super) fn brought(&self, vm: VmId, read: Option<Read>) {
        let _ = self.work.send(Work::Brought(vm, read.map(Box::new)));
    }
}

/// A definition, by its print, and whose word it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    print: [u8; 32],
    /// The log's, which need not be told of it; though this host's daemon may word it in its own way.
    is_the_logs: bool,
}

struct Thread {
    daemon: Arc<Daemon>,
    books: Arc<Books>,
    path: PathBuf,
    taken_over: BTreeSet<Uuid>,
    datastores: Vec<Datastore>,
    tell: Tell,
    /// What was told last, or was brought here.
    known: BTreeMap<VmId, Known>,
    /// VMs whose definitions are being brought here.
    bringing: BTreeSet<VmId>,
    /// What this host was last said to have.
    offered: BTreeSet<FeatureId>,
}

impl Thread {
    fn run(mut self, todo: &Receiver<Work>) {
        loop {
            match todo.recv_timeout(EVERY) {
                Ok(Work::One(vm)) => self.one(vm),
                Ok(Work::Anew(vm, though_brought)) => {
                    self.known.retain(|known, is| *known != vm || is.is_the_logs && !though_brought);
                    self.one(vm);
                }
                Ok(Work::Left(vm)) => self.left(vm),
                Ok(Work::Bringing(vm)) => drop(self.bringing.insert(vm)),
                Ok(Work::Brought(vm, read)) => self.brought(vm, read),
                Ok(Work::All) | Err(RecvTimeoutError::Timeout) => self.all(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn all(&mut self) {
        let protected = self.books.protected();
        self.known.retain(|vm, _| protected.contains_key(vm));
        for vm in protected.keys() {
            self.one(*vm);
        }
        self.offer();
        let uuids: BTreeSet<Uuid> = protected.into_values().map(Uuid::from_u128).collect();
        for uuid in self.taken_over.difference(&uuids).copied().collect::<Vec<_>>() {
            self.give_back(uuid);
        }
    }

    fn one(&mut self, vm: VmId) {
        let Some(uuid) = self.books.protected().get(&vm).copied() else { return };
        if self.bringing.contains(&vm) {
            return;
        }
        match self.read(uuid) {
            Ok(Some(read)) => self.take(vm, uuid, &read, News::Told),
            // One like it may be made here anew, when the log has another by then.
            Ok(None) => {
                self.books.is_saved(vm, false);
                self.known.remove(&vm);
            }
            Err(trouble) => warn!("{vm}: its definition cannot be read: {trouble}"),
        }
    }

    fn brought(&mut self, vm: VmId, read: Option<Box<Read>>) {
        self.bringing.remove(&vm);
        let uuid = self.books.protected().get(&vm).copied();
        if let (Some(read), Some(uuid)) = (read, uuid) {
            self.take(vm, uuid, &read, News::Kept);
        }
        // What was edited meanwhile is told now.
        self.one(vm);
    }

    fn take(&mut self, vm: VmId, uuid: u128, read: &Read, news: News) {
        self.books.is_saved(vm, read.is_saved());
        if read.starts_with_host {
            self.take_over(Uuid::from_u128(uuid));
        }
        let shape = match read.shape(&self.datastores) {
            Ok((described, shape)) => {
                self.books.describe(vm, &described);
                Arc::new(shape)
            }
            Err(error) => return warn!("{vm}: its definition cannot be told: {error}"),
        };
        let print = fingerprint(&shape.payload).0;
        let is_known = self.known.get(&vm).is_some_and(|known| known.print == print);
        if is_known && news == News::Told {
            return;
        }
        self.known.insert(vm, Known { print, is_the_logs: news == News::Kept });
        if news == News::Told {
            (self.tell)(PlatformEvent::Defined { vm, shape });
        }
    }

    /// Tells what this host has, if that has changed.
    fn offer(&mut self) {
        match self.daemon.ask(boottime() + PATIENCE, offers) {
            Ok(names) => {
                let features: BTreeSet<FeatureId> = names.iter().map(|name| FeatureId::of(name)).collect();
                if self.offered != features {
                    self.offered.clone_from(&features);
                    (self.tell)(PlatformEvent::Offers(features));
                }
            }
            Err(trouble) => warn!("what this host has for VMs cannot be told: {trouble}"),
        }
    }

    fn read(&self, uuid: u128) -> Result<Option<Read>, Trouble> {
        let datastores = self.datastores.clone();
        let work = move |connect: &Connect| {
            Read::of(connect, &connect.lookup_domain_by_uuid(Uuid::from_u128(uuid))?, &datastores)
        };
        match self.daemon.ask(boottime() + PATIENCE, work) {
            Ok(read) => Ok(Some(read)),
            Err(trouble) if trouble.is_no_domain() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Written down first: who ends in between gives back what was never taken, which changes nothing.
    fn take_over(&mut self, uuid: Uuid) {
        let mut taken_over = self.taken_over.clone();
        taken_over.insert(uuid);
        if let Err(error) = write(&self.path, &taken_over) {
            return error!("{uuid} still starts with this host: {:?} cannot be written: {error}", self.path);
        }
        self.taken_over = taken_over;
        match self.set(uuid, false) {
            Ok(()) => info!("{uuid} does not start with this host any more: Holdfast starts it"),
            Err(trouble) => error!("{uuid} still starts with this host: {trouble}"),
        }
    }

    fn left(&mut self, vm: VmId) {
        let uuid = self.books.protected().get(&vm).copied().map(Uuid::from_u128);
        if let Some(uuid) = uuid.filter(|uuid| self.taken_over.remove(uuid)) {
            info!("{uuid} runs elsewhere by now: it does not start with this host any more, protected or not");
            if let Err(error) = write(&self.path, &self.taken_over) {
                error!("{:?} cannot be written: {error}", self.path);
            }
        }
    }

    fn give_back(&mut self, uuid: Uuid) {
        match self.set(uuid, true) {
            Ok(()) => info!("{uuid} starts with this host again"),
            Err(trouble) if trouble.is_no_domain() => {}
            Err(trouble) => return error!("{uuid} cannot be made to start with this host again: {trouble}"),
        }
        self.taken_over.remove(&uuid);
        if let Err(error) = write(&self.path, &self.taken_over) {
            error!("{:?} cannot be written: {error}", self.path);
        }
    }

    fn set(&self, uuid: Uuid, starts_with_host: bool) -> Result<(), Trouble> {
        self.daemon.ask(boottime() + PATIENCE, move |connect| {
            connect.lookup_domain_by_uuid(uuid).and_then(|domain| domain.set_autostart(starts_with_host))
        })
    }
}

/// What is done with a definition that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It is told.
    Told,
    /// It came from the log, which knows it.
    Kept,
}

fn read(path: &Path) -> io::Result<BTreeSet<Uuid>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Replaces a list of UUIDs. It is the old or the new one, whatever happens meanwhile.
pub(super) fn write(path: &Path, uuids: &BTreeSet<Uuid>) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    for uuid in uuids {
        writeln!(file, "{uuid}")?;
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        assert!(read(&path).unwrap().is_empty());
        let uuids = BTreeSet::from([Uuid::new_v4(), Uuid::new_v4()]);
        write(&path, &uuids).unwrap();
        assert_eq!(read(&path).unwrap(), uuids);
        write(&path, &BTreeSet::new()).unwrap();
        assert!(read(&path).unwrap().is_empty());
    }
}
