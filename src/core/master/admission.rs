//! How hosts are acknowledged, challenged and admitted (rules 3, 4 and proof 3).

use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::command::{Admission, Command};
use crate::core::ids::{Address, BootId, ConfigVersion, Generation, HostId, Incarnation};
use crate::core::message::{Ack, Challenge, ConfigUpdate, Heartbeat, Known, Message, Protection, Register, Welcome};
use crate::core::reason::{Alert, HostState, JudgeCause, Proof};
use crate::core::record::VmEpoch;
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{ClusterState, Holder, Response, Role, Standing, Vm};
use crate::core::time::Instant;

/// How far the admission of a host has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    challenged: Option<(Instant, u64)>,
    proposed: Option<Instant>,
    welcomed: Option<Instant>,
    configured: Option<Instant>,
    acknowledging: Option<(Instant, ConfigVersion)>,
    /// A boot that is not the admitted one, and how often the admitted one was heard since it was first heard.
    newcomer: Option<(BootId, u64)>,
}

impl Master {
    /// A heartbeat came. `Ears` has it already.
    pub(super) fn heard(&mut self, cx: &Context<'_>, from: Address, heartbeat: &Heartbeat, out: &mut Output) {
        let quorum = self.has_quorum(cx);
        let authority = self.authority;
        let Some(watched) = self.watched_mut(heartbeat.incarnation.host) else { return };
        watched.is_leaving = heartbeat.leaving;
        let is_known = heartbeat.incarnation == watched.life && heartbeat.session == watched.session;
        let is_wronged = breaks(Sabotage::AckAfterJudgement) && watched.state == HostState::Judged;
        if is_known {
            watched.heard_at = cx.now;
        }
        if is_known && heartbeat.admitted && (watched.is_acknowledged || is_wronged) {
            if quorum {
                if !is_wronged {
                    watched.last_sign = cx.now;
                }
                let ack = Ack {
                    incarnation: heartbeat.incarnation,
                    authority,
                    session: heartbeat.session,
                    sequence: heartbeat.sequence,
                    report: watched.reports.acknowledged(heartbeat.session),
                };
                out.send(from, Message::Ack(ack));
            }
            self.tell_config(cx, from, heartbeat, out);
            return;
        }
        let called_dead = cx.state.hosts.get(&heartbeat.incarnation.host).is_some_and(|host| {
            let by_person = matches!(
                host.standing,
                Standing::Proven { proof: Proof::Operator } | Standing::Judged { cause: JudgeCause::Operator }
            );
            by_person && host.life.boot == heartbeat.incarnation.boot
        });
        if called_dead {
            self.alert(Alert::DeadShowsLife { host: heartbeat.incarnation.host }, out);
        }
        self.stranger_heard(cx, from, heartbeat, out);
    }

    /// A heartbeat of a life that is not admitted, or not any more.
    fn stranger_heard(&mut self, cx: &Context<'_>, from: Address, heartbeat: &Heartbeat, out: &mut Output) {
        let resend = self.timing.resend;
        let nonce = self.ticket().0;
        let authority = self.authority;
        let life = heartbeat.incarnation;
        let Some(watched) = self.watched_mut(life.host) else { return };
        let is_due = |at: Option<Instant>| at.is_none_or(|at| cx.now.since(at) >= resend);
        let was_admitted = watched.is_acknowledged
            && heartbeat.session == watched.session
            && life.boot == watched.life.boot
            && life.generation < watched.life.generation;
        if was_admitted {
            // The welcome was lost.
            if is_due(watched.admission.welcomed) {
                self.welcome(cx, watched_life(cx, life), out);
            }
            return;
        }
        if is_due(watched.admission.challenged.map(|(at, _)| at)) && is_due(watched.admission.proposed) {
            watched.admission.challenged = Some((cx.now, nonce));
            let challenge = Challenge { authority, boot: life.boot, session: heartbeat.session, nonce };
            out.send(from, Message::Challenge(challenge));
        }
    }

    /// Tells a host what it must know, and the log what the host knows.
    fn tell_config(&mut self, cx: &Context<'_>, from: Address, heartbeat: &Heartbeat, out: &mut Output) {
        let (resend, authority) = (self.timing.resend, self.authority);
        let life = heartbeat.incarnation;
        let Some(host) = cx.state.hosts.get(&life.host) else { return };
        let Some(watched) = self.watched_mut(life.host) else { return };
        if heartbeat.config < cx.state.config {
            if watched.admission.configured.is_none_or(|at| cx.now.since(at) >= resend) {
                watched.admission.configured = Some(cx.now);
                out.send(from, Message::Config(config_update(cx.state, life, authority, heartbeat.config)));
            }
        } else if heartbeat.config > host.acknowledged
            && watched.reports.acknowledged(heartbeat.session) >= heartbeat.report
        {
            // What the host runs is in the log by now, and only then may it count that it knows whom to hold.
            let known = heartbeat.config;
            let proposed =
                watched.admission.acknowledging.is_some_and(|(at, v)| v >= known && cx.now.since(at) < resend);
            if !proposed {
                watched.admission.acknowledging = Some((cx.now, known));
                out.propose(Command::Acknowledge { target: life, config: known });
            }
        }
    }

    /// A host has answered a challenge: it is a live session, and says what it runs.
    pub(super) fn registered(&mut self, cx: &Context<'_>, from: Address, register: Register, out: &mut Output) {
        let Some(host) = cx.state.hosts.get(&register.host) else { return };
        let being_fenced = self.is_being_fenced(cx, register.host);
        let resend = self.timing.resend;
        let Some(watched) = self.watched_mut(register.host) else { return };
        let asked = watched.admission.challenged.is_some_and(|(_, nonce)| nonce == register.nonce);
        let busy = watched.admission.proposed.is_some_and(|at| cx.now.since(at) < resend);
        // An order to power it off that is still on its way would hit the new life.
        if !asked || busy || being_fenced || host.standing == Standing::Conflicted {
            return;
        }
        let other_machine = host.life.hardware != 0
            && host.life.hardware != register.inventory.hardware
            && !breaks(Sabotage::RebootNotWatched);
        if host.past_boots.contains(&register.boot) || other_machine {
            return self.two_machines(cx, register.host, host.life.boot, register.boot, out);
        }
        let is_reboot = host.standing != Standing::New && register.boot != host.life.boot;
        if is_reboot && !self.old_boot_is_silent(cx, &register, out) {
            return;
        }
        if let Some(watched) = self.watched_mut(register.host) {
            watched.admission.proposed = Some(cx.now);
        }
        let is_another_run =
            host.standing != Standing::New && (register.boot, register.session) != (host.life.boot, host.life.session);
        let unheard_milliseconds = match self.watched(register.host) {
            Some(watched) if is_another_run => self.unheard_milliseconds(cx, watched.heard_at),
            _ => 0,
        };
        let incarnation =
            Incarnation { host: register.host, boot: register.boot, generation: Generation(host.generation.0 + 1) };
        out.propose(Command::Admit(Box::new(Admission {
            incarnation,
            session: register.session,
            follows: host.generation,
            address: from,
            unheard_milliseconds,
            inventory: register.inventory,
        })));
    }

    /// Whether the admitted boot has been silent on every channel for as long as a newer one was watched. If it was
    /// heard again meanwhile, there are two machines.
    fn old_boot_is_silent(&mut self, cx: &Context<'_>, register: &Register, out: &mut Output) -> bool {
        if breaks(Sabotage::RebootNotWatched) {
            return true;
        }
        let watch = self.timing.reboot_watch;
        let Some(watched) = self.watched(register.host) else { return false };
        let old = watched.life.boot;
        let heard = cx.ears.of_boot(register.host, old);
        let count = heard.map_or(0, |heard| heard.count);
        let Some(newer) = cx.ears.of_boot(register.host, register.boot) else { return false };
        let (known, before) = watched.admission.newcomer.unwrap_or((register.boot, count));
        let moved = self.records.last_moved(register.host).unwrap_or(Instant::ZERO);
        let old_sign = heard.map_or(Instant::ZERO, |heard| heard.at).max(moved);
        if let Some(watched) = self.watched_mut(register.host)
            && (known != register.boot || watched.admission.newcomer.is_none())
        {
            watched.admission.newcomer = Some((register.boot, count));
            return false;
        }
        // One late packet may have been under way; two that both count on are a machine that lives.
        if count > before + 1 {
            self.two_machines(cx, register.host, old, register.boot, out);
            return false;
        }
        cx.now.since(newer.first.max(self.since)) >= watch && cx.now.since(old_sign) >= watch
    }

    fn two_machines(
        &mut self,
        cx: &Context<'_>,
        host: crate::core::ids::HostId,
        old: BootId,
        new: BootId,
        out: &mut Output,
    ) {
        if let Some(watched) = self.watched_mut(host) {
            watched.admission.proposed = Some(cx.now);
            watched.is_acknowledged = false;
        }
        out.note(Note::Alert(Alert::TwoMachines { host }));
        out.propose(Command::Conflict { host, old, new });
    }

    pub(super) fn admission_settled(&mut self, command: &Command) {
        if let Command::Admit(admission) = command
            && let Some(watched) = self.watched_mut(admission.incarnation.host)
        {
            watched.admission.proposed = None;
        }
    }

    /// A host was admitted under a new generation: nothing of the one before is sought any more.
    pub(super) fn admitted(&mut self, cx: &Context<'_>, life: Incarnation, out: &mut Output) {
        self.end_burial(life.host);
        self.end_fencing(life.host);
        if let Some(watched) = self.watched_mut(life.host) {
            watched.admission = Progress::default();
            watched.reports = Default::default();
            watched.hypervisor = true;
            // An agent whose watchdog was closed in good order opens it as it starts, before it was ever acknowledged.
            (watched.last_sign, watched.heard_at) = (cx.now, cx.now);
        }
        self.welcome(cx, life, out);
        self.recovery.consider_host(cx.state, life.host);
        self.recovery.try_again();
    }

    fn welcome(&mut self, cx: &Context<'_>, life: Incarnation, out: &mut Output) {
        let authority = self.authority;
        let Some(host) = cx.state.hosts.get(&life.host) else { return };
        if let Some(watched) = self.watched_mut(life.host) {
            watched.admission.welcomed = Some(cx.now);
        }
        let not_yours = cx
            .state
            .vms
            .iter()
            .filter(|(_, vm)| vm.protected && !vm.holders.contains_key(&life.host))
            .map(|(id, vm)| VmEpoch { vm: *id, epoch: vm.epoch })
            .collect();
        // Where it is being started the log's definition goes along, so this host's is out of date by now.
        let elsewhere = |(host, holder): (&HostId, &Holder)| *host != life.host && holder.role != Role::Unaccounted;
        let has_left = |vm: &Vm| vm.seat.is_some_and(|seat| seat != life.host) || vm.holders.iter().any(elsewhere);
        // A host whose hypervisor comes up slowly cannot say yet that it does not run what it once held.
        let may_run_here = |vm: &Vm| vm.holders.get(&life.host).is_some_and(|holder| holder.role != Role::Unaccounted);
        let stale = cx
            .state
            .vms
            .iter()
            .filter(|(_, vm)| vm.protected && !may_run_here(vm) && has_left(vm))
            .map(|(id, _)| *id)
            .collect();
        let welcome = Welcome {
            incarnation: life,
            authority,
            session: host.life.session,
            renewal_set: host.life.renewal_set.clone(),
            config: config_update(cx.state, life, authority, ConfigVersion(0)),
            not_yours,
            stale,
        };
        out.send(host.address, Message::Welcome(welcome));
    }

    /// A host was proven not to run what it held.
    pub(super) fn proven(&mut self, cx: &Context<'_>, target: Incarnation, proof: Proof, out: &mut Output) {
        let standing = cx.state.hosts.get(&target.host).map(|host| host.standing);
        if matches!(standing, Some(Standing::Proven { .. })) {
            self.end_burial(target.host);
            self.after_fence(cx, target.host, proof, out);
        }
        self.recovery.consider_host(cx.state, target.host);
        if matches!(standing, Some(Standing::Judged { cause: JudgeCause::Operator })) {
            self.recovery.try_again();
        }
    }
}

fn watched_life(cx: &Context<'_>, life: Incarnation) -> Incarnation {
    cx.state.incarnation(life.host).unwrap_or(life)
}

/// What a host that knows `base` must learn; from version zero, the whole.
fn config_update(
    state: &ClusterState,
    incarnation: Incarnation,
    authority: crate::core::ids::Authority,
    base: ConfigVersion,
) -> ConfigUpdate {
    // What it was told by the master of another cluster generation leads to nothing here.
    let base = if base > state.config || !base.is_akin_to(state.config) { ConfigVersion(0) } else { base };
    let changed = |vm: &Vm| if base.0 == 0 { vm.protected } else { vm.config > base };
    let vms = state.vms.iter().filter(|(_, vm)| changed(vm)).map(|(id, vm)| (*id, known(vm))).collect();
    ConfigUpdate {
        incarnation,
        authority,
        base,
        version: state.config,
        armed: state.armed,
        software_guards: state.policy.accept_software_guards,
        vms,
        voters: state.voter_addresses(),
    }
}

/// What a host must know of a VM.
pub(super) fn known(vm: &Vm) -> Known {
    let protection = match (vm.protected, vm.definition.response) {
        (false, _) => Protection::None,
        (true, Response::Restart) => Protection::Lease,
        (true, Response::RestartWithoutLease | Response::Leave) => Protection::Permit,
    };
    Known { uuid: vm.definition.uuid, protection }
}
