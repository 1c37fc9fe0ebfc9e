//! What becomes of each VM that is not where it should be: placing, following, retrying, giving up (rules 11 to 13).
//!
//! ```text
//!   no holders ──▶ waiting ──plan──▶ Place proposed ──▶ holder Starting ──permit──▶ Running: at rest
//!       ▲             ▲                                     │ failed, locked, withdrawn
//!       │             └──────────── later, elsewhere ◀──────┘
//!   holder proven gone ◀── holder on a judged host
//! ```

use super::fencing::backoff;
use super::{Context, Master, Output};
use crate::core::command::{Command, Want};
use crate::core::ids::{Epoch, FeatureId, HostId, VmId};
use crate::core::message::{Exit, OrderKind, PermitKind, Presence};
use crate::core::placement::{self, Candidate, Demand};
use crate::core::reason::{Alert, HostState, JudgeCause, Unfit, Wait};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{Armed, ClusterState, Holder, Host, Role, Vm};
use crate::core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// The VMs that are not at rest, and what is being done about them.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    dirty: BTreeSet<VmId>,
    pub(super) chases: BTreeMap<VmId, Chase>,
    pub(super) unplaced: BTreeMap<VmId, Vec<(HostId, Unfit)>>,
    replan: bool,
}

/// A VM that is followed until it is at rest.
#[derive(Debug)]
pub(super) struct Chase {
    /// Since when it is not at rest.
    pub(super) since: Instant,
    /// The epoch that is followed, and since when.
    epoch: Epoch,
    epoch_since: Instant,
    sent: Option<Instant>,
    pub(super) retry_at: Instant,
    attempts: u32,
    placing: Option<Instant>,
    /// Where it was withdrawn from, because nothing was heard of its start.
    avoid: Option<HostId>,
    pub(super) alerted: bool,
    /// Since when a live migration is expected that has no source any more.
    pub(super) sourceless: Option<Instant>,
    /// Since when a host has no more of it than what a live migration left behind.
    pub(super) left_behind: Option<Instant>,
    /// The host that was last missed by agreement, and when.
    pub(super) missed: Option<(HostId, Instant)>,
    pub(super) noted: Option<Wait>,
}

impl Chase {
    /// Its host says nothing, and has said that it would not: that is not held against it, nor against the one that
    /// comes back.
    pub(super) fn note_missed(&mut self, now: Instant, host: HostId) {
        self.missed = Some((host, now));
        self.epoch_since = now;
    }
}

impl Recovery {
    /// Something about the VM has changed.
    pub(super) fn consider(&mut self, vm: VmId) {
        self.dirty.insert(vm);
        self.replan |= !self.unplaced.is_empty();
    }

    pub(super) fn consider_host(&mut self, state: &ClusterState, host: HostId) {
        self.dirty.extend(state.held_on(host));
    }

    pub(super) fn consider_all(&mut self, state: &ClusterState) {
        self.dirty.extend(state.vms.keys());
    }

    /// What fits nowhere may fit now.
    pub(super) fn try_again(&mut self) {
        self.replan = true;
    }

    /// A command was applied or refused, so what was proposed is no longer under way.
    pub(super) fn settled(&mut self, command: &Command) {
        if let Command::Place { vm, .. } = command {
            if let Some(chase) = self.chases.get_mut(vm) {
                chase.placing = None;
            }
            self.dirty.insert(*vm);
        }
    }
}

impl Master {
    /// Follows up on everything that has changed, then places what waits: one plan for all.
    pub(super) fn recover(&mut self, cx: &Context<'_>, out: &mut Output) {
        while let Some(id) = self.recovery.dirty.pop_first() {
            match cx.state.vms.get(&id).filter(|vm| vm.protected && !self.is_at_rest(cx, vm)) {
                None => {
                    if let Some(vm) = cx.state.vms.get(&id).filter(|vm| vm.protected) {
                        self.note_leftovers(cx, id, vm);
                    }
                    self.recovery.chases.remove(&id);
                    self.recovery.unplaced.remove(&id);
                    self.alerted.remove(&Alert::GaveUp { vm: id });
                    self.alerted.retain(|alert| !matches!(alert, Alert::Clash { vm, .. } if *vm == id));
                }
                Some(vm) => {
                    self.follow(cx, id, vm);
                    self.pursue(cx, id, out);
                }
            }
        }
        if std::mem::take(&mut self.recovery.replan) {
            self.place_waiting(cx, out);
        }
    }

    /// Whether nothing is to be done about a VM.
    fn is_at_rest(&self, cx: &Context<'_>, vm: &Vm) -> bool {
        if vm.intent.want != Want::Running {
            return vm.holders.is_empty();
        }
        let mut holders = vm.holders.iter();
        match (holders.next(), holders.next()) {
            (Some((host, holder)), None) => {
                let admitted = cx.state.incarnation(*host).is_some_and(|life| cx.state.is_admitted(life));
                holder.role == Role::Running && admitted && !self.is_doubtful(cx, vm.definition.id, *host)
            }
            _ => false,
        }
    }

    /// Opens or updates the chase of a VM.
    fn follow(&mut self, cx: &Context<'_>, id: VmId, vm: &Vm) {
        let now = cx.now;
        let chase = self.recovery.chases.entry(id).or_insert_with(|| Chase {
            since: now,
            epoch: vm.epoch,
            epoch_since: now,
            sent: None,
            retry_at: now,
            attempts: 0,
            placing: None,
            avoid: None,
            alerted: false,
            sourceless: None,
            left_behind: None,
            missed: None,
            noted: None,
        });
        if chase.epoch != vm.epoch {
            chase.epoch = vm.epoch;
            chase.epoch_since = now;
            chase.sent = None;
            // Another attempt is another failure, if it lasts.
            chase.alerted = false;
        }
        if vm.attempts > chase.attempts {
            chase.retry_at = now + backoff(self.timing.retry_base, vm.attempts - 1, self.timing.retry_max);
        }
        chase.attempts = vm.attempts;
        let last = vm.proofs.last().filter(|proof| vm.holders.is_empty() && proof.epoch == vm.epoch);
        let told = last.and_then(|proof| self.told(proof.host, id));
        if let Some(Presence::Gone { exit, refuses }) = told
            && refuses >= vm.epoch
            && let Some(chase) = self.recovery.chases.get_mut(&id)
        {
            match exit {
                Exit::Locked => chase.retry_at = chase.retry_at.max(now + self.timing.lock_retry),
                Exit::NeverStarted | Exit::LeaseEnded => chase.avoid = last.map(|proof| proof.host),
                _ => {}
            }
        }
    }

    /// Does what is to be done about a VM that is not at rest, or waits for what must come first.
    fn pursue(&mut self, cx: &Context<'_>, id: VmId, out: &mut Output) {
        let Some(vm) = cx.state.vms.get(&id) else { return };
        let resend = self.timing.resend;
        let placeable = self.may_place(cx, vm);
        let known_unplaced = self.recovery.unplaced.contains_key(&id);
        let Some(chase) = self.recovery.chases.get_mut(&id) else { return };
        if placeable {
            // What was found to fit nowhere is tried again when something changes, not with every scan.
            self.recovery.replan |= !known_unplaced && cx.now >= chase.retry_at;
            return;
        }
        if chase.sent.is_some_and(|sent| cx.now.since(sent) < resend) || cx.state.armed != Armed::Armed {
            return;
        }
        chase.sent = Some(cx.now);
        let lasts = cx.now.since(chase.since);
        let is = |role: Role| vm.holders.values().any(|holder| holder.role == role);
        let waits_alone = is(Role::Incoming) && !is(Role::Outgoing);
        chase.sourceless = waits_alone.then(|| chase.sourceless.unwrap_or(cx.now));
        self.settle_clash(cx, id, vm, out);
        self.settle_move(cx, id, vm, out);
        for (host, holder) in vm.holders.clone() {
            if vm.intent.want == Want::Running {
                self.pursue_holder(cx, id, vm, host, &holder, out);
            } else if holder.role == Role::Unaccounted || vm.unspoken {
                // Nobody has said that it should not run: first it is to be known where it does.
                self.send_order(cx, id, host, holder.epoch, OrderKind::Account, out);
            } else {
                let kind = OrderKind::Stop(vm.intent.want);
                self.send_order(cx, id, host, holder.epoch, kind, out);
                let answers = self.watched(host).is_some_and(|watched| watched.hypervisor);
                if lasts > self.timing.unanswered && !answers {
                    self.escalate(cx, id, host, out);
                }
            }
        }
    }

    fn pursue_holder(&mut self, cx: &Context<'_>, id: VmId, vm: &Vm, host: HostId, holder: &Holder, out: &mut Output) {
        let condition = self.told(host, id);
        let lasts = self.recovery.chases.get(&id).map_or(Default::default(), |chase| cx.now.since(chase.epoch_since));
        let has_source = vm.holders.values().any(|other| other.role == Role::Outgoing);
        match holder.role {
            // Some starts take long: as long as the host is at it, it is not called back.
            Role::Starting if is_under_way(condition) && lasts > self.timing.unanswered => {
                self.escalate(cx, id, host, out);
            }
            Role::Starting if !is_under_way(condition) && lasts > self.timing.call_deadline => {
                self.send_order(cx, id, host, holder.epoch, OrderKind::Release, out);
            }
            Role::Starting if !is_under_way(condition) => {
                self.send_permit(cx, id, host, holder, PermitKind::Start, out);
            }
            Role::Incoming if !has_source && self.has_waited_alone(cx, id, vm) => {
                self.send_order(cx, id, host, holder.epoch, OrderKind::Release, out);
            }
            Role::Incoming if !is_under_way(condition) => {
                self.send_permit(cx, id, host, holder, PermitKind::Receive, out);
            }
            Role::Outgoing => {
                let target = vm.holders.iter().find(|(_, other)| other.role == Role::Incoming).map(|(id, _)| *id);
                let ready = target.filter(|target| self.told(*target, id) == Some(Presence::Incoming));
                if let Some(to) = ready {
                    self.send_order(cx, id, host, holder.epoch, OrderKind::MoveTo(to), out);
                }
            }
            Role::Running
                if lasts > self.timing.unanswered
                    && (self.host_state(host) == HostState::Joining
                        || matches!(condition, Some(Presence::Unknown | Presence::Stopping))) =>
            {
                self.escalate(cx, id, host, out);
            }
            // Two that both say they run it: each is asked again, for one word may be out of date.
            Role::Running if vm.holders.len() > 1 && !has_source => {
                self.send_order(cx, id, host, holder.epoch, OrderKind::Account, out);
            }
            Role::Unaccounted => self.send_order(cx, id, host, holder.epoch, OrderKind::Account, out),
            Role::Starting | Role::Incoming | Role::Running => {}
        }
    }

    /// An operation on a live host is not answered: by policy the host is fenced, else a person is told.
    fn escalate(&mut self, cx: &Context<'_>, vm: VmId, host: HostId, out: &mut Output) {
        let Some(entry) = cx.state.hosts.get(&host) else { return };
        let life = entry.incarnation(host);
        let may = cx.state.policy.fence_unanswered && !entry.fences.is_empty() && !self.brake.is_on;
        if may && self.watched(host).is_some_and(|watched| watched.is_acknowledged) && host != self.me {
            self.propose_judgement(cx, life, JudgeCause::Unanswered, out);
        }
        self.alert(Alert::Unanswered { host, vm }, out);
    }

    /// Whether a VM waits for nothing but a place.
    fn may_place(&self, cx: &Context<'_>, vm: &Vm) -> bool {
        let wanted = vm.intent.want == Want::Running || breaks(Sabotage::IntentIgnored);
        let held = vm.holders.iter().any(|(host, holder)| self.brake.is_on || !cx.state.lock_covers(vm, *host, holder));
        wanted && !held && !vm.gave_up && !matches!(vm.definition.response, crate::core::state::Response::Leave)
            || (wanted && vm.holders.is_empty() && !vm.gave_up && !vm.started_before)
    }

    fn place_waiting(&mut self, cx: &Context<'_>, out: &mut Output) {
        let recovering = !cx.state.unsettled_hosts().is_empty();
        if cx.state.armed != Armed::Armed || recovering || !self.has_quorum(cx) {
            return;
        }
        let patience = self.timing.resend * 4;
        let mut waiting = Vec::new();
        for (id, chase) in &self.recovery.chases {
            let proposed = chase.placing.is_some_and(|at| cx.now.since(at) < patience);
            let Some(vm) = cx.state.vms.get(id) else { continue };
            if !proposed && cx.now >= chase.retry_at && self.may_place(cx, vm) {
                waiting.push((*id, vm, chase.avoid));
            }
        }
        if waiting.is_empty() {
            return;
        }
        let usage = placement::usage(cx.state);
        let candidates = Candidate::all(cx.state, &usage, |id, host| self.usable(id, host));
        let demands: Vec<Demand<'_>> = waiting
            .iter()
            .map(|(_, vm, avoid)| {
                let demand = Demand::of(cx.state, vm);
                Demand { avoid: demand.avoid.or(*avoid), ..demand }
            })
            .collect();
        let plan = placement::plan(&candidates, &demands, &cx.state.policy);
        self.carry_out(cx, &plan, out);
    }

    fn carry_out(&mut self, cx: &Context<'_>, plan: &placement::Plan, out: &mut Output) {
        self.recovery.unplaced = plan.unplaced.iter().cloned().collect();
        for (id, host) in &plan.queued {
            self.recovery.unplaced.insert(*id, vec![(*host, Unfit::Busy)]);
        }
        for (id, host) in &plan.placed {
            let (Some(vm), Some(target)) = (cx.state.vms.get(id), cx.state.incarnation(*host)) else { continue };
            if vm.attempts >= cx.state.policy.max_attempts {
                out.propose(Command::GiveUp { vm: *id });
                self.alert(Alert::GaveUp { vm: *id }, out);
                continue;
            }
            if let Some(chase) = self.recovery.chases.get_mut(id) {
                chase.placing = Some(cx.now);
            }
            out.propose(Command::Place { vm: *id, version: vm.version, target, by_hook: None });
        }
    }

    /// What a host has that VMs may need, or why it is given none.
    pub(super) fn usable(&self, id: HostId, host: &Host) -> Result<&BTreeSet<FeatureId>, Unfit> {
        let Some(watched) = self.watched(id).filter(|watched| !watched.is_leaving) else {
            return Err(Unfit::NotAlive);
        };
        if host.is_witness() {
            Err(Unfit::Witness)
        } else if host.quarantined {
            Err(Unfit::Quarantined)
        } else if host.leaving {
            Err(Unfit::Leaving)
        } else if watched.state != HostState::Alive || !watched.is_acknowledged {
            Err(Unfit::NotAlive)
        } else if !watched.hypervisor {
            Err(Unfit::HypervisorDown)
        } else {
            Ok(&watched.reports.features)
        }
    }

    /// Follows all that is not at rest: what shows no effect is sent again, what had to wait is tried.
    pub(super) fn tend_vms(&mut self, cx: &Context<'_>, out: &mut Output) {
        let ids: Vec<VmId> = self.recovery.chases.keys().copied().collect();
        for id in ids {
            self.pursue(cx, id, out);
        }
        self.tend_isolated(cx, out);
        self.tend_locks(cx, out);
    }
}

/// Whether the host has taken up what it was permitted.
fn is_under_way(condition: Option<Presence>) -> bool {
    matches!(
        condition,
        Some(
            Presence::Starting
                | Presence::Incoming
                | Presence::Departed
                | Presence::Unknown
                | Presence::Running
                | Presence::Stopping
        )
    )
}
