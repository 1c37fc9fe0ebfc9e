//! What live hosts say of their VMs, and how it gets into the log (rule 13).

use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::command::{Admission, Command};
use crate::core::ids::{Address, ConfigVersion, FeatureId, Incarnation, VmId};
use crate::core::message::{Definition, Message, OrderKind, Presence, Report, VmCondition};
use crate::core::reason::{Alert, HostState, Refusal};
use crate::core::state::{Role, Standing, Vm};
use crate::core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a host's VMs from its own words.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    session: u64,
    /// The newest report of that session that the log has.
    version: u64,
    /// The newest report of that session that came: an older one that comes later is no word at all.
    newest: u64,
    conditions: BTreeMap<VmId, Presence>,
    /// What was proposed to the log and not applied yet.
    proposed: BTreeMap<VmId, (Presence, Instant)>,
    pub(super) strangers: Vec<VmId>,
    pub(super) features: BTreeSet<FeatureId>,
}

impl Known {
    /// The newest report of this run of the agent that the log has.
    pub(super) fn acknowledged(&self, session: u64) -> u64 {
        if self.session == session { self.version } else { 0 }
    }

    /// The newest report of this run of the agent that came.
    pub(super) fn newest(&self, session: u64) -> u64 {
        if self.session == session { self.newest } else { 0 }
    }

    /// How a VM fares on the host, by its last word.
    pub(super) fn condition(&self, vm: VmId) -> Option<Presence> {
        self.conditions.get(&vm).copied()
    }
}

impl Master {
    pub(super) fn reported(&mut self, cx: &Context<'_>, report: &Report, out: &mut Output) {
        let life = report.incarnation;
        let Some(watched) = self.watched_mut(life.host) else { return };
        if watched.life != life || watched.session != report.session {
            return;
        }
        if watched.reports.session != report.session {
            watched.reports = Known { session: report.session, ..Known::default() };
        }
        let told = cx.ears.of_boot(life.host, life.boot).map(|heard| heard.heartbeat);
        let told = told.filter(|beat| beat.session == report.session).map_or(0, |beat| beat.report);
        if report.version < watched.reports.newest.max(told) {
            return;
        }
        watched.reports.newest = report.version;
        if watched.hypervisor != report.hypervisor || watched.reports.features != report.features {
            watched.hypervisor = report.hypervisor;
            watched.reports.features.clone_from(&report.features);
            self.recovery.try_again();
        }
        let mut all_known = true;
        for seen in &report.vms {
            if let Some(watched) = self.watched_mut(life.host) {
                watched.reports.conditions.insert(seen.vm, seen.presence);
            }
            all_known &= !self.observe(cx, life, seen, report.config, out);
            self.recovery.consider(seen.vm);
        }
        if let Some(watched) = self.watched_mut(life.host) {
            watched.reports.strangers.clone_from(&report.strangers);
            if all_known {
                // A report that came late is no older word than what is known by now.
                watched.reports.version = watched.reports.version.max(report.version);
            }
        }
    }

    /// How a host's VMs fare by what it said as it registered: there may be no more for as long as its hypervisor hangs.
    pub(super) fn told_at_admission(&mut self, admission: &Admission) {
        if let Some(watched) = self.watched_mut(admission.incarnation.host) {
            let conditions = admission.inventory.vms.iter().map(|seen| (seen.vm, seen.presence)).collect();
            watched.reports = Known { session: admission.session, conditions, ..Known::default() };
        }
    }

    /// What the hypervisor of a host says that a VM is, which may be news to the log.
    pub(super) fn defined(&mut self, cx: &Context<'_>, from: Address, said: &Definition, out: &mut Output) {
        match cx.state.redefined(said.vm, said.incarnation, &said.shape) {
            // It is told again until it is answered, which it is when the log has it.
            Ok(Some(_)) => out.propose(Command::Redefine {
                vm: said.vm,
                source: said.incarnation,
                shape: Box::new((*said.shape).clone()),
            }),
            Err(Refusal::OtherIncarnation) => {}
            Ok(None) | Err(_) => out.send(from, Message::DefinitionNoted { ticket: said.ticket }),
        }
    }

    /// Proposes what a host says of a VM, if the log does not have it; whether it had to.
    pub(super) fn observe(
        &mut self,
        cx: &Context<'_>,
        source: Incarnation,
        seen: &VmCondition,
        config: ConfigVersion,
        out: &mut Output,
    ) -> bool {
        let resend = self.timing.resend;
        let Some(watched) = self.watched_mut(source.host) else { return false };
        let proposed = watched.reports.proposed.get(&seen.vm);
        // What is on its way into the log may make news of what the log would not have to be told now.
        let is_overtaken = proposed.is_some_and(|(presence, _)| *presence != seen.presence);
        if !is_overtaken && !is_news(cx, source, seen, config) {
            return false;
        }
        if proposed.is_none_or(|(presence, at)| *presence != seen.presence || cx.now.since(*at) >= resend) {
            watched.reports.proposed.insert(seen.vm, (seen.presence, cx.now));
            out.propose(Command::Observe { source, seen: *seen, config });
        }
        true
    }

    /// What a host said was applied, or refused.
    pub(super) fn report_settled(&mut self, command: &Command) {
        if let Command::Observe { source, seen, .. } = command
            && let Some(watched) = self.watched_mut(source.host)
            && watched.reports.proposed.get(&seen.vm).is_some_and(|(presence, _)| *presence == seen.presence)
        {
            watched.reports.proposed.remove(&seen.vm);
        }
    }

    /// A host runs a VM that others hold: nobody knows how, so it is said loudly.
    pub(super) fn clash(&mut self, id: VmId, on: Incarnation, out: &mut Output) {
        out.note(Note::Alert(Alert::Clash { vm: id, host: on.host }));
    }

    /// Of two hosts that run a VM, the one with the older right is told to kill it: only with the log's word that the
    /// other one lives and runs it under the newest right (rule 14). Where the rights do not tell them apart, a person
    /// must.
    pub(super) fn settle_clash(&mut self, cx: &Context<'_>, id: VmId, vm: &Vm, out: &mut Output) {
        let newest = vm.holders.iter().find(|(host, holder)| {
            let lives = self.host_state(**host) == HostState::Alive && self.told(**host, id) == Some(Presence::Running);
            holder.role == Role::Running && holder.epoch == vm.epoch && lives
        });
        let Some((keeper, _)) = newest else { return };
        for (host, holder) in &vm.holders {
            if host != keeper && holder.role == Role::Running && holder.epoch < vm.epoch {
                self.send_order(cx, id, *host, vm.epoch, OrderKind::KillClash, out);
            }
        }
    }
}

/// Whether the log does not have this yet.
fn is_news(cx: &Context<'_>, source: Incarnation, seen: &VmCondition, config: ConfigVersion) -> bool {
    let Some(vm) = cx.state.vms.get(&seen.vm).filter(|vm| vm.protected) else { return false };
    let holder = vm.holders.get(&source.host);
    match seen.presence {
        Presence::Running => {
            let admitted = cx.state.is_admitted(source);
            admitted
                && match holder.map(|holder| holder.role) {
                    Some(Role::Running | Role::Outgoing) => false,
                    Some(Role::Starting | Role::Incoming) => holder.is_some_and(|h| h.epoch == seen.epoch),
                    Some(Role::Unaccounted) | None => true,
                }
        }
        Presence::Gone { refuses, .. } => {
            let speaks = cx.state.incarnation(source.host) == Some(source)
                && cx.state.hosts.get(&source.host).is_some_and(|host| host.standing != Standing::New);
            speaks
                && holder.is_some_and(|holder| {
                    let is_word = match holder.role {
                        Role::Unaccounted => config >= vm.config,
                        _ => refuses >= holder.epoch,
                    };
                    holder.boot == source.boot && is_word
                })
        }
        Presence::Starting | Presence::Incoming | Presence::Departed | Presence::Stopping | Presence::Unknown => {
            holder.is_none() && cx.state.is_admitted(source)
        }
    }
}
