//! The one loop: step, persist, send, act.
//!
//! ```text
//!   packets ─┐                                  ┌─▶ transport
//!   answers ─┼─▶ drain ─▶ Node::step ─▶ gate ──┼─▶ datastores, fences, hypervisor, watchdog
//!   calls ───┤              ▲            │      └─▶ whoever asked
//!   time ────┘              └── store ◀──┘
//! ```
//!
//! The loop never waits for anything but its next input. What is slow is done elsewhere, and its end comes back as an
//! answer.

use super::gate::{Barrier, Gate, Overfull};
use super::hands::Hands;
use super::input::{Answer, Call, Retry};
use super::shutdown::Leave;
use crate::clock;
use crate::core::action::{Action, Event, WatchdogOp};
use crate::core::ids::Ticket;
use crate::core::reason::Refusal;
use crate::core::time::Instant;
use crate::node::{Node, NodeAction, NodeEvent, Setup};
use crate::store::{Operation, WriteErrorKind};
use crate::transport::{Inbound, Inbox};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// So many inputs are taken before time is looked at again, so that a flood cannot stop the clock.
const BURST: usize = 1_024;
/// The wall clock is told to the node this often.
const WALL_CLOCK: Duration = Duration::from_secs(5);
/// So long an agent that is to end waits for a master to let its guards go.
const PARTING: Duration = Duration::from_secs(20);
/// So many operators may wait for an answer.
const REPLIES: usize = 1_024;
/// An order to a fence device that was held back for longer is not given any more.
const LATE: Duration = Duration::from_secs(1);

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked to, and nobody counts on its guards any more.
    Parted,
    /// Its watchdog failed, and nobody counts on its guards any more: the next run does without.
    Guardless,
    /// The next run has what this one lacked, and nobody counts on its guards until then.
    Anew,
}

/// Why the loop cannot go on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The disk hangs.
    #[error(transparent)]
    Disk(#[from] StuckDisk),
    /// The watchdog was there, and cannot be opened.
    #[error("the watchdog cannot be opened: {0}; the next run of the agent does without it")]
    Watchdog(String),
    /// The thread that writes has ended.
    #[error("nobody writes to the disk any more: the writer has ended; see the error before")]
    Writer,
    /// What is on disk is damaged.
    #[error("what the agent keeps on its disk is damaged: {0}; see `holdfast backup restore`, or join anew")]
    Corrupt(String),
}

/// The disk takes no writes.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct StuckDisk(#[from] Overfull);

/// Where the loop's inputs come from.
pub(super) struct Inputs {
    pub(super) answers: mpsc::UnboundedReceiver<Answer>,
    pub(super) inbox: Inbox,
    pub(super) calls: mpsc::Receiver<Call>,
}

/// The loop of a node.
pub(super) struct Engine {
    node: Node,
    gate: Gate,
    hands: Hands,
    replies: BTreeMap<Ticket, oneshot::Sender<Result<(), Refusal>>>,
    /// Writes that others wait for, to try them again.
    writes: BTreeMap<Barrier, Operation>,
    actions: Vec<NodeAction>,
    next_wall: Instant,
    parting: Option<Instant>,
    /// How it will have ended, if it ends by what it was not asked for.
    ends_as: End,
    end: Option<End>,
}

impl Engine {
    /// Starts the node.
    pub(super) fn start(setup: Setup, hands: Hands) -> Result<Engine, EngineError> {
        let mut actions = Vec::new();
        let node = Node::start(clock::boottime(), setup, &mut actions);
        let mut engine = Engine {
            node,
            gate: Gate::default(),
            hands,
            replies: BTreeMap::new(),
            writes: BTreeMap::new(),
            actions,
            next_wall: Instant::ZERO,
            parting: None,
            ends_as: End::Parted,
            end: None,
        };
        engine.perform()?;
        Ok(engine)
    }

    /// Runs until it is told to end, or cannot go on.
    pub(super) async fn run(&mut self, mut inputs: Inputs) -> Result<End, EngineError> {
        loop {
            self.drain(&mut inputs)?;
            if let Some(end) = self.end {
                return Ok(end);
            }
            let now = clock::boottime();
            if now >= self.next_wall {
                self.next_wall = now + WALL_CLOCK;
                self.step(NodeEvent::WallClock { milliseconds: clock::wall_milliseconds() })?;
                self.hands.remember_led(&self.node, clock::wall_milliseconds());
            }
            if self.parting.is_some_and(|deadline| now >= deadline) {
                tracing::error!(
                    "no master has let this host's guards go: the agent goes on until one does, or until it is killed"
                );
                self.parting = Some(Instant::NEVER);
            }
            let deadline = self.node.next_deadline();
            if now >= deadline {
                self.hands.counts.loop_lag.observe(now.since(deadline));
                self.step(NodeEvent::Core(Event::Wake))?;
                continue;
            }
            let next = deadline.min(self.next_wall).min(self.parting.unwrap_or(Instant::NEVER));
            tokio::select! {
                Some(answer) = inputs.answers.recv() => self.answered(answer)?,
                Some(inbound) = inputs.inbox.recv() => self.received(inbound)?,
                Some(call) = inputs.calls.recv() => self.called(call)?,
                () = tokio::time::sleep(next.since(now)) => {}
            }
        }
    }

    /// Takes what is already there: silence is judged on a wake only, after everything that was said is heard.
    fn drain(&mut self, inputs: &mut Inputs) -> Result<(), EngineError> {
        for _ in 0..BURST {
            let mut idle = true;
            if let Ok(answer) = inputs.answers.try_recv() {
                idle = false;
                self.answered(answer)?;
            }
            if let Some(inbound) = inputs.inbox.try_recv() {
                idle = false;
                self.received(inbound)?;
            }
            if idle {
                break;
            }
        }
        // People wait longer than peers: one of them at a time, so that no crowd of them can stop the clock.
        match inputs.calls.try_recv() {
            Ok(call) => self.called(call),
            Err(_) => Ok(()),
        }
    }

    fn step(&mut self, event: NodeEvent) -> Result<(), EngineError> {
        self.node.step(clock::boottime(), event, &mut self.actions);
        self.perform()?;
        self.hands.counts.held_actions.store(self.gate.len() as u64, Ordering::Relaxed);
        self.hands.follow(&self.node);
        Ok(())
    }

    fn perform(&mut self) -> Result<(), EngineError> {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                self.pass(action)?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, action: NodeAction) -> Result<(), EngineError> {
        match action {
            NodeAction::Core(Action::Save(store)) => {
                self.hands.know(&store);
                self.hold_for(Operation::SaveAgent(store))
            }
            NodeAction::NewStore(image) => self.hold_for(Operation::NewVoter(image)),
            NodeAction::DropStore => self.hold_for(Operation::DropVoter),
            NodeAction::Store(batch) => self.hands.write_batch(batch),
            NodeAction::Ledger(facts) => self.hands.write_ledger(&facts),
            NodeAction::ReloadStore => self.reload(),
            action => {
                let now = clock::boottime();
                if let Some(action) = self.gate.pass(now, action).map_err(StuckDisk)? {
                    self.act(action, now)?;
                }
            }
        }
        Ok(())
    }

    /// Has something written, and holds back what follows until it is.
    fn hold_for(&mut self, operation: Operation) {
        let barrier = self.gate.hold();
        self.writes.insert(barrier, operation.clone());
        self.hands.write(barrier, operation);
    }

    fn act(&mut self, action: NodeAction, since: Instant) -> Result<(), EngineError> {
        match action {
            NodeAction::Send { to, packet } => self.hands.send(to, packet),
            NodeAction::Core(Action::Reply { ticket, reply }) => {
                if let Some(waiting) = self.replies.remove(&ticket) {
                    // Who asked may have gone; what was done stays done.
                    let _ = waiting.send(reply);
                }
            }
            NodeAction::Core(Action::UpgradeReady) => {
                self.end = Some(self.ends_as);
            }
            NodeAction::Core(Action::Fence { ticket, warrant, device, op }) => {
                // An order that waited for the disk may hit a host that was let in again since.
                let is_late = clock::boottime().since(since) > LATE;
                let settings = self.node.state().and_then(|state| state.registry.fences.get(&device)).cloned();
                let settings = settings.filter(|entry| !is_late && entry.set_up == warrant.set_up);
                self.hands.fence(ticket, device, settings, op);
            }
            NodeAction::Core(Action::Note(note)) => self.hands.note(&self.node, &note, clock::boottime()),
            NodeAction::Core(Action::Watchdog(WatchdogOp::Open)) => {
                // What follows would say that it counts. So nothing follows: the next run knows that it does not.
                if let Err(error) = self.hands.act(Action::Watchdog(WatchdogOp::Open)) {
                    self.hands.refuse_watchdog_now();
                    return Err(EngineError::Watchdog(error.to_string()));
                }
            }
            NodeAction::Core(action) => {
                if let Err(error) = self.hands.act(action) {
                    self.guard_failed(&error.to_string());
                }
            }
            NodeAction::Store(_)
            | NodeAction::NewStore(_)
            | NodeAction::DropStore
            | NodeAction::ReloadStore
            | NodeAction::Ledger(_) => {}
        }
        Ok(())
    }

    /// The watchdog fails. The log counts on it, so this run of the agent asks for its guards to be taken off the books,
    /// and ends; the next one will find out what there still is.
    fn guard_failed(&mut self, error: &str) {
        if self.parting.is_none() {
            tracing::error!(error, "the watchdog fails; the agent starts anew without it as soon as a master knows");
            self.ends_as = End::Guardless;
            self.hands.refuse_watchdog();
            self.part(Instant::NEVER);
        }
    }

    /// A datastore has come up after this agent did.
    fn storage_found(&mut self, name: &str) -> Result<(), EngineError> {
        if self.parting.is_none() {
            tracing::info!(datastore = name, "the datastore is there now; the agent starts anew with it");
            self.ends_as = End::Anew;
            self.part(Instant::NEVER);
        }
        self.perform()
    }

    fn part(&mut self, deadline: Instant) {
        self.parting = Some(deadline);
        self.node.step(clock::boottime(), NodeEvent::Core(Event::Upgrade), &mut self.actions);
    }

    fn answered(&mut self, answer: Answer) -> Result<(), EngineError> {
        match answer {
            Answer::Retry(_) if !self.hands.store.lives() => Err(EngineError::Writer),
            Answer::Event(event) => self.step(event),
            Answer::Written(barrier, Ok(())) => {
                self.written(barrier)?;
                self.perform()
            }
            Answer::Written(_, Err(error)) if error.kind == WriteErrorKind::Corrupt => {
                Err(EngineError::Corrupt(error.to_string()))
            }
            Answer::Written(barrier, Err(error)) => {
                tracing::error!(%error, waiting = self.gate.len(), "a write failed; nothing leaves before it is done");
                self.hands.later(Retry::Write(barrier));
                Ok(())
            }
            Answer::StorageFound(name) => self.storage_found(&name),
            Answer::Retry(Retry::Write(barrier)) => {
                self.write_again(barrier);
                Ok(())
            }
            Answer::Batch(ticket, result) => {
                if let Err(error) = &result {
                    tracing::error!(error, "the voter's store takes no writes: it is out until it does");
                }
                self.step(NodeEvent::Stored { ticket, done: result.is_ok() })
            }
            Answer::Ledger(result) => {
                self.hands.ledger_written(result);
                Ok(())
            }
            Answer::Retry(Retry::Ledger) => {
                self.hands.retry_ledger();
                Ok(())
            }
            Answer::Retry(Retry::Reload) => {
                self.reload();
                Ok(())
            }
            Answer::Reloaded(Ok(Some(image))) => self.step(NodeEvent::Reloaded(Box::new(image))),
            Answer::Reloaded(Ok(None)) => Ok(()),
            Answer::Reloaded(Err(error)) => {
                tracing::warn!(%error, "the voter's store cannot be read yet");
                self.hands.later(Retry::Reload);
                Ok(())
            }
        }
    }

    /// Reads the voter's store anew; but not the old one while a new one is still to take its place.
    fn reload(&self) {
        if self.writes.values().all(is_agents) { self.hands.reload() } else { self.hands.later(Retry::Reload) }
    }

    /// A write is on disk; so it does not matter any more that an earlier one of its kind is not.
    fn written(&mut self, barrier: Barrier) -> Result<(), EngineError> {
        let Some(operation) = self.writes.remove(&barrier) else { return Ok(()) };
        let is_older = |(earlier, other): (&Barrier, &Operation)| {
            (*earlier < barrier && is_agents(other) == is_agents(&operation)).then_some(*earlier)
        };
        let older: Vec<Barrier> = self.writes.iter().filter_map(is_older).collect();
        for barrier in older.into_iter().chain([barrier]) {
            self.writes.remove(&barrier);
            for (action, since) in self.gate.written(barrier) {
                self.act(action, since)?;
            }
        }
        Ok(())
    }

    /// Tries a write again, unless a later one of its kind is on its way: what is older must not end up on top of it.
    fn write_again(&self, barrier: Barrier) {
        let Some(operation) = self.writes.get(&barrier) else { return };
        let is_newer =
            |(later, other): (&Barrier, &Operation)| *later > barrier && is_agents(other) == is_agents(operation);
        if !self.writes.iter().any(is_newer) {
            self.hands.write(barrier, operation.clone());
        }
    }

    fn received(&mut self, inbound: Inbound) -> Result<(), EngineError> {
        match inbound {
            Inbound::Packet { from, packet } => self.step(NodeEvent::Packet { from, packet }),
            other => {
                self.hands.received(other);
                Ok(())
            }
        }
    }

    fn called(&mut self, call: Call) -> Result<(), EngineError> {
        match call {
            Call::Look(look) => {
                look(&self.node, clock::boottime());
                Ok(())
            }
            Call::Request { reply, .. } if self.replies.len() >= REPLIES => {
                let _ = reply.send(Err(Refusal::Busy));
                Ok(())
            }
            Call::Request { ticket, request, said, reply } => {
                self.replies.retain(|_, waiting| !waiting.is_closed());
                self.replies.insert(ticket, reply);
                self.step(NodeEvent::Core(Event::Request { ticket, request, said }))
            }
            Call::Facts(rows) => {
                self.hands.write_rows(rows);
                Ok(())
            }
            Call::Recorded(reply) => {
                self.hands.facts.tell_recorded(reply);
                Ok(())
            }
            Call::Stop(leave) => {
                if self.ends_as == End::Anew {
                    self.ends_as = End::Parted;
                }
                if leave == Leave::ShutDown {
                    self.step(NodeEvent::Core(Event::ShuttingDown))?;
                }
                if self.parting.is_none_or(|deadline| deadline == Instant::NEVER) {
                    self.part(clock::boottime() + PARTING);
                }
                self.perform()
            }
        }
    }
}

fn is_agents(operation: &Operation) -> bool {
    matches!(operation, Operation::SaveAgent(_))
}
