//! The true world: everything that the nodes can not decide, only sense and change.
//!
//! The world never calls a node. What a node is to learn goes into an outbox, and what the checkers are to learn into a
//! list of facts; the engine empties both after every occurrence.

use crate::core::ids::{DatastoreId, FenceId, HostId, Ticket, VmId, VoterId};
use crate::core::timing::Timing;
use crate::node::{NodeEvent, Setup};
use crate::sim::dice::Dice;
use crate::sim::spec::WorldSpec;
use crate::sim::timeline::{Happening, Moment, Violation};
use crate::sim::world::counts::Counts;
use crate::sim::world::datastore::Datastore;
use crate::sim::world::fact::Fact;
use crate::sim::world::fence::FenceDevice;
use crate::sim::world::guests::Guests;
use crate::sim::world::machine::Machine;
use crate::sim::world::migration::Migration;
use crate::sim::world::network::Network;
use crate::sim::world::people::{Errand, PendingHook};
use crate::sim::world::queue::{Occurrence, Queue};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Moments that are kept while recording is off, for whoever wants to see how a violation came about.
const KEPT: usize = 500;

/// The world without its nodes.
#[derive(Debug)]
pub(super) struct World {
    pub(super) spec: WorldSpec,
    pub(super) timing: Arc<Timing>,
    pub(super) now: u64,
    pub(super) queue: Queue,
    pub(super) outbox: VecDeque<ToNode>,
    pub(super) facts: Vec<Fact>,
    pub(super) machines: Vec<Machine>,
    /// The place of each host's own machine.
    pub(super) places: BTreeMap<HostId, usize>,
    pub(super) datastores: Vec<Datastore>,
    pub(super) datastore_places: BTreeMap<DatastoreId, usize>,
    pub(super) fences: BTreeMap<FenceId, FenceDevice>,
    pub(super) network: Network,
    /// Starts of these VMs fail, so many times still.
    pub(super) failing_starts: BTreeMap<VmId, u32>,
    /// How many edits of definitions there were, which are numbered.
    pub(super) edits: u64,
    /// The newest one of each VM.
    pub(super) latest: BTreeMap<VmId, u64>,
    pub(super) guests: Guests,
    pub(super) migrations: Vec<Migration>,
    pub(super) hooks: BTreeMap<Ticket, PendingHook>,
    pub(super) errands: BTreeMap<Ticket, Errand>,
    pub(super) chance: Chance,
    /// The next number for a ticket, a call, a process or a migration.
    pub(super) next_number: u64,
    pub(super) chronicle: Chronicle,
    /// Everything was mended, and nothing has befallen the world since.
    pub(super) healing: bool,
    /// The voters that forced recoveries gave up.
    pub(super) out_for_good: BTreeSet<VoterId>,
}

/// What a node is to learn.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub(super) enum ToNode {
    /// A run begins.
    Start { machine: usize, setup: Box<Setup> },
    /// Something happens to this run.
    Deliver { machine: usize, session: u64, event: NodeEvent },
}

/// Streams of chance, one for each part of the world, so that one more draw in one part shifts nothing elsewhere.
#[derive(Debug)]
pub(super) struct Chance {
    pub(super) network: Dice,
    pub(super) datastore: Dice,
    pub(super) hypervisor: Dice,
    pub(super) fence: Dice,
    pub(super) disk: Dice,
    pub(super) power: Dice,
    pub(super) people: Dice,
}

/// What happened, and how often.
#[derive(Debug)]
pub(super) struct Chronicle {
    pub(super) recording: bool,
    pub(super) moments: Vec<Moment>,
    pub(super) counts: Counts,
    pub(super) violations: Vec<Violation>,
}

impl Chance {
    /// All streams of a seed.
    pub(super) fn new(seed: u64) -> Chance {
        let dice = Dice::new(seed);
        let fork = |label| dice.fork(label);
        Chance {
            network: fork("network"),
            datastore: fork("datastore"),
            hypervisor: fork("hypervisor"),
            fence: fork("fence"),
            disk: fork("disk"),
            power: fork("power"),
            people: fork("people"),
        }
    }
}

impl Chronicle {
    /// Counts what happened and, if that is wanted, keeps it.
    pub(super) fn tell(&mut self, now: u64, what: Happening) {
        self.counts.happening(&what);
        if !self.recording && self.moments.len() >= 2 * KEPT {
            self.moments.drain(..KEPT);
        }
        self.moments.push(Moment { at_micros: now, what });
    }

    /// The same, for what came before the moments from that place on, as their cause.
    pub(super) fn tell_before(&mut self, place: usize, now: u64, what: Happening) {
        self.tell(now, what);
        if let Some(latest) = self.moments.get_mut(place..) {
            latest.rotate_right(1);
        }
    }
}

impl World {
    /// Puts something into the queue, so long from now.
    pub(super) fn after(&mut self, micros: u64, occurrence: Occurrence) {
        self.queue.push(self.now.saturating_add(micros), occurrence);
    }

    /// The moment so long from now.
    pub(super) fn later(&self, duration: Duration) -> u64 {
        self.now.saturating_add(micros(duration))
    }

    /// A number that was never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Tells what happened.
    pub(super) fn tell(&mut self, what: Happening) {
        self.chronicle.tell(self.now, what);
    }

    /// The place of a host's own machine.
    pub(super) fn place(&self, host: HostId) -> Option<usize> {
        self.places.get(&host).copied()
    }

    /// Gives an event to the agent of a machine: now, later if it stands still, or never if it does not run.
    pub(super) fn deliver(&mut self, machine: usize, event: NodeEvent) {
        let target = &mut self.machines[machine];
        if !target.is_up() || !target.agent.running {
            return;
        }
        if target.agent_moves() {
            let session = target.agent.session;
            self.outbox.push_back(ToNode::Deliver { machine, session, event });
        } else if target.agent.inbox.len() < super::machine::INBOX || !matches!(event, NodeEvent::Packet { .. }) {
            target.agent.inbox.push_back(event);
        }
    }

    /// The same, if this run of the agent is still the present one: what was asked by an earlier one is lost with it.
    pub(super) fn deliver_to(&mut self, machine: usize, session: u64, event: NodeEvent) {
        if self.machines[machine].agent.session == session {
            self.deliver(machine, event);
        }
    }

    /// Whether something that is due on a machine is void, or must wait until the machine goes on; then it is kept.
    pub(super) fn is_void_or_held(&mut self, machine: usize, life: u32, occurrence: Occurrence) -> bool {
        let target = &mut self.machines[machine];
        if target.life != life {
            return true;
        }
        if target.stands_still() {
            target.held.push(occurrence);
            return true;
        }
        false
    }

    /// The datastores on which a VM's disks lie.
    pub(super) fn datastores_of(&self, vm: VmId) -> BTreeSet<DatastoreId> {
        let found = self.spec.vms.iter().find(|entry| entry.definition.id == vm);
        found.map(|entry| entry.definition.datastores.clone()).unwrap_or_default()
    }

    /// From here on a violation is excused: the guarantee leaves out what has just happened.
    pub(super) fn excuse(&mut self) {
        self.facts.push(Fact::Excused);
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
