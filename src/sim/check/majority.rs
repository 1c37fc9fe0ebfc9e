//! I4, for what a master grants: it acknowledges and permits only while a majority of voters has just answered it.

use super::Found;
use crate::core::ids::VoterId;
use crate::core::message::Message;
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::election::Members;
use crate::node::{NodeAction, NodeEvent, Packet};
use crate::sim::spec::WorldSpec;
use std::collections::BTreeMap;
use std::time::Duration;

/// When each machine last heard each voter.
#[derive(Debug)]
pub(super) struct Majority {
    quorum: Duration,
    heard: BTreeMap<(usize, VoterId), Instant>,
    /// Who votes, as each machine has it; and who did before, until when.
    members: BTreeMap<usize, (Members, Option<(Members, Instant)>)>,
}

impl Majority {
    /// For the time table of a world.
    pub(super) fn new(spec: &WorldSpec) -> Majority {
        Majority { quorum: Timing::of(spec.profile).quorum, heard: BTreeMap::new(), members: BTreeMap::new() }
    }

    /// An agent starts: its clock may be another one, and what was heard before counts for nothing.
    pub(super) fn started(&mut self, machine: usize) {
        self.heard.retain(|(at, _), _| *at != machine);
        self.members.remove(&machine);
    }

    /// Something is about to reach a node.
    pub(super) fn heard(&mut self, machine: usize, now: Instant, event: &NodeEvent) {
        if let NodeEvent::Packet { packet: Packet::Election { from, .. }, .. } = event {
            self.voter_heard(machine, now, *from);
        }
    }

    pub(super) fn voter_heard(&mut self, machine: usize, now: Instant, voter: VoterId) {
        self.heard.insert((machine, voter), now);
    }

    /// A node does something. Whoever answered a round that is fresh enough was heard since that round was sent.
    pub(super) fn did(
        &mut self,
        machine: usize,
        now: Instant,
        action: &NodeAction,
        members: Option<&Members>,
        found: &mut Found,
    ) {
        let NodeAction::Send { packet: Packet::Cluster(message), .. } = action else { return };
        let (Message::Ack(_) | Message::Permit(_), Some(members)) = (message, members) else { return };
        let lately =
            |voter: VoterId| self.heard.get(&(machine, voter)).is_some_and(|heard| now.since(*heard) <= self.quorum);
        let known = self.members.entry(machine).or_insert_with(|| (members.clone(), None));
        if known.0 != *members {
            let before = std::mem::replace(&mut known.0, members.clone());
            known.1 = known.1.take().filter(|(_, until)| now <= *until).or(Some((before, now + self.quorum)));
        }
        // A round that was sent before the voters changed was answered by those who voted then.
        let before = known.1.as_ref().filter(|(_, until)| now <= *until).map(|(before, _)| before);
        if !is_majority(members, lately) && !before.is_some_and(|before| is_majority(before, lately)) {
            found.add("rule 4", format!("machine {machine} grants a lease, and has not heard a majority of late"));
        }
    }
}

/// Whether those who answer are a majority, with the node itself, which is one of the voters.
fn is_majority(members: &Members, answers: impl Fn(VoterId) -> bool) -> bool {
    let most = |voters: &[VoterId]| voters.iter().filter(|voter| answers(**voter)).count() >= voters.len() / 2;
    most(&members.voters) && most(&members.voters_outgoing)
}
