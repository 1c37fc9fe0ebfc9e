//! What the hypervisor says that protected VMs are, on its way to the master.
//!
//! The log's definition is what a VM is started from when its host is dead, so each change of it is told until the
//! master says that the log has it. A run of the agent tells everything once: it cannot know what an earlier one told.

use super::Agent;
use crate::core::action::Action;
use crate::core::ids::{FeatureId, Ticket, VmId};
use crate::core::message::{Definition, Message};
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
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    shape: Arc<Shape>,
    /// When it was told last.
    told: Option<Instant>,
}

impl Definitions {
    /// The VM is not protected any more.
    pub(super) fn forget(&mut self, vm: VmId) {
        self.pending.remove(&vm);
    }
}

impl Agent {
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
        let Some(master) = self.master.filter(|_| self.admitted) else { return };
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
