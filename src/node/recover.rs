//! Forced recovery, when the majority of voters is lost for good (rule 15).
//!
//! ```text
//!  asked ─▶ refused while the named voters show life ─▶ records read twice ─▶ tombstones written ─▶ new generation
//! ```

use super::packet::NodeAction;
use super::{Node, format, whole_milliseconds};
use crate::core::action::Action;
use crate::core::command::{Command, Said};
use crate::core::ids::{Address, Authority, ClusterGeneration, DatastoreId, HostId, LogIndex, Ticket, VoterId};
use crate::core::master::MASTER_TICKETS;
use crate::core::message::Message;
use crate::core::reason::Refusal;
use crate::core::record::{DatastoreCall, DatastoreOp, DatastoreResult, Mail, Slot, Tombstone};
use crate::core::state::ClusterState;
use crate::core::time::Instant;
use crate::election::StoreImage;
use crate::ledger::{Entry, Key, What};
use std::collections::{BTreeMap, BTreeSet};

/// Tickets of a recovery have this bit besides the master's.
const RECOVERY_TICKETS: u64 = MASTER_TICKETS | (1 << 62);

/// A forced recovery under way.
#[derive(Debug)]
pub(super) struct Recovering {
    ticket: Ticket,
    said: Option<Box<Said>>,
    dead: Vec<VoterId>,
    hosts: Vec<HostId>,
    stage: Stage,
    waiting: BTreeMap<Ticket, DatastoreId>,
    /// All hosts' records as first read.
    records: BTreeMap<(DatastoreId, HostId), u64>,
    pub(super) next: Instant,
    deadline: Instant,
    last_ticket: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    FirstRead,
    SecondRead,
    Tombstones,
}

impl Node {
    pub(super) fn is_recoverys(&self, ticket: Ticket) -> bool {
        ticket.0 & RECOVERY_TICKETS == RECOVERY_TICKETS
    }

    pub(super) fn begin_recovering(
        &mut self,
        now: Instant,
        (ticket, said): (Ticket, Option<Box<Said>>),
        dead: Vec<VoterId>,
        actions: &mut Vec<NodeAction>,
    ) {
        match self.may_recover(now, &dead) {
            Err(refusal) => self.buffer.push(Action::Reply { ticket, reply: Err(refusal) }),
            Ok(hosts) => {
                let recovering = Recovering {
                    ticket,
                    said,
                    dead,
                    hosts,
                    stage: Stage::FirstRead,
                    waiting: BTreeMap::new(),
                    records: BTreeMap::new(),
                    next: now,
                    deadline: now + self.timing.storage_patience * 10,
                    last_ticket: RECOVERY_TICKETS,
                };
                self.recovering = Some(recovering);
                self.call_hosts();
                self.ask_storage(now, |_| DatastoreOp::ReadRecords);
                self.advance_if_answered(now, actions);
            }
        }
    }

    /// Whether these voters may be given up: they are a majority, named by a person, and show no sign of life.
    fn may_recover(&self, now: Instant, dead: &[VoterId]) -> Result<Vec<HostId>, Refusal> {
        let voter = self.voter.as_ref().ok_or(Refusal::NoSuchThing)?;
        let quiet = self.timing.software_stop * 2;
        if self.recovering.is_some() || voter.leaderless_for(now) < quiet {
            return Err(Refusal::SignsOfLife);
        }
        let members = voter.election.members();
        let me = voter.election.id();
        let named: BTreeSet<VoterId> = dead.iter().copied().collect();
        if named.contains(&me) || !named.iter().all(|id| members.is_voter(*id)) {
            return Err(Refusal::NoSuchThing);
        }
        if named.len() * 2 < members.voters.len() {
            return Err(Refusal::NothingToDo);
        }
        // The others that are left must all be at hand, and one of them must do it: two that did it apart from each other
        // would be two clusters.
        let others = members.voters.iter().filter(|id| !named.contains(id) && **id != me);
        for other in others {
            let host = voter.state.voters.get(other).ok_or(Refusal::NoSuchThing)?;
            let silent = voter.ears.newest(*host).is_none_or(|heard| now.since(heard.at) >= self.timing.suspect);
            if silent || *other < me {
                return Err(Refusal::Busy);
            }
        }
        let hosts: Vec<HostId> = named.iter().filter_map(|id| voter.state.voters.get(id).copied()).collect();
        let heard = |host: &HostId| voter.ears.newest(*host).is_some_and(|heard| now.since(heard.at) < quiet);
        if hosts.iter().any(heard) { Err(Refusal::SignsOfLife) } else { Ok(hosts) }
    }

    /// Has every host that looks for a master in vain look here, so that it is heard.
    fn call_hosts(&mut self) {
        let Some(voter) = &self.voter else { return };
        let voters = voter.state.voter_addresses();
        for host in voter.state.hosts.values() {
            self.buffer.push(Action::Send { to: host.address, message: Message::Voters(voters.clone()) });
        }
    }

    /// Somebody else recovers too, or knows of other voters. One of both gives way, and has heard this well before it could
    /// be done: to be sure takes longer than a message.
    pub(super) fn voters_called(&mut self, from: Address, voters: &[Address]) {
        let Some(voter) = self.voter.as_ref().filter(|_| self.recovering.is_some()) else { return };
        let mine: BTreeSet<Address> = voter.state.voter_addresses().into_iter().collect();
        let caller = voter.state.hosts.iter().find(|(_, host)| host.address == from).map(|(id, _)| *id);
        let gives_way = caller.is_some_and(|caller| caller < self.agent.host());
        if gives_way && voters.iter().copied().collect::<BTreeSet<_>>() != mine {
            self.end_recovering(Err(Refusal::Busy));
        }
    }

    /// Asks something of every datastore on which a dead voter's host may renew its lease.
    fn ask_storage(&mut self, now: Instant, op: impl Fn(HostId) -> DatastoreOp) {
        let (Some(recovering), Some(voter)) = (&mut self.recovering, &self.voter) else { return };
        let single = recovering.stage != Stage::Tombstones;
        let mut asked = BTreeSet::new();
        for host in &recovering.hosts {
            let Some(entry) = voter.state.hosts.get(host) else { continue };
            for datastore in &entry.life.renewal_set {
                if single && !asked.insert(*datastore) {
                    continue;
                }
                recovering.last_ticket += 1;
                let ticket = Ticket(recovering.last_ticket);
                recovering.waiting.insert(ticket, *datastore);
                let call = DatastoreCall { datastore: *datastore, op: op(*host) };
                self.buffer.push(Action::Datastore { ticket, call });
            }
        }
        recovering.next = now + self.timing.fence_after;
    }

    pub(super) fn recovery_answered(
        &mut self,
        now: Instant,
        ticket: Ticket,
        result: DatastoreResult,
        actions: &mut Vec<NodeAction>,
    ) {
        let Some(recovering) = &mut self.recovering else { return };
        let Some(datastore) = recovering.waiting.remove(&ticket) else { return };
        match (recovering.stage, result) {
            (Stage::FirstRead | Stage::SecondRead, DatastoreResult::Records(slots)) => {
                let suspect = self.timing.suspect;
                let ears = self.voter.as_ref().map(|voter| &voter.ears);
                let hears = |host| {
                    let heard = ears.and_then(|ears| ears.newest(host));
                    heard.is_some_and(|heard| now.since(heard.at) < suspect)
                };
                for (host, slot) in slots {
                    let Slot::Whole(record) = slot else { continue };
                    let before = recovering.records.insert((datastore, host), record.sequence);
                    let lives = recovering.stage == Stage::SecondRead && before != Some(record.sequence);
                    // One that lives and is not heard here may vote by now, in a log of which this one has heard nothing.
                    if lives && (recovering.hosts.contains(&host) || !hears(host)) {
                        return self.end_recovering(Err(Refusal::SignsOfLife));
                    }
                }
            }
            (Stage::Tombstones, DatastoreResult::Written) => {}
            // What can not be reached can not be forbidden: a dead voter might live there.
            _ => return self.end_recovering(Err(Refusal::DatastoreUnreachable)),
        }
        self.advance_if_answered(now, actions);
    }

    pub(super) fn tend_recovering(&mut self, now: Instant, actions: &mut Vec<NodeAction>) {
        let Some(recovering) = &mut self.recovering else { return };
        if now < recovering.next {
            return;
        }
        if now >= recovering.deadline {
            return self.end_recovering(Err(Refusal::DatastoreUnreachable));
        }
        self.advance_if_answered(now, actions);
        if let Some(recovering) = &mut self.recovering {
            recovering.next = recovering.next.max(now + self.timing.heartbeat);
        }
    }

    fn advance_if_answered(&mut self, now: Instant, actions: &mut Vec<NodeAction>) {
        let Some((stage, dead, settled, waited)) = self.recovering.as_ref().map(|recovering| {
            (recovering.stage, recovering.dead.clone(), recovering.waiting.is_empty(), now >= recovering.next)
        }) else {
            return;
        };
        if !settled {
            return;
        }
        match stage {
            // Between the two readings a living host has written its record at least once.
            Stage::FirstRead if !waited => {}
            Stage::FirstRead => {
                self.enter(Stage::SecondRead);
                self.call_hosts();
                self.ask_storage(now, |_| DatastoreOp::ReadRecords);
                self.advance_if_answered(now, actions);
            }
            Stage::SecondRead => {
                if let Err(refusal) = self.may_recover_still(now, &dead) {
                    return self.end_recovering(Err(refusal));
                }
                self.enter(Stage::Tombstones);
                self.write_tombstones(now);
                self.advance_if_answered(now, actions);
            }
            Stage::Tombstones => self.begin_generation(now, actions),
        }
    }

    fn may_recover_still(&mut self, now: Instant, dead: &[VoterId]) -> Result<Vec<HostId>, Refusal> {
        let recovering = self.recovering.take();
        let verdict = self.may_recover(now, dead);
        self.recovering = recovering;
        verdict
    }

    fn enter(&mut self, stage: Stage) {
        if let Some(recovering) = &mut self.recovering {
            recovering.stage = stage;
        }
    }

    fn write_tombstones(&mut self, now: Instant) {
        let Some(voter) = &self.voter else { return };
        let next = ClusterGeneration(voter.state.generation.0 + 1);
        let column = voter.state.free_voter();
        let generations: BTreeMap<HostId, _> =
            voter.state.hosts.iter().map(|(id, host)| (*id, host.generation)).collect();
        let mail = move |host: HostId| {
            let generation = generations.get(&host).copied().unwrap_or_default();
            let authority = Authority { generation: next, term: 0 };
            Mail { tombstone: Some(Tombstone { authority, generation }), ..Mail::default() }
        };
        self.ask_storage(now, |host| DatastoreOp::WriteMail { column, host, mail: mail(host) });
    }

    /// Makes this node the one voter of a new cluster generation, which outranks every term of the old one.
    fn begin_generation(&mut self, now: Instant, actions: &mut Vec<NodeAction>) {
        let Some(voter) = &self.voter else { return };
        let mut state = voter.state.clone();
        let (applied, me) = (state.applied, self.agent.host());
        // Every old store is out, the living ones too: they belong to a log that ends here.
        let dead: Vec<VoterId> = state.voters.keys().copied().collect();
        state.apply(applied, &Command::Recover { dead });
        let store = state.free_voter();
        state.apply(applied, &Command::NewVoter { voter: store, host: me });
        let Some(data) = format::write_state(&state) else {
            return self.end_recovering(Err(Refusal::NoSuchThing));
        };
        let image = StoreImage::bootstrap(store, &[store], data);
        let facts = self.facts_of_recovery(now, &state, image.snapshot.index);
        actions.push(NodeAction::NewStore(Box::new(image.clone())));
        actions.push(NodeAction::Ledger(facts));
        let old = self.voter.take();
        self.start_voter(now, image, actions);
        if let (Some(voter), Some(old)) = (&mut self.voter, old) {
            voter.take_over(old);
        }
        self.end_recovering(Ok(()));
    }

    /// No entry of any log says that voters were given up: the new one begins with it done. So it is written here, in the
    /// place where that log begins.
    fn facts_of_recovery(&self, now: Instant, state: &ClusterState, index: LogIndex) -> Vec<Entry> {
        let Some(recovering) = &self.recovering else { return Vec::new() };
        let voters = state.voters.iter().map(|(voter, host)| (*voter, *host)).collect();
        let fact = |part, what| Entry {
            key: Key { generation: state.generation.0, index, part },
            at_milliseconds: self.wall_at_zero.saturating_add(whole_milliseconds(now)),
            said: recovering.said.as_deref().cloned(),
            what,
        };
        vec![fact(0, What::Recovered { dead: recovering.dead.clone() }), fact(1, What::Voters { voters })]
    }

    fn end_recovering(&mut self, reply: Result<(), Refusal>) {
        if let Some(recovering) = self.recovering.take() {
            self.buffer.push(Action::Reply { ticket: recovering.ticket, reply });
        }
    }
}
