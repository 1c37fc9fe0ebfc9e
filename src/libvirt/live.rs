//! What runs here uses just now, and what guests say.
//!
//! The kernel tells what a process uses, past a daemon that hangs. The daemon is only asked for what it knows without
//! asking QEMU: its statistics of all domains, also those that are to wait for nothing, do ask QEMU, and one that hangs
//! on its storage would hide all others. So each domain is asked for its few figures, for which libvirt takes no turn
//! among the domain's changes either.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::libvirt::books::Books;
use crate::libvirt::checkup::Inspector;
use crate::libvirt::daemon::{Daemon, Trouble, unless_unsupported};
use crate::libvirt::definition::{RULES_OF, Running, Way, immovable, way_to_agent};
use crate::libvirt::inquiry::OneAtATime;
use crate::libvirt::processes::Processes;
use crate::libvirt::{raw, shared};
use crate::platform::{Checkup, Guest, GuestAgent, Live, MoveProgress, Moving, Reading, VmUse, live, usage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};
use virt::sys;

/// The daemon says its few figures within this, or a reading does without them.
const FIGURES: Duration = Duration::from_secs(2);
/// An agent that lives answers within this. The daemon waits longer for it, at the cost of nothing but other questions to
/// this agent.
const ANSWERS: Duration = Duration::from_secs(2);
/// QEMU says within this how far a live migration is, or nobody shows it.
const PROGRESS: Duration = Duration::from_secs(1);

/// Tells it.
pub(super) struct Gauge {
    daemon: Arc<Daemon>,
    processes: Arc<Processes>,
    books: Arc<Books>,
    inspector: Arc<Inspector>,
    figures: OneAtATime,
    /// The guests whose agents are being asked. One that hangs in the middle of an answer may keep the daemon waiting for
    /// as long as the guest lives, and is not asked again meanwhile.
    asked: Arc<Mutex<BTreeSet<Uuid>>>,
    /// The VMs whose live migration is being asked about. QEMU itself is asked, so a second question must not wait
    /// behind one that hangs.
    followed: Arc<Mutex<BTreeSet<Uuid>>>,
}

impl Gauge {
    pub(super) fn new(processes: Arc<Processes>, inspector: Arc<Inspector>) -> Gauge {
        Gauge {
            daemon: Arc::clone(&inspector.daemon),
            processes,
            books: Arc::clone(&inspector.books),
            inspector,
            figures: OneAtATime::default(),
            asked: Arc::default(),
            followed: Arc::default(),
        }
    }

    fn figures(&self, deadline: Instant) -> Result<BTreeMap<Uuid, Figures>, String> {
        let Some(under_way) = self.figures.begin() else {
            return Err("libvirt has not answered the last question of this kind".to_owned());
        };
        let work = move |connect: &Connect| {
            let all = figures(connect);
            drop(under_way);
            all
        };
        self.daemon.ask(deadline.min(boottime() + FIGURES), work).map_err(|trouble| trouble.to_string())
    }

    /// What an agent says, to which there is a way; nothing: it says nothing.
    fn answer(&self, uuid: Uuid, deadline: Instant) -> Option<Option<String>> {
        let asking = Asking::begin(&self.asked, uuid)?;
        let work = move |connect: &Connect| {
            let system = raw::guest_system(&connect.lookup_domain_by_uuid(uuid)?);
            drop(asking);
            system
        };
        match self.daemon.ask(deadline.min(boottime() + ANSWERS), work) {
            Ok(system) => Some(system),
            // An old agent that does not know the question has answered it all the same.
            Err(Trouble::Refused { number: Some(ErrorNumber::AgentCommandFailed), .. }) => Some(None),
            Err(_) => None,
        }
    }

    fn progress(&self, uuid: Uuid, deadline: Instant) -> Option<MoveProgress> {
        let asking = Asking::begin(&self.followed, uuid)?;
        let work = move |connect: &Connect| {
            let job = raw::job(&connect.lookup_domain_by_uuid(uuid)?);
            drop(asking);
            job
        };
        let job = self.daemon.ask(deadline.min(boottime() + PROGRESS), work).ok()??;
        let (total_bytes, remaining_bytes) = job.memory.filter(|_| job.leaves())?;
        Some(MoveProgress { total_bytes, remaining_bytes })
    }
}

impl Live for Gauge {
    fn reading(&self, deadline: Instant) -> Result<Reading, String> {
        let unseen = |error| format!("the processes of this host cannot be seen: {error}; mount /proc");
        let found = self.processes.scan().map_err(unseen)?;
        let (figures, silent) = match self.figures(deadline) {
            Ok(figures) => (figures, None),
            Err(why) => (BTreeMap::new(), Some(why)),
        };
        let used = found.qemus.iter().filter_map(|qemu| {
            let (uuid, used) = (Uuid::from_u128(qemu.uuid), usage::of(qemu.name)?);
            let figures = figures.get(&uuid);
            Some(VmUse {
                uuid,
                cpu_nanoseconds: used.cpu_nanoseconds,
                resident_kib: used.resident_kib,
                vcpus: figures.map(|figures| figures.vcpus),
                memory_kib: figures.map(|figures| figures.memory_kib),
            })
        });
        live::reading(used.collect(), silent)
    }

    fn guest(&self, uuid: Uuid, deadline: Instant) -> Result<Guest, String> {
        let work = move |connect: &Connect| {
            let domain = connect.lookup_domain_by_uuid(uuid)?;
            if domain.is_active()? { domain.xml_desc(0).map(Some) } else { Ok(None) }
        };
        let xml = self.daemon.ask(deadline.min(boottime() + FIGURES), work).map_err(|trouble| trouble.to_string())?;
        let xml = xml.ok_or("it does not run on this host")?;
        let (way, said) = way_to_agent(&xml).map_err(|error| error.to_string())?;
        let answer = match way {
            Way::None => return Ok(Guest { agent: GuestAgent::None, system: said }),
            Way::Closed => None,
            Way::Open => self.answer(uuid, deadline),
        };
        let agent = if answer.is_some() { GuestAgent::Answers } else { GuestAgent::Silent };
        Ok(Guest { agent, system: answer.flatten().or(said) })
    }

    fn moving(&self, uuid: Uuid, deadline: Instant) -> Moving {
        let failed = self.books.vm(uuid.as_u128()).and_then(|vm| self.books.why_not_moved(vm));
        Moving { progress: self.progress(uuid, deadline), failed }
    }

    fn immovable(&self, uuid: Uuid, deadline: Instant) -> Result<Vec<String>, String> {
        let ask = self.daemon.ask(deadline, move |connect| running(connect, uuid));
        let Some((xml, running)) = ask.map_err(|trouble| trouble.to_string())? else { return Ok(Vec::new()) };
        immovable(&xml, running, |path| shared::is_shared(path, deadline)).map_err(|error| error.to_string())
    }

    fn checkup(&self, deadline: Instant) -> Checkup {
        self.inspector.look(deadline)
    }
}

/// What is needed to say whether a domain can be moved; nothing where the daemon's rules are not known here.
fn running(connect: &Connect, uuid: Uuid) -> Result<Option<(String, Running)>, Error> {
    let domain = connect.lookup_domain_by_uuid(uuid)?;
    if connect.lib_version()? > RULES_OF || !domain.is_active()? {
        return Ok(None);
    }
    let state = raw::state(&domain)?;
    let has_io_error = state.state == sys::VIR_DOMAIN_PAUSED && state.reason == sys::VIR_DOMAIN_PAUSED_IOERROR;
    let snapshots = unless_unsupported(domain.num_snapshots(0))?;
    let qemu = connect.hyp_version()?;
    Ok(Some((domain.xml_desc(0)?, Running { qemu, snapshots, has_io_error })))
}

/// What the daemon knows of a domain by itself.
struct Figures {
    vcpus: u32,
    memory_kib: u64,
}

fn figures(connect: &Connect) -> Result<BTreeMap<Uuid, Figures>, Error> {
    let mut all = BTreeMap::new();
    for domain in connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)? {
        // One that is gone since it was listed is no failure.
        if let (Ok(uuid), Ok(info)) = (domain.uuid(), domain.info()) {
            all.insert(uuid, Figures { vcpus: info.nr_virt_cpu, memory_kib: info.memory });
        }
    }
    Ok(all)
}

/// An agent is asked, until this is dropped.
struct Asking {
    asked: Arc<Mutex<BTreeSet<Uuid>>>,
    uuid: Uuid,
}

impl Asking {
    fn begin(asked: &Arc<Mutex<BTreeSet<Uuid>>>, uuid: Uuid) -> Option<Asking> {
        lock(asked).insert(uuid).then(|| Asking { asked: Arc::clone(asked), uuid })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        lock(&self.asked).remove(&self.uuid);
    }
}

fn lock(asked: &Mutex<BTreeSet<Uuid>>) -> MutexGuard<'_, BTreeSet<Uuid>> {
    // Nothing panics while it has the lock.
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}
