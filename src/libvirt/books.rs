//! What the adapter knows of the VMs that this host must know.

use crate::core::action::Ended;
use crate::core::ids::VmId;
use crate::core::message::{Known, Protection};
use crate::libvirt::definition::Described;
use crate::libvirt::inquiry::Stage;
use crate::platform::pid::ProcessName;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The books.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Whether this host was ever told which VMs are protected.
    is_told: bool,
    vms: BTreeMap<VmId, Page>,
    by_uuid: BTreeMap<u128, VmId>,
}

#[derive(Debug)]
struct Page {
    known: Known,
    /// The disks that it alone writes to, under every name that is known; nothing: no definition of it was read yet.
    disks: Option<BTreeSet<PathBuf>>,
    /// Its newest process.
    process: Option<ProcessName>,
    /// Whether nobody has had its disks open since that process was gone.
    is_free: bool,
    /// Whether it was this adapter that ended that process.
    ended_by_us: bool,
    /// Whether that process was told to end from outside the guest, and not by the daemon.
    told_to_end: bool,
    /// Whether that process has ever been the VM.
    was_here: bool,
    /// Where it is on its way from one host to another.
    stage: Option<Stage>,
    /// Whether a state of it is kept here, from which its next process goes on; nothing: nobody has looked yet.
    is_saved: Option<bool>,
    /// Why the last live migration away from here came to nothing, if it did.
    not_moved: Option<String>,
    /// How that process ended, by the word of an event; or that the VM is being moved away from it.
    stopped: Option<Ended>,
}

impl Books {
    /// Takes over which VMs there are. What is known of those that stay is kept.
    pub(super) fn know(&self, vms: &BTreeMap<VmId, Known>) {
        let mut pages = self.pages();
        let mut former = std::mem::take(&mut *pages);
        pages.is_told = true;
        for (vm, known) in vms {
            let page = former.vms.remove(vm).filter(|page| page.known.uuid == known.uuid);
            let page = page.map_or_else(|| Page::new(*known), |page| Page { known: *known, ..page });
            pages.vms.insert(*vm, page);
            pages.by_uuid.insert(known.uuid, *vm);
        }
    }

    /// Whether this host was ever told which VMs are protected. Until then each of them may be.
    pub(super) fn is_told(&self) -> bool {
        self.pages().is_told
    }

    pub(super) fn vm(&self, uuid: u128) -> Option<VmId> {
        self.pages().by_uuid.get(&uuid).copied()
    }

    pub(super) fn uuid(&self, vm: VmId) -> Option<u128> {
        self.pages().vms.get(&vm).map(|page| page.known.uuid)
    }

    pub(super) fn uuids(&self) -> BTreeMap<u128, VmId> {
        self.pages().by_uuid.clone()
    }

    /// The protected ones.
    pub(super) fn protected(&self) -> BTreeMap<VmId, u128> {
        let pages = self.pages();
        let protected = pages.vms.iter().filter(|(_, page)| page.known.protection != Protection::None);
        protected.map(|(vm, page)| (*vm, page.known.uuid)).collect()
    }

    /// The VMs, by UUID, whose disks are not known yet.
    pub(super) fn unread(&self) -> BTreeSet<u128> {
        self.pages().vms.values().filter(|page| page.disks.is_none()).map(|page| page.known.uuid).collect()
    }

    /// Keeps which disks a VM has. Names that were learnt otherwise stay, as long as the disk is still one of its own.
    pub(super) fn describe(&self, vm: VmId, described: &Described) {
        self.with(vm, |page| {
            let own: BTreeSet<PathBuf> =
                described.disks.iter().filter(|disk| disk.is_own()).filter_map(|disk| disk.path().cloned()).collect();
            let known = page.disks.take().unwrap_or_default();
            let same_file = |path: &PathBuf| own.iter().any(|own| own.file_name() == path.file_name());
            page.disks = Some(known.into_iter().filter(same_file).chain(own.iter().cloned()).collect());
        });
    }

    /// Keeps the names under which a process of the VM has its disks open.
    pub(super) fn learn(&self, vm: VmId, open: impl IntoIterator<Item = PathBuf>) {
        self.with(vm, |page| {
            if let Some(disks) = &mut page.disks {
                let names: BTreeSet<_> =
                    disks.iter().filter_map(|disk| disk.file_name().map(ToOwned::to_owned)).collect();
                disks.extend(open.into_iter().filter(|path| path.file_name().is_some_and(|name| names.contains(name))));
            }
        });
    }

    /// A process of the VM was seen. Whether it is another one than before.
    pub(super) fn seen(&self, vm: VmId, process: ProcessName) -> bool {
        let mut is_new = false;
        self.with(vm, |page| {
            page.is_free = false;
            is_new = page.process != Some(process);
            if is_new {
                page.process = Some(process);
                page.ended_by_us = false;
                page.told_to_end = false;
                page.was_here = false;
                page.stage = None;
                page.stopped = None;
            }
        });
        is_new
    }

    /// The disks, by name, of those VMs without a process of which nobody knows yet whether somebody has one open.
    pub(super) fn to_look_for(&self, running: &BTreeSet<VmId>) -> BTreeMap<PathBuf, BTreeSet<VmId>> {
        let pages = self.pages();
        let mut wanted: BTreeMap<PathBuf, BTreeSet<VmId>> = BTreeMap::new();
        for (vm, page) in pages.vms.iter().filter(|(vm, page)| !running.contains(vm) && !page.is_free) {
            for disk in page.disks.iter().flatten() {
                wanted.entry(disk.clone()).or_default().insert(*vm);
            }
        }
        wanted
    }

    /// The same of one VM alone.
    pub(super) fn to_look_for_one(&self, vm: VmId) -> BTreeMap<PathBuf, BTreeSet<VmId>> {
        let pages = self.pages();
        let disks = pages.vms.get(&vm).filter(|page| !page.is_free).and_then(|page| page.disks.as_ref());
        disks.into_iter().flatten().map(|disk| (disk.clone(), BTreeSet::from([vm]))).collect()
    }

    /// Of these VMs nobody has a disk open.
    pub(super) fn free(&self, vms: impl IntoIterator<Item = VmId>) {
        let mut pages = self.pages();
        for vm in vms {
            if let Some(page) = pages.vms.get_mut(&vm) {
                page.is_free = true;
            }
        }
    }

    /// Its process is ended by this adapter.
    pub(super) fn ends_by_us(&self, vm: VmId) {
        self.with(vm, |page| page.ended_by_us = true);
    }

    /// Its process powers off: because the guest wants to, or because somebody on this host does.
    pub(super) fn powers_off(&self, vm: VmId, told: bool) {
        self.with(vm, |page| page.told_to_end = told);
    }

    /// Where its process is on its way from one host to another, given what the daemon says. If that says nothing it is
    /// where it was, and one that was started to wait for its state waits at first.
    pub(super) fn stage(&self, vm: VmId, waits: bool, said: Option<Stage>) -> Stage {
        let mut stage = Stage::Here;
        self.with(vm, |page| {
            let waits = waits && !page.was_here;
            page.was_here |= said == Some(Stage::Here);
            let before = page.stage.unwrap_or(if waits { Stage::Arrives } else { Stage::Here });
            stage = match said.unwrap_or(before) {
                // Moved on, it stands still once more, and the daemon has a job of it.
                Stage::Arrives if !waits => Stage::Here,
                // Whoever brought it here left it standing still. That is what the daemon says of one that has left, too.
                Stage::Departed if waits => Stage::Here,
                stage => stage,
            };
            page.stage = Some(stage);
        });
        stage
    }

    /// Its process has ended so, or will; or what was to end it came to nothing.
    pub(super) fn stops(&self, vm: VmId, how: Option<Ended>) {
        self.with(vm, |page| page.stopped = how);
    }

    /// Whether a state of it is kept here, from which its next process goes on.
    pub(super) fn is_saved(&self, vm: VmId, is_saved: bool) {
        self.with(vm, |page| page.is_saved = Some(is_saved));
    }

    /// Whether there may be one.
    pub(super) fn may_be_saved(&self, vm: VmId) -> bool {
        self.pages().vms.get(&vm).is_none_or(|page| page.is_saved != Some(false))
    }

    /// A live migration away from here has come to nothing for this reason; or another one begins.
    pub(super) fn not_moved(&self, vm: VmId, why: Option<String>) {
        self.with(vm, |page| page.not_moved = why);
    }

    /// Why the last live migration away from here came to nothing, if it did.
    pub(super) fn why_not_moved(&self, vm: VmId) -> Option<String> {
        self.pages().vms.get(&vm).and_then(|page| page.not_moved.clone())
    }

    /// How its process ended, if an event has told.
    pub(super) fn stopped(&self, vm: VmId) -> Option<Ended> {
        self.pages().vms.get(&vm).and_then(|page| page.stopped)
    }

    /// How its last process ended, given what the daemon says.
    pub(super) fn ended(&self, vm: VmId, said: Ended) -> Ended {
        let pages = self.pages();
        let Some(page) = pages.vms.get(&vm) else { return said };
        match said {
            // The daemon takes every power-off for the guest's, also that of a process that was sent a signal.
            Ended::GuestPoweroff if page.told_to_end => Ended::Crashed,
            Ended::Destroyed if page.ended_by_us => Ended::Crashed,
            said => said,
        }
    }

    fn with(&self, vm: VmId, change: impl FnOnce(&mut Page)) {
        if let Some(page) = self.pages().vms.get_mut(&vm) {
            change(page);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing panics while it has the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn new(known: Known) -> Page {
        Page {
            known,
            disks: None,
            process: None,
            is_free: false,
            ended_by_us: false,
            told_to_end: false,
            was_here: false,
            stage: None,
            is_saved: None,
            not_moved: None,
            stopped: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: VmId = VmId(1);

    fn books() -> Books {
        let books = Books::default();
        books.know(&BTreeMap::from([(ONE, Known { uuid: 7, protection: Protection::Lease })]));
        books
    }

    #[test]
    fn a_power_off_that_was_not_the_guests_is_no_intent() {
        let books = books();
        let process = |started| ProcessName { pid: 1, started };
        assert!(books.seen(ONE, process(1)) && !books.seen(ONE, process(1)));
        assert_eq!(books.ended(ONE, Ended::GuestPoweroff), Ended::GuestPoweroff);
        books.powers_off(ONE, true);
        assert_eq!(books.ended(ONE, Ended::GuestPoweroff), Ended::Crashed);
        assert_eq!(books.ended(ONE, Ended::Destroyed), Ended::Destroyed, "the daemon itself tells it to end then");
        books.ends_by_us(ONE);
        assert_eq!(books.ended(ONE, Ended::Destroyed), Ended::Crashed);
        assert!(books.seen(ONE, process(2)));
        assert_eq!(books.ended(ONE, Ended::GuestPoweroff), Ended::GuestPoweroff);
        assert_eq!(books.ended(ONE, Ended::Destroyed), Ended::Destroyed);
    }

    #[test]
    fn who_waits_for_its_state_does_so_until_the_daemon_says_otherwise() {
        let books = books();
        let process = |started| ProcessName { pid: 1, started };
        let stage = |said| books.stage(ONE, true, said);
        books.seen(ONE, process(1));
        for said in [None, Some(Stage::Arrives), None] {
            assert_eq!(stage(said), Stage::Arrives);
        }
        assert_eq!((stage(Some(Stage::Here)), stage(None)), (Stage::Here, Stage::Here));
        assert_eq!(stage(Some(Stage::Arrives)), Stage::Here, "moved on, it is paused once more");
        assert_eq!((stage(Some(Stage::Departed)), stage(None)), (Stage::Departed, Stage::Departed));
        assert_eq!(stage(Some(Stage::Here)), Stage::Here, "it was not moved after all");
        books.stops(ONE, Some(Ended::Moved));
        assert_eq!(books.stopped(ONE), Some(Ended::Moved));
        books.seen(ONE, process(2));
        assert!(stage(None) == Stage::Arrives && books.stopped(ONE).is_none());
    }

    #[test]
    fn what_a_person_brings_here_standing_still_has_not_left() {
        let books = books();
        books.seen(ONE, ProcessName { pid: 1, started: 1 });
        assert_eq!(books.stage(ONE, true, Some(Stage::Departed)), Stage::Here);
        books.seen(ONE, ProcessName { pid: 1, started: 2 });
        assert_eq!(books.stage(ONE, false, Some(Stage::Departed)), Stage::Departed);
    }

    #[test]
    fn what_is_known_lasts_as_long_as_the_vm() {
        let books = books();
        assert_eq!((books.vm(7), books.uuid(ONE), books.unread().len()), (Some(ONE), Some(7), 1));
        books.know(&BTreeMap::from([(ONE, Known { uuid: 8, protection: Protection::None })]));
        assert_eq!((books.vm(7), books.vm(8)), (None, Some(ONE)));
        assert!(books.protected().is_empty());
        books.know(&BTreeMap::new());
        assert!(books.uuids().is_empty());
    }
}
