//! What is known of the fencing of one host: its devices, what they were asked, and what they have said.

use super::Context;
use crate::core::ids::{FenceId, Incarnation, LogIndex, Ticket};
use crate::core::message::FenceOp;
use crate::core::time::Instant;
use std::time::Duration;

/// The fencing of one host.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) target: Incarnation,
    /// The entry of the log that allows it.
    pub(super) warrant: LogIndex,
    /// The devices of each level, and the entries of the log that set them up.
    pub(super) plan: Vec<Vec<(FenceId, LogIndex)>>,
    pub(super) level: usize,
    pub(super) devices: Vec<Device>,
    /// Nothing is asked before this.
    pub(super) resume: Instant,
    pub(super) rounds: u32,
    pub(super) goal: Goal,
    pub(super) began: Instant,
    pub(super) proposed: Option<Instant>,
    pub(super) occasion: Occasion,
}

/// What a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The host failed.
    Failure,
    /// It is only to show that the devices work.
    Drill,
    /// A person wants it so.
    Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Off,
    /// It is proven; it may come up again.
    On,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: FenceId,
    pub(super) identified: bool,
    /// Whether nothing was asked since its identity was read: just so it may be ordered to switch off.
    pub(super) fresh: bool,
    pub(super) ordered: Option<Instant>,
    /// How often the power was read as off in a row.
    pub(super) off: u32,
    /// When it was read as off last.
    pub(super) off_at: Option<Instant>,
    /// Whether it cannot say which machine it controls.
    pub(super) nameless: bool,
    pub(super) confirmed: bool,
    pub(super) next: Instant,
    /// The operation that is waited for: a late answer to any other says nothing.
    pub(super) asked: Option<Ticket>,
    pub(super) attempt: usize,
}

impl Chain {
    /// Begins a level: nothing is known of its devices yet.
    pub(super) fn enter(&mut self, level: usize, now: Instant) {
        self.level = level;
        let devices = self.plan.get(level).into_iter().flatten();
        self.devices = devices.map(|(id, _)| Device::new(*id, now)).collect();
    }

    /// Follows a change of what fences the host. What the devices of another plan have said proves nothing: one may
    /// have been added that still feeds the machine, or speak to another machine now.
    pub(super) fn follow(&mut self, cx: &Context<'_>) {
        let plan = cx.state.fence_plan(self.target.host);
        if self.plan != plan {
            self.plan = plan;
            self.enter(0, cx.now);
        }
    }
}

/// Whether what devices said of a machine without knowing which can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    Holds,
    /// Not long enough was listened yet.
    Wait,
    /// The host was heard after this device read its machine as off.
    Belied(FenceId),
}

impl Chain {
    /// A device that cannot say which machine it controls may have switched off another one: then the host that was meant
    /// goes on to be heard.
    pub(super) fn belied_by_life(&self, cx: &Context<'_>, patience: Duration) -> Belief {
        let heard = cx.ears.of_boot(self.target.host, self.target.boot).map(|heard| heard.at);
        let nameless = self.devices.iter().filter(|device| device.nameless);
        let mut belief = Belief::Holds;
        for (id, off_at) in nameless.filter_map(|device| Some((device.id, device.off_at?))) {
            // What it sent before it went off is still on its way for a moment.
            let doubted = off_at + patience;
            if heard.is_some_and(|heard| heard > doubted) {
                return Belief::Belied(id);
            }
            if cx.now < doubted + patience {
                belief = Belief::Wait;
            }
        }
        belief
    }
}

impl Device {
    pub(super) fn new(id: FenceId, now: Instant) -> Device {
        Device {
            id,
            identified: false,
            fresh: false,
            ordered: None,
            off: 0,
            off_at: None,
            nameless: false,
            confirmed: false,
            next: now,
            asked: None,
            attempt: 0,
        }
    }

    /// How many readings of "off" settle it: without an order of ours the machine may be about to come up.
    pub(super) fn is_off(&self) -> bool {
        self.off >= if self.ordered.is_some() { 1 } else { 2 }
    }

    pub(super) fn next_op(&self, braked: bool) -> FenceOp {
        if !self.identified || self.is_off() {
            FenceOp::Identity
        } else if self.ordered.is_none() && !braked {
            if self.fresh { FenceOp::PowerOff } else { FenceOp::Identity }
        } else {
            FenceOp::Power
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ears::Ears;
    use crate::core::ids::HostId;
    use crate::core::state::ClusterState;

    #[test]
    fn a_changed_plan_begins_anew() {
        let mut state = ClusterState::default();
        let newcomer = crate::core::state::Newcomer::default();
        state.hosts.insert(HostId(1), newcomer.host(HostId(1)));
        let ears = Ears::default();
        let confirmed = |state: &mut ClusterState, fences: Vec<Vec<FenceId>>, chain: &mut Chain| {
            state.hosts.get_mut(&HostId(1)).unwrap().fences = fences;
            chain.follow(&Context { now: Instant::ZERO, state, ears: &ears, quorum: None });
            chain.devices.iter().map(|device| (device.id.0, device.confirmed)).collect::<Vec<_>>()
        };
        let mut chain = Chain {
            target: Incarnation { host: HostId(1), ..Incarnation::default() },
            warrant: LogIndex(1),
            plan: Vec::new(),
            level: 0,
            devices: Vec::new(),
            resume: Instant::ZERO,
            rounds: 0,
            goal: Goal::Off,
            began: Instant::ZERO,
            proposed: None,
            occasion: Occasion::Failure,
        };
        assert_eq!(confirmed(&mut state, vec![vec![FenceId(1)]], &mut chain), [(1, false)]);
        chain.devices[0].confirmed = true;
        assert_eq!(confirmed(&mut state, vec![vec![FenceId(1)]], &mut chain), [(1, true)]);
        // A second supply of power: what the first one's switch says is not enough any more.
        assert_eq!(confirmed(&mut state, vec![vec![FenceId(1), FenceId(2)]], &mut chain), [(1, false), (2, false)]);
    }
}
