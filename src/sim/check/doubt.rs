//! I6: a VM that should run and does not has a reason, and an alert.

use super::Found;
use super::processes::Processes;
use super::shadow::Shadow;
use crate::core::command::Want;
use crate::core::ids::{Authority, HostId, VmId};
use crate::core::reason::{Alert, Wait};
use crate::core::state::Armed;
use crate::core::timing::Timing;
use std::collections::{BTreeMap, BTreeSet};

/// Added to the time within which an alert must come, for the sampling and for the message's way.
const GRACE: u64 = 5_000_000;

/// What has been silent for how long.
#[derive(Debug)]
pub(super) struct Doubt {
    alert_after: u64,
    master: Option<(Authority, u64)>,
    /// Since when the cluster was seen to be armed.
    armed_since: Option<u64>,
    down_since: BTreeMap<VmId, u64>,
    alerted: BTreeMap<VmId, u64>,
    /// Hosts of which it was said that nobody hears of their VMs.
    away: BTreeSet<HostId>,
    /// When a VM was last seen to wait for one of those.
    missed: BTreeMap<VmId, u64>,
    /// Said once for each time that a VM is down.
    said: BTreeSet<VmId>,
}

impl Doubt {
    /// With the limits of a time table.
    pub(super) fn new(timing: &Timing) -> Doubt {
        Doubt {
            alert_after: u64::try_from(timing.alert_after.as_micros()).unwrap_or(u64::MAX),
            master: None,
            armed_since: None,
            down_since: BTreeMap::new(),
            alerted: BTreeMap::new(),
            away: BTreeSet::new(),
            missed: BTreeMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// A node raised an alert.
    pub(super) fn alert(&mut self, now: u64, alert: &Alert) {
        if let Alert::Waiting { vm, .. }
        | Alert::Unanswered { vm, .. }
        | Alert::GaveUp { vm }
        | Alert::Clash { vm, .. } = alert
        {
            self.alerted.insert(*vm, now);
        }
        if let Alert::AgentAway { host } = alert {
            self.away.insert(*host);
        }
    }

    /// A VM came up: what was said before was of another failure.
    pub(super) fn came_up(&mut self, vm: VmId) {
        self.down_since.remove(&vm);
        self.said.remove(&vm);
    }

    /// There is no master that moves: nobody can say anything.
    pub(super) fn no_master(&mut self) {
        self.master = None;
    }

    /// Looks at every VM that should run and does not.
    pub(super) fn sample(
        &mut self,
        now: u64,
        master: Option<Authority>,
        (shadow, processes): (&Shadow, &Processes),
        wait: impl Fn(VmId) -> Option<Wait>,
        found: &mut Found,
    ) {
        self.master = match (master, self.master) {
            (Some(new), Some((old, since))) if new == old => Some((old, since)),
            (Some(new), _) => Some((new, now)),
            (None, _) => None,
        };
        self.armed_since = (shadow.armed == Armed::Armed).then(|| self.armed_since.unwrap_or(now));
        for (id, vm) in &shadow.vms {
            let down = vm.protected && vm.intent.want == Want::Running && !processes.executes(*id);
            if !down {
                self.down_since.remove(id);
                // Where the master is in doubt, what it said of it stands.
                if self.alerted.contains_key(id) && matches!(wait(*id), None | Some(Wait::Nothing)) {
                    self.alerted.remove(id);
                }
                self.said.remove(id);
                continue;
            }
            let since = *self.down_since.entry(*id).or_insert(now);
            // A new master begins to watch anew, and must be given its time.
            let Some((_, ruling)) = self.master else { continue };
            let silent = now.saturating_sub(since.max(ruling));
            if silent <= self.alert_after || self.said.contains(id) {
                continue;
            }
            let reason = wait(*id);
            if matches!(reason, Some(Wait::Unknown { host }) if self.away.contains(&host)) {
                self.missed.insert(*id, now);
            }
            // What is said of the host is said of the VM, and for a moment longer: then it is said of the VM alone.
            let is_missed = self.missed.get(id).is_some_and(|missed| now.saturating_sub(*missed) <= GRACE);
            if matches!(reason, None | Some(Wait::Nothing)) {
                self.said.insert(*id);
                found.add("I6", format!("{id} should run and does not, and the master has no reason: {reason:?}"));
            } else if silent > self.alert_after + GRACE
                && self.armed_since.is_some_and(|armed| now.saturating_sub(armed) > self.alert_after + GRACE)
                && !self.alerted.contains_key(id)
                && !is_missed
            {
                self.said.insert(*id);
                found.add("I6", format!("{id} should run and does not, and no alert says so: {reason:?}"));
            }
        }
    }
}
