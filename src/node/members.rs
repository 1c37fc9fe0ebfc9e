//! Who votes: dead voters are replaced by living hosts, spread over failure domains.
//!
//! The replicated state names the stores that should vote; the election's own membership follows it, one step at a
//! time. A store is never reused: a host that votes again does so under a new number.

use super::Node;
use super::packet::NodeAction;
use crate::core::action::Action;
use crate::core::command::{Command, Proposal};
use crate::core::ids::{Address, Authority, HostId, LogIndex, VoterId};
use crate::core::message::Message;
use crate::core::reason::HostState;
use crate::core::state::{ClusterState, Host};
use crate::core::time::Instant;
use crate::election::{MemberChange, Members, StoreImage};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the master remembers of the voters.
#[derive(Debug, Default)]
pub(super) struct Tending {
    next: Option<Instant>,
    /// Since when a voter's host was not alive.
    silent: BTreeMap<VoterId, Instant>,
    /// How far each store had acknowledged the log, and since when it lags behind at that place.
    lagging: BTreeMap<VoterId, (LogIndex, Instant)>,
    /// Stores of which their own nodes say that they are lost.
    lost: BTreeSet<VoterId>,
}

impl Tending {
    /// The stores that have acknowledged nothing for so long though there was something, or are lost.
    pub(super) fn idle(&self, now: Instant, patience: Duration) -> impl Iterator<Item = VoterId> + '_ {
        let late = self.lagging.iter().filter(move |(_, (_, since))| now.since(*since) > patience);
        late.map(|(voter, _)| *voter).chain(self.lost.iter().copied())
    }
}

/// The next step towards the voters that there should be.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Change(MemberChange),
    Replace {
        promote: VoterId,
        remove: VoterId,
    },
    Forget(VoterId),
    New(HostId),
    /// This voter's own home is to go: another voter is to lead, and see to it.
    StandDown,
}

impl Node {
    /// Takes the next step towards the voters that there should be, if it is time for one.
    pub(super) fn tend_members(&mut self, now: Instant) {
        let patience = self.timing.replace_voter;
        let interval = self.timing.resend;
        let Some(voter) = &mut self.voter else { return };
        let is_due = voter.tending.next.is_none_or(|next| now >= next);
        if voter.master.is_none() || !is_due {
            return;
        }
        voter.tending.next = Some(now + interval);
        voter.watch_voters(now);
        voter.invite(&mut self.buffer);
        let command = match voter.next_step(now, patience) {
            None => return,
            Some(Step::Change(change)) => {
                // Refused while another change is under way; then it is asked again.
                let _ = voter.election.change_members(change);
                return;
            }
            Some(Step::Replace { promote, remove }) => {
                // The old store is retired when the change is complete: until then its vote may be needed for it.
                let _ = voter.election.change_members(MemberChange::Replace { promote, remove });
                return;
            }
            Some(Step::StandDown) => {
                voter.election.stand_down(now);
                return;
            }
            Some(Step::Forget(voter)) => Command::RetireVoter { voter },
            Some(Step::New(host)) => Command::NewVoter { voter: voter.state.free_voter(), host },
        };
        voter.propose(now, Proposal { answers: None, said: None, command });
    }

    /// A node says that its store is lost.
    pub(super) fn store_lost(&mut self, host: HostId, store: VoterId) {
        if let Some(voter) = self.voter.as_mut().filter(|voter| voter.state.voters.get(&store) == Some(&host)) {
            voter.tending.lost.insert(store);
        }
    }

    /// The master wants this node to be the home of a new store.
    pub(super) fn become_voter(
        &mut self,
        now: Instant,
        authority: Authority,
        store: VoterId,
        voters: Vec<(VoterId, Address)>,
        actions: &mut Vec<NodeAction>,
    ) {
        let present = self.voter.as_ref().map(|voter| (voter.state.generation, voter.election.id()));
        let newer = present.is_none_or(|present| (authority.generation, store) > present);
        // Who knows nothing of the cluster may have forgotten that this store was out long ago.
        let told = self.agent.is_told();
        if !told || !newer || self.lost.is_some_and(|lost| lost >= store) || authority < self.agent.authority() {
            return;
        }
        self.waiting_store = None;
        let image = StoreImage::learner(store);
        actions.push(NodeAction::NewStore(Box::new(image.clone())));
        self.start_voter(now, image, actions);
        if let Some(voter) = &mut self.voter {
            voter.state.generation = authority.generation;
            voter.peers.extend(voters);
        }
    }

    /// A peer says that this node's store is out for good.
    pub(super) fn retired(&mut self, authority: Authority, store: VoterId, actions: &mut Vec<NodeAction>) {
        let is_ours = self
            .voter
            .as_ref()
            .is_some_and(|voter| voter.election.id() == store && authority.generation >= voter.state.generation);
        if is_ours || self.lost == Some(store) {
            self.voter = None;
            self.lost = None;
            self.next_loss_report = Instant::NEVER;
            actions.push(NodeAction::DropStore);
        }
    }
}

impl super::voter::Voter {
    fn watch_voters(&mut self, now: Instant) {
        let Some(master) = &self.master else { return };
        let me = self.election.id();
        for (voter, host) in &self.state.voters {
            let lives = *voter == me || matches!(master.host_state(*host), HostState::Alive | HostState::Isolated);
            let acknowledged = self.election.progress(*voter).map(|progress| progress.acknowledged);
            let acknowledged = acknowledged.filter(|index| *index < self.election.committed() && *voter != me);
            match (acknowledged, self.tending.lagging.get(voter)) {
                (None, _) => {
                    self.tending.lagging.remove(voter);
                }
                (Some(index), Some((before, _))) if *before == index => {}
                (Some(index), _) => {
                    self.tending.lagging.insert(*voter, (index, now));
                }
            }
            if lives {
                self.tending.silent.remove(voter);
            } else {
                self.tending.silent.entry(*voter).or_insert(now);
            }
        }
    }

    /// Tells the homes of new stores about them until they answer.
    fn invite(&self, actions: &mut Vec<Action>) {
        let authority = self.state.authority(self.election.term());
        let voters: Vec<(VoterId, Address)> = self.peers.iter().map(|(id, address)| (*id, *address)).collect();
        for (voter, host) in &self.state.voters {
            let silent = self.election.progress(*voter).is_some_and(|progress| progress.acknowledged.0 == 0);
            let new = self.election.members().is_learner(*voter) && silent;
            if let (true, Some(host)) = (new, self.state.hosts.get(host)) {
                let message = Message::BecomeVoter { authority, voter: *voter, voters: voters.clone() };
                actions.push(Action::Send { to: host.address, message });
            }
        }
    }

    fn next_step(&self, now: Instant, patience: Duration) -> Option<Step> {
        let members = self.election.members();
        let me = self.election.id();
        if members.is_joint() {
            return None;
        }
        let is_dead = |voter: &VoterId| {
            let silent = self.tending.silent.get(voter).is_some_and(|since| now.since(*since) > patience);
            let lags = self.tending.lagging.get(voter).is_some_and(|(_, since)| now.since(*since) > patience);
            *voter != me && (silent || lags || self.leaves(*voter) || self.tending.lost.contains(voter))
        };
        if let Some(surplus) = members_of(members).find(|id| !self.state.voters.contains_key(id) && *id != me) {
            return Some(Step::Change(MemberChange::Remove(surplus)));
        }
        let mut dead = self.state.voters.keys().filter(|voter| is_dead(voter) && members.is_voter(**voter));
        let dead = dead.next().copied();
        let newcomer = self.state.voters.keys().find(|voter| !members.is_voter(**voter)).copied();
        if let Some(voter) = newcomer {
            return self.step_for(voter, dead, is_dead(&voter));
        }
        let leaves = self.leaves(me);
        if leaves && self.may_follow(is_dead) {
            return Some(Step::StandDown);
        }
        let (present, wanted) = (self.state.voters.len(), self.state.policy.voters as usize);
        if present > wanted {
            let first = self.state.voters.keys().copied().find(|voter| *voter != me);
            return dead.or(first).map(|voter| Step::Change(MemberChange::Remove(voter)));
        }
        if dead.is_none() && present == wanted {
            return None;
        }
        if let Some(home) = self.choose_home(dead) {
            // One voter survives as many losses as two do, and of two each loss stops the cluster.
            let alone = dead.is_none() && present % 2 == 1 && self.homes(None).count() < 2;
            return if alone && !leaves { None } else { Some(Step::New(home)) };
        }
        // Nobody takes the place of a voter whose home is to go. Two that remain are worse than one.
        let surplus = match dead {
            Some(voter) => self.leaves(voter).then_some(voter),
            None => self.state.voters.keys().copied().find(|voter| *voter != me && present % 2 == 0),
        };
        surplus.filter(|voter| self.can_spare(*voter)).map(|voter| Step::Change(MemberChange::Remove(voter)))
    }

    /// Whether those who vote besides that one could agree on something now. If not, its vote is needed.
    fn can_spare(&self, voter: VoterId) -> bool {
        let rest = self.election.members().voters.iter().filter(|other| **other != voter);
        let all = rest.clone().count();
        rest.filter(|other| self.is_there(**other)).count() * 2 > all
    }

    /// Whether a voter takes part, as far as is known.
    fn is_there(&self, voter: VoterId) -> bool {
        let gone = self.tending.silent.contains_key(&voter) || self.tending.lost.contains(&voter);
        voter == self.election.id() || !gone
    }

    /// Whether a voter's home is about to be removed.
    fn leaves(&self, voter: VoterId) -> bool {
        let home = self.state.voters.get(&voter).and_then(|host| self.state.hosts.get(host));
        home.is_some_and(|host| host.leaving)
    }

    /// Whether another voter could lead by now: the others must be able to elect it, for this one takes no part. Of two
    /// the other one waits for this one's vote, as there is no better way.
    fn may_follow(&self, is_dead: impl Fn(&VoterId) -> bool) -> bool {
        let me = self.election.id();
        let voters = &self.election.members().voters;
        let ready = |voter: &VoterId| self.election.progress(*voter).is_some_and(|progress| progress.caught_up);
        let others: Vec<VoterId> =
            voters.iter().copied().filter(|voter| *voter != me && self.is_there(*voter)).collect();
        let elect = others.len() * 2 > voters.len() || voters.len() == 2;
        elect && others.iter().any(|voter| !is_dead(voter) && ready(voter))
    }

    /// The next step for a store that does not vote.
    fn step_for(&self, voter: VoterId, dead: Option<VoterId>, is_dead: bool) -> Option<Step> {
        let members = self.election.members();
        // Numbers only grow: one that is no member though younger ones are was taken out, and is not let in again.
        let was_removed = !members.is_learner(voter) && members_of(members).any(|member| member > voter);
        let too_many = self.state.voters.len() > self.state.policy.voters as usize && !members.is_learner(voter);
        if is_dead || was_removed || too_many && dead.is_none() {
            return Some(Step::Forget(voter));
        }
        if !members.is_learner(voter) {
            return Some(Step::Change(MemberChange::AddLearner(voter)));
        }
        let ready = self.election.progress(voter).is_some_and(|progress| progress.caught_up);
        let room = members.voters.len() < self.state.policy.voters as usize;
        match dead {
            _ if !ready => None,
            Some(remove) => Some(Step::Replace { promote: voter, remove }),
            None if room => Some(Step::Change(MemberChange::Promote(voter))),
            // It was to replace one that an earlier master knew to be lost, and this one will hear of too.
            None => None,
        }
    }

    /// A living host for a new store: in a failure domain that no other voter shares, if there is one.
    fn choose_home(&self, replaces: Option<VoterId>) -> Option<HostId> {
        let taken = self.taken(replaces);
        self.homes(replaces).min_by_key(|id| (crowding(&self.state, &taken, *id), *id))
    }

    /// The hosts on which voters live, but for one that is to be replaced.
    fn taken(&self, replaces: Option<VoterId>) -> Vec<HostId> {
        let remaining = self.state.voters.iter().filter(|(voter, _)| Some(**voter) != replaces);
        remaining.map(|(_, host)| *host).collect()
    }

    /// The hosts on which a new store can live.
    fn homes(&self, replaces: Option<VoterId>) -> impl Iterator<Item = HostId> + '_ {
        let taken = self.taken(replaces);
        let lives = |id: &HostId| self.master.as_ref().is_some_and(|m| m.host_state(*id) == HostState::Alive);
        let fits = move |(id, host): &(&HostId, &Host)| !host.leaving && lives(id) && !taken.contains(id);
        self.state.hosts.iter().filter(fits).map(|(id, _)| *id)
    }
}

/// How many of these hosts share the failure domain of that one.
fn crowding(state: &ClusterState, taken: &[HostId], host: HostId) -> usize {
    let domain = |id: &HostId| state.hosts.get(id).map(|host| host.failure_domain.as_str()).filter(|d| !d.is_empty());
    let own = domain(&host);
    if own.is_none() { 0 } else { taken.iter().filter(|other| domain(other) == own).count() }
}

fn members_of(members: &Members) -> impl Iterator<Item = VoterId> {
    members.voters.iter().chain(&members.learners).copied()
}
