//! What a node tells of itself.

use super::counts::Counts;
use super::table::{
    ADMITTED, ALERTS, APPLIED, ARMED, BROKEN, CALLS_ANSWERED, CLUSTER_GENERATION, COMMITTED, CORES, DATASTORE_ATTACHED,
    DATASTORE_FAILURES, DATASTORE_OLDEST, DATASTORE_OPERATION, DIALS_FAILED, DISPLACED, DROPPED, FACTS, FACTS_WAITING,
    FENCE_OPERATION, FENCE_OPERATIONS, GENERATION, HELD_ACTIONS, LAST, LEASE_COUNTS, LEASE_REMAINING, LIVE_PEERS,
    LOOP_LAG, MACHINE_AVAILABLE, MACHINE_CPU, MACHINE_MEMORY, MASTER_CHANGES, PROCESS_CPU, PROCESS_MEMORY,
    QUEUED_BYTES, QUEUED_PACKETS, QUORUM, RECEIVED, RECOVERIES, REFUSED, ROLE, SNAPSHOT, STAGE, STORE_FAILURES,
    STORE_OLDEST, STORE_WRITE, TERM, UNACKNOWLEDGED, UNADDRESSED, VM_CPU, VM_RESIDENT, VOTERS, VOTERS_WANTED,
    WATCHDOG_INFO, WATCHDOG_OPEN,
};
use super::text::Page;
use crate::clock;
use crate::core::agent::AgentStanding;
use crate::core::ids::{Authority, LogIndex};
use crate::core::message::Watchdog;
use crate::core::state::{Armed, ClusterState};
use crate::core::time::Instant;
use crate::election::Role;
use crate::node::{ElectionStanding, Node};
use crate::platform::{Reading, pid, usage};
use crate::transport::Transport;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a look at a node shows of it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) standing: AgentStanding,
    authority: Authority,
    pub(super) voter: Option<OwnVoter>,
}

/// What there is to be seen of a voter.
#[derive(Debug)]
pub(super) struct OwnVoter {
    election: ElectionStanding,
    applied: LogIndex,
    armed: bool,
    voters: usize,
    wanted: u32,
}

impl Own {
    /// Looks.
    pub(super) fn of(node: &Node, now: Instant) -> Own {
        let agent = node.agent();
        let of_voter = |(election, state): (ElectionStanding, &ClusterState)| OwnVoter {
            election,
            applied: state.applied,
            armed: state.armed == Armed::Armed,
            voters: node
                .electorate()
                .map_or(0, |members| state.voters.keys().filter(|voter| members.is_voter(**voter)).count()),
            wanted: state.policy.voters,
        };
        let voter = node.election(now).zip(node.state()).map(of_voter);
        Own { standing: agent.standing(now), authority: agent.authority(), voter }
    }
}

/// What was seen of the node itself.
pub(super) fn tell_own(page: &mut Page, own: &Own, counts: &Counts) {
    let AgentStanding { admitted, generation, unacknowledged, lease_counts, lease_remaining, .. } = own.standing;
    page.one(&ADMITTED, admitted);
    page.one(&GENERATION, generation.0);
    page.one(&CLUSTER_GENERATION, u64::from(own.authority.generation.0));
    page.one(&UNACKNOWLEDGED, unacknowledged);
    page.one(&LEASE_COUNTS, lease_counts);
    page.maybe(&LEASE_REMAINING, lease_remaining);
    page.family(&WATCHDOG_INFO).add(&[watchdog(own.standing.watchdog)], 1_u64);
    page.one(&WATCHDOG_OPEN, own.standing.watchdog_open);
    if let Some(voter) = &own.voter {
        tell_voter(page, voter, counts);
    }
}

fn watchdog(watchdog: Watchdog) -> &'static str {
    match watchdog {
        Watchdog::None => "none",
        Watchdog::Hardware { .. } => "hardware",
        Watchdog::Software { .. } => "software",
    }
}

fn tell_voter(page: &mut Page, voter: &OwnVoter, counts: &Counts) {
    let ElectionStanding { role, term, committed, last, snapshot, quorum } = voter.election;
    let role = match role {
        Role::Leader { .. } => "leader",
        Role::Follower { .. } => "follower",
        Role::Candidate { .. } => "candidate",
        Role::Learner { .. } => "learner",
    };
    page.one(&TERM, term);
    page.family(&ROLE).add(&[role], 1_u64);
    page.one(&COMMITTED, committed.0);
    page.one(&APPLIED, voter.applied.0);
    page.one(&LAST, last.0);
    page.one(&SNAPSHOT, snapshot.0);
    page.maybe(&QUORUM, quorum);
    page.one(&ARMED, voter.armed);
    page.one(&VOTERS, voter.voters);
    page.one(&VOTERS_WANTED, u64::from(voter.wanted));
    page.one(&FACTS, read(&counts.facts));
    page.one(&FACTS_WAITING, read(&counts.facts_waiting));
    let mut recoveries = page.family(&RECOVERIES);
    for ((cause, proof), count) in counts.recoveries.all() {
        recoveries.add(&[cause, proof], count);
    }
    let mut stages = page.family(&STAGE);
    for (stage, histogram) in counts.stages() {
        stages.histogram(&[stage], histogram);
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// What the node has counted.
pub(super) fn tell_counts(page: &mut Page, counts: &Counts) {
    page.family(&LOOP_LAG).histogram(&[], &counts.loop_lag);
    page.one(&HELD_ACTIONS, read(&counts.held_actions));
    page.one(&MASTER_CHANGES, read(&counts.master_changes));
    let mut alerts = page.family(&ALERTS);
    for (kind, count) in counts.alerts() {
        alerts.add(&[kind], count);
    }
    let used = pid::own_name().and_then(usage::of);
    page.maybe(&PROCESS_CPU, used.map(|used| Duration::from_nanos(used.cpu_nanoseconds)));
    page.maybe(&PROCESS_MEMORY, used.map(|used| used.resident_kib.saturating_mul(1_024)));
    if let Some(used) = counts.used() {
        tell_used(page, &used);
    }
    tell_stores(page, counts);
    tell_datastores(page, counts);
    let mut fences = page.family(&FENCE_OPERATION);
    for (operation, histogram) in counts.fences() {
        fences.histogram(&[operation], histogram);
    }
    let mut answers = page.family(&FENCE_OPERATIONS);
    for ((device, operation, outcome), count) in counts.fence_answers.all() {
        answers.add(&[&device, operation, outcome], count);
    }
}

/// What the host and its VMs use.
fn tell_used(page: &mut Page, used: &Reading) {
    page.one(&CORES, u64::from(used.host.cores));
    page.one(&MACHINE_CPU, Duration::from_nanos(used.host.cpu_used_nanoseconds));
    page.one(&MACHINE_MEMORY, used.host.memory_kib.saturating_mul(1_024));
    page.one(&MACHINE_AVAILABLE, used.host.available_kib.saturating_mul(1_024));
    let mut cpu = page.family(&VM_CPU);
    for vm in &used.vms {
        cpu.add(&[&vm.uuid.to_string()], Duration::from_nanos(vm.cpu_nanoseconds));
    }
    let mut resident = page.family(&VM_RESIDENT);
    for vm in &used.vms {
        resident.add(&[&vm.uuid.to_string()], vm.resident_kib.saturating_mul(1_024));
    }
}

fn tell_stores(page: &mut Page, counts: &Counts) {
    let now = clock::boottime();
    let mut writes = page.family(&STORE_WRITE);
    for (store, meter) in counts.stores() {
        writes.histogram(&[store], meter.took());
    }
    let mut failures = page.family(&STORE_FAILURES);
    for (store, meter) in counts.stores() {
        failures.add(&[store], meter.failed());
    }
    let mut oldest = page.family(&STORE_OLDEST);
    for (store, meter) in counts.stores() {
        oldest.add(&[store], meter.oldest(now));
    }
}

fn tell_datastores(page: &mut Page, counts: &Counts) {
    let now = clock::boottime();
    let mut attached = page.family(&DATASTORE_ATTACHED);
    for (name, datastore) in counts.datastores() {
        attached.add(&[name], datastore.is_attached());
    }
    let used = || counts.datastores().filter(|(_, datastore)| datastore.is_attached());
    let operations =
        || used().flat_map(|(name, datastore)| datastore.operations().map(|(op, meter)| ([name, op], meter)));
    let mut took = page.family(&DATASTORE_OPERATION);
    for (labels, meter) in operations() {
        took.histogram(&labels, meter.took());
    }
    let mut failures = page.family(&DATASTORE_FAILURES);
    for (labels, meter) in operations() {
        failures.add(&labels, meter.failed());
    }
    let mut oldest = page.family(&DATASTORE_OLDEST);
    for (labels, meter) in operations() {
        oldest.add(&labels, meter.oldest(now));
    }
}

/// How the node's packets fare.
pub(super) fn tell_transport(page: &mut Page, transport: &Transport) {
    let (stats, roster) = (transport.stats(), transport.roster());
    page.one(&LIVE_PEERS, stats.peers.iter().filter(|peer| peer.links > 0).count());
    page.one(&QUEUED_PACKETS, stats.peers.iter().map(|peer| peer.queued).sum::<usize>());
    page.one(&QUEUED_BYTES, stats.peers.iter().map(|peer| peer.queued_bytes).sum::<usize>());
    page.one(&RECEIVED, stats.received);
    page.one(&DISPLACED, stats.displaced);
    let mut dropped = page.family(&DROPPED);
    for peer in stats.peers.iter().filter(|peer| peer.dropped > 0) {
        let number = || peer.address.to_string();
        let name = roster.member(peer.address).map_or_else(number, |member| member.name.clone());
        dropped.add(&[&name], peer.dropped);
    }
    page.one(&UNADDRESSED, stats.unaddressed);
    page.one(&CALLS_ANSWERED, stats.answered);
    page.one(&REFUSED, stats.refused);
    page.one(&BROKEN, stats.broken);
    page.one(&DIALS_FAILED, stats.dials_failed);
}
