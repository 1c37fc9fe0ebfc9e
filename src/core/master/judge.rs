//! Silence, suspicion, judgement and the brake (rules 7, 8 and 10).

use super::{Context, Master, Output};
use crate::core::action::{Action, Note};
use crate::core::command::Command;
use crate::core::ids::{Address, HostId, Incarnation};
use crate::core::message::{Heartbeat, Message};
use crate::core::reason::{Alert, HostState, JudgeCause};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{ClusterState, Policy, Standing};
use crate::core::time::Instant;
use std::time::Duration;

/// What the master observes of a host.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// Its present life, by the log: a copy, because it is compared with every heartbeat.
    pub(super) life: Incarnation,
    pub(super) session: u64,
    pub(super) address: Address,
    /// Whether its heartbeats are acknowledged: admitted, accounted for, and no judgement proposed.
    pub(super) is_acknowledged: bool,
    pub(super) state: HostState,
    pub(super) state_since: Instant,
    /// The last moment at which something was sent that could extend its lease (rule 8).
    pub(super) last_sign: Instant,
    /// When this run of its agent was last heard, or might have been by an earlier master.
    pub(super) heard_at: Instant,
    last_pong: Option<Instant>,
    /// Since when it is pinged without a break.
    pinged_since: Option<Instant>,
    /// Whether a person is shutting its machine down.
    pub(super) is_leaving: bool,
    /// Whether it is silent because its agent has ended in good order, and nothing tells that more than that is gone.
    pub(super) is_away: bool,
    pub(super) hypervisor: bool,
    pub(super) admission: super::admission::Progress,
    pub(super) reports: super::reports::Known,
}

/// So many pings are sent at a time.
const PINGS: u32 = 3;

/// What pings say of a machine whose agent is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    /// Its kernel answers.
    Answers,
    /// It has answered, and does so no more.
    Ceased,
    /// It has never answered this master: pings may not get through to it at all.
    Never,
}

/// How many hosts are silent at once.
#[derive(Debug)]
pub(super) struct Brake {
    pub(super) suspects: u32,
    pub(super) hosts: u32,
    pub(super) is_on: bool,
}

impl Default for Brake {
    /// Before the hosts were counted for the first time, there may be too many silent ones.
    fn default() -> Brake {
        Brake { suspects: 0, hosts: 0, is_on: !breaks(Sabotage::NoBrake) }
    }
}

impl Master {
    pub(super) fn watched(&self, host: HostId) -> Option<&Watched> {
        self.hosts.get(host.0 as usize)
    }

    pub(super) fn watched_mut(&mut self, host: HostId) -> Option<&mut Watched> {
        self.hosts.get_mut(host.0 as usize)
    }

    /// Brings the copy of what the log holds of a host up to date.
    pub(super) fn refresh_host(&mut self, cx: &Context<'_>, id: HostId) {
        let Some(host) = cx.state.hosts.get(&id) else { return };
        let index = id.0 as usize;
        if index >= self.hosts.len() {
            let unknown = Watched {
                life: Incarnation::default(),
                session: 0,
                address: Address(0),
                is_acknowledged: false,
                state: HostState::Absent,
                state_since: self.since,
                // An earlier master may have acknowledged it until the very moment of this one's election.
                last_sign: self.since,
                heard_at: self.since,
                last_pong: None,
                pinged_since: None,
                is_leaving: false,
                is_away: false,
                hypervisor: true,
                admission: Default::default(),
                reports: Default::default(),
            };
            self.hosts.resize(index + 1, unknown);
        }
        let heard = cx.ears.of_boot(id, host.life.boot).map(|heard| heard.at);
        let Some(watched) = self.hosts.get_mut(index) else { return };
        watched.life = host.incarnation(id);
        watched.session = host.life.session;
        watched.address = host.address;
        watched.is_acknowledged = cx.state.is_admitted(watched.life);
        if let (true, Some(heard)) = (breaks(Sabotage::NewMasterTrustsSilence), heard) {
            watched.last_sign = heard;
        }
    }

    /// Looks over all hosts: who is silent, on which channels, and for how long.
    pub(super) fn scan(&mut self, cx: &Context<'_>, out: &mut Output) {
        let mut suspects = 0;
        let mut hosts = 0;
        for (id, host) in &cx.state.hosts {
            if matches!(host.standing, Standing::New | Standing::Proven { .. }) {
                self.see(cx, *id, out);
                continue;
            }
            hosts += 1;
            let is_silent = matches!(self.see(cx, *id, out), HostState::Suspect | HostState::Judged);
            // Where it is known why a host is silent, the fault is not here.
            if is_silent && !self.watched(*id).is_some_and(|watched| watched.is_away) {
                suspects += 1;
            }
        }
        self.set_brake(cx, suspects, hosts, out);
        for id in cx.state.hosts.keys() {
            self.judge_if_due(cx, *id, out);
        }
    }

    fn set_brake(&mut self, cx: &Context<'_>, suspects: u32, hosts: u32, out: &mut Output) {
        let is_on = too_many(suspects, hosts, &cx.state.policy) && !breaks(Sabotage::NoBrake);
        if is_on && (!self.brake.is_on || self.brake.hosts == 0) {
            out.note(Note::Alert(Alert::Brake { suspects, hosts }));
        }
        if is_on != self.brake.is_on {
            self.recovery.try_again();
        }
        self.brake = Brake { suspects, hosts, is_on };
    }

    /// Works out how a host is seen now, and says so if that has changed.
    fn see(&mut self, cx: &Context<'_>, id: HostId, out: &mut Output) -> HostState {
        let state = self.assess(cx, id);
        let leaving = cx.ears.newest(id).is_some_and(|heard| heard.heartbeat.leaving);
        let Some(watched) = self.watched_mut(id) else { return state };
        watched.is_leaving = leaving;
        if watched.state != state {
            let before = std::mem::replace(&mut watched.state, state);
            watched.state_since = cx.now;
            let puts_in_doubt = |state| matches!(state, HostState::Joining | HostState::Suspect | HostState::Isolated);
            if puts_in_doubt(state) || puts_in_doubt(before) {
                self.recovery.consider_host(cx.state, id);
            }
            out.note(Note::Host(id, state));
            if state == HostState::Isolated {
                out.note(Note::Alert(Alert::Isolated { host: id }));
            }
            self.recovery.try_again();
        }
        let is_away = state == HostState::Suspect && self.is_missed_by_agreement(cx, id);
        if let Some(watched) = self.watched_mut(id).filter(|watched| watched.is_away != is_away) {
            watched.is_away = is_away;
            self.alerted.remove(&Alert::AgentAway { host: id });
        }
        state
    }

    fn assess(&self, cx: &Context<'_>, id: HostId) -> HostState {
        let Some(host) = cx.state.hosts.get(&id) else { return HostState::Absent };
        let quiet = self.quiet(cx, id);
        match host.standing {
            Standing::New if quiet > self.timing.suspect => HostState::Absent,
            Standing::New => HostState::Joining,
            Standing::Judged { .. } => HostState::Judged,
            Standing::Proven { .. } => HostState::Dead,
            Standing::Conflicted => HostState::Conflicted,
            Standing::Admitted if quiet <= self.timing.suspect && self.is_stranger(cx, id) => HostState::Joining,
            Standing::Admitted if quiet <= self.timing.suspect => self.unless_unheard(cx, id),
            Standing::Admitted if self.outlives_its_network(cx, id, quiet) => HostState::Isolated,
            Standing::Admitted => HostState::Suspect,
        }
    }

    /// A master that stood still has heard nobody meanwhile, and holds that against none: who was alive is alive. But that
    /// is no sign of life either: who was silent before is silent until it is heard.
    fn unless_unheard(&self, cx: &Context<'_>, id: HostId) -> HostState {
        let Some(watched) = self.watched(id) else { return HostState::Alive };
        let is_heard = cx.ears.of_boot(id, watched.life.boot).is_some_and(|heard| heard.at >= self.listening_since);
        match watched.state {
            HostState::Suspect | HostState::Isolated if !is_heard => HostState::Suspect,
            _ => HostState::Alive,
        }
    }

    /// Whether the host itself says that its admission does not hold: its agent was restarted, or its lease has ended.
    fn is_stranger(&self, cx: &Context<'_>, id: HostId) -> bool {
        let Some(watched) = self.watched(id) else { return true };
        let heard = cx.ears.of_boot(id, watched.life.boot);
        heard.is_some_and(|heard| !heard.heartbeat.admitted || heard.heartbeat.session != watched.session)
    }

    /// For how long a host's present boot has sent no heartbeat that this voter heard.
    fn quiet(&self, cx: &Context<'_>, id: HostId) -> Duration {
        let boot = self.watched(id).map(|watched| watched.life.boot).unwrap_or_default();
        let heard = match cx.ears.of_boot(id, boot) {
            Some(heard) => heard.at,
            // Never heard: a new master gives it the time that it would have needed to be heard.
            None if boot.0 != 0 => self.since,
            None => cx.ears.newest(id).map_or(Instant::ZERO, |heard| heard.at),
        };
        let floor = if boot.0 == 0 { Instant::ZERO } else { self.listening_since };
        cx.now.since(heard.max(floor))
    }

    /// Whether the host has written a record of late. A datastore that can not be read says nothing either way.
    fn writes_records(&self, cx: &Context<'_>, id: HostId) -> bool {
        let moved = self.records.last_moved(id).unwrap_or(self.since).max(self.listening_since);
        self.records.is_readable(cx, id, self.timing.fence_after) && cx.now.since(moved) < self.timing.fence_after
    }

    /// Whether the host wrote records long after its last heartbeat: then it is its network that is gone.
    fn outlives_its_network(&self, cx: &Context<'_>, id: HostId, quiet: Duration) -> bool {
        let moved = self.records.last_moved(id).map_or(Duration::MAX, |moved| cx.now.since(moved));
        self.writes_records(cx, id) && moved.saturating_add(self.timing.record_interval * 2) < quiet
    }

    fn judge_if_due(&mut self, cx: &Context<'_>, id: HostId, out: &mut Output) {
        let quiet = self.quiet(cx, id);
        let Some(watched) = self.watched(id) else { return };
        // This node hears itself unless it stands still, and then it judges nobody.
        if id == self.me || quiet < self.timing.ping_after || !watched.is_acknowledged {
            if let Some(watched) = self.watched_mut(id) {
                watched.pinged_since = None;
            }
            return;
        }
        let (life, address, state) = (watched.life, watched.address, watched.state);
        // Several at a time: of a lossy and slow network, one that gets through in time must be near certain.
        for _ in 0..PINGS {
            out.actions.push(Action::Ping { to: address });
        }
        // It may be silent because it follows another master: then this one is outranked, and must learn it in time.
        out.send(address, Message::Hello(self.authority));
        let pinged_since =
            *self.watched_mut(id).map_or(&mut None, |watched| &mut watched.pinged_since).get_or_insert(cx.now);
        // A new master has not pinged before: its pings must have had their time, too.
        let pinged = cx.now.since(pinged_since) + self.timing.ping_after;
        if state != HostState::Suspect || quiet.min(pinged) < self.timing.fence_after {
            return;
        }
        let Some(watched) = self.watched(id) else { return };
        // While too many are silent, the fault may be here. Nothing is lost by waiting until their leases have run out.
        if self.brake.is_on && quiet < self.timing.software_stop {
            return;
        }
        if self.writes_records(cx, id) {
            return;
        }
        let echo = self.echo(cx, watched);
        if self.has_announced_its_end(cx, id) && echo != Echo::Ceased {
            return self.miss_agent(cx, life, (echo, quiet), out);
        }
        if echo == Echo::Answers && quiet < self.timing.agent_patience {
            return;
        }
        self.propose_judgement(cx, life, JudgeCause::Silent, out);
    }

    fn echo(&self, cx: &Context<'_>, watched: &Watched) -> Echo {
        match watched.last_pong {
            Some(pong) if cx.now.since(pong) < self.timing.suspect => Echo::Answers,
            Some(_) => Echo::Ceased,
            None => Echo::Never,
        }
    }

    /// Whether the last run of a host's agent was asked to end in good order, by the log, with no shutdown of its machine.
    fn has_announced_its_end(&self, cx: &Context<'_>, id: HostId) -> bool {
        let Some(host) = cx.state.hosts.get(&id) else { return false };
        let heard = cx.ears.newest(id).map(|heard| heard.heartbeat);
        // A later run has announced nothing, though the log does not know of it yet; and a later boot is no longer the
        // machine on which the VMs run on.
        let is_life = |beat: Heartbeat| (beat.incarnation.boot, beat.session) == (host.life.boot, host.life.session);
        let is_last = heard.is_none_or(|beat| is_life(beat) && !beat.leaving);
        host.standing == Standing::Admitted && host.life.disarmed && is_last
    }

    fn is_missed_by_agreement(&self, cx: &Context<'_>, id: HostId) -> bool {
        let Some(watched) = self.watched(id) else { return false };
        self.has_announced_its_end(cx, id)
            && match self.echo(cx, watched) {
                Echo::Answers => true,
                Echo::Never => self.quiet(cx, id) < self.timing.agent_absence,
                Echo::Ceased => false,
            }
    }

    /// An agent has ended in good order, and no other one has begun. What runs on its machine runs on as long as that is
    /// known to live: nobody watches over it any more, which a person must hear, but to fence it would end it.
    fn miss_agent(&mut self, cx: &Context<'_>, life: Incarnation, (echo, quiet): (Echo, Duration), out: &mut Output) {
        if quiet > self.timing.alert_after {
            self.alert(Alert::AgentAway { host: life.host }, out);
        }
        if quiet < self.timing.agent_absence {
            return;
        }
        if echo == Echo::Never {
            self.propose_judgement(cx, life, JudgeCause::Silent, out);
        } else if cx.state.policy.fence_unanswered && !self.brake.is_on {
            self.propose_judgement(cx, life, JudgeCause::Unanswered, out);
        }
    }

    /// Whether pings get through to a host is found out while it is known to live: then their end says something.
    pub(super) fn ping_before_its_end(&self, host: HostId, out: &mut Output) {
        if let Some(watched) = self.watched(host).filter(|_| host != self.me) {
            for _ in 0..PINGS {
                out.actions.push(Action::Ping { to: watched.address });
            }
        }
    }

    /// Proposes a judgement. From here on that generation gets no acknowledgement and no permit (rule 7).
    pub(super) fn propose_judgement(
        &mut self,
        cx: &Context<'_>,
        target: Incarnation,
        cause: JudgeCause,
        out: &mut Output,
    ) {
        if let Some(watched) = self.watched_mut(target.host) {
            watched.is_acknowledged = false;
        }
        let heard = cx.ears.newest(target.host);
        // One that was never heard has been silent for as long as there was anybody to hear it.
        let silent_milliseconds = self.unheard_milliseconds(cx, heard.map_or(self.since, |heard| heard.at));
        let planned = heard.is_some_and(|heard| heard.heartbeat.leaving);
        out.propose(Command::Judge { target, cause, silent_milliseconds, planned });
        if breaks(Sabotage::JudgementNotCommitted) {
            self.seek_proof(cx, target, out);
        }
    }

    /// Whether any channel shows that a host lives.
    pub(super) fn shows_life(&self, cx: &Context<'_>, id: HostId) -> bool {
        let fresh = cx.ears.newest(id).is_some_and(|heard| cx.now.since(heard.at) < self.timing.fence_after);
        let answers = self.watched(id).and_then(|watched| watched.last_pong);
        fresh || self.writes_records(cx, id) || answers.is_some_and(|pong| cx.now.since(pong) < self.timing.fence_after)
    }

    /// Tells every host that is not heard where the voters are: it may look for them where they were long ago.
    pub(super) fn call_absent_hosts(&self, cx: &Context<'_>, out: &mut Output) {
        let voters = cx.state.voter_addresses();
        for (id, host) in &cx.state.hosts {
            if !matches!(self.host_state(*id), HostState::Alive | HostState::Isolated) {
                out.send(host.address, Message::Voters(voters.clone()));
            }
        }
    }

    pub(super) fn pong(&mut self, cx: &Context<'_>, from: Address) {
        if let Some(watched) = self.hosts.iter_mut().find(|watched| watched.address == from && watched.life.boot.0 != 0)
        {
            watched.last_pong = Some(cx.now);
        }
    }
}

/// The same by the log, which may know of one more than the last look over all hosts.
pub(super) fn too_many_judged(state: &ClusterState) -> bool {
    let count = |is: fn(&Standing) -> bool| state.hosts.values().filter(|host| is(&host.standing)).count();
    let silent = count(|standing| matches!(standing, Standing::Judged { cause: JudgeCause::Silent }));
    let hosts = count(|standing| !matches!(standing, Standing::New | Standing::Proven { .. }));
    let counted = |number| u32::try_from(number).unwrap_or(u32::MAX);
    too_many(counted(silent), counted(hosts), &state.policy) && !breaks(Sabotage::NoBrake)
}

/// Whether so many hosts are silent that the fault may lie here (rule 10).
pub(super) fn too_many(suspects: u32, hosts: u32, policy: &Policy) -> bool {
    suspects > 1 && suspects * 100 > hosts * policy.brake_percent
}
