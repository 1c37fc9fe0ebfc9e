//! A look: the process table first and last, and what the daemon says of the rest.

use crate::core::action::{Ended, PlatformEvent, ProcessSeen, ProcessState, View};
use crate::core::ids::VmId;
use crate::libvirt::activity::Activity;
use crate::libvirt::books::Books;
use crate::libvirt::daemon::Daemon;
use crate::libvirt::definition::describe;
use crate::libvirt::holders;
use crate::libvirt::inquiry::{Answer, Inquiry, Said, Stage};
use crate::libvirt::processes::{Found, Processes};
use crate::libvirt::watch::Watcher;
use crate::platform::lanes::{Lane, Lanes};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// What is looked with.
pub(super) struct Looker {
    pub(super) daemon: Arc<Daemon>,
    pub(super) processes: Arc<Processes>,
    pub(super) activity: Arc<Activity>,
    pub(super) books: Arc<Books>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) inquiry: Inquiry,
    pub(super) lanes: Lanes,
}

impl Looker {
    /// Sees what runs.
    pub(super) fn look(&self) -> io::Result<View> {
        let began = self.activity.now();
        let uuids = self.books.uuids();
        let mut busy: BTreeSet<VmId> = self.lanes.busy().into_iter().collect();
        let answer = self.inquiry.ask(&self.daemon, uuids.keys().copied().collect(), self.books.unread());
        // The daemon is asked first: what it says has no process, and got one since, is seen here.
        let found = self.processes.scan()?;
        if !found.hidden.is_empty() {
            // Whichever VM is not seen may be one of them.
            return Err(io::Error::other(format!("nobody can tell which VMs these processes are: {:?}", found.hidden)));
        }
        self.read(&uuids, answer.as_ref());
        let mut processes = self.running(&uuids, &found, answer.as_ref());
        let running: BTreeSet<VmId> = processes.iter().map(|seen| seen.vm).collect();
        let held = self.held(&running)?;
        processes.extend(held.iter().map(|vm| ProcessSeen { vm: *vm, state: ProcessState::Dying }));
        self.settle(&uuids, &found, &running);
        let is_absent = |vm: &VmId| !running.contains(vm) && !held.contains(vm);
        // Where it was moved away from, or was without a definition of its own, the daemon does not know it any more.
        let unsaid = uuids.iter().filter(|(uuid, _)| answer.as_ref().is_some_and(|all| !all.said.contains_key(uuid)));
        let gone = unsaid.map(|(_, vm)| *vm).filter(is_absent);
        let told = gone.filter_map(|vm| Some((vm, self.books.ended(vm, self.books.stopped(vm)?))));
        let mut inactive: Vec<(VmId, Ended)> = told.collect();
        for (uuid, said) in answer.iter().flat_map(|answer| &answer.said) {
            let Some(vm) = uuids.get(uuid).copied().filter(is_absent) else { continue };
            match said {
                // What the daemon calls active and has no process is about to get one, or has just lost it.
                Said::Active(_) => drop(busy.insert(vm)),
                Said::Inactive(ended) => inactive.push((vm, self.books.ended(vm, *ended))),
            }
        }
        // What ended meanwhile counts as under way: its process may have come up behind this look's back.
        busy.extend(self.activity.since(began));
        busy.extend(self.lanes.busy());
        Ok(View { processes, daemon: answer.is_some(), busy: busy.into_iter().collect(), inactive })
    }

    /// How the last process of a VM ended, if nothing of it is left; nothing: something is, or nobody can see. The daemon
    /// is not asked, and may wait for this.
    pub(super) fn ended(&self, vm: VmId) -> Option<Ended> {
        let uuid = self.books.uuid(vm)?;
        let found = self.processes.scan().ok()?;
        let is_left = found.qemus.iter().any(|qemu| qemu.uuid == uuid) || !found.hidden.is_empty();
        if is_left || holders::held(&self.books.to_look_for_one(vm)).ok()?.contains(&vm) {
            return None;
        }
        Some(self.books.ended(vm, self.books.stopped(vm).unwrap_or(Ended::Unknown)))
    }

    /// Keeps which disks the VMs have whose definitions were not read before.
    fn read(&self, uuids: &BTreeMap<u128, VmId>, answer: Option<&Answer>) {
        for (uuid, xml) in answer.iter().flat_map(|answer| &answer.definitions) {
            let Some(vm) = uuids.get(uuid) else { continue };
            match describe(xml) {
                Ok(described) => self.books.describe(*vm, &described),
                Err(error) => tracing::warn!("{vm}: the daemon's definition cannot be read: {error}"),
            }
        }
    }

    fn running(&self, uuids: &BTreeMap<u128, VmId>, found: &Found, answer: Option<&Answer>) -> Vec<ProcessSeen> {
        let mut running = Vec::new();
        for qemu in &found.qemus {
            let Some(vm) = uuids.get(&qemu.uuid).copied() else { continue };
            if self.books.seen(vm, qemu.name) {
                self.watcher.notice(vm, qemu.name);
            }
            self.books.learn(vm, holders::open_by(qemu.name.pid));
            let said = match answer.and_then(|answer| answer.said.get(&qemu.uuid)) {
                Some(Said::Active(stage)) => Some(*stage),
                Some(Said::Inactive(_)) | None => None,
            };
            let state = match (qemu.state, self.books.stage(vm, qemu.incoming, said)) {
                (ProcessState::Executing, Stage::Arrives) => ProcessState::Incoming,
                (ProcessState::Executing, Stage::Departed) => ProcessState::Departed,
                (state, _) => state,
            };
            running.push(ProcessSeen { vm, state });
        }
        running
    }

    /// The VMs without a process of which somebody still has a disk open.
    fn held(&self, running: &BTreeSet<VmId>) -> io::Result<BTreeSet<VmId>> {
        let wanted = self.books.to_look_for(running);
        let held = holders::held(&wanted)?;
        let all: BTreeSet<VmId> = wanted.values().flatten().copied().collect();
        self.books.free(all.difference(&held).copied());
        Ok(held)
    }

    /// Finds out whether starts whose answer was lost may still come about. That can take long, and no look waits for it.
    fn settle(&self, uuids: &BTreeMap<u128, VmId>, found: &Found, running: &BTreeSet<VmId>) {
        let lost = self.activity.lost(&found.daemons);
        let busy = self.lanes.busy();
        for (uuid, vm) in uuids.iter().filter(|(_, vm)| lost.contains(vm) && !busy.contains(vm)) {
            if running.contains(vm) {
                self.activity.settle(*vm);
                continue;
            }
            let (daemon, activity, uuid, vm) = (Arc::clone(&self.daemon), Arc::clone(&self.activity), *uuid, *vm);
            let work = move || {
                let idle = Inquiry::is_idle(&daemon, uuid);
                idle.then(|| {
                    activity.settle(vm);
                    PlatformEvent::Changed { vm }
                })
            };
            // If there is no room for it, the next look tries again.
            let _added = self.lanes.add(Lane::Vm(vm), Box::new(work));
        }
    }
}
