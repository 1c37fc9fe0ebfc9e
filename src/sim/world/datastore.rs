//! Shared datastores: records, mail, and every way in which they fail.

use crate::core::action::Event;
use crate::core::ids::{DatastoreId, HostId, Ticket, VoterId};
use crate::core::record::{DatastoreCall, DatastoreOp, DatastoreResult, Mail, Record, Slot};
use crate::node::NodeEvent;
use crate::sim::fault::DatastoreFault;
use crate::sim::spec::DatastoreSpec;
use crate::sim::world::fact::Fact;
use crate::sim::world::machine::Io;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A hanging operation looks this often whether the hang was ended early.
const HANG_POLL: u64 = 250_000;
/// So many copies are kept for roll-backs, one at each [`Occurrence::Copies`].
const COPIES: usize = 24;

/// A datastore.
#[derive(Debug)]
pub(super) struct Datastore {
    pub(super) id: DatastoreId,
    pub(super) spec: DatastoreSpec,
    content: Content,
    copies: VecDeque<(u64, Content)>,
    /// For one machine, or for all; each ends by itself.
    pub(super) faults: Vec<(Option<usize>, DatastoreFault, u64)>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    records: BTreeMap<HostId, Slot<Record>>,
    mail: BTreeMap<(HostId, VoterId), Slot<Mail>>,
}

impl Datastore {
    /// An empty one.
    pub(super) fn new(id: DatastoreId, spec: DatastoreSpec) -> Datastore {
        Datastore { id, spec, content: Content::default(), copies: VecDeque::new(), faults: Vec::new() }
    }

    /// Until when it hangs for a machine, if it does.
    pub(super) fn hangs_until(&self, machine: usize, now: u64) -> Option<u64> {
        self.active(machine, now).filter(|(fault, _)| *fault == DatastoreFault::Hang).map(|(_, until)| until).max()
    }

    /// Whether it fails for a machine.
    pub(super) fn errs(&self, machine: usize, now: u64) -> bool {
        self.active(machine, now).any(|(fault, _)| fault == DatastoreFault::Error)
    }

    fn slowness(&self, machine: usize, now: u64) -> Duration {
        let slow = |(fault, _)| match fault {
            DatastoreFault::Slow(by) => Some(by),
            _ => None,
        };
        self.active(machine, now).filter_map(slow).max().unwrap_or_default()
    }

    fn active(&self, machine: usize, now: u64) -> impl Iterator<Item = (DatastoreFault, u64)> + '_ {
        let concerns = move |whom: &Option<usize>| whom.is_none_or(|whom| whom == machine);
        let active = self.faults.iter().filter(move |(whom, _, until)| *until > now && concerns(whom));
        active.map(|(_, fault, until)| (*fault, *until))
    }

    /// Takes a copy for a later roll-back.
    pub(super) fn copy(&mut self, now: u64) {
        self.faults.retain(|(_, _, until)| *until > now);
        if self.copies.len() >= COPIES {
            self.copies.pop_front();
        }
        self.copies.push_back((now, self.content.clone()));
    }

    /// Goes back to what it was at a moment, or just before it. Whether there is a copy that old.
    pub(super) fn roll_back(&mut self, to: u64) -> bool {
        let Some((_, content)) = self.copies.iter().rev().find(|(at, _)| *at <= to) else { return false };
        self.content = content.clone();
        true
    }

    /// Overwrites a host's record with garbage.
    pub(super) fn tear_record(&mut self, host: HostId) {
        self.content.records.insert(host, Slot::Torn);
    }

    /// Overwrites the mail to a host with garbage in one column. Whether there was any.
    pub(super) fn tear_mail(&mut self, host: HostId) -> bool {
        match self.content.mail.iter_mut().find(|((to, _), _)| *to == host) {
            Some((_, slot)) => *slot = Slot::Torn,
            None => return false,
        }
        true
    }

    fn carry_out(&mut self, op: DatastoreOp) -> DatastoreResult {
        match op {
            DatastoreOp::WriteRecord(record) => {
                self.content.records.insert(record.incarnation.host, Slot::Whole(record));
                DatastoreResult::Written
            }
            DatastoreOp::WriteMail { column, host, mail } => {
                self.content.mail.insert((host, column), Slot::Whole(mail));
                DatastoreResult::Written
            }
            DatastoreOp::ReadMail { host } => {
                let row = self.content.mail.range((host, VoterId(0))..=(host, VoterId(u64::MAX)));
                DatastoreResult::Mail(row.map(|((_, column), slot)| (*column, slot.clone())).collect())
            }
            DatastoreOp::ReadRecords => {
                let records = self.content.records.iter();
                DatastoreResult::Records(records.map(|(host, slot)| (*host, slot.clone())).collect())
            }
        }
    }

    /// A write that lost its writer half way.
    fn tear(&mut self, op: &DatastoreOp) {
        match op {
            DatastoreOp::WriteRecord(record) => self.tear_record(record.incarnation.host),
            DatastoreOp::WriteMail { column, host, .. } => {
                self.content.mail.insert((*host, *column), Slot::Torn);
            }
            DatastoreOp::ReadMail { .. } | DatastoreOp::ReadRecords => {}
        }
    }
}

impl World {
    /// An agent asks something of a datastore.
    pub(super) fn ask_datastore(&mut self, machine: usize, ticket: Ticket, call: DatastoreCall) {
        if let DatastoreOp::WriteMail { host, mail: Mail { tombstone: Some(tombstone), .. }, .. } = &call.op {
            self.facts.push(Fact::TombstoneOrdered { to: *host, tombstone: *tombstone });
        }
        let session = self.machines[machine].agent.session;
        let known = self.datastore_places.get(&call.datastore).copied();
        let reached = self.machines[machine].spec.datastores.contains(&call.datastore);
        let Some(place) = known.filter(|_| reached) else {
            let event = Event::Datastore { ticket, result: DatastoreResult::Failed };
            self.deliver_to(machine, session, NodeEvent::Core(event));
            return;
        };
        self.machines[machine].io[place].waiting.push_back(Io { session, ticket, op: call.op });
        self.begin_io(machine, place);
    }

    /// Lets the first operation in a queue begin, if none is under way: one thread for each datastore.
    fn begin_io(&mut self, machine: usize, place: usize) {
        let queue = &mut self.machines[machine].io[place];
        if queue.busy {
            return;
        }
        let Some(first) = queue.waiting.front() else { return };
        queue.busy = true;
        let mut takes = self.chance.datastore.micros_between(self.spec.nature.datastore);
        takes += micros(self.datastores[place].slowness(machine, self.now));
        if matches!(first.op, DatastoreOp::WriteRecord(_)) {
            takes += queue.stall_next.take().map(micros).unwrap_or(0);
        }
        let life = self.machines[machine].life;
        self.after(takes, Occurrence::Io { machine, life, datastore: place });
    }

    /// The first operation in a queue comes to its end, unless the datastore hangs. A write lands now, not before.
    pub(super) fn end_io(&mut self, machine: usize, life: u32, place: usize) {
        if self.machines[machine].life != life {
            return;
        }
        if let Some(until) = self.datastores[place].hangs_until(machine, self.now) {
            let at = until.min(self.now + HANG_POLL);
            self.queue.push(at, Occurrence::Io { machine, life, datastore: place });
            return;
        }
        let queue = &mut self.machines[machine].io[place];
        queue.busy = false;
        if let Some(io) = queue.waiting.pop_front() {
            let datastore = &mut self.datastores[place];
            let result = match datastore.errs(machine, self.now) {
                true => DatastoreResult::Failed,
                false => datastore.carry_out(io.op),
            };
            let event = Event::Datastore { ticket: io.ticket, result };
            self.deliver_to(machine, io.session, NodeEvent::Core(event));
        }
        self.begin_io(machine, place);
    }

    /// The agent's process is gone: what it had queued goes with it, but what the kernel has begun comes to its end.
    pub(super) fn drop_queued_io(&mut self, machine: usize) {
        for queue in &mut self.machines[machine].io {
            let kept = usize::from(queue.busy);
            queue.waiting.truncate(kept);
        }
    }

    /// The machine is gone: of what it was writing, each write may have landed, or not, or in part.
    pub(super) fn drop_all_io(&mut self, machine: usize) {
        for place in 0..self.datastores.len() {
            let queue = &mut self.machines[machine].io[place];
            let begun = queue.busy;
            queue.busy = false;
            queue.stall_next = None;
            let first = queue.waiting.pop_front().filter(|_| begun);
            queue.waiting.clear();
            let Some(io) = first else { continue };
            let datastore = &mut self.datastores[place];
            match self.chance.datastore.range(0, 3) {
                0 => {}
                1 if datastore.errs(machine, self.now) => {}
                1 => drop(datastore.carry_out(io.op)),
                _ => datastore.tear(&io.op),
            }
        }
    }
}
