//! What carries out a node's actions: each to its adapter, none of them waiting.

use super::alerts::Alerts;
use super::gate::Barrier;
use super::guests::GuestAsker;
use super::input::{Answer, Retry};
use super::ledger::{Facts, row};
use super::pings::Pings;
use super::storage::Search;
use crate::clock;
use crate::core::action::{Action, AgentStore, Event, Note, WatchdogOp};
use crate::core::ids::{Address, BootId, ConfigVersion, DatastoreId, FenceId, LogIndex, Ticket, VmId};
use crate::core::message::{FenceOp, FenceResult, Known};
use crate::core::reason::Alert;
use crate::core::record::{DatastoreOp, DatastoreResult};
use crate::core::state::FenceEntry;
use crate::core::time::Instant;
use crate::datastore::DatastoreThread;
use crate::election::StoreBatch;
use crate::explain::{self, NameList};
use crate::fence::{FenceClients, FenceDevice};
use crate::ledger;
use crate::metrics::{Counts, Outcome, Recoveries};
use crate::node::{Node, NodeEvent, Packet};
use crate::platform::Platform;
use crate::samples::{Delivery, Keeper, is_samples};
use crate::store::{LedgerRow, Operation, Refused, Store, WriteError};
use crate::transport::{Inbound, Transport};
use crate::watchdog::{Watchdog, WatchdogError};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// What could not be written is tried again after this.
const RETRY: Duration = Duration::from_millis(500);
/// The setting that holds in which boot the watchdog failed.
pub(super) const REFUSED_WATCHDOG: &str = "watchdog-refused";
/// The last write of a loop that ends is waited for so long.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// The setting that holds when a master was known last.
pub(super) const LED: &str = "led";

/// What others may know of this node at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// Where the master is, if it is known.
    pub master: Option<Address>,
    /// Whether that is this node.
    pub is_master: bool,
    /// Whether this node votes.
    pub votes: bool,
    /// How often its state began with one that it had not come to by itself.
    pub beginnings: u64,
    /// The last place in its log at which a person changed a channel.
    pub channels: LogIndex,
}

/// All adapters of a node.
pub(super) struct Hands {
    /// How this host is called.
    pub(super) me: String,
    /// The boot of its machine.
    pub(super) boot: BootId,
    pub(super) answers: mpsc::UnboundedSender<Answer>,
    pub(super) store: Store,
    pub(super) transport: Arc<Transport>,
    pub(super) datastores: BTreeMap<DatastoreId, DatastoreThread>,
    /// For datastores that were not there; they end with the loop.
    pub(super) _searches: Vec<Search>,
    pub(super) platform: Box<dyn Platform>,
    /// What the hypervisor was told of protected VMs, if it was told anything.
    pub(super) known: Option<BTreeMap<VmId, Known>>,
    pub(super) watchdog: Option<Box<dyn Watchdog>>,
    pub(super) fences: Arc<FenceClients>,
    pub(super) fence_timeout: Duration,
    /// What went wrong with each fence device when this node asked it last, in its own words.
    pub(super) fence_troubles: Arc<Mutex<BTreeMap<FenceId, String>>>,
    pub(super) calls_in: mpsc::Sender<Inbound>,
    pub(super) alerts: Alerts,
    pub(super) guests: GuestAsker,
    pub(super) pings: Pings,
    /// Facts on their way to the disk.
    pub(super) facts: Facts,
    /// Tells those who follow the ledger that there is more of it.
    pub(super) more_facts: watch::Sender<u64>,
    pub(super) roster: super::roster::Keeper,
    /// Takes in what agents have measured.
    pub(super) samples: Keeper,
    pub(super) glance: watch::Sender<Glance>,
    /// Where the master was when it was known last.
    pub(super) last_master: Option<Address>,
    pub(super) counts: Arc<Counts>,
    pub(super) recoveries: Recoveries,
}

impl Hands {
    /// Hands a packet to the transport.
    pub(super) fn send(&self, to: Address, packet: Packet) {
        self.transport.send(to, packet);
    }

    /// Tells the hypervisor which VMs are protected, if that is news. An agent that no master has told anything yet does
    /// not know that there are none.
    pub(super) fn know(&mut self, store: &AgentStore) {
        let is_told = store.config != ConfigVersion::default();
        if is_told && self.known.as_ref() != Some(&store.protected) {
            self.platform.know(&store.protected);
            self.known = Some(store.protected.clone());
        }
    }

    /// Does what needs no answer but the one that its adapter gives.
    pub(super) fn act(&mut self, action: Action) -> Result<(), WatchdogError> {
        match action {
            Action::Datastore { ticket, call } => self.on_datastore(ticket, call.datastore, call.op),
            Action::Define { vm, payload } => self.platform.define(vm, payload),
            Action::Describe { vm, though_brought } => self.platform.describe(vm, though_brought),
            Action::Platform { ticket, call } => self.platform.call(ticket, call),
            Action::Kill(vm) => self.platform.kill(vm),
            Action::Watchdog(op) => return self.work_watchdog(op),
            Action::Reboot => self.platform.reboot(),
            Action::AskGuest { ticket, uuid, up, within, .. } => self.guests.ask(ticket, uuid, up, within),
            Action::Hook { ticket, answer } => self.platform.answer(ticket, answer),
            Action::Ping { to } => self.pings.ping(&self.transport.roster(), to),
            Action::Save(_)
            | Action::Send { .. }
            | Action::Fence { .. }
            | Action::Reply { .. }
            | Action::UpgradeReady
            | Action::Note(_) => {}
        }
        Ok(())
    }

    fn on_datastore(&self, ticket: Ticket, datastore: DatastoreId, op: DatastoreOp) {
        match self.datastores.get(&datastore) {
            Some(thread) => thread.submit(ticket, op),
            None => {
                let result = DatastoreResult::Failed;
                self.answer(Answer::Event(NodeEvent::Core(Event::Datastore { ticket, result })));
            }
        }
    }

    fn work_watchdog(&mut self, op: WatchdogOp) -> Result<(), WatchdogError> {
        let Some(watchdog) = &mut self.watchdog else { return Ok(()) };
        match op {
            WatchdogOp::Open => watchdog.open().map(|opened| {
                tracing::info!(timeout = ?opened.timeout, "the watchdog is open: without feeding it resets this machine");
            }),
            WatchdogOp::Feed => watchdog.feed(),
            WatchdogOp::Close => watchdog.close(),
        }
    }

    /// Keeps in mind, for the next run of the agent, that the watchdog of this boot is no guard.
    pub(super) fn refuse_watchdog(&self) {
        let mark = Operation::Mark { key: REFUSED_WATCHDOG.to_owned(), value: self.boot.to_string() };
        if let Err(refused) = self.store.submit(mark, |_| {}) {
            tracing::error!(%refused, "that the watchdog failed could not be kept");
        }
    }

    /// The same for a loop that ends with it, and has nothing else to do than to wait for the disk for a while.
    pub(super) fn refuse_watchdog_now(&self) {
        let (told, tell) = std::sync::mpsc::channel();
        let mark = Operation::Mark { key: REFUSED_WATCHDOG.to_owned(), value: self.boot.to_string() };
        let done = move |result: Result<(), WriteError>| {
            // Whoever waited may have lost patience.
            let _ = told.send(result.is_ok());
        };
        let kept = self.store.submit(mark, done).is_ok() && tell.recv_timeout(LAST_WRITE) == Ok(true);
        if !kept {
            tracing::error!("that the watchdog failed could not be kept: the next run will try it again");
        }
    }

    /// Asks a fence device. Who does not vote has no settings, and reaches none.
    pub(super) fn fence(&self, ticket: Ticket, id: FenceId, settings: Option<FenceEntry>, op: FenceOp) {
        let answers = self.answers.clone();
        let done = move |result| {
            // A loop that has ended waits for nothing.
            let _ = answers.send(Answer::Event(NodeEvent::Core(Event::Fence { ticket, result })));
        };
        let Some(entry) = settings else { return done(FenceResult::Unreachable) };
        let (fences, deadline) = (Arc::clone(&self.fences), self.fence_timeout);
        let (troubles, counts) = (Arc::clone(&self.fence_troubles), Arc::clone(&self.counts));
        tokio::spawn(async move {
            let device = match serde_json::from_slice::<FenceDevice>(&entry.settings.0) {
                Ok(device) => device,
                Err(error) => {
                    tracing::error!(fence = entry.name, device = %id, %error, "the settings of a fence device cannot be read");
                    return done(FenceResult::Unreachable);
                }
            };
            let asked = clock::boottime();
            let answer = fences.perform(&device, op, deadline).await;
            counts.fence_answered(&entry.name, op, answer.result, clock::boottime().since(asked));
            let mut troubles = troubles.lock().unwrap_or_else(PoisonError::into_inner);
            match &answer.detail {
                Some(detail) => {
                    tracing::warn!(fence = entry.name, ?op, detail, "a fence device did not do as asked");
                    troubles.insert(id, detail.clone());
                }
                None => drop(troubles.remove(&id)),
            }
            drop(troubles);
            done(answer.result);
        });
    }

    /// Hands something to the writer, and measures how long that takes.
    fn submit(
        &self,
        operation: Operation,
        done: impl FnOnce(Result<(), WriteError>) + Send + 'static,
    ) -> Result<(), Box<Refused>> {
        let under_way = self.counts.store_write(&operation);
        self.store.submit(operation, move |result| {
            under_way.end(Outcome::of(&result));
            done(result);
        })
    }

    /// Has something written that others wait for.
    pub(super) fn write(&self, barrier: Barrier, operation: Operation) {
        let answers = self.answers.clone();
        let done = move |result| {
            let _ = answers.send(Answer::Written(barrier, result));
        };
        if self.submit(operation, done).is_err() {
            self.later(Retry::Write(barrier));
        }
    }

    /// Has a batch of the voter written.
    pub(super) fn write_batch(&self, batch: StoreBatch) {
        let (answers, ticket) = (self.answers.clone(), batch.ticket);
        let done = move |result: Result<(), WriteError>| {
            let _ = answers.send(Answer::Batch(ticket, result.map_err(|error| error.to_string())));
        };
        if let Err(refused) = self.submit(Operation::Batch(Box::new(batch)), done) {
            self.answer(Answer::Batch(ticket, Err(refused.why.to_string())));
        }
    }

    /// Adds facts to the ledger.
    pub(super) fn write_ledger(&mut self, facts: &[ledger::Entry]) {
        self.counts.facts.fetch_add(facts.len() as u64, Ordering::Relaxed);
        self.recoveries.follow(facts);
        self.write_rows(facts.iter().filter_map(row).collect());
    }

    /// Adds rows to the ledger, before any write that follows.
    pub(super) fn write_rows(&mut self, rows: Vec<LedgerRow>) {
        let (answers, kept) = (self.answers.clone(), rows.clone());
        let done = move |result: Result<(), WriteError>| {
            let _ = answers.send(Answer::Ledger(result.map_err(|error| (error.to_string(), kept))));
        };
        match self.submit(Operation::Ledger(rows.clone()), done) {
            Ok(()) => self.facts.handed_over(),
            Err(_) => self.refused(rows),
        }
    }

    fn refused(&mut self, rows: Vec<LedgerRow>) {
        if self.facts.keep(rows) {
            self.later(Retry::Ledger);
        }
    }

    /// What became of facts that were handed over.
    pub(super) fn ledger_written(&mut self, result: Result<(), (String, Vec<LedgerRow>)>) {
        match result {
            Ok(()) => self.more_facts.send_modify(|count| *count += 1),
            Err((error, rows)) => {
                tracing::error!(error, "the ledger takes no facts; they wait in memory");
                self.refused(rows);
            }
        }
        self.facts.came_back();
    }

    /// Tries those facts again that the disk refused.
    pub(super) fn retry_ledger(&mut self) {
        for rows in self.facts.take() {
            self.write_rows(rows);
        }
    }

    /// Reads the voter's store anew.
    pub(super) fn reload(&self) {
        let answers = self.answers.clone();
        let done = move |result| {
            let _ = answers.send(Answer::Reloaded(result));
        };
        if self.store.reload_voter(done).is_err() {
            self.later(Retry::Reload);
        }
    }

    /// Comes back to something after a while.
    pub(super) fn later(&self, retry: Retry) {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RETRY).await;
            let _ = answers.send(Answer::Retry(retry));
        });
    }

    fn answer(&self, answer: Answer) {
        // A loop that has ended waits for nothing.
        let _ = self.answers.send(answer);
    }

    /// Something came that is not for the node.
    pub(super) fn received(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Roster(roster) => {
                let votes = self.glance.borrow().votes;
                self.roster.learnt(&self.store, &self.transport, roster, votes);
            }
            Inbound::Call { from, body, answer } if is_samples(&body) => {
                self.samples.deliver(Delivery::Batches { from, body, answer });
            }
            inbound @ Inbound::Call { .. } => {
                if self.calls_in.try_send(inbound).is_err() {
                    tracing::warn!("too many requests are passed on to this node; one was dropped");
                }
            }
            Inbound::Connected(peer) => tracing::debug!(%peer, "a peer is connected"),
            Inbound::Disconnected(peer) => tracing::info!(%peer, "a peer is gone"),
            Inbound::Packet { .. } => {}
        }
    }

    /// Tells others what has changed with a step.
    pub(super) fn follow(&mut self, node: &Node) {
        self.roster.follow(node, &self.store, &self.transport);
        self.counts.facts_waiting.store(self.facts.waiting() as u64, Ordering::Relaxed);
        let now = Glance {
            master: node.master_address(),
            is_master: node.master().is_some(),
            votes: node.voter().is_some(),
            beginnings: node.beginnings(),
            channels: node.state().map_or_else(Default::default, |state| state.registry.channels_changed),
        };
        self.glance.send_if_modified(|before| {
            let changed = *before != now;
            if now.master.is_some_and(|master| self.last_master.replace(master) != Some(master)) {
                self.counts.master_changes.fetch_add(1, Ordering::Relaxed);
            }
            *before = now;
            changed
        });
    }

    /// Keeps in mind that there is a master, so that a later run knows for how long nobody saw anything.
    pub(super) fn remember_led(&self, node: &Node, wall_milliseconds: i64) {
        if node.knows_master() {
            let mark = Operation::Mark { key: LED.to_owned(), value: wall_milliseconds.to_string() };
            // The next one will do as well.
            let _ = self.store.submit(mark, |_| {});
        }
    }

    /// An alert with what the device itself said, as far as this node was told.
    fn in_full(&self, alert: &Alert, text: String) -> String {
        let (Alert::FenceFailed { device } | Alert::WrongMachine { device }) = alert else { return text };
        let troubles = self.fence_troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(device).map_or(text.clone(), |detail| format!("{text}: {detail}"))
    }

    /// Says what people will want to know.
    pub(super) fn note(&self, node: &Node, note: &Note, now: Instant) {
        if matches!(note, Note::Refused(_)) && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let text = match node.state() {
            Some(state) => explain::note_of(&self.me, note, state),
            None => explain::note_of(&self.me, note, &NameList::default()),
        };
        match note {
            Note::Alert(alert) => {
                let text = self.in_full(alert, text);
                tracing::error!(alert = text, "alert");
                self.counts.alert(alert);
                // Channels are told of all others, by the master, from the ledger.
                if alert.has_no_log() {
                    self.alerts.raise(alert, &text);
                }
            }
            Note::Refused(_) => tracing::debug!(at = now.as_micros(), "{text}"),
            _ => tracing::info!("{text}"),
        }
    }
}
