//! Elections in a virtual cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod hostile;

use super::*;
use crate::core::timing::{Profile, Timing};
use cluster::{CALM, Cluster, Faults, ROUGH};
use std::time::Duration;

const SECOND: u64 = 1_000_000;

impl Message {
    fn is_granted_vote(&self) -> bool {
        let vote =
            matches!(self.0.msg_type, MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse);
        vote && !self.0.reject
    }
}

fn ready(cluster: &Cluster) -> bool {
    cluster
        .leader()
        .is_some_and(|id| cluster.election(id).ready_to_lead() && cluster.election(id).quorum_at().is_some())
}

fn led(seed: u64, voters: u64, faults: Faults) -> Cluster {
    let mut cluster = Cluster::new(seed, voters, Timing::of(Profile::Lan), faults);
    assert!(cluster.run_until(20 * SECOND, ready), "seed {seed}: no leader");
    cluster
}

#[test]
fn a_leader_is_elected_and_reelected() {
    for timing in [Timing::of(Profile::Lan), Timing::of(Profile::Fast)] {
        for voters in [3, 5] {
            let mut waits = Vec::new();
            for seed in 0..100 {
                let mut cluster = Cluster::new(seed, voters, timing.clone(), CALM);
                assert!(cluster.run_until(20 * SECOND, ready));
                let first = cluster.leader().unwrap();
                let more = cluster.random.below(300_000);
                cluster.run(more);
                cluster.crash(first);
                let crashed = cluster.now;
                assert!(cluster.run_until(20 * SECOND, ready), "seed {seed}: nobody succeeds");
                waits.push(Duration::from_micros(cluster.now - crashed));
            }
            // A healthy host's lease must outlast them all, or a master's death would stop its VMs.
            let longest = waits.iter().max().copied().unwrap_or_default();
            let left = timing.software_stop - timing.quorum;
            assert!(longest < left, "{longest:?} without a leader, of {left:?}");
        }
    }
}

#[test]
fn a_lone_voter_leads_and_commits() {
    let mut cluster = led(1, 1, CALM);
    cluster.with(VoterId(1), |election, _| election.propose(b"x".to_vec())).unwrap().unwrap();
    cluster.run(SECOND);
    assert!(cluster.log.values().any(|(_, data)| data == b"x"));
    let election = cluster.election(VoterId(1));
    assert!(cluster.local(VoterId(1)) - election.quorum_at().unwrap() <= cluster.timing.round_interval);
}

/// A cluster under load with crashes; returns its trace.
fn stormy(seed: u64, voters: u64, steps: u64, traced: bool) -> Cluster {
    let mut cluster = Cluster::new(seed, voters, Timing::of(Profile::Fast), ROUGH);
    cluster.compact_every = 40;
    cluster.trace = traced.then(String::new);
    for step in 0..steps {
        let pause = 5_000 + cluster.random.below(30_000);
        cluster.run(pause);
        if let Some(leader) = cluster.leader() {
            let data = format!("{seed} {step}").into_bytes();
            let _ = cluster.with(leader, |election, _| election.propose(data));
        }
        let victim = VoterId(1 + cluster.random.below(voters));
        if cluster.random.percent(8) {
            cluster.crash(victim);
            let delay = cluster.random.below(500_000);
            cluster.start_later(victim, delay);
        }
        if cluster.random.percent(4) {
            let other = VoterId(1 + cluster.random.below(voters));
            cluster.cut.push((victim, other));
            if cluster.random.percent(50) {
                cluster.cut.push((other, victim));
            }
        }
        if cluster.random.percent(6) {
            cluster.cut.clear();
        }
    }
    cluster
}

/// After the storm, all agree on all that was ever applied anywhere.
fn settles(cluster: &mut Cluster, seed: u64) {
    cluster.cut.clear();
    let ids: Vec<VoterId> = cluster.nodes.keys().copied().collect();
    for id in ids {
        if cluster.nodes[&id].running.is_none() {
            cluster.start(id);
        }
        assert!(!cluster.nodes[&id].behind, "seed {seed}: {id} is behind though it lost nothing synced");
    }
    let last = cluster.log.keys().next_back().copied().unwrap_or_default();
    let done = |cluster: &Cluster| ready(cluster) && cluster.nodes.values().all(|node| node.applied >= last);
    assert!(cluster.run_until(20 * SECOND, done), "seed {seed}: does not settle");
}

#[test]
fn storms_lose_nothing_and_never_let_two_leaders_act() {
    let (mut entries, mut terms) = (0, 0);
    for seed in 0..300 {
        let mut cluster = stormy(seed, 3 + 2 * (seed % 2), 250, false);
        settles(&mut cluster, seed);
        entries += cluster.log.len();
        terms += cluster.leaders.len();
    }
    assert!(entries > 300 && terms > 300, "the storms carried {entries} entries under {terms} leaders");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| stormy(seed, 5, 60, true).trace.unwrap();
    let here = trace(7);
    assert!(here.len() > 10_000);
    assert_eq!(here, trace(7));
    let there = trace(7);
    assert_eq!(here, there);
}

/// One voter hears nothing of the leader and keeps standing for election; the other one answers the leader's rounds,
/// is killed, and is back at once. It must not elect the first within E1, though it remembers no leader.
#[test]
fn a_restarted_voter_is_silent_for_as_long_as_it_may_have_promised() {
    let mut elected = 0;
    for seed in 0..40 {
        let mut cluster = led(seed, 3, Faults { ppm: 500, ..CALM });
        let leader = cluster.leader().unwrap();
        let (follower, deaf) = (VoterId(leader.0 % 3 + 1), VoterId((leader.0 + 1) % 3 + 1));
        cluster.cut = vec![(leader, deaf), (deaf, leader)];
        cluster.run(2 * SECOND);
        assert_eq!(cluster.leader(), Some(leader), "seed {seed}");
        for _ in 0..6 {
            let pause = cluster.random.below(SECOND);
            cluster.run(pause);
            cluster.crash(follower);
            cluster.start(follower);
            let (started, votes) = (cluster.now, cluster.votes_sent.len());
            cluster.run(600_000);
            let early = |(at, voter): &(u64, VoterId)| *voter == follower && *at < started + 600_000;
            assert!(!cluster.votes_sent[votes..].iter().any(early), "seed {seed}: {follower} votes too early");
        }
        cluster.crash(leader);
        elected += u64::from(cluster.run_until(5 * SECOND, ready));
    }
    assert_eq!(elected, 40, "the two that are left elect nobody");
}

#[test]
fn a_replaced_voter_leaves_and_its_successor_votes() {
    for seed in 0..10 {
        let mut cluster = led(seed, 3, Faults { loss_percent: 2, ..CALM });
        for round in 0..200u32 {
            let leader = cluster.leader().unwrap();
            let _ = cluster.with(leader, |election, _| election.propose(round.to_le_bytes().to_vec()));
            cluster.run(2_000);
        }
        let leader = cluster.leader().unwrap();
        let applied = cluster.nodes[&leader].applied;
        cluster.with(leader, |election, _| election.compact(applied, b"compact".to_vec()));
        let (old, new) = (VoterId(leader.0 % 3 + 1), VoterId(4));
        cluster.crash(old);
        replace(&mut cluster, old, new);
        let third = VoterId(6 - leader.0 - old.0);
        let members = cluster.election(leader).members();
        assert_eq!(members.voters, {
            let mut v = vec![leader, third, new];
            v.sort();
            v
        });
        cluster.crash(leader);
        assert!(cluster.run_until(20 * SECOND, ready), "seed {seed}: the successor does not count");
    }
}

/// Brings a new learner up to date and lets it take the place of a dead voter.
fn replace(cluster: &mut Cluster, old: VoterId, new: VoterId) {
    assert!(cluster.run_until(20 * SECOND, ready));
    let leader = cluster.leader().unwrap();
    cluster.add(StoreImage::learner(new));
    cluster.with(leader, |election, _| election.change_members(MemberChange::AddLearner(new))).unwrap().unwrap();
    let caught_up = |cluster: &Cluster| cluster.election(leader).progress(new).is_some_and(|p| p.caught_up);
    assert!(cluster.run_until(30 * SECOND, caught_up), "{new} does not catch up");
    let change = MemberChange::Replace { promote: new, remove: old };
    cluster.with(leader, |election, _| election.change_members(change)).unwrap().unwrap();
    let done = |cluster: &Cluster| {
        let members = cluster.election(leader).members();
        members.voters.contains(&new) && !members.is_voter(old)
    };
    assert!(cluster.run_until(20 * SECOND, done), "the replacement does not end");
}

#[test]
fn slow_attrition_is_survived_by_replacement() {
    for seed in 0..5 {
        let mut cluster = led(seed, 5, CALM);
        for new in 6..14 {
            let leader = cluster.leader().unwrap();
            let members = cluster.election(leader).members().clone();
            // The leader itself dies every other time.
            let dead = if new % 2 == 0 { leader } else { *members.voters.iter().find(|id| **id != leader).unwrap() };
            cluster.crash(dead);
            replace(&mut cluster, dead, VoterId(new));
        }
    }
}

#[test]
fn a_cluster_shrinks_to_one_and_the_removed_leader_steps_down() {
    let mut cluster = led(3, 3, CALM);
    let leader = cluster.leader().unwrap();
    for id in [1, 2, 3].map(VoterId).into_iter().filter(|id| *id != leader) {
        cluster.with(leader, |election, _| election.change_members(MemberChange::Remove(id))).unwrap().unwrap();
        cluster.run(SECOND);
        assert!(!cluster.election(id).is_leader());
    }
    assert_eq!(cluster.election(leader).members().voters, vec![leader]);
    let refused = cluster.with(leader, |election, _| election.change_members(MemberChange::Remove(leader)));
    assert_eq!(refused, Some(Err(ChangeError::RemovesLeader(leader))));
    assert!(cluster.election(leader).ready_to_lead());
}

/// The leader that began a replacement dies at once, so that the voter to be removed may have to end it as leader.
#[test]
fn a_voter_that_leads_its_own_removal_to_the_end_steps_down() {
    let mut led_its_removal = 0;
    for seed in 0..80 {
        let mut cluster = led(seed, 4, CALM);
        let leader = cluster.leader().unwrap();
        let (old, new) = (VoterId(leader.0 % 4 + 1), VoterId(9));
        cluster.add(StoreImage::learner(new));
        cluster.with(leader, |election, _| election.change_members(MemberChange::AddLearner(new))).unwrap().unwrap();
        cluster.run(2 * SECOND);
        let change = MemberChange::Replace { promote: new, remove: old };
        cluster.with(leader, |election, _| election.change_members(change)).unwrap().unwrap();
        let moment = cluster.random.below(6_000);
        cluster.run(moment);
        cluster.crash(leader);
        cluster.run(10 * SECOND);
        led_its_removal += u64::from(cluster.leaders.values().any(|(id, since)| *id == old && *since > 3 * SECOND));
        let next = cluster.leader().unwrap();
        let members = cluster.election(next).members();
        assert!(ready(&cluster) && !members.is_joint(), "seed {seed}: {members:?}");
        let replaced = !members.is_voter(old);
        assert!(!replaced || (next != old && !cluster.election(old).is_leader()), "seed {seed}");
    }
    assert!(led_its_removal > 5, "the case did not occur");
}

#[test]
fn a_frozen_voter_takes_no_silence_for_proof() {
    let image = StoreImage::bootstrap(VoterId(1), &[1, 2, 3].map(VoterId), Vec::new());
    let mut now = Instant::ZERO;
    let mut election = Election::start(now, image, Settings::new(&Timing::of(Profile::Lan), 1)).unwrap();
    while now < Instant::from_micros(640_000) {
        now = election.next_deadline();
        election.wake(now);
    }
    now = Instant::from_micros(60 * SECOND);
    let thawed = now;
    while now < thawed + Timing::of(Profile::Lan).election_min {
        election.wake(now);
        assert!(election.drain(now).is_empty(), "it stands for election after {:?}", now - thawed);
        now = election.next_deadline();
    }
    while election.drain(now).messages.is_empty() {
        assert!(now < thawed + Timing::of(Profile::Lan).election_max * 2);
        now = election.next_deadline();
        election.wake(now);
    }
}
