//! What the host and its VMs use: measured here, told to all voters, and on a voter handed to its keeper.
//!
//! A hypervisor that hangs holds up the next measurement and nothing else: there is one at a time, where it may take its
//! time. A voter that does not answer is told again with the next one, and the others are told meanwhile.

use super::copies::keep_whole;
use super::hands::Glance;
use crate::api::Api;
use crate::clock;
use crate::core::ids::{Address, HostId, LogIndex, VmId};
use crate::core::state::ClusterState;
use crate::node::Node;
use crate::samples::{Batch, Delivery, Keeper, Members, Meter, Receipt, Ring, SLOT, SLOT_MILLISECONDS, encode_batches};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A measurement that takes longer does without what the hypervisor's daemon says.
const READING: Duration = Duration::from_secs(4);
/// A voter answers within this, or is told again later.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many measurements wait to be told, at most: they are told at once.
const MEASURED: usize = 16;
/// The hosts of a large cluster tell what they have measured at the same moment one after the other, within this.
const SPREAD: u64 = 3_000;
/// So many VMs are looked at in one go, for the loop has other things to do.
const PORTION: usize = 2_000;

/// Measures, tells and keeps, for as long as the node runs.
pub(super) fn begin(api: &Api, keeper: Keeper) {
    let (measured, measures) = mpsc::channel(MEASURED);
    tokio::spawn(measure(api.clone(), measured));
    tokio::spawn(tell(api.clone(), measures));
    tokio::spawn(follow(api.clone(), keeper.clone()));
    tokio::spawn(keep_whole(api.clone(), keeper));
}

/// Measures at the end of each slot.
async fn measure(api: Api, measured: mpsc::Sender<Batch>) {
    let mut meter = Meter::default();
    loop {
        let into = clock::wall_milliseconds().rem_euclid(SLOT_MILLISECONDS).unsigned_abs();
        tokio::time::sleep(SLOT - Duration::from_millis(into)).await;
        let live = Arc::clone(&api.live);
        let reading = tokio::task::spawn_blocking(move || {
            let reading = live.reading(clock::boottime() + READING);
            (clock::wall_milliseconds(), reading)
        });
        match reading.await {
            Ok((wall_milliseconds, Ok(reading))) => {
                api.metrics.measured(&reading);
                for batch in meter.take(wall_milliseconds, reading) {
                    if measured.send(batch).await.is_err() {
                        return;
                    }
                }
            }
            Ok((_, Err(why))) => tracing::warn!("what this host uses cannot be measured: {why}"),
            Err(error) => tracing::error!(%error, "a measurement was broken off"),
        }
    }
}

/// Tells each voter what it lacks.
async fn tell(api: Api, mut measured: mpsc::Receiver<Batch>) {
    let mut ring = Ring::default();
    let mut telling: JoinSet<(Address, Option<Receipt>)> = JoinSet::new();
    loop {
        tokio::select! {
            batch = measured.recv() => {
                let Some(batch) = batch else { return };
                ring.push(batch);
                if let Some(voters) = api.handle.look(|node, _| voters(node)).await {
                    ring.set_voters(&voters);
                }
            }
            Some(told) = telling.join_next(), if !telling.is_empty() => {
                let Ok((voter, receipt)) = told else { continue };
                ring.told(voter, receipt);
                if receipt.is_none() {
                    // It is told again with the next measurement, and not in a hurry.
                    continue;
                }
            }
        }
        for voter in ring.lacking() {
            telling.spawn(tell_one(api.clone(), voter, ring.next_for(voter)));
        }
    }
}

async fn tell_one(api: Api, voter: Address, batches: Vec<Batch>) -> (Address, Option<Receipt>) {
    // A different moment for each host, and for each the same one.
    let turn = u64::from(api.me.0).wrapping_mul(37) % SPREAD;
    tokio::time::sleep(Duration::from_millis(turn)).await;
    let answer = api.transport.call(voter, encode_batches(&batches), PATIENCE).await;
    (voter, answer.ok().and_then(|answer| Receipt::decode(&answer).ok()))
}

/// Where the voters are: a voter knows it by the log, any other host as far as its agent was told.
fn voters(node: &Node) -> Vec<Address> {
    node.state().map_or_else(|| node.agent().voters().to_vec(), ClusterState::voter_addresses)
}

/// Tells the keeper of whom samples are to be kept, whenever that may have changed.
async fn follow(api: Api, keeper: Keeper) {
    let mut known: Option<LogIndex> = None;
    loop {
        let Glance { votes, .. } = *api.handle.glance.borrow();
        if !votes {
            known = None;
            keeper.deliver(Delivery::Cluster(None));
        } else if let Some((applied, members)) = members(&api, known).await {
            known = Some(applied);
            keeper.deliver(Delivery::Cluster(Some(members)));
        }
        tokio::time::sleep(SLOT).await;
    }
}

/// All members, if the log has grown since.
async fn members(api: &Api, known: Option<LogIndex>) -> Option<(LogIndex, Members)> {
    let begin = api.handle.look(move |node, _| {
        let state = node.state()?;
        let hosts = || state.hosts.keys().map(|HostId(number)| *number).collect();
        (Some(state.applied) != known).then(|| (state.applied, hosts()))
    });
    let (applied, hosts) = begin.await.flatten()?;
    let mut members = Members { hosts, ..Members::default() };
    let mut after: Option<VmId> = None;
    loop {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let portion = api.handle.look(move |node, _| {
            let vms = node.state()?.vms.range((begin, Bound::Unbounded)).take(PORTION);
            Some(vms.map(|(id, vm)| (*id, vm.definition.uuid)).collect::<Vec<_>>())
        });
        let portion = portion.await.flatten()?;
        members.vms.extend(portion.iter().map(|(_, uuid)| *uuid));
        match portion.last().filter(|_| portion.len() == PORTION) {
            Some((last, _)) => after = Some(*last),
            None => return Some((applied, members)),
        }
    }
}
