//! The agent of one host: its heartbeats, its lease and guards, and what it starts and stops.
//!
//! ```text
//!            challenge            welcome              first ack
//!  Stranger ───────────▶ Joining ─────────▶ Admitted ───────────▶ Admitted with a lease
//!     ▲                     ▲                  │  ▲                    │
//!     │ agent starts        │ challenge        │  └── acks, records ───┤
//!     │                     └──────────────────┘                       │
//!     └────────────── lease ended: covered VMs killed ◀────────────────┘
//! ```
//!
//! The agent never decides where a VM runs. It starts what a fresh permit names, refuses what is older than what it
//! has seen, and ends what its lease covers when the lease ends. In doubt it says `Unknown` and looks again.

mod acts;
mod definitions;
mod guests;
mod hook;
mod lease;
mod leftovers;
mod local;
mod look;
mod orders;
mod session;
mod storage;
mod vms;

pub use look::AgentStanding;

use crate::core::action::{Action, AgentStore, Event, Note, PlatformCall, PlatformEvent};
use crate::core::ids::{
    Address, Authority, BootId, ConfigVersion, DatastoreId, Epoch, Generation, HostId, Incarnation, NetworkId, Ticket,
    VmId,
};
use crate::core::message::{Guards, Message, RemoteOp, RemoteResult, Watchdog};
use crate::core::reason::Refusal;
use crate::core::state::Armed;
use crate::core::time::Instant;
use crate::core::timing::Timing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The machine that a node runs on, as far as the node can see it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its number.
    pub host: HostId,
    /// Its address.
    pub address: Address,
    /// This boot.
    pub boot: BootId,
    /// A print of the machine's parts, such as its network cards: it tells two machines with one UUID apart.
    pub hardware: u64,
    /// What watchdog it has: one that can be opened, with its time-out read back.
    pub watchdog: Watchdog,
    /// The heartbeat datastores that it is set to use.
    pub heartbeat_datastores: BTreeSet<DatastoreId>,
    /// The datastores that its guests can reach.
    pub datastores: BTreeSet<DatastoreId>,
    /// Which formatting each of its datastores is: another one under the same number is another world.
    pub formattings: BTreeMap<DatastoreId, u128>,
    /// The networks that its guests can reach.
    pub networks: BTreeSet<NetworkId>,
}

/// So many operations for the master may be under way at once; more are not begun, and the master asks again.
const REMOTE_LIMIT: usize = 64;

/// The agent of one host.
#[derive(Debug)]
pub struct Agent {
    timing: Arc<Timing>,
    machine: Machine,
    session: u64,
    store: AgentStore,
    /// The last generation that it was given in this boot; zero before the first.
    generation: Generation,
    /// Whether that generation still holds: not since a challenge was answered or the lease ended.
    admitted: bool,
    /// Where the master was last heard.
    master: Option<Address>,
    last_ack: Instant,
    /// The first readings of the mail that have not returned yet, and until when they are waited for.
    first_mail: (BTreeSet<Ticket>, Instant),
    heartbeats: session::Heartbeats,
    reports: session::Reports,
    lease: lease::Lease,
    channels: BTreeMap<DatastoreId, storage::Channel>,
    vms: BTreeMap<VmId, local::LocalVm>,
    looks: vms::Looks,
    definitions: definitions::Definitions,
    guests: guests::Guests,
    leftovers: leftovers::Leftovers,
    hooks: BTreeMap<Ticket, hook::Waiting>,
    remote: BTreeMap<Ticket, (Address, Ticket)>,
    probes: BTreeMap<Ticket, (VmId, Epoch)>,
    /// Since when it is asked to end, if it is.
    ending: Option<Instant>,
    shutting_down: bool,
    last_wake: Instant,
    last_ticket: u64,
}

impl Agent {
    /// Starts the agent. Nothing is known of what runs until the first look has returned.
    pub fn start(
        now: Instant,
        machine: Machine,
        session: u64,
        store: AgentStore,
        timing: Arc<Timing>,
        actions: &mut Vec<Action>,
    ) -> Agent {
        let mut agent = Agent {
            heartbeats: session::Heartbeats::starting(now),
            reports: session::Reports::default(),
            lease: lease::Lease::starting(now, !store.protected.is_empty()),
            channels: BTreeMap::new(),
            vms: BTreeMap::new(),
            looks: vms::Looks::starting(now),
            definitions: definitions::Definitions::default(),
            guests: guests::Guests::default(),
            leftovers: leftovers::Leftovers::default(),
            hooks: BTreeMap::new(),
            remote: BTreeMap::new(),
            probes: BTreeMap::new(),
            generation: Generation(0),
            admitted: false,
            master: None,
            last_ack: now,
            first_mail: (BTreeSet::new(), now + timing.storage_patience * 3),
            ending: None,
            shutting_down: false,
            last_wake: now,
            // Tickets of an earlier run may still be answered: none of them is given again.
            last_ticket: session << 32,
            timing,
            machine,
            session,
            store,
        };
        agent.remember_journal(now);
        if agent.store.told != agent.store.config {
            agent.account_for_all(now, actions);
        }
        // A watchdog that an earlier run left counting is not touched before the first renewal: to open it would count
        // anew for VMs whose lease nobody has renewed. One that was closed in good order, or was last opened in another
        // boot, does not count.
        if agent.store.armed == Armed::Armed && agent.store.watchdog_opened != Some(agent.machine.boot) {
            agent.open_watchdog(actions);
        }
        agent.look(now, actions);
        agent.read_first_mail(actions);
        agent
    }

    /// Lets one thing happen. See the contract of [`Node`](crate::node::Node).
    pub fn step(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        // First of all, whatever happened: a lease that has ended meanwhile must not be mended by what arrives now.
        self.check_lease(now, actions);
        match event {
            Event::Wake => self.wake(now, actions),
            Event::Message { from, message } => self.receive(now, from, message, actions),
            Event::Datastore { ticket, result } => {
                if let Some((asker, asked)) = self.remote.remove(&ticket) {
                    let result = RemoteResult::Datastore(result);
                    actions.push(Action::Send { to: asker, message: Message::RemoteDone { ticket: asked, result } });
                } else {
                    self.storage_answered(now, ticket, result, actions);
                }
            }
            Event::Fence { ticket, result } => {
                if let Some((asker, asked)) = self.remote.remove(&ticket) {
                    let result = RemoteResult::Fence(result);
                    actions.push(Action::Send { to: asker, message: Message::RemoteDone { ticket: asked, result } });
                }
            }
            Event::Platform(event) => self.platform_says(now, event, actions),
            Event::GuestAnswered { ticket, answer } => self.guest_answered(now, ticket, answer, actions),
            Event::Upgrade => self.begin_upgrade(now, actions),
            Event::ShuttingDown => self.begin_shutdown(now, actions),
            Event::ShutdownCalledOff => self.shutting_down = false,
            Event::Request { .. } | Event::Pong { .. } => {}
        }
        self.send_report_if_due(now, actions);
    }

    fn platform_says(&mut self, now: Instant, event: PlatformEvent, actions: &mut Vec<Action>) {
        match event {
            PlatformEvent::Returned { ticket, outcome } => self.call_returned(now, ticket, outcome, actions),
            PlatformEvent::Looked { ticket, view } => self.looked(now, ticket, view, actions),
            PlatformEvent::Changed { .. } => self.look(now, actions),
            PlatformEvent::Defined { vm, shape } => self.defined(now, vm, shape, actions),
            PlatformEvent::Offers(features) => self.offers(now, features),
            PlatformEvent::Asks { ticket, vm, coming, ended } => {
                self.hook_asks(now, ticket, (vm, coming, ended), actions);
            }
        }
    }

    fn wake(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if now.since(self.last_wake) > self.timing.gap + self.timing.heartbeat {
            actions.push(Action::Note(Note::Gap));
        }
        self.last_wake = now;
        if now >= self.first_mail.1 {
            self.first_mail.0.clear();
        }
        self.beat_if_due(now, actions);
        self.write_records_if_due(now, actions);
        self.look_if_due(now, actions);
        self.give_up_hooks(now, actions);
        self.send_definitions(now, actions);
        self.tend_guests(now, actions);
    }

    /// When it wants to be woken.
    pub fn next_deadline(&self) -> Instant {
        let channels = self.channels.values().map(|channel| channel.next_deadline());
        let hooks = self.hooks.values().map(|waiting| waiting.deadline);
        let mail = if self.first_mail.0.is_empty() { Instant::NEVER } else { self.first_mail.1 };
        [self.heartbeats.next, self.lease_deadline(), self.next_look(), self.report_deadline(), mail]
            .into_iter()
            .chain(channels)
            .chain(hooks)
            .min()
            .unwrap_or(Instant::NEVER)
    }

    fn receive(&mut self, now: Instant, from: Address, message: Message, actions: &mut Vec<Action>) {
        match message {
            Message::Ack(ack) => self.acknowledged(now, from, ack, actions),
            Message::Challenge(challenge) => self.challenged(now, from, challenge, actions),
            Message::Welcome(welcome) => self.welcomed(now, from, welcome, actions),
            Message::Config(update) => self.configured(now, update, actions),
            Message::Permit(permit) => self.permitted(now, permit, actions),
            Message::Order(order) => self.ordered(now, order, actions),
            Message::WishRefused { ticket, refusal } => self.wish_refused(ticket, refusal, actions),
            Message::DefinitionNoted { ticket } => self.definition_noted(now, ticket, actions),
            Message::AskGuests(asking) => self.asking_told(from, asking, actions),
            Message::GuestNoted { ticket } => self.guest_noted(now, ticket, actions),
            Message::GuardsDisarmed(incarnation) => self.guards_disarmed(incarnation, actions),
            Message::Hello(authority) if authority.generation < self.store.authority.generation => {
                actions.push(Action::Send { to: from, message: Message::Outranked(self.store.authority) });
            }
            Message::Outranked(authority) => self.learn_authority(authority, actions),
            Message::Voters(voters) => self.learn_voters(now, voters, actions),
            Message::Remote { ticket, authority, op } => {
                self.act_for_master(from, ticket, authority, op, actions);
            }
            _ => {}
        }
    }

    /// Does for the master what it can not reach itself.
    fn act_for_master(
        &mut self,
        from: Address,
        asked: Ticket,
        authority: Authority,
        op: RemoteOp,
        actions: &mut Vec<Action>,
    ) {
        if authority < self.store.authority {
            return self.refuse(Refusal::OldAuthority, actions);
        }
        if self.remote.len() >= REMOTE_LIMIT {
            return;
        }
        let ticket = self.ticket();
        self.remote.insert(ticket, (from, asked));
        actions.push(match op {
            RemoteOp::Datastore(datastore, op) => {
                Action::Datastore { ticket, call: crate::core::record::DatastoreCall { datastore, op } }
            }
            RemoteOp::Fence(warrant, device, op) => Action::Fence { ticket, warrant, device, op },
        });
    }

    /// Its present life: the last generation given, whether or not it still holds.
    fn incarnation(&self) -> Incarnation {
        Incarnation { host: self.machine.host, boot: self.machine.boot, generation: self.generation }
    }

    /// Whether an order comes from a master that is not outranked, for this very life. Notes why not.
    fn accepts(&mut self, authority: Authority, target: Incarnation, actions: &mut Vec<Action>) -> bool {
        use crate::core::sabotage::{Sabotage, breaks};
        if breaks(Sabotage::IncarnationIgnored) && target.host == self.machine.host {
            return true;
        }
        if authority < self.store.authority {
            self.refuse(Refusal::OldAuthority, actions);
            return false;
        }
        if !self.admitted {
            self.refuse(Refusal::NotAdmitted, actions);
            return false;
        }
        if target != self.incarnation() {
            self.refuse(Refusal::OtherIncarnation, actions);
            return false;
        }
        self.learn_authority(authority, actions);
        true
    }

    fn learn_authority(&mut self, authority: Authority, actions: &mut Vec<Action>) {
        if authority > self.store.authority {
            if authority.generation > self.store.authority.generation {
                self.describe_all_anew();
                self.tell_guests_anew();
            }
            self.store.authority = authority;
            self.save(actions);
            self.ask_anew();
        }
    }

    fn refuse(&self, refusal: Refusal, actions: &mut Vec<Action>) {
        actions.push(Action::Note(Note::Refused(refusal)));
    }

    fn save(&self, actions: &mut Vec<Action>) {
        actions.push(Action::Save(Box::new(self.store.clone())));
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn call(&mut self, call: PlatformCall, actions: &mut Vec<Action>) -> Ticket {
        let ticket = self.ticket();
        actions.push(Action::Platform { ticket, call });
        ticket
    }

    /// The guards that it has, as it tells the master.
    fn guards(&self) -> Guards {
        // One that is about to be closed guards nothing.
        Guards { watchdog: if self.ending.is_some() { Watchdog::None } else { self.usable_watchdog() } }
    }

    /// Its watchdog, unless it fires later than the master reckons with.
    fn usable_watchdog(&self) -> Watchdog {
        match self.machine.watchdog {
            Watchdog::Hardware { timeout } | Watchdog::Software { timeout } if timeout > self.timing.hard_deadline => {
                Watchdog::None
            }
            watchdog => watchdog,
        }
    }

    /// Voters hear of it before they hear of any VM that ends because of it, or they would place it here again.
    fn begin_shutdown(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if !self.shutting_down {
            self.shutting_down = true;
            self.beat(now, actions);
        }
    }

    fn begin_upgrade(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let since = *self.ending.get_or_insert(now);
        // What it says of VMs that end with their machine is their proof: without it they wait for a judgement.
        let patient = self.shutting_down && now.since(since) < self.timing.call_deadline;
        if patient && self.generation.0 > 0 && !self.has_told_all_gone() {
            return self.look(now, actions);
        }
        // Where the log counts on nothing of this run, that it is told is a courtesy: its silence is no death. Where it has
        // no life of this run, there is nobody to tell.
        let is_counted_on = self.lease.is_watchdog_open() || self.lease_counts();
        let is_heard = self.admitted && self.master.is_some() && now.since(since) < self.timing.hook_deadline;
        if self.generation.0 == 0 || !(is_counted_on || is_heard) {
            return actions.push(Action::UpgradeReady);
        }
        if crate::core::sabotage::breaks(crate::core::sabotage::Sabotage::GuardsDisarmedFirst) {
            return self.guards_disarmed(self.incarnation(), actions);
        }
        if let Some(master) = self.master {
            actions.push(Action::Send { to: master, message: Message::DisarmGuards(self.incarnation()) });
        }
    }

    fn guards_disarmed(&mut self, incarnation: Incarnation, actions: &mut Vec<Action>) {
        if self.ending.is_some() && incarnation == self.incarnation() {
            self.close_watchdog(actions);
            actions.push(Action::UpgradeReady);
        }
    }

    /// Whether there is nothing that it must hold no longer than its lease.
    fn covers_nothing(&self) -> bool {
        !self.lease_counts() || !self.vms.iter().any(|(id, vm)| !vm.is_gone() && self.is_leased(*id))
    }

    /// The VMs that it must hold no longer than its lease.
    fn covered(&self) -> BTreeSet<VmId> {
        if !self.lease_counts() {
            return BTreeSet::new();
        }
        self.vms.iter().filter(|(id, vm)| !vm.is_gone() && self.is_leased(**id)).map(|(id, _)| *id).collect()
    }

    /// The boot that it runs in.
    pub fn boot(&self) -> BootId {
        self.machine.boot
    }

    /// Whether a master has ever told it what it must know, as far as it remembers.
    pub fn is_told(&self) -> bool {
        self.store.config != ConfigVersion(0)
    }

    /// Where it takes the master to be.
    pub fn master(&self) -> Option<Address> {
        self.master
    }

    /// Where it takes the voters to be.
    pub fn voters(&self) -> &[Address] {
        &self.store.voters
    }

    /// The highest authority that it has seen.
    pub fn authority(&self) -> Authority {
        self.store.authority
    }

    /// The host that it is the agent of.
    pub fn host(&self) -> HostId {
        self.machine.host
    }
}
