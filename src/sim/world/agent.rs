//! The agent's process: its start, its end, standing still, and what a node's actions do to the world.

use crate::core::action::{Action, Event, Note};
use crate::core::ids::{Address, DatastoreId};
use crate::core::message::{FenceOp, Watchdog};
use crate::core::time::Instant;
use crate::node::{self, NodeAction, NodeEvent, Setup};
use crate::sim::timeline::Happening;
use crate::sim::world::fact::Fact;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{ToNode, World, micros};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A hung agent's upgrade is not waited for longer than this.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// The agent's process starts, with what it kept.
    pub(super) fn start_agent(&mut self, machine: usize) {
        let heartbeat: BTreeSet<DatastoreId> =
            self.datastores.iter().filter(|store| store.spec.heartbeat).map(|store| store.id).collect();
        let seed = self.chance.power.number();
        let target = &mut self.machines[machine];
        if !target.is_up() || target.agent.running {
            return;
        }
        let agent = &mut target.agent;
        agent.running = true;
        agent.session += 1;
        agent.hangs_until = 0;
        agent.wake_at = u64::MAX;
        agent.wake_missed = false;
        agent.upgrading = None;
        agent.inbox.clear();
        agent.described.clear();
        agent.brought.clear();
        let setup = Setup {
            machine: node::Machine {
                host: target.host,
                address: Address(machine as u32),
                boot: target.boot,
                hardware: machine as u64 + 1,
                watchdog: target.spec.watchdog,
                heartbeat_datastores: heartbeat.intersection(&target.spec.datastores).copied().collect(),
                datastores: target.spec.datastores.clone(),
                formattings: Default::default(),
                networks: target.spec.networks.clone(),
            },
            session: agent.session,
            agent: agent.store.clone(),
            store: target.disk.image.clone(),
            timing: Arc::clone(&self.timing),
            blind: Duration::from_micros(agent.led_at.map_or(0, |led_at| self.now.saturating_sub(led_at))),
            seed,
        };
        self.outbox.push_back(ToNode::Start { machine, setup: Box::new(setup) });
        self.tell_definitions(machine);
    }

    /// The agent's process is gone. Its watchdog counts on: nobody closed it.
    pub(super) fn end_agent(&mut self, machine: usize) {
        let agent = &mut self.machines[machine].agent;
        if !agent.running {
            return;
        }
        agent.running = false;
        agent.hangs_until = 0;
        agent.inbox.clear();
        self.drop_queued_io(machine);
        self.drop_unsynced(machine);
    }

    /// The agent's process dies, and is started again after so long.
    pub(super) fn restart_agent(&mut self, machine: usize, after: u64) {
        self.end_agent(machine);
        self.excuse_unguarded(machine);
        let life = self.machines[machine].life;
        self.after(after, Occurrence::AgentStart { machine, life });
    }

    /// An agent does not move: on a machine without a watchdog that is quick enough nothing else ends its VMs in time.
    fn excuse_unguarded(&mut self, machine: usize) {
        let in_time = self.timing.hard_deadline;
        match self.machines[machine].spec.watchdog {
            Watchdog::Hardware { timeout } | Watchdog::Software { timeout } if timeout <= in_time => {}
            _ => self.excuse_weak_guards(),
        }
    }

    /// The time for an agent's start has come, if its machine still lives that life.
    pub(super) fn agent_starts(&mut self, machine: usize, life: u32) {
        if !self.is_void_or_held(machine, life, Occurrence::AgentStart { machine, life }) {
            self.start_agent(machine);
        }
    }

    /// The agent's process stands still for so long.
    pub(super) fn hang_agent(&mut self, machine: usize, lasts: Duration) {
        let until = self.later(lasts);
        self.excuse_unguarded(machine);
        let agent = &mut self.machines[machine].agent;
        agent.hangs_until = agent.hangs_until.max(until);
        self.queue.push(until, Occurrence::Unhang(machine));
    }

    /// The agent's process goes on.
    pub(super) fn unhang(&mut self, machine: usize) {
        let agent = &mut self.machines[machine].agent;
        if agent.hangs_until > 0 && self.now >= agent.hangs_until {
            agent.hangs_until = 0;
            self.drain_inbox(machine);
        }
    }

    /// Gives an agent that goes on what has waited for it, and wakes it after that.
    pub(super) fn drain_inbox(&mut self, machine: usize) {
        if !self.machines[machine].agent_moves() {
            return;
        }
        for event in std::mem::take(&mut self.machines[machine].agent.inbox) {
            self.deliver(machine, event);
        }
        let agent = &mut self.machines[machine].agent;
        agent.wake_missed = false;
        // Pushing it into the queue puts it behind whatever else comes at this moment.
        agent.wake_at = self.now;
        self.queue.push(self.now, Occurrence::Wake(machine));
    }

    /// A node's deadline may have come. Whether it is to be woken now.
    pub(super) fn wake_due(&mut self, machine: usize) -> bool {
        let target = &mut self.machines[machine];
        if !target.agent.running || target.agent.wake_at != self.now {
            return false;
        }
        target.agent.wake_at = u64::MAX;
        target.agent.wake_missed = !target.agent_moves();
        !target.agent.wake_missed
    }

    /// Sees to it that a node is woken when it wants to be. At most one entry of the queue is live for each node.
    pub(super) fn arm_wake(&mut self, machine: usize, deadline: Instant, woken: Woken) {
        let target = &self.machines[machine];
        // A node that was just woken and still has a deadline behind it would stop the world's time.
        let earliest = self.now + u64::from(woken == Woken::JustNow);
        let at = target.true_time(deadline).max(earliest);
        if at < target.agent.wake_at {
            self.machines[machine].agent.wake_at = at;
            if at < u64::MAX {
                self.queue.push(at, Occurrence::Wake(machine));
            }
        }
    }

    /// Carries out one action of the node on a machine.
    pub(super) fn perform(&mut self, machine: usize, action: NodeAction) {
        match action {
            NodeAction::Send { to, packet } => self.send(machine, to, packet),
            NodeAction::Store(batch) => self.write_batch(machine, batch),
            NodeAction::NewStore(image) => self.replace_store(machine, Some(*image)),
            NodeAction::DropStore => self.replace_store(machine, None),
            // The checkers keep it, and hold it against the truth.
            NodeAction::Ledger(_) => {}
            NodeAction::ReloadStore => self.reload_store(machine, self.machines[machine].agent.session),
            NodeAction::Core(action) => self.perform_core(machine, action),
        }
    }

    fn perform_core(&mut self, machine: usize, action: Action) {
        match action {
            Action::Save(store) => {
                self.machines[machine].agent.store = *store;
                self.tell_definitions(machine);
            }
            // A node sends packets; a bare message has no way out of it.
            Action::Send { .. } => {}
            Action::Ping { to } => self.ping(machine, to),
            Action::Datastore { ticket, call } => self.ask_datastore(machine, ticket, call),
            Action::Fence { ticket, warrant, device, op } => {
                if op == FenceOp::PowerOff {
                    self.facts.push(Fact::PowerOffOrdered { index: warrant.index, machine });
                }
                self.ask_fence(machine, ticket, device, op);
            }
            Action::Watchdog(op) => self.work_watchdog(machine, op),
            Action::Kill(vm) => self.kill(machine, vm),
            Action::Reboot => self.reset(machine, "forced-reboot"),
            Action::Define { vm, payload } => self.define(machine, vm, &payload),
            Action::Describe { vm, though_brought } => self.describe(machine, vm, though_brought),
            Action::Platform { ticket, call } => self.call_hypervisor(machine, ticket, call),
            Action::AskGuest { ticket, vm, up, within, .. } => self.ask_guest(machine, ticket, vm, &up, within),
            Action::Hook { ticket, answer } => self.hook_answered(machine, ticket, answer),
            Action::Reply { ticket, reply } => self.replied(machine, ticket, reply),
            Action::UpgradeReady => self.end_upgraded(machine, self.machines[machine].agent.session),
            Action::Note(note) => self.note(machine, note),
        }
    }

    fn note(&mut self, machine: usize, note: Note) {
        if let Note::Alert(alert) = &note {
            self.facts.push(Fact::Alert(alert.clone()));
        }
        let host = self.machines[machine].host;
        self.tell(Happening::Note(host, note));
    }

    /// The agent is asked to make room for a newer one.
    pub(super) fn upgrade_agent(&mut self, machine: usize, takes: Option<Duration>) {
        self.machines[machine].agent.upgrading = Some(takes.map(micros));
        let session = self.machines[machine].agent.session;
        self.deliver(machine, NodeEvent::Core(Event::Upgrade));
        self.after(micros(UPGRADE_PATIENCE), Occurrence::UpgradeEnds { machine, session });
    }

    /// The agent that was asked ends, and the newer one starts.
    pub(super) fn end_upgraded(&mut self, machine: usize, session: u64) {
        let agent = &self.machines[machine].agent;
        if let Some(takes) = agent.upgrading.filter(|_| agent.running && agent.session == session) {
            let after = takes.unwrap_or_else(|| self.chance.power.range(500_000, 2_000_000));
            self.restart_agent(machine, after);
        }
    }
}

/// Whether a node has just been woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    JustNow,
    Otherwise,
}
