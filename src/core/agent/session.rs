//! How a host makes itself known, is admitted, and keeps the master informed.

use super::Agent;
use super::local::LocalVm;
use crate::core::action::Action;
use crate::core::ids::{Address, FeatureId, VmId};
use crate::core::message::{
    Ack, Challenge, ConfigUpdate, Heartbeat, Inventory, Message, Protection, Register, Report, Welcome,
};
use crate::core::reason::Refusal;
use crate::core::state::Armed;
use crate::core::time::Instant;
use std::collections::{BTreeSet, VecDeque};

/// So many heartbeats are remembered with the time at which they were sent; older ones extend nothing anyway.
const SENT_KEPT: usize = 32;

/// The heartbeats of this run.
#[derive(Debug)]
pub(super) struct Heartbeats {
    pub(super) next: Instant,
    sequence: u64,
    sent: VecDeque<(u64, Instant)>,
}

impl Heartbeats {
    pub(super) fn starting(now: Instant) -> Heartbeats {
        Heartbeats { next: now, sequence: 0, sent: VecDeque::with_capacity(SENT_KEPT) }
    }

    /// When a heartbeat of this run was sent, if it is remembered.
    pub(super) fn sent(&self, sequence: u64) -> Option<Instant> {
        self.sent.iter().rev().find(|(number, _)| *number == sequence).map(|(_, sent)| *sent)
    }
}

/// What the master was told of the VMs, and what it has.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// The version of what there is to tell.
    version: u64,
    /// The version that the log has.
    acknowledged: u64,
    /// When to tell it next; none: nothing to tell.
    next: Option<Instant>,
    /// Whether the hypervisor's daemon answered when last looked.
    pub(super) hypervisor: bool,
    /// VMs that run and are not protected.
    pub(super) strangers: Vec<VmId>,
    /// What the host has that VMs may need.
    pub(super) features: BTreeSet<FeatureId>,
}

impl Reports {
    /// Whether the log knows that nothing of a VM is left here.
    pub(super) fn has_let_go(&self, local: &LocalVm) -> bool {
        local.is_told_gone(self.acknowledged)
    }
}

impl Agent {
    pub(super) fn beat_if_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if now < self.heartbeats.next {
            return;
        }
        self.heartbeats.next = now + self.timing.heartbeat;
        self.feed_idle_watchdog(actions);
        self.tell_config_if_accounted(now, actions);
        self.beat(now, actions);
        if self.ending.is_some() {
            self.begin_upgrade(now, actions);
        }
    }

    pub(super) fn beat(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let beats = &mut self.heartbeats;
        beats.sequence += 1;
        if beats.sent.len() == SENT_KEPT {
            beats.sent.pop_front();
        }
        beats.sent.push_back((beats.sequence, now));
        let heartbeat = Heartbeat {
            incarnation: self.incarnation(),
            admitted: self.admitted,
            session: self.session,
            sequence: self.heartbeats.sequence,
            report: self.reports.version,
            leaving: self.shutting_down,
            config: self.store.told,
        };
        for to in &self.store.voters {
            actions.push(Action::Send { to: *to, message: Message::Heartbeat(heartbeat) });
        }
    }

    pub(super) fn acknowledged(&mut self, now: Instant, from: Address, ack: Ack, actions: &mut Vec<Action>) {
        if ack.session != self.session || !self.accepts(ack.authority, ack.incarnation, actions) {
            return;
        }
        self.master = Some(from);
        self.last_ack = now;
        match self.heartbeats.sent(ack.sequence) {
            Some(sent) => self.renew(now, sent, actions),
            None => self.refuse(Refusal::Stale, actions),
        }
        self.report_acknowledged(now, ack.report);
        self.describe_reported(ack.report, actions);
        self.send_wishes(actions);
    }

    /// A master does not know this life. From the answer on, nothing of the generation before counts any more: what
    /// the answer does not name must not begin behind its back.
    pub(super) fn challenged(&mut self, now: Instant, from: Address, challenge: Challenge, actions: &mut Vec<Action>) {
        if challenge.boot != self.machine.boot || challenge.session != self.session || !self.looks.has_seen() {
            return;
        }
        if challenge.authority < self.store.authority {
            return self.refuse(Refusal::OldAuthority, actions);
        }
        self.learn_authority(challenge.authority, actions);
        self.admitted = false;
        let inventory = Inventory {
            guards: self.guards(),
            hardware: self.machine.hardware,
            renewal_set: self.machine.heartbeat_datastores.clone(),
            datastores: self.machine.datastores.clone(),
            formattings: self.machine.formattings.clone(),
            networks: self.machine.networks.clone(),
            config: self.store.told,
            vms: self.vms.iter().map(|(id, vm)| vm.condition(*id, now)).collect(),
        };
        let register = Register {
            host: self.machine.host,
            boot: self.machine.boot,
            session: self.session,
            nonce: challenge.nonce,
            inventory,
        };
        actions.push(Action::Send { to: from, message: Message::Register(Box::new(register)) });
    }

    pub(super) fn welcomed(&mut self, now: Instant, from: Address, welcome: Welcome, actions: &mut Vec<Action>) {
        let life = welcome.incarnation;
        let is_mine = life.host == self.machine.host
            && life.boot == self.machine.boot
            && welcome.session == self.session
            && (life.generation > self.generation || (life.generation == self.generation && !self.admitted));
        if !is_mine || welcome.authority < self.store.authority {
            return;
        }
        let is_new = life.generation > self.generation;
        if !is_new {
            // A second copy of an old welcome: that generation ended here, and ends for good.
            return;
        }
        self.master = Some(from);
        self.generation = life.generation;
        self.admitted = true;
        self.lease.begin_generation();
        self.store.authority = welcome.authority;
        self.begin_channels(now, &welcome.renewal_set);
        self.learn(now, &welcome.config, actions);
        for refused in &welcome.not_yours {
            if self.vms.get(&refused.vm).is_none_or(LocalVm::is_gone) {
                let floor = self.store.floors.entry(refused.vm).or_default();
                *floor = (*floor).max(refused.epoch);
            }
        }
        self.find_stale(now, &welcome, actions);
        self.save(actions);
        // The first lease is an acknowledgement, so the heartbeat that earns it should not wait.
        self.beat(now, actions);
    }

    pub(super) fn configured(&mut self, now: Instant, update: ConfigUpdate, actions: &mut Vec<Action>) {
        let fits = update.base <= self.store.config && update.version > self.store.config;
        if !self.accepts(update.authority, update.incarnation, actions) || !fits {
            return;
        }
        self.learn(now, &update, actions);
        self.save(actions);
        self.tell_config_if_accounted(now, actions);
        self.beat(now, actions);
    }

    /// Takes in what it must know. Guards are opened before the knowledge is acknowledged, and closed with it.
    fn learn(&mut self, now: Instant, update: &ConfigUpdate, actions: &mut Vec<Action>) {
        if update.base.0 == 0 {
            self.store.protected.clear();
        }
        self.store.config = update.version;
        self.store.software_guards = update.software_guards;
        let was_armed = self.store.armed == Armed::Armed;
        self.store.armed = update.armed;
        self.store.voters.clone_from(&update.voters);
        let arms = update.armed == Armed::Armed && !was_armed;
        match update.armed {
            // It was closed until now, so there is nothing that counts for it; and it must count before this is told.
            Armed::Armed if arms => self.open_watchdog(actions),
            Armed::Armed => {}
            Armed::Observe => self.close_watchdog(actions),
        }
        for (vm, known) in &update.vms {
            if known.protection == Protection::None {
                self.store.protected.remove(vm);
                self.store.journal.remove(vm);
                self.becomes_stranger(now, *vm);
                self.definitions.forget(*vm);
            } else if self.store.protected.insert(*vm, *known).is_none() {
                self.account_for(now, *vm, actions);
            }
        }
        if update.base.0 == 0 {
            // That is all there is: what is not named is protected no more.
            let protected = &self.store.protected;
            let others: Vec<VmId> = self.vms.keys().filter(|vm| !protected.contains_key(vm)).copied().collect();
            for vm in others {
                self.becomes_stranger(now, vm);
            }
            let protected = &self.store.protected;
            self.store.journal.retain(|vm, _| protected.contains_key(vm));
        }
        if arms {
            // Until now the hook let everyone pass, so anything may be on its way up.
            self.account_for_all(now, actions);
        }
    }

    /// A VM is not protected any more: what runs of it is told of as a stranger, together with this knowledge.
    fn becomes_stranger(&mut self, now: Instant, vm: VmId) {
        let runs = self.vms.remove(&vm).is_some_and(|local| !local.is_gone());
        if runs && !self.reports.strangers.contains(&vm) {
            self.reports.strangers.push(vm);
            self.next_report(now);
        }
    }

    /// What it knows may be told only when it can say of every VM that it protects since then whether it is here.
    fn tell_config_if_accounted(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.store.told != self.store.config && self.has_accounted() {
            self.store.told = self.store.config;
            self.save(actions);
            self.begin_lease(now);
        }
    }

    pub(super) fn learn_voters(&mut self, now: Instant, voters: Vec<Address>, actions: &mut Vec<Action>) {
        // One that lives by its records alone may have outlived all the voters that it knew.
        let alone = !self.admitted || now.since(self.last_ack) > self.timing.software_stop;
        if alone && !voters.is_empty() && voters != self.store.voters {
            self.store.voters = voters;
            self.save(actions);
        }
    }

    /// There is something new to tell of a VM: the version under which it will be told.
    pub(super) fn next_report(&mut self, now: Instant) -> u64 {
        self.reports.version += 1;
        self.reports.next = Some(now);
        self.reports.version
    }

    pub(super) fn report_version(&self) -> u64 {
        self.reports.version
    }

    fn report_acknowledged(&mut self, now: Instant, version: u64) {
        self.reports.acknowledged = version;
        if version >= self.reports.version {
            self.reports.next = None;
            let looks = &self.looks;
            self.vms.retain(|_, vm| !vm.is_told_gone(version) || looks.may_show_what_was(vm));
        } else if self.reports.next.is_none() {
            self.reports.next = Some(now);
        }
    }

    /// Whether no VM is left here, and the log knows it.
    pub(super) fn has_told_all_gone(&self) -> bool {
        self.reports.acknowledged >= self.reports.version && self.vms.values().all(LocalVm::is_gone)
    }

    pub(super) fn report_deadline(&self) -> Instant {
        match self.reports.next {
            Some(next) if self.generation.0 > 0 => next,
            _ => Instant::NEVER,
        }
    }

    /// Tells the master how the VMs fare. Also while not admitted: that a VM is gone may be the awaited proof.
    pub(super) fn send_report_if_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let hears = self.admitted && now.since(self.last_ack) <= self.timing.suspect;
        // Who hears nobody may be heard by a new master, and that one knows nothing that is not in the log.
        let known = if hears { self.reports.acknowledged } else { 0 };
        if !hears && self.reports.next.is_none() && self.vms.values().any(LocalVm::is_unsettled) {
            self.reports.next = Some(now);
        }
        if now < self.report_deadline() {
            return;
        }
        self.reports.next = Some(now + self.timing.resend);
        let report = Report {
            incarnation: self.incarnation(),
            session: self.session,
            version: self.reports.version,
            config: self.store.config,
            vms: self
                .vms
                .iter()
                .filter(|(_, vm)| vm.is_newer_than(known))
                .map(|(id, vm)| vm.condition(*id, now))
                .collect(),
            strangers: self.reports.strangers.clone(),
            hypervisor: self.reports.hypervisor,
            features: self.reports.features.clone(),
        };
        match self.master.filter(|_| hears) {
            Some(master) => actions.push(Action::Send { to: master, message: Message::Report(report) }),
            // A host that hears nobody does not know who the master is by now, but it may still be heard.
            None => actions.extend(self.store.voters.iter().map(|to| {
                let message = Message::Report(report.clone());
                Action::Send { to: *to, message }
            })),
        }
    }
}
