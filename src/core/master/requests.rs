//! What operators ask of the master, and the two slow duties of storage: letting go of isolated VMs, probing locks.

use super::reach::Purpose;
use super::{Context, Master, Output};
use crate::core::action::Request;
use crate::core::command::{Command, Proposal, Said};
use crate::core::ids::{HostId, Incarnation, Ticket, VmId};
use crate::core::message::{Message, Order, OrderKind};
use crate::core::placement::{Candidate, Demand, fits, usage};
use crate::core::reason::{HostState, JudgeCause, Proof, Refusal};
use crate::core::record::{DatastoreOp, VmEpoch};
use crate::core::state::{Armed, Isolation, Role, Standing, VmDefinition};
use crate::core::time::Instant;
use std::time::Duration;

/// What is left of a time without arms is written into the log this often.
const SAY_REARM_AGAIN: Duration = Duration::from_secs(60);

/// When this master is to arm the cluster.
#[derive(Debug, Default)]
pub(super) struct Rearm {
    /// What the log said was left, when this was begun.
    told: Option<u64>,
    at: Instant,
    said: Instant,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Master {
    pub(super) fn requested(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        request: Request,
        said: Option<Box<Said>>,
        out: &mut Output,
    ) {
        match self.command_for(cx, ticket, request, out) {
            Ok(command) => out.proposals.push(Proposal { answers: Some(ticket), said, command }),
            Err(refusal) => out.reply(ticket, Err(refusal)),
        }
    }

    fn command_for(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        request: Request,
        out: &mut Output,
    ) -> Result<Command, Refusal> {
        let protected = |vm: VmId| cx.state.vms.get(&vm).filter(|vm| vm.protected).ok_or(Refusal::NoSuchThing);
        match request {
            Request::Intend { vm, want } => protected(vm).map(|_| Command::Intend { vm, want, request: ticket }),
            Request::Move { vm, to } => self.move_command(cx, vm, to),
            Request::Protect(definition) => {
                let id = cx.state.number_of(&definition);
                self.refuse_a_second(cx, id, &definition)?;
                Ok(Command::Protect { definition, runs: self.runs_unprotected(id).is_some() })
            }
            Request::Unprotect(vm) => protected(vm).map(|_| Command::Unprotect { vm }),
            Request::Remove(vm) => self.remove_command(cx, vm),
            Request::Arm => Ok(Command::Arm),
            Request::Disarm => Ok(Command::Disarm),
            Request::RearmAfter(after) => Ok(Command::RearmAfter(after.map(milliseconds))),
            Request::Drill(host) => self.drill(cx, host),
            Request::ConfirmDead(host) => self.confirm_dead(cx, host, out),
            Request::SwitchOff { host, force } => self.switch_off(cx, host, force),
            Request::SwitchOn(host) => self.switch_on(cx, host),
            Request::ResolveConflict(host) => Ok(Command::ResolveConflict { host }),
            Request::EndQuarantine(host) => {
                self.fenced_lately.remove(&host);
                Ok(Command::Quarantine { host, on: false })
            }
            Request::SetPolicy(policy) => Ok(Command::SetPolicy(policy)),
            Request::Register(change) => Ok(Command::Register(change)),
            Request::Notified { channel, upto, telling } => Ok(Command::Notified { channel, upto, telling }),
            Request::Account { vm, change } => protected(vm).map(|_| Command::Account { vm, change }),
            // There is a majority, so nothing is to be recovered.
            Request::Recover { .. } => Err(Refusal::NothingToDo),
        }
    }

    /// The host that last said that it runs this VM, which is not protected.
    fn runs_unprotected(&self, vm: VmId) -> Option<HostId> {
        self.hosts.iter().find(|host| host.reports.strangers.contains(&vm)).map(|host| host.life.host)
    }

    /// What runs is not forgotten: nobody would know it again, and who protects it anew would have it started twice.
    fn remove_command(&self, cx: &Context<'_>, vm: VmId) -> Result<Command, Refusal> {
        let untold = |host: &super::judge::Watched| {
            let heard = cx.ears.of_boot(host.life.host, host.life.boot).map(|heard| heard.heartbeat);
            heard.is_some_and(|beat| cx.state.is_admitted(host.life) && beat.report > host.reports.newest(beat.session))
        };
        if let Some(host) = self.runs_unprotected(vm) {
            return Err(Refusal::StillRuns(host));
        }
        // Each must have told what runs on it since it learnt that the protection ended.
        if cx.state.vms.contains_key(&vm) && self.hosts.iter().any(untold) {
            return Err(Refusal::ConfigBehind);
        }
        Ok(Command::Remove { vm })
    }

    /// A VM that runs unprotected, and is known by its name or its definition, is not to be started a second time under
    /// another UUID.
    fn refuse_a_second(&self, cx: &Context<'_>, id: VmId, definition: &VmDefinition) -> Result<(), Refusal> {
        let former = &cx.state.registry.former.vms;
        let is_same = |other: &VmId| {
            let named = former.get(other).is_some_and(|vm| vm.name == definition.name);
            let payload = cx.state.vms.get(other).map(|vm| &vm.definition.payload);
            named || payload.is_some_and(|payload| !payload.is_empty() && *payload == definition.payload)
        };
        for host in &self.hosts {
            if let Some(vm) = host.reports.strangers.iter().find(|other| **other != id && is_same(other)) {
                return Err(Refusal::RunsUnprotected { vm: *vm, host: host.life.host });
            }
        }
        Ok(())
    }

    fn move_command(&self, cx: &Context<'_>, id: VmId, to: HostId) -> Result<Command, Refusal> {
        let vm = cx.state.vms.get(&id).filter(|vm| vm.protected).ok_or(Refusal::NoSuchThing)?;
        let target = cx.state.incarnation(to).ok_or(Refusal::NoSuchThing)?;
        let from = vm.holders.keys().next().and_then(|host| cx.state.incarnation(*host));
        let from = from.ok_or(Refusal::NotWanted)?;
        if self.is_doubtful(cx, id, from.host) {
            return Err(Refusal::InDoubt(from.host));
        }
        let usage = usage(cx.state);
        let candidates = Candidate::all(cx.state, &usage, |id, host| self.usable(id, host));
        let candidate = candidates.iter().find(|candidate| candidate.id == to).ok_or(Refusal::NoSuchThing)?;
        fits(candidate, &Demand::of(cx.state, vm)).map_err(Refusal::Unfit)?;
        Ok(Command::Move { vm: id, version: vm.version, from, to: target, by_hook: None })
    }

    /// A person's word that a host is dead, refused while any channel shows life (proof 6).
    fn confirm_dead(&mut self, cx: &Context<'_>, host: HostId, out: &mut Output) -> Result<Command, Refusal> {
        let entry = cx.state.hosts.get(&host).ok_or(Refusal::NoSuchThing)?;
        let target: Incarnation = entry.incarnation(host);
        if self.shows_life(cx, host) {
            return Err(Refusal::SignsOfLife);
        }
        match entry.standing {
            // What it may start when it comes up again may be open still; a person's word closes that.
            Standing::Proven { .. } if self.is_awaited(cx, host) => {
                Ok(Command::ProveHost { target, proof: Proof::Operator })
            }
            Standing::New | Standing::Proven { .. } => Err(Refusal::NothingToDo),
            Standing::Conflicted => Err(Refusal::TargetGone),
            Standing::Judged { .. } => Ok(Command::ProveHost { target, proof: Proof::Operator }),
            Standing::Admitted => {
                self.propose_judgement(cx, target, JudgeCause::Operator, out);
                Ok(Command::ProveHost { target, proof: Proof::Operator })
            }
        }
    }

    /// Has a host fenced that lives and runs nothing: so its devices are known to work before they are needed.
    fn drill(&self, cx: &Context<'_>, host: HostId) -> Result<Command, Refusal> {
        let entry = cx.state.hosts.get(&host).ok_or(Refusal::NoSuchThing)?;
        let votes = cx.state.voters.values().any(|home| *home == host);
        let alive = self.host_state(host) == HostState::Alive;
        if cx.state.armed != Armed::Armed {
            return Err(Refusal::NotArmed);
        }
        if !cx.state.held_on(host).is_empty() {
            return Err(Refusal::Held);
        }
        if entry.fences.is_empty() || host == self.me || self.brake.is_on {
            return Err(Refusal::Busy);
        }
        // A voter may be missed for the time of a reboot only while all others are there.
        let others_alive = cx.state.voters.values().all(|home| self.host_state(*home) == HostState::Alive);
        if !alive || votes && !others_alive {
            return Err(Refusal::TargetGone);
        }
        let target = entry.incarnation(host);
        Ok(Command::Judge { target, cause: JudgeCause::Drill, silent_milliseconds: 0, planned: true })
    }

    /// Has a host fenced because a person wants it off, whatever state it is in.
    fn switch_off(&self, cx: &Context<'_>, host: HostId, force: bool) -> Result<Command, Refusal> {
        let entry = cx.state.hosts.get(&host).ok_or(Refusal::NoSuchThing)?;
        if cx.state.armed != Armed::Armed {
            return Err(Refusal::NotArmed);
        }
        if !force && !cx.state.held_on(host).is_empty() {
            return Err(Refusal::Held);
        }
        if entry.fences.is_empty() || host == self.me || self.brake.is_on {
            return Err(Refusal::Busy);
        }
        // Without a majority nobody restarts what it held, and nobody can switch it on again.
        let voters = cx.state.voters.values();
        let left = voters.clone().filter(|home| **home != host && self.host_state(**home) == HostState::Alive).count();
        if voters.clone().any(|home| *home == host) && left * 2 <= voters.len() {
            return Err(Refusal::Votes);
        }
        Ok(Command::SwitchOff { target: entry.incarnation(host), force })
    }

    fn switch_on(&self, cx: &Context<'_>, host: HostId) -> Result<Command, Refusal> {
        let entry = cx.state.hosts.get(&host).ok_or(Refusal::NoSuchThing)?;
        if cx.state.armed != Armed::Armed {
            return Err(Refusal::NotArmed);
        }
        if entry.standing == Standing::Admitted {
            return Err(Refusal::NothingToDo);
        }
        if entry.fences.is_empty() || self.fencing.contains_key(&host) {
            return Err(Refusal::Busy);
        }
        Ok(Command::SwitchOn { host })
    }

    /// Arms a cluster that was disarmed for a time.
    pub(super) fn tend_rearm(&mut self, cx: &Context<'_>, out: &mut Output) {
        let asked = cx.state.rearm_milliseconds.filter(|_| cx.state.armed == Armed::Observe);
        let Some(left) = asked else {
            self.rearm = Rearm::default();
            return;
        };
        if self.rearm.told != Some(left) {
            self.rearm = Rearm { told: Some(left), at: cx.now + Duration::from_millis(left), said: cx.now };
        }
        if cx.now >= self.rearm.at {
            self.rearm.at = cx.now + self.timing.resend;
            out.propose(Command::Arm);
        } else if cx.now.since(self.rearm.said) >= SAY_REARM_AGAIN {
            self.rearm.said = cx.now;
            out.propose(Command::RearmAfter(Some(milliseconds(self.rearm.at.since(cx.now)))));
        }
    }

    /// Whether anything still waits for a host to say what it runs.
    fn is_awaited(&self, cx: &Context<'_>, host: HostId) -> bool {
        !cx.state.held_on(host).is_empty() || cx.state.unsettled_hosts().contains(&host)
    }

    /// A host that is alive on storage only is told by mail to let its VMs go, where policy says so.
    pub(super) fn tend_isolated(&mut self, cx: &Context<'_>, out: &mut Output) {
        let hosts: Vec<HostId> = cx.state.hosts.keys().copied().filter(|host| self.is_to_let_go(cx, *host)).collect();
        for id in hosts {
            self.recovery.consider_host(cx.state, id);
            self.release_by_mail(cx, id, out);
        }
    }

    /// Whether a host has been isolated for so long that it is told to let its VMs go.
    pub(super) fn is_to_let_go(&self, cx: &Context<'_>, host: HostId) -> bool {
        cx.state.armed == Armed::Armed
            && cx.state.policy.isolation == Isolation::Release
            && self.watched(host).is_some_and(|watched| {
                watched.state == HostState::Isolated && cx.now.since(watched.state_since) > self.timing.isolation
            })
    }

    fn release_by_mail(&mut self, cx: &Context<'_>, id: HostId, out: &mut Output) {
        let Some(host) = cx.state.hosts.get(&id) else { return };
        let releases: Vec<VmEpoch> = cx
            .state
            .held_on(id)
            .into_iter()
            .filter_map(|vm| {
                let holder = cx.state.vms.get(&vm)?.holders.get(&id)?;
                Some(VmEpoch { vm, epoch: holder.epoch })
            })
            .collect();
        if releases.is_empty() {
            return;
        }
        let mail = self.mail_to(host.incarnation(id), releases);
        for datastore in &host.life.renewal_set {
            let purpose = Purpose::Mail(id, *datastore);
            if !self.reach.is_under_way(purpose) {
                let op = DatastoreOp::WriteMail { column: self.column, host: id, mail: mail.clone() };
                self.on_datastore(cx, purpose, *datastore, op, 0, out);
            }
        }
    }

    /// Lets another host look whether a VM's lock is held: only then does the lock count as a proof (proof 5).
    pub(super) fn tend_locks(&mut self, cx: &Context<'_>, out: &mut Output) {
        if cx.now < self.next_probe {
            return;
        }
        self.next_probe = cx.now + self.timing.look_interval;
        let unseen =
            cx.state.vms.iter().filter(|(_, vm)| vm.protected && vm.definition.locked && !vm.holders.is_empty());
        for (id, vm) in unseen {
            let mut holders = vm.holders.iter();
            let (Some((holder, entry)), None) = (holders.next(), holders.next()) else { continue };
            let epoch = entry.epoch;
            if entry.role != Role::Running || vm.lock_seen == Some(epoch) {
                continue;
            }
            let prober = cx.state.hosts.iter().find(|(host, entry)| {
                *host != holder
                    && self.usable(**host, entry).is_ok()
                    && vm.definition.datastores.is_subset(&entry.life.datastores)
            });
            let Some((host, entry)) = prober else { continue };
            let incarnation = entry.incarnation(*host);
            let (authority, kind) = (self.authority, OrderKind::ProbeLock);
            out.send(entry.address, Message::Order(Order { incarnation, authority, vm: *id, epoch, kind }));
        }
    }
}
