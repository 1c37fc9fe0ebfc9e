//! I2, at its root: what a lease is worth. Counted here a second time, from what went into an agent and came out of it:
//! an agent may feed its watchdog, start VMs and let them run only as rules 4, 5 and 12 allow.

use super::Found;
use super::processes::{Process, Processes};
use super::shadow::Shadow;
use crate::core::action::{Action, Event, PlatformCall, ProcessState, WatchdogOp};
use crate::core::ids::{DatastoreId, Epoch, Generation, HostId, Incarnation, Ticket, VmId};
use crate::core::message::{Message, Watchdog};
use crate::core::record::{DatastoreOp, DatastoreResult, Slot};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::node::{NodeAction, NodeEvent, Packet};
use crate::sim::spec::WorldSpec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many heartbeats are remembered; an older one extends nothing.
const BEATS_KEPT: usize = 32;

/// What comes up while an agent lets everything go is found by its next look; nothing is said of it before.
const FOUND_WITHIN: u64 = 3_000_000;

/// The leases of all machines.
#[derive(Debug)]
pub(super) struct Leases {
    timing: Timing,
    guarded: BTreeSet<HostId>,
    runs: BTreeMap<usize, Run>,
}

/// One run of an agent.
#[derive(Debug)]
struct Run {
    host: HostId,
    session: u64,
    /// When what last extended the lease was sent.
    extended: Instant,
    beats: VecDeque<(u64, Instant)>,
    writes: BTreeMap<Ticket, (DatastoreId, Instant, Generation)>,
    reads: BTreeMap<Ticket, DatastoreId>,
    /// Records that are written, and whose mail is not read yet.
    written: BTreeMap<DatastoreId, (Instant, Generation)>,
    /// When the heartbeat was sent that the newest permit for a VM answers.
    permits: BTreeMap<VmId, (Epoch, Instant)>,
    killed: BTreeSet<VmId>,
    /// The life that it has claimed last.
    life: Option<Incarnation>,
    /// Whether what it was told just now was meant for another life.
    misled: bool,
    bare: Bare,
    said: bool,
}

/// The hosts whose watchdog fires in time, whatever becomes of their kernel.
pub(super) fn guarded(spec: &WorldSpec) -> BTreeSet<HostId> {
    let hard = Timing::of(spec.profile).hard_deadline;
    let in_time = |watchdog| matches!(watchdog, Watchdog::Hardware { timeout } if timeout <= hard);
    spec.hosts.iter().filter(|(_, host)| in_time(host.watchdog)).map(|(id, _)| *id).collect()
}

/// Whether a lease ended with nothing that it covered.
#[derive(Debug, Clone, Copy)]
enum Bare {
    No,
    Yes,
    /// Until something was there again.
    Until(Instant),
}

impl Leases {
    /// For the hosts of a world.
    pub(super) fn new(spec: &WorldSpec) -> Leases {
        Leases { timing: Timing::of(spec.profile), guarded: guarded(spec), runs: BTreeMap::new() }
    }

    /// An agent starts: what runs already has its lease from now, as the watchdog of the run before still counts.
    pub(super) fn started(&mut self, machine: usize, host: HostId, session: u64, now: Instant) {
        let run = Run {
            host,
            session,
            extended: now,
            beats: VecDeque::new(),
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            written: BTreeMap::new(),
            permits: BTreeMap::new(),
            killed: BTreeSet::new(),
            life: None,
            misled: false,
            bare: Bare::No,
            said: false,
        };
        self.runs.insert(machine, run);
    }

    /// Something is about to reach an agent.
    pub(super) fn heard(&mut self, machine: usize, now: Instant, event: &NodeEvent) {
        let oldest = self.timing.oldest_ack;
        let Some(run) = self.runs.get_mut(&machine) else { return };
        run.misled = match event {
            NodeEvent::Packet { packet: Packet::Cluster(Message::Permit(permit)), .. } => run.lacks(permit.incarnation),
            NodeEvent::Packet { packet: Packet::Cluster(Message::Order(order)), .. } => run.lacks(order.incarnation),
            _ => false,
        };
        let sent = match event {
            NodeEvent::Packet { packet: Packet::Cluster(Message::Ack(ack)), .. } => run.sent(ack.session, ack.sequence),
            NodeEvent::Packet { packet: Packet::Cluster(Message::Permit(permit)), .. } => {
                let sent = run.sent(permit.session, permit.sequence);
                run.permits.insert(permit.vm, (permit.epoch, sent.unwrap_or(Instant::ZERO)));
                sent
            }
            NodeEvent::Core(Event::Datastore { ticket, result }) => run.answered(*ticket, result),
            _ => None,
        };
        if let Some(sent) = sent.filter(|sent| now.since(*sent) <= oldest) {
            run.extended = run.extended.max(sent);
        }
    }

    /// An agent does something.
    pub(super) fn did(
        &mut self,
        machine: usize,
        now: Instant,
        action: &NodeAction,
        known: (&Shadow, &Processes),
        found: &mut Found,
    ) {
        let oldest = self.timing.oldest_ack;
        let Some(run) = self.runs.get_mut(&machine) else { return };
        match action {
            NodeAction::Send { packet: Packet::Cluster(Message::Heartbeat(beat)), .. } => {
                run.life = Some(beat.incarnation);
                run.beat(beat.sequence, now);
            }
            NodeAction::Core(Action::Save(_) | Action::Kill(_) | Action::Platform { .. }) if run.misled => {
                found.add("rule 12", format!("{} obeys an order that was meant for another life of it", run.host));
            }
            NodeAction::Core(Action::Datastore { ticket, call }) => match &call.op {
                DatastoreOp::WriteRecord(record) => {
                    let of = (call.datastore, now, record.incarnation.generation);
                    run.writes.insert(*ticket, of);
                }
                DatastoreOp::ReadMail { host } if *host == run.host => {
                    run.reads.insert(*ticket, call.datastore);
                }
                _ => {}
            },
            NodeAction::Core(Action::Kill(vm)) => {
                run.killed.insert(*vm);
            }
            NodeAction::Core(Action::Platform { call: PlatformCall::Start { vm, epoch }, .. }) => {
                let permit = run.permits.get(vm).filter(|(permitted, _)| permitted == epoch);
                if permit.is_none_or(|(_, sent)| now.since(*sent) > oldest) {
                    found.add("rule 12", format!("{} starts {vm} without a permit that is fresh", run.host));
                }
            }
            NodeAction::Core(Action::Watchdog(WatchdogOp::Open | WatchdogOp::Feed)) => {
                let age = now.since(run.extended);
                let host = run.host;
                if age > oldest
                    && let Some((vm, _)) = self.covered(machine, known).next()
                {
                    let age = age.as_millis();
                    found.add("rule 5", format!("{host} feeds its watchdog for {vm}, by a lease of {age} ms ago"));
                }
            }
            _ => {}
        }
    }

    /// An agent was woken, and has done what was due: what its lease covered must have been killed if that is over.
    pub(super) fn woke(
        &mut self,
        machine: usize,
        now: (u64, Instant),
        known: (&Shadow, &Processes),
        found: &mut Found,
    ) {
        let software_stop = self.timing.software_stop;
        let Some(run) = self.runs.get_mut(&machine) else { return };
        let mut end = run.extended + software_stop;
        if now.1 < end {
            (run.said, run.bare) = (false, Bare::No);
            return;
        }
        let covers = self.covered(machine, known).next().is_some();
        let Some(run) = self.runs.get_mut(&machine) else { return };
        run.bare = match run.bare {
            _ if !covers => Bare::Yes,
            // What comes under protection where nothing is leased has a lease from then on.
            Bare::Yes => Bare::Until(now.1),
            bare => bare,
        };
        if let Bare::Until(began) = run.bare {
            end = began + software_stop;
        }
        if now.1 < end {
            return;
        }
        let Some(run) = self.runs.get(&machine) else { return };
        let long = |process: &Process| {
            process.state == ProcessState::Executing && now.0.saturating_sub(process.since) > FOUND_WITHIN
        };
        let left = self.covered(machine, known).find(|(vm, process)| long(process) && !run.killed.contains(vm));
        if let (Some((vm, _)), false) = (left, run.said) {
            let over = now.1.since(end).as_millis();
            found.add("rule 5", format!("{} lets {vm} run, though its lease ended {over} ms ago", run.host));
            self.runs.entry(machine).and_modify(|run| run.said = true);
        }
    }

    /// A VM's process is gone.
    pub(super) fn process_ended(&mut self, vm: VmId, machine: usize) {
        if let Some(run) = self.runs.get_mut(&machine) {
            run.killed.remove(&vm);
        }
    }

    /// The VMs on a machine that must not outlive its lease.
    fn covered<'a>(
        &self,
        machine: usize,
        (shadow, processes): (&'a Shadow, &'a Processes),
    ) -> impl Iterator<Item = (VmId, &'a Process)> + use<'a> {
        let host = self.runs.get(&machine).map(|run| run.host).filter(|host| self.guarded.contains(host));
        processes.on(machine).filter(move |(vm, process)| {
            let leased = shadow.vms.get(vm).is_some_and(|known| known.leased);
            let counts = process.state != ProcessState::Incoming;
            counts && leased && host.is_some_and(|host| shadow.is_guarded(*vm, host))
        })
    }
}

impl Run {
    fn lacks(&self, life: Incarnation) -> bool {
        self.life.is_some_and(|own| own != life)
    }

    fn beat(&mut self, sequence: u64, now: Instant) {
        if self.beats.back().is_some_and(|(last, _)| *last == sequence) {
            return;
        }
        if self.beats.len() == BEATS_KEPT {
            self.beats.pop_front();
        }
        self.beats.push_back((sequence, now));
    }

    fn sent(&self, session: u64, sequence: u64) -> Option<Instant> {
        let beats = self.beats.iter().filter(|_| session == self.session);
        beats.rev().find(|(number, _)| *number == sequence).map(|(_, sent)| *sent)
    }

    /// A datastore answered; when the record was submitted whose lease that extends.
    fn answered(&mut self, ticket: Ticket, result: &DatastoreResult) -> Option<Instant> {
        if let Some((datastore, submitted, generation)) = self.writes.remove(&ticket) {
            if *result == DatastoreResult::Written {
                self.written.insert(datastore, (submitted, generation));
            }
            return None;
        }
        let datastore = self.reads.remove(&ticket)?;
        let (submitted, generation) = self.written.remove(&datastore)?;
        let DatastoreResult::Mail(columns) = result else { return None };
        let forbids = |slot: &Slot<crate::core::record::Mail>| match slot {
            Slot::Empty => false,
            Slot::Torn => true,
            Slot::Whole(mail) => mail.binds(generation),
        };
        let renews = !columns.iter().any(|(_, slot)| forbids(slot));
        renews.then_some(submitted)
    }
}
