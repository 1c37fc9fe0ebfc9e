//! The master's mind: who is dead, what proves it, and what is started where.
//!
//! ```text
//!  heartbeats ─▶ watch ──▶ judge ──▶ tombstones ─▶ LeaseExpired ─┐
//!  records ────▶   │         └─────▶ fencing ────▶ Fenced ───────┼─▶ holders gone ─▶ recovery ─▶ placement ─▶ permits
//!  reports ────────┴─▶ admission ─▶ Rebooted ─ Released ─────────┘
//! ```
//!
//! What a master knows beyond the replicated state is its own observation: it begins with its election and dies with
//! it. Whatever must outlast a master is proposed to the log, and acted on when it was applied.
//!
//! # Contract
//! The master exists on the leader only, from the moment at which it has applied all that its predecessors decided.
//! [`Master::step`] and [`Master::applied`] get the state as it is after everything applied so far; time never goes
//! back; [`Event::Wake`] comes when everything that was already waiting to be read was delivered.

mod admission;
mod chain;
mod explain;
mod fencing;
mod forecast;
mod guests;
mod judge;
mod leftovers;
mod moves;
mod permits;
mod reach;
mod records;
mod recovery;
mod reports;
mod requests;
mod silence;
mod tombstones;
mod verify;

pub use forecast::{Fate, Forecast, Way};
pub use verify::{Verdict, Verified};

use crate::core::action::{Action, Event, Note};
use crate::core::command::{Command, Proposal};
use crate::core::ears::Ears;
use crate::core::ids::{Authority, BootId, FenceId, HostId, Incarnation, LogIndex, Ticket, VmId, VoterId};
use crate::core::message::{Message, RemoteResult};
use crate::core::reason::{Alert, HostState, Refusal};
use crate::core::state::{Applied, Change, ClusterState, Standing};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tickets of a master have this bit, so that they are never an agent's of the same node.
pub const MASTER_TICKETS: u64 = 1 << 63;

/// What a master can see besides its own memory.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Now.
    pub now: Instant,
    /// What a majority has.
    pub state: &'a ClusterState,
    /// What this voter has heard.
    pub ears: &'a Ears,
    /// When the newest quorum round that was answered by a majority had been sent.
    pub quorum: Option<Instant>,
}

/// What a master wants done.
#[derive(Debug, Default)]
pub struct Output {
    /// To be done at once.
    pub actions: Vec<Action>,
    /// To be put into the log.
    pub proposals: Vec<Proposal>,
}

impl Output {
    fn send(&mut self, to: crate::core::ids::Address, message: Message) {
        self.actions.push(Action::Send { to, message });
    }

    fn note(&mut self, note: Note) {
        self.actions.push(Action::Note(note));
    }

    fn propose(&mut self, command: Command) {
        self.proposals.push(Proposal { answers: None, said: None, command });
    }

    fn reply(&mut self, ticket: Ticket, reply: Result<(), Refusal>) {
        self.actions.push(Action::Reply { ticket, reply });
    }
}

/// The mind of one leadership.
#[derive(Debug)]
pub struct Master {
    timing: Arc<Timing>,
    me: HostId,
    column: VoterId,
    authority: Authority,
    since: Instant,
    /// No silence from before this counts: this node was not there to hear.
    listening_since: Instant,
    /// Up to when it was there before that.
    stood_from: Instant,
    last_wake: Instant,
    next_scan: Instant,
    next_poll: Instant,
    next_probe: Instant,
    // Host numbers are small and dense, and this is looked at for every heartbeat.
    hosts: Vec<judge::Watched>,
    brake: judge::Brake,
    reach: reach::Reach,
    records: records::Records,
    tombstones: BTreeMap<HostId, tombstones::Burial>,
    fencing: BTreeMap<HostId, chain::Chain>,
    fenced_lately: BTreeMap<HostId, Vec<Instant>>,
    device_troubles: BTreeMap<FenceId, crate::core::reason::NoProof>,
    /// What fence devices said that were asked before they are needed.
    verification: verify::Verification,
    /// Hosts that were off for a drill: in which boot before, and by which devices that cannot say what they control.
    drills: BTreeMap<HostId, (BootId, Vec<(FenceId, LogIndex)>)>,
    recovery: recovery::Recovery,
    leftovers: leftovers::Leftovers,
    guests: guests::Guests,
    alerted: BTreeSet<Alert>,
    rearm: requests::Rearm,
    last_ticket: u64,
}

impl Master {
    /// Begins a leadership.
    pub fn start(
        cx: &Context<'_>,
        timing: Arc<Timing>,
        me: HostId,
        column: VoterId,
        term: u64,
        out: &mut Output,
    ) -> Master {
        let authority = cx.state.authority(term);
        let mut master = Master {
            timing,
            me,
            column,
            authority,
            since: cx.now,
            listening_since: Instant::ZERO,
            stood_from: Instant::ZERO,
            last_wake: cx.now,
            next_scan: cx.now,
            next_poll: cx.now,
            next_probe: cx.now,
            hosts: Vec::new(),
            brake: judge::Brake::default(),
            reach: reach::Reach::default(),
            records: records::Records::default(),
            tombstones: BTreeMap::new(),
            fencing: BTreeMap::new(),
            fenced_lately: BTreeMap::new(),
            device_troubles: BTreeMap::new(),
            drills: BTreeMap::new(),
            verification: Default::default(),
            recovery: recovery::Recovery::default(),
            leftovers: leftovers::Leftovers::default(),
            guests: guests::Guests::default(),
            alerted: BTreeSet::new(),
            rearm: requests::Rearm::default(),
            last_ticket: MASTER_TICKETS | (term << 32),
        };
        out.note(Note::Master(authority));
        master.inherit(cx, out);
        master
    }

    /// Takes up what predecessors left: judged hosts without a proof, VMs without a host.
    fn inherit(&mut self, cx: &Context<'_>, out: &mut Output) {
        for (id, host) in &cx.state.hosts {
            self.refresh_host(cx, *id);
            if matches!(host.standing, Standing::Judged { .. } | Standing::Conflicted) {
                self.seek_proof(cx, host.incarnation(*id), out);
            }
            self.inherit_fenced(cx, host.incarnation(*id), out);
        }
        self.recovery.consider_all(cx.state);
        self.recover(cx, out);
    }

    /// Whose mind this is.
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// Lets one thing happen.
    pub fn step(&mut self, cx: &Context<'_>, event: Event, out: &mut Output) {
        match event {
            Event::Wake => self.wake(cx, out),
            Event::Message { from, message } => self.receive(cx, from, message, out),
            Event::Datastore { ticket, result } => {
                self.reached(cx, ticket, RemoteResult::Datastore(result), out);
            }
            Event::Fence { ticket, result } => self.reached(cx, ticket, RemoteResult::Fence(result), out),
            Event::Request { ticket, request, said } => self.requested(cx, ticket, request, said, out),
            Event::Pong { from } => self.pong(cx, from),
            Event::Platform(_)
            | Event::GuestAnswered { .. }
            | Event::Upgrade
            | Event::ShuttingDown
            | Event::ShutdownCalledOff => {}
        }
        self.recover(cx, out);
    }

    fn receive(&mut self, cx: &Context<'_>, from: crate::core::ids::Address, message: Message, out: &mut Output) {
        match message {
            Message::Heartbeat(heartbeat) => self.heard(cx, from, &heartbeat, out),
            Message::Register(register) => self.registered(cx, from, *register, out),
            Message::Report(report) => self.reported(cx, &report, out),
            Message::LockSeen { incarnation, vm, epoch } if cx.state.is_admitted(incarnation) => {
                out.propose(Command::LockSeen { vm, epoch });
            }
            Message::MoveFailed { incarnation, vm, epoch } => self.call_off_move(cx, incarnation, (vm, epoch), out),
            Message::Forgotten { incarnation, vm, epoch } => self.leftovers.forgotten(incarnation.host, vm, epoch),
            Message::Wish(wish) => self.wished(cx, from, &wish, out),
            Message::Definition(said) => self.defined(cx, from, &said, out),
            Message::AskingHeard { incarnation, ticket } => self.guests.asking_heard(incarnation.host, ticket),
            Message::Guest(said) => self.guest_heard(cx, from, said, out),
            Message::DisarmGuards(target) => out.propose(Command::DisarmGuards { target }),
            Message::RemoteDone { ticket, result } => self.reached(cx, ticket, result, out),
            _ => {}
        }
    }

    fn wake(&mut self, cx: &Context<'_>, out: &mut Output) {
        if cx.now.since(self.last_wake) > self.timing.gap {
            // This node stood still, so the silence was its own (rule 2).
            self.stood_from = self.last_wake;
            self.listening_since = cx.now;
            self.records.listening_since(cx.now);
            out.note(Note::Gap);
        }
        self.last_wake = cx.now;
        if cx.now >= self.next_scan {
            self.next_scan = cx.now + self.timing.scan;
            self.scan(cx, out);
            self.tend_tombstones(cx, out);
            self.tend_fences(cx, out);
            self.tend_verification(cx, out);
            self.tend_vms(cx, out);
            self.tend_leftovers(cx, out);
            self.tend_guests(cx, out);
            self.alert_waiting(cx, out);
            self.tend_rearm(cx, out);
        }
        if cx.now >= self.next_poll {
            self.next_poll = cx.now + self.timing.record_interval;
            self.call_absent_hosts(cx, out);
            self.poll_records(cx, out);
            self.alert_storage(cx, out);
        }
        self.reach.give_up_late(cx.now, &self.timing);
    }

    /// When it wants to be woken.
    pub fn next_deadline(&self) -> Instant {
        self.next_scan.min(self.next_poll)
    }

    /// A command was applied: act on what it changed.
    pub fn applied(
        &mut self,
        cx: &Context<'_>,
        index: LogIndex,
        proposal: &Proposal,
        applied: &Applied,
        out: &mut Output,
    ) {
        debug_assert_eq!(cx.state.applied, index);
        if let Some(ticket) = proposal.answers {
            out.reply(ticket, applied.refused.map_or(Ok(()), Err));
        }
        if let Some(refusal) = applied.refused {
            out.note(Note::Refused(refusal));
        }
        self.recovery.settled(&proposal.command);
        self.admission_settled(&proposal.command);
        self.report_settled(&proposal.command);
        self.guest_settled(&proposal.command, applied.refused, out);
        for change in &applied.changes {
            self.changed(cx, change, out);
        }
        if let (Command::Admit(admission), None) = (&proposal.command, applied.refused) {
            self.told_at_admission(admission);
        }
        if let Some(refusal) = applied.refused {
            self.hook_refused(cx, &proposal.command, refusal, out);
        }
        self.recover(cx, out);
    }

    fn changed(&mut self, cx: &Context<'_>, change: &Change, out: &mut Output) {
        match change {
            Change::Admitted(life) => {
                self.refresh_host(cx, life.host);
                self.admitted(cx, *life, out);
                self.drill_ends(cx, *life, out);
                self.guests.forget(life.host);
            }
            Change::Judged(target, cause) => {
                self.refresh_host(cx, target.host);
                out.note(Note::Judged(target.host, *cause));
                self.seek_proof(cx, *target, out);
                self.recovery.consider_host(cx.state, target.host);
            }
            Change::Proven(target, proof) => {
                self.refresh_host(cx, target.host);
                out.note(Note::Proof(target.host, *proof));
                self.proven(cx, *target, *proof, out);
            }
            Change::Host(host) => {
                self.refresh_host(cx, *host);
                if !cx.state.hosts.contains_key(host) {
                    self.fencing.remove(host);
                    self.tombstones.remove(host);
                }
                self.recovery.try_again();
            }
            Change::Vm(vm) => {
                self.recovery.consider(*vm);
                self.guests.reconsider();
            }
            Change::Granted(grant) => self.granted(cx, grant, out),
            Change::Clash(vm, on) => self.clash(*vm, *on, out),
            Change::GuardsDisarmed(target) => {
                if let Some(host) = cx.state.hosts.get(&target.host) {
                    out.send(host.address, Message::GuardsDisarmed(*target));
                }
                self.ping_before_its_end(target.host, out);
            }
            Change::Armed => self.inherit(cx, out),
            Change::SwitchedOff(target) => self.switched_off(cx, *target, out),
            Change::SwitchedOn(host) => self.switched_on(cx, *host, out),
            Change::Account(_) => self.guests.reconsider(),
            Change::Config | Change::Voters => {}
            Change::Recovered => self.inherit(cx, out),
        }
    }

    /// Begins to seek a proof that a judged host is dead.
    fn seek_proof(&mut self, cx: &Context<'_>, target: Incarnation, out: &mut Output) {
        self.begin_burial(cx, target, out);
        self.begin_fencing(cx, target, out);
    }

    /// Whether a majority answered so lately that no other master can have been elected (rule 4).
    pub(super) fn has_quorum(&self, cx: &Context<'_>) -> bool {
        use crate::core::sabotage::{Sabotage, breaks};
        breaks(Sabotage::AckWithoutMajority) || cx.quorum.is_some_and(|sent| cx.now.since(sent) <= self.timing.quorum)
    }

    fn alert(&mut self, alert: Alert, out: &mut Output) {
        if self.alerted.insert(alert.clone()) {
            out.note(Note::Alert(alert));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// How this master sees a host.
    pub fn host_state(&self, host: HostId) -> HostState {
        self.watched(host).map_or(HostState::Absent, |watched| watched.state)
    }

    /// The VMs that may run on a host, for those who ask.
    pub fn held_on(&self, cx: &Context<'_>, host: HostId) -> Vec<VmId> {
        cx.state.held_on(host)
    }
}

#[cfg(test)]
mod tests;
