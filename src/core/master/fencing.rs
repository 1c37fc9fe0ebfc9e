//! Fencing: power off, read back, by levels and chains (proof 2).
//!
//! ```text
//!  for each device of a level:  Identity ─▶ PowerOff ─▶ Power … Off ─▶ Identity ─▶ off
//!  all devices of a level off ─▶ Fenced;  one of them failed ─▶ next level;  last level failed ─▶ wait, begin again
//!  while the brake is on:       Identity ─▶ Power … Off, Off ─▶ Identity ─▶ off ─▶ FoundOff
//! ```
//! The identity is read before the order and again after the power was seen to be off: a device that was re-plugged
//! in between would otherwise prove the wrong machine dead.

use super::chain::{Belief, Chain, Device, Goal, Occasion};
use super::judge::too_many_judged;
use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::command::Command;
use crate::core::ids::{FenceId, HostId, Incarnation, LogIndex, Ticket};
use crate::core::message::{FenceOp, FenceResult};
use crate::core::reason::{Alert, JudgeCause, NoProof, Proof};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{Armed, Standing};
use std::time::Duration;

/// A device that several ways could not reach is given up for this round.
const WAYS: usize = 3;

impl Master {
    pub(super) fn begin_fencing(&mut self, cx: &Context<'_>, target: Incarnation, out: &mut Output) {
        self.open_chain(cx, target);
        self.tend_chain(cx, target.host, out);
    }

    fn open_chain(&mut self, cx: &Context<'_>, target: Incarnation) {
        let Some(host) = cx.state.hosts.get(&target.host) else { return };
        // Of two machines with one identity, nobody knows which one a device controls.
        // And a cluster that only observes acts on nothing.
        let observes = cx.state.armed != Armed::Armed;
        if host.fences.is_empty() || host.standing == Standing::Conflicted || observes || target.host == self.me {
            return;
        }
        let is_committed = !matches!(host.standing, Standing::Admitted);
        let warrant = LogIndex(cx.state.applied.0 + u64::from(!is_committed));
        let mut chain = Chain {
            target,
            warrant,
            plan: cx.state.fence_plan(target.host),
            level: 0,
            devices: Vec::new(),
            resume: cx.now,
            rounds: 0,
            goal: Goal::Off,
            began: cx.now,
            proposed: None,
            occasion: match host.standing {
                Standing::Judged { cause: JudgeCause::Drill } => Occasion::Drill,
                Standing::Judged { cause: JudgeCause::SwitchedOff } => Occasion::Order,
                _ => Occasion::Failure,
            },
        };
        let level = self.level_to_drill(cx, target.host).filter(|_| chain.occasion == Occasion::Drill);
        chain.enter(level.unwrap_or(0), cx.now);
        self.fencing.insert(target.host, chain);
    }

    /// A host that an earlier master fenced may still be off.
    pub(super) fn inherit_fenced(&mut self, cx: &Context<'_>, target: Incarnation, out: &mut Output) {
        let Some(host) = cx.state.hosts.get(&target.host) else { return };
        let was_fenced = matches!(host.standing, Standing::Proven { proof: Proof::Fenced { .. } });
        let leaving = cx.ears.newest(target.host).is_some_and(|heard| heard.heartbeat.leaving);
        if was_fenced && !leaving && cx.state.policy.power_on_after_fence && !host.quarantined {
            self.power_on(cx, target, out);
        }
    }

    fn power_on(&mut self, cx: &Context<'_>, target: Incarnation, out: &mut Output) {
        self.open_chain(cx, target);
        if let Some(chain) = self.fencing.get_mut(&target.host) {
            chain.goal = Goal::On;
        }
        self.tend_chain(cx, target.host, out);
    }

    /// A person wants a host off that is judged already, or proven not to run what it held, which may be on all the same.
    pub(super) fn switched_off(&mut self, cx: &Context<'_>, target: Incarnation, out: &mut Output) {
        let is_under_way = self.fencing.get(&target.host).is_some_and(|chain| chain.goal == Goal::Off);
        if !is_under_way {
            self.open_chain(cx, target);
        }
        if let Some(chain) = self.fencing.get_mut(&target.host) {
            chain.occasion = Occasion::Order;
        }
        self.tend_chain(cx, target.host, out);
    }

    /// A person wants a host on. Whether it came up is seen when it is heard.
    pub(super) fn switched_on(&mut self, cx: &Context<'_>, host: HostId, out: &mut Output) {
        if let Some(entry) = cx.state.hosts.get(&host) {
            self.power_on(cx, entry.incarnation(host), out);
        }
    }

    pub(super) fn end_fencing(&mut self, host: HostId) {
        self.fencing.remove(&host);
    }

    /// Whether an order to power the host off may still take effect.
    pub(super) fn is_being_fenced(&self, cx: &Context<'_>, host: HostId) -> bool {
        let Some(chain) = self.fencing.get(&host) else { return false };
        let ordered = chain.devices.iter().any(|device| device.ordered.is_some());
        // What was judged although it lives is not let in again before its chain has failed once.
        chain.goal == Goal::Off && (ordered || self.is_meant(cx, chain.target) && chain.rounds == 0)
    }

    /// Whether the host is to go off although it lives. One that is heard in another boot has been off since.
    fn is_meant(&self, cx: &Context<'_>, target: Incarnation) -> bool {
        let standing = cx.state.hosts.get(&target.host).map(|host| host.standing);
        let newest = cx.ears.newest(target.host);
        let came_up = newest.is_some_and(|heard| {
            heard.heartbeat.incarnation.boot != target.boot && cx.now.since(heard.at) < self.timing.suspect
        });
        matches!(standing, Some(Standing::Judged { cause }) if cause.is_meant()) && !came_up
    }

    pub(super) fn warrant_index(&self, _cx: &Context<'_>, host: HostId, op: FenceOp) -> LogIndex {
        match (op, self.fencing.get(&host)) {
            (FenceOp::PowerOff, Some(chain)) => chain.warrant,
            _ => LogIndex(0),
        }
    }

    pub(super) fn tend_fences(&mut self, cx: &Context<'_>, out: &mut Output) {
        let hosts: Vec<HostId> = self.fencing.keys().copied().collect();
        for host in hosts {
            self.tend_chain(cx, host, out);
        }
    }

    /// Whether a judged host has come back and only waits to be admitted. A new master finds such hosts in the log,
    /// and must not shoot them; but one that is heard for long and can not be admitted is no better than a silent one.
    fn is_coming_back(&self, cx: &Context<'_>, chain: &Chain) -> bool {
        let heard = cx.ears.newest(chain.target.host);
        let is_heard = heard.is_some_and(|heard| cx.now.since(heard.at) < self.timing.suspect);
        is_heard && !self.is_meant(cx, chain.target) && cx.now.since(chain.began) < self.timing.agent_patience
    }

    fn tend_chain(&mut self, cx: &Context<'_>, host: HostId, out: &mut Output) {
        let coming_back = self.fencing.get(&host).is_some_and(|chain| self.is_coming_back(cx, chain));
        // A master that may be deposed by now reads, and orders nothing: the host may have been let in again since.
        let may_order = cx.state.armed == Armed::Armed && self.has_quorum(cx) && !left_in_order(cx, host);
        let braked = self.brake.is_on || !may_order || too_many_judged(cx.state);
        let Some(chain) = self.fencing.get_mut(&host) else { return };
        chain.follow(cx);
        let goal = chain.goal;
        let begun = chain.devices.iter().any(|device| device.ordered.is_some());
        if cx.now < chain.resume || (coming_back && goal == Goal::Off && !begun) {
            return;
        }
        // A machine with two supplies must not lose one of them as long as it is not known that the other can be cut, too.
        let all_known = goal == Goal::On || braked || chain.devices.iter().all(|device| device.identified);
        let mut due = Vec::new();
        for device in &mut chain.devices {
            if device.confirmed || cx.now < device.next {
                continue;
            }
            if device.identified && !all_known {
                // It is asked again right before the order.
                device.fresh = false;
                continue;
            }
            let op = if goal == Goal::On { FenceOp::PowerOn } else { device.next_op(braked) };
            due.push((device.id, op));
        }
        for (id, op) in due {
            self.ask_device(cx, host, id, op, out);
        }
        self.conclude_chain(cx, host, out);
    }

    fn ask_device(&mut self, cx: &Context<'_>, host: HostId, id: FenceId, op: FenceOp, out: &mut Output) {
        let asked = self.device(host, id).and_then(|device| device.asked);
        if asked.is_some_and(|ticket| self.reach.awaits(ticket)) {
            return;
        }
        let Some(device) = self.device(host, id) else { return };
        if device.asked.take().is_some() {
            // No answer came at all.
            device.attempt += 1;
        }
        if device.attempt >= WAYS {
            return self.device_failed(cx, host, NoProof::FenceUnreachable(id), out);
        }
        let attempt = device.attempt;
        device.fresh = false;
        if op == FenceOp::PowerOff {
            // From here on it may take effect, answered or not. What was read before it counts no more.
            device.ordered = Some(cx.now);
            device.off = 0;
        }
        let ticket = self.on_fence(cx, host, id, op, attempt, out);
        if let Some(device) = self.device(host, id) {
            device.asked = Some(ticket);
        }
    }

    fn device(&mut self, host: HostId, id: FenceId) -> Option<&mut Device> {
        self.fencing.get_mut(&host)?.devices.iter_mut().find(|device| device.id == id)
    }

    pub(super) fn fence_answered(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        (host, id, op): (HostId, FenceId, FenceOp),
        result: FenceResult,
        out: &mut Output,
    ) {
        if let Some(chain) = self.fencing.get_mut(&host) {
            chain.follow(cx);
        }
        let uuid = cx.state.hosts.get(&host).map(|host| host.uuid);
        let (poll, timeout) = (self.timing.fence_poll, self.timing.fence_timeout);
        let Some(device) = self.device(host, id).filter(|device| device.asked == Some(ticket)) else { return };
        device.asked = None;
        match result {
            FenceResult::Identity(found) if Some(found) == uuid || breaks(Sabotage::WrongMachineFenced) => {
                device.confirmed = device.is_off();
                device.identified = true;
                device.fresh = true;
            }
            FenceResult::Nameless => {
                device.confirmed = device.is_off();
                device.identified = true;
                device.fresh = true;
                device.nameless = true;
                if !self.may_be_nameless(cx, host, id) {
                    return self.device_failed(cx, host, NoProof::NotDrilled(id), out);
                }
            }
            FenceResult::Identity(_) => {
                self.alert(Alert::WrongMachine { device: id }, out);
                return self.device_failed(cx, host, NoProof::WrongMachine(id), out);
            }
            FenceResult::Taken if op == FenceOp::PowerOn => device.confirmed = true,
            FenceResult::Taken if breaks(Sabotage::PowerOffNotReadBack) => device.off = 2,
            FenceResult::Taken => {}
            FenceResult::Off => {
                device.off += 1;
                device.off_at = Some(cx.now);
                device.next = cx.now + poll;
            }
            FenceResult::On => {
                device.off = 0;
                device.next = cx.now + poll;
                if device.ordered.is_some_and(|ordered| cx.now.since(ordered) > timeout) {
                    return self.device_failed(cx, host, NoProof::StillOn(id), out);
                }
            }
            FenceResult::Unreachable if breaks(Sabotage::UnreachableIsOff) => {
                device.off = 2;
                device.confirmed = true;
            }
            FenceResult::Unreachable => {
                device.attempt += 1;
                device.next = cx.now + poll;
            }
            FenceResult::Refused => return self.device_failed(cx, host, NoProof::FenceRefused(id), out),
        }
        self.tend_chain(cx, host, out);
    }

    /// A device that cannot say which machine it controls is trusted by what a drill has shown; and in a drill, to show it.
    fn may_be_nameless(&self, cx: &Context<'_>, host: HostId, id: FenceId) -> bool {
        let drill = self.fencing.get(&host).is_some_and(|chain| chain.occasion == Occasion::Drill);
        drill || cx.state.is_drilled(host, id)
    }

    /// On to the next level, or, after the last one, to a new round later.
    fn device_failed(&mut self, cx: &Context<'_>, host: HostId, trouble: NoProof, out: &mut Output) {
        let device = match &trouble {
            NoProof::FenceUnreachable(id)
            | NoProof::FenceRefused(id)
            | NoProof::WrongMachine(id)
            | NoProof::NotDrilled(id)
            | NoProof::StillOn(id) => *id,
            _ => return,
        };
        self.device_troubles.insert(device, trouble);
        self.alert(Alert::FenceFailed { device }, out);
        let (retry, longest) = (self.timing.fence_retry, self.timing.retry_max);
        let Some(chain) = self.fencing.get_mut(&host) else { return };
        if chain.goal == Goal::On {
            // It stays off; a person sees it as dead.
            self.fencing.remove(&host);
            return;
        }
        let next = chain.level + 1;
        if next < chain.plan.len() {
            chain.enter(next, cx.now);
        } else {
            chain.resume = cx.now + backoff(retry, chain.rounds, longest);
            chain.rounds += 1;
            chain.enter(0, cx.now);
        }
        self.tend_chain(cx, host, out);
    }

    fn conclude_chain(&mut self, cx: &Context<'_>, host: HostId, out: &mut Output) {
        let (resend, patience) = (self.timing.resend, self.timing.suspect);
        let Some(chain) = self.fencing.get_mut(&host) else { return };
        if chain.devices.is_empty() || !chain.devices.iter().all(|device| device.confirmed) {
            return;
        }
        if chain.goal == Goal::On {
            self.fencing.remove(&host);
            return;
        }
        if chain.proposed.is_some_and(|at| cx.now.since(at) < resend) {
            return;
        }
        match chain.belied_by_life(cx, patience) {
            Belief::Wait => return,
            Belief::Belied(device) => {
                self.alert(Alert::WrongMachine { device }, out);
                return self.device_failed(cx, host, NoProof::WrongMachine(device), out);
            }
            Belief::Holds => {}
        }
        let Some(first) = chain.devices.first() else { return };
        let device = first.id;
        let ordered = chain.devices.iter().all(|device| device.ordered.is_some());
        let proof = if ordered { Proof::Fenced { device } } else { Proof::FoundOff { device } };
        chain.proposed = Some(cx.now);
        out.propose(Command::ProveHost { target: chain.target, proof });
    }

    /// A host was fenced: power it on again, unless that happens too often.
    pub(super) fn after_fence(&mut self, cx: &Context<'_>, host: HostId, proof: Proof, out: &mut Output) {
        let window = self.timing.repeat_offender_window;
        let policy = &cx.state.policy;
        // Who shuts a machine down does not want it up again.
        let leaving = self.watched(host).is_some_and(|watched| watched.is_leaving);
        let Some(chain) = self.fencing.get_mut(&host) else { return };
        let ordered = chain.devices.iter().any(|device| device.ordered.is_some());
        let is_off = matches!(proof, Proof::Fenced { .. } | Proof::FoundOff { .. });
        if !is_off || !ordered || chain.goal == Goal::On {
            // What was ordered off is followed to its end all the same: it is to come up again.
            if !ordered || chain.goal == Goal::On {
                self.fencing.remove(&host);
            }
            return;
        }
        for device in &chain.devices {
            self.device_troubles.remove(&device.id);
        }
        if chain.occasion == Occasion::Drill {
            let nameless = chain.devices.iter().filter(|device| device.nameless);
            let nameless: Vec<_> = nameless.map(|device| (device.id, cx.state.fence_set_up(device.id))).collect();
            self.drills.insert(host, (chain.target.boot, nameless));
        }
        let occasion = chain.occasion;
        // A person may have wanted it off while it was fenced for another reason.
        let stays_off = leaving || cx.state.hosts.get(&host).is_none_or(|host| host.quarantined);
        let lately = self.fenced_lately.entry(host).or_default();
        lately.retain(|at| cx.now.since(*at) < window);
        if occasion == Occasion::Failure {
            lately.push(cx.now);
        }
        if lately.len() > policy.max_fences as usize {
            out.propose(Command::Quarantine { host, on: true });
            out.note(Note::Alert(Alert::Quarantined { host }));
            self.fencing.remove(&host);
        } else if occasion == Occasion::Drill || policy.power_on_after_fence && !stays_off {
            chain.goal = Goal::On;
            chain.enter(chain.level, cx.now);
            self.tend_chain(cx, host, out);
        } else {
            self.fencing.remove(&host);
        }
    }

    /// A host is in again. If it was off for a drill, it has come up in another boot: then its devices are the right ones.
    pub(super) fn drill_ends(&mut self, cx: &Context<'_>, life: Incarnation, out: &mut Output) {
        let Some((boot, devices)) = self.drills.remove(&life.host) else { return };
        let new: Vec<_> = devices.into_iter().filter(|(id, _)| !cx.state.is_drilled(life.host, *id)).collect();
        if let (Some((device, _)), true) = (new.first(), boot == life.boot) {
            self.alert(Alert::WrongMachine { device: *device }, out);
        } else if !new.is_empty() {
            out.propose(Command::Drilled { host: life.host, devices: new });
        }
    }

    /// Why fencing has proven nothing about a host yet.
    pub(super) fn why_no_fence_proof(&self, cx: &Context<'_>, host: HostId) -> Vec<NoProof> {
        let Some(entry) = cx.state.hosts.get(&host) else { return Vec::new() };
        if entry.fences.is_empty() {
            return vec![NoProof::NoFence];
        }
        if entry.standing == Standing::Conflicted {
            return vec![NoProof::Conflicted];
        }
        if self.brake.is_on {
            return vec![NoProof::Brake { suspects: self.brake.suspects, hosts: self.brake.hosts }];
        }
        let why = |id: &FenceId| self.device_troubles.get(id).cloned().unwrap_or(NoProof::Fencing(*id));
        entry.fences.iter().flatten().map(why).collect()
    }
}

/// Whether the host was shut down by a person and let go of all that it held: nothing is to be proven in a hurry, and an
/// order would hit it while it still unmounts, or keep it from coming up again.
fn left_in_order(cx: &Context<'_>, host: HostId) -> bool {
    let leaving = cx.ears.newest(host).is_some_and(|heard| heard.heartbeat.leaving);
    leaving && cx.state.held_on(host).is_empty()
}

/// A delay that doubles with each round, up to a longest one.
pub(super) fn backoff(first: Duration, rounds: u32, longest: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(rounds.min(16)).unwrap_or(u32::MAX)).min(longest)
}
