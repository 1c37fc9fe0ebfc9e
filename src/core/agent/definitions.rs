//! What the hypervisor says that protected VMs are, on its way to the master.
//!
//! The log's definition is what a VM is started from when its host is dead, so each change of it is told until the
//! master says that the log has it, or that another host's word counts. A run of the agent tells everything once: it
//! cannot know what an earlier one told. And it tells again what came up here once the log knows that it runs here: what
//! a person changed before that was nobody's business.

use super::Agent;
use super::local::LocalPresence;
use crate::core::action::Action;
use crate::core::ids::{FeatureId, Ticket, VmId};
use crate::core::message::{Definition, Message};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::Shape;
use crate::core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So many are told at once: they may be large, and heartbeats take the same way.
const AT_ONCE: usize = 4;

/// What is not known to be in the log.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pending: BTreeMap<VmId, Pending>,
    /// VMs of which the log may not know yet that they run here, and why they are told of when it does.
    undescribed: BTreeMap<VmId, Occasion>,
}

/// Why the log is told again what a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// It came up here: what was told before that was nobody's business.
    CameUp,
    /// The cluster was recovered by force, and may have lost what it knew.
    Recovered,
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    shape: Arc<Shape>,
    /// When it was told last.
    told: Option<Instant>,
}

impl Definitions {
    /// What was to be told of the VM counts no more: it is not protected any more, or the log's definition replaces it.
    pub(super) fn forget(&mut self, vm: VmId) {
        self.pending.remove(&vm);
    }
}

impl Agent {
    /// A VM runs here, which is yet to be reported.
    pub(super) fn is_to_be_described(&mut self, vm: VmId) {
        self.definitions.undescribed.entry(vm).or_insert(Occasion::CameUp);
    }

    /// What the log had been told of may be lost in a forced recovery.
    pub(super) fn describe_all_anew(&mut self) {
        let running = self.vms.iter().filter(|(_, local)| local.presence == LocalPresence::Running);
        self.definitions.undescribed.extend(running.map(|(vm, _)| (*vm, Occasion::Recovered)));
    }

    /// All that was reported up to this version is in the log: what runs here is what this host says, from now on.
    pub(super) fn describe_reported(&mut self, version: u64, actions: &mut Vec<Action>) {
        let vms = &self.vms;
        self.definitions.undescribed.retain(|vm, occasion| {
            let Some(local) = vms.get(vm).filter(|local| local.presence == LocalPresence::Running) else {
                return false;
            };
            if local.is_newer_than(version) {
                return true;
            }
            if !breaks(Sabotage::EditsToldTooSoon) {
                actions.push(Action::Describe { vm: *vm, though_brought: *occasion == Occasion::Recovered });
            }
            false
        });
    }

    /// The hypervisor says what a VM is.
    pub(super) fn defined(&mut self, now: Instant, vm: VmId, shape: Arc<Shape>, actions: &mut Vec<Action>) {
        if self.store.protected.contains_key(&vm) {
            let ticket = self.ticket();
            self.definitions.pending.insert(vm, Pending { ticket, shape, told: None });
            self.send_definitions(now, actions);
        }
    }

    /// Tells what was never told, or was not answered, as far as it may.
    pub(super) fn send_definitions(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(master) = self.master.filter(|_| self.admitted && !breaks(Sabotage::EditsNotTold)) else { return };
        let (incarnation, patience) = (self.incarnation(), self.timing.resend * 4);
        let is_fresh = |pending: &Pending| pending.told.is_some_and(|told| now.since(told) < patience);
        let under_way = self.definitions.pending.values().filter(|pending| is_fresh(pending)).count();
        let due = self.definitions.pending.iter_mut().filter(|(_, pending)| !is_fresh(pending));
        for (vm, pending) in due.take(AT_ONCE.saturating_sub(under_way)) {
            pending.told = Some(now);
            let Pending { ticket, shape, .. } = &*pending;
            let definition = Definition { incarnation, ticket: *ticket, vm: *vm, shape: Arc::clone(shape) };
            actions.push(Action::Send { to: master, message: Message::Definition(definition) });
        }
    }

    /// The log has it, or has no use for it.
    pub(super) fn definition_noted(&mut self, now: Instant, ticket: Ticket, actions: &mut Vec<Action>) {
        self.definitions.pending.retain(|_, pending| pending.ticket != ticket);
        self.send_definitions(now, actions);
    }

    /// What the host has that VMs may need.
    pub(super) fn offers(&mut self, now: Instant, features: BTreeSet<FeatureId>) {
        if self.reports.features != features {
            self.reports.features = features;
            self.next_report(now);
        }
    }
}
