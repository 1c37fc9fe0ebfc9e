//! What VMs have left behind on this host: definitions that are out of date.

use super::Agent;
use super::local::LocalVm;
use crate::core::action::{Action, PlatformCall, View};
use crate::core::ids::{Epoch, VmId};
use crate::core::message::{Message, Welcome};
use crate::core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// VMs that ran elsewhere since this host last had them.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Those of which a definition may still be here that is out of date.
    stale: BTreeSet<VmId>,
    /// Up to which epoch each is known to have left. What is defined here later is somebody's wish.
    left: BTreeMap<VmId, Epoch>,
}

impl Agent {
    /// The daemon may come up long after the agent: the first look that it answers tells what is defined here.
    pub(super) fn find_stale(&mut self, now: Instant, welcome: &Welcome, actions: &mut Vec<Action>) {
        let leftovers = &mut self.leftovers;
        leftovers.stale = welcome.stale.iter().copied().collect();
        leftovers.left = welcome.not_yours.iter().map(|not| (not.vm, not.epoch)).collect();
        if !leftovers.stale.is_empty() {
            self.look(now, actions);
        }
    }

    /// A VM that was here up to this epoch runs elsewhere by now.
    pub(super) fn forget(&mut self, now: Instant, vm: VmId, epoch: Epoch, actions: &mut Vec<Action>) {
        let leftovers = &mut self.leftovers;
        if leftovers.left.get(&vm).is_none_or(|left| *left < epoch) {
            leftovers.left.insert(vm, epoch);
            leftovers.stale.insert(vm);
            self.look(now, actions);
        }
        if let Some(master) = self.master {
            let message = Message::Forgotten { incarnation: self.incarnation(), vm, epoch };
            actions.push(Action::Send { to: master, message });
        }
    }

    pub(super) fn remove_stale(&mut self, view: &View, actions: &mut Vec<Action>) {
        for vm in std::mem::take(&mut self.leftovers.stale) {
            let local = self.vms.get(&vm);
            if local.is_some_and(LocalVm::is_unsettled) {
                self.leftovers.stale.insert(vm);
            } else if local.is_none_or(LocalVm::is_gone) && view.inactive.iter().any(|(id, _)| *id == vm) {
                self.call(PlatformCall::Undefine { vm }, actions);
            }
        }
    }
}
