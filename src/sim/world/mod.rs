//! A whole cluster under a virtual clock: the engine, and the true world that its nodes live in.
//!
//! ```text
//!            ┌─────────── queue: what comes next, in true time ◀──────────┐
//!            ▼                                                            │
//!   occurrence ──▶ the true world ── outbox ──▶ nodes ── actions ──▶ the true world
//!                        │                        │
//!                        └──── facts, states ─────┴──▶ checkers
//! ```
//!
//! One thread, no real clock, every choice from the seed: the same specification and faults give the same run, to the
//! last microsecond.

mod agent;
mod bootstrap;
mod brain;
mod calls;
mod counts;
mod datastore;
mod definitions;
mod disk;
pub mod fact;
mod faults;
mod fence;
#[cfg(test)]
mod guest_tests;
mod guests;
mod hypervisor;
mod machine;
#[cfg(test)]
mod machine_tests;
mod migration;
mod network;
mod people;
mod power;
mod queue;
mod recovery;
#[cfg(test)]
mod script;
mod state;
#[cfg(test)]
mod storage_tests;
mod truth;

pub use brain::Brain;
pub use recovery::Recovered;
pub use truth::{FinalState, MachineState, Running, Truth};

use crate::core::action::Event;
use crate::core::ids::{Address, HostId, VoterId};
use crate::node::{Node, NodeAction, NodeEvent};
use crate::sim::check::{Checks, Findings};
use crate::sim::fault::Fault;
use crate::sim::spec::WorldSpec;
use crate::sim::timeline::{Happening, Moment, Violation};
use agent::Woken;
use queue::Occurrence;
use state::{ToNode, World, micros};
use std::collections::BTreeMap;
use std::time::Duration;

/// Copies for backups and roll-backs are taken this often.
const COPIES: u64 = 5_000_000;
/// The checkers look at how things stand this often.
const SAMPLE: u64 = 1_000_000;

/// A simulated cluster, generic over what decides on its machines.
///
/// The order of calls: [`Simulation::new`], any number of [`schedule`](Simulation::schedule), then
/// [`run_until`](Simulation::run_until) or [`step`](Simulation::step), with more faults in between at will.
#[derive(Debug)]
pub struct Simulation<B: Brain = Node> {
    world: World,
    /// By the machine's place.
    brains: Vec<Option<B>>,
    checks: Checks,
    actions: Vec<NodeAction>,
    steps: u64,
}

impl Simulation<Node> {
    /// A world with Holdfast on its hosts, before its first moment.
    pub fn new(spec: WorldSpec) -> Simulation<Node> {
        Simulation::with_brains(spec)
    }
}

impl<B: Brain> Simulation<B> {
    /// A world with anything on its hosts.
    pub fn with_brains(spec: WorldSpec) -> Simulation<B> {
        let checks = Checks::new(&spec);
        let mut world = bootstrap::world(spec);
        world.begin();
        let mut simulation = Simulation { world, brains: Vec::new(), checks, actions: Vec::new(), steps: 0 };
        simulation.settle();
        simulation
    }

    /// Whether every moment is kept, for the timeline, or only the latest. Everything is counted either way.
    pub fn record(&mut self, on: bool) {
        self.world.chronicle.recording = on;
    }

    /// Lets a fault befall the world at a moment of true time; at once, if that moment has passed.
    pub fn schedule(&mut self, at: Duration, fault: Fault) {
        let at = micros(at).max(self.world.now);
        self.world.queue.push(at, Occurrence::Fault(Box::new(fault)));
    }

    /// Lets everything happen up to and at a moment of true time.
    pub fn run_until(&mut self, at: Duration) {
        let at = micros(at);
        while self.world.queue.next_at().is_some_and(|next| next <= at) {
            self.step();
        }
        self.world.now = self.world.now.max(at);
    }

    /// At the end of a run: holds what the ledger tells of it against what was true.
    pub fn account(&mut self) {
        self.checks.account(self.world.now);
        self.report();
    }

    /// Lets the next thing happen, with all that follows from it at once. False if nothing is to come.
    pub fn step(&mut self) -> bool {
        let Some((at, occurrence)) = self.world.queue.pop() else { return false };
        self.world.now = at;
        self.steps += 1;
        match occurrence {
            Occurrence::Wake(machine) => {
                if self.world.wake_due(machine) {
                    self.step_node(machine, NodeEvent::Core(Event::Wake), Woken::JustNow);
                }
            }
            Occurrence::Sample => self.sample(),
            Occurrence::Fault(fault) if self.exceeds_the_guarantee(&fault) => {
                self.world.tell(Happening::FaultSkipped(*fault));
            }
            other => self.world.happen(other),
        }
        self.settle();
        true
    }

    /// Whether a fault would destroy the stores of a majority of voters: nothing is promised after that.
    fn exceeds_the_guarantee(&self, fault: &Fault) -> bool {
        let Fault::RestoreBackup(host, _) = fault else { return false };
        let Some(members) = self.master().and_then(|(_, brain)| brain.electorate()) else { return true };
        let sound = |voter: &VoterId| {
            self.world.machines.iter().any(|machine| {
                let image = machine.disk.image.as_ref().filter(|image| image.voter == *voter);
                let counts = machine.host != *host && machine.should_be_on && !machine.given_up;
                counts && image.is_some_and(|image| !image.restored_from_backup)
            })
        };
        let has_majority = |voters: &[VoterId]| {
            voters.is_empty() || voters.iter().filter(|voter| sound(voter)).count() * 2 > voters.len()
        };
        !has_majority(&members.voters) || !has_majority(&members.voters_outgoing)
    }

    /// The present moment of true time.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.world.now)
    }

    /// How many things have happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What happened: all of it if that was recorded, else the latest.
    pub fn timeline(&self) -> &[Moment] {
        &self.world.chronicle.moments
    }

    /// How often each thing happened, as "group/name", with zero for what did not.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.world.chronicle.counts.all()
    }

    /// Every violation of an invariant, the excused ones too.
    pub fn violations(&self) -> &[Violation] {
        &self.world.chronicle.violations
    }

    /// What the world was made of.
    pub fn spec(&self) -> &WorldSpec {
        &self.world.spec
    }

    /// How things are in truth.
    pub fn truth(&self) -> Truth<'_> {
        Truth::new(&self.world)
    }

    /// The node on a host, if its agent runs.
    pub fn node(&self, host: HostId) -> Option<&B> {
        self.brain(self.world.place(host)?)
    }

    /// The host whose node is the master by the highest authority, if any claims to be one.
    pub fn master(&self) -> Option<(HostId, &B)> {
        let place = self.master_place()?;
        Some((self.world.machines[place].host, self.brain(place)?))
    }

    fn master_place(&self) -> Option<usize> {
        let claims = (0..self.world.machines.len()).filter_map(|place| Some((self.brain(place)?.master()?, place)));
        claims.max().map(|(_, place)| place)
    }

    fn brain(&self, place: usize) -> Option<&B> {
        let runs = self.world.machines[place].agent.running;
        self.brains.get(place).and_then(Option::as_ref).filter(|_| runs)
    }

    /// Lets nodes and checkers see to everything that has come up, until nothing is left.
    fn settle(&mut self) {
        loop {
            self.check();
            let Some(next) = self.world.outbox.pop_front() else { return };
            match next {
                ToNode::Start { machine, setup } => {
                    let session = setup.session;
                    let mut actions = std::mem::take(&mut self.actions);
                    let now = self.world.machines[machine].local(self.world.now);
                    if self.brains.len() <= machine {
                        self.brains.resize_with(machine + 1, || None);
                    }
                    let host = self.world.machines[machine].host;
                    self.checks.agent_started(machine, host, session, now);
                    self.brains[machine] = Some(B::start(now, *setup, &mut actions));
                    self.perform(machine, session, actions, Woken::Otherwise);
                }
                ToNode::Deliver { machine, session, event } => {
                    let agent = &self.world.machines[machine].agent;
                    if agent.running && agent.session == session {
                        self.step_node(machine, event, Woken::Otherwise);
                    }
                }
            }
        }
    }

    fn step_node(&mut self, machine: usize, event: NodeEvent, woken: Woken) {
        let target = &self.world.machines[machine];
        let (now, session) = (target.local(self.world.now), target.agent.session);
        let Some(brain) = self.brains.get_mut(machine).and_then(Option::as_mut) else { return };
        let mut actions = std::mem::take(&mut self.actions);
        self.checks.agent_hears(machine, now, &event);
        brain.tell_time(now, i64::try_from(self.world.now / 1_000).unwrap_or(i64::MAX));
        brain.step(now, event, &mut actions);
        if brain.knows_master() {
            self.world.machines[machine].agent.led_at = Some(self.world.now);
        }
        self.perform(machine, session, actions, woken);
        if woken == Woken::JustNow {
            self.checks.agent_woke(machine, (self.world.now, now));
        }
    }

    /// Carries out a node's actions in their order, as long as that run of it lives: one of them may be its end.
    fn perform(&mut self, machine: usize, session: u64, mut actions: Vec<NodeAction>, woken: Woken) {
        // The checkers see the node's new state before they see what it does with it.
        if let Some(brain) = self.brains.get(machine).and_then(Option::as_ref) {
            self.checks.node_stepped(self.world.now, machine, brain.state(), brain.master());
        }
        for action in actions.drain(..) {
            let agent = &self.world.machines[machine].agent;
            if !agent.running || agent.session != session {
                break;
            }
            let now = self.world.machines[machine].local(self.world.now);
            let members = self.brains.get(machine).and_then(Option::as_ref).and_then(Brain::electorate);
            self.checks.agent_does(machine, now, &action, members);
            self.world.perform(machine, action);
        }
        actions.clear();
        self.actions = actions;
        let agent = &self.world.machines[machine].agent;
        let lives = agent.running && agent.session == session;
        if let Some(brain) = self.brains.get(machine).and_then(Option::as_ref).filter(|_| lives) {
            self.world.arm_wake(machine, brain.next_deadline(), woken);
        }
    }

    /// Tells the checkers what came true.
    fn check(&mut self) {
        if !self.world.facts.is_empty() {
            for fact in self.world.facts.drain(..) {
                self.checks.fact(self.world.now, &fact);
            }
        }
        self.report();
    }

    fn report(&mut self) {
        if let Some(Findings(found)) = self.checks.findings() {
            for violation in found {
                self.world.chronicle.violations.push(violation.clone());
                self.world.tell(Happening::Violation(violation));
            }
        }
    }
}

impl World {
    /// Lets something happen that concerns the world alone.
    fn happen(&mut self, occurrence: Occurrence) {
        match occurrence {
            // The engine sees to these two itself.
            Occurrence::Wake(_) | Occurrence::Sample => {}
            Occurrence::Fault(fault) => self.befall(*fault),
            Occurrence::Packet { to, from, packet } => self.arrive(to, from, *packet),
            Occurrence::Ping { to, from } => self.pinged(to, from),
            Occurrence::Pong { to, from } => {
                let from = Address(from as u32);
                self.deliver(to, NodeEvent::Core(Event::Pong { from }));
            }
            Occurrence::Booted { machine, life } => self.booted(machine, life),
            Occurrence::PowerReturns(machine) => self.power_on(machine),
            Occurrence::Thaw(machine) => self.thaw(machine),
            Occurrence::Unhang(machine) => self.unhang(machine),
            Occurrence::AgentStart { machine, life } => self.agent_starts(machine, life),
            Occurrence::UpgradeEnds { machine, session } => self.end_upgraded(machine, session),
            Occurrence::Watchdog(machine) => self.watchdog_due(machine),
            Occurrence::Io { machine, life, datastore } => self.end_io(machine, life, datastore),
            Occurrence::Disk { machine, sync } => self.synced(machine, sync),
            Occurrence::Reload { machine, session } => self.reload_store(machine, session),
            Occurrence::Call { machine, life, call } => self.call_due(machine, life, call),
            Occurrence::Reaped { machine, life, vm, serial } => self.reap(machine, life, vm, serial),
            Occurrence::Daemon { machine, life } => self.daemon_due(machine, life),
            Occurrence::HookExpires(ticket) => self.hook_expires(ticket),
            Occurrence::Switch(migration) => self.switch(migration),
            Occurrence::GuestAnswers { machine, life, session, ticket, answer } => {
                self.guest_has_answered((machine, life, session), ticket, answer);
            }
            Occurrence::Fence(device) => self.fence_done(device),
            Occurrence::FenceCuts(machine) => self.fence_cuts(machine),
            Occurrence::FenceGivenUp { machine, session, ticket } => self.fence_given_up(machine, session, ticket),
            Occurrence::ReplyOverdue { ticket, attempt } => self.reply_overdue(ticket, attempt),
            Occurrence::Asks(request) => self.ask_cluster(*request),
            Occurrence::TwinLeaves(machine) => self.power_off(machine, "twin-left"),
            Occurrence::ShuttingDown { machine, life, give_up, again } => {
                self.shutdown_due(machine, life, give_up, again);
            }
            Occurrence::Copies => {
                let now = self.now;
                self.datastores.iter_mut().for_each(|datastore| datastore.copy(now));
                self.take_backups();
                self.after(COPIES, Occurrence::Copies);
            }
        }
    }
}
