//! Placement: which host starts which VM.
//!
//! [`plan`] takes all VMs that wait for a start and all hosts, and returns one whole plan; whoever acts on it makes no
//! choice of its own. The plan is a function of its arguments and not of their order, so what `holdfast plan --fail`
//! shows before a failure is what the master does after it.
//!
//! ```text
//!  demands, most urgent first ──▶ [fit]   may it start there at all?      a list of constraints, each with its reason
//!                                 [score] where does it do the least harm? a load, plus a cost for each wish not met
//!                                    │
//!                                    ▼
//!                    room is taken at once, before the next demand is looked at
//! ```
//!
//! A new hard rule is one more function in the list of [`fits`]; a new wish is one more cost in `score`.

mod fit;
mod order;
mod score;
mod usage;

#[cfg(test)]
mod tests;

pub use fit::fits;
pub use usage::{Usage, usage};

use crate::core::ids::{FeatureId, HostId, VmId};
use crate::core::reason::{Proof, Unfit};
use crate::core::state::{ClusterState, Host, Policy, Vm, VmDefinition};
use order::Order;
use score::Turn;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A VM that fits nowhere names so many hosts with their reasons: enough to act on, and small in a large cluster.
pub const REASONS: usize = 8;

/// A host, as far as placing goes.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Which host.
    pub id: HostId,
    /// What the log holds of it.
    pub host: &'a Host,
    /// What it has that VMs may need, or why it may not be used at all. Only the caller knows: it observes who is alive,
    /// and a person who asks "what if" takes hosts away.
    pub usable: Result<&'a BTreeSet<FeatureId>, Unfit>,
    /// How much of it is spoken for.
    pub usage: Usage,
}

impl<'a> Candidate<'a> {
    /// All hosts of a cluster as candidates, with what is spoken for and the caller's word on each.
    pub fn all(
        state: &'a ClusterState,
        usage: &BTreeMap<HostId, Usage>,
        usable: impl Fn(HostId, &Host) -> Result<&'a BTreeSet<FeatureId>, Unfit>,
    ) -> Vec<Candidate<'a>> {
        let candidate = |(&id, host): (&HostId, &'a Host)| Candidate {
            id,
            host,
            usable: usable(id, host),
            usage: usage.get(&id).copied().unwrap_or_default(),
        };
        state.hosts.iter().map(candidate).collect()
    }
}

/// A VM that waits for a start.
#[derive(Debug, Clone)]
pub struct Demand<'a> {
    /// What it is and needs.
    pub definition: &'a VmDefinition,
    /// Where it last ran.
    pub seat: Option<HostId>,
    /// Where its last start failed: tried again only if nothing else fits.
    pub avoid: Option<HostId>,
    /// Whether it was never started before, so that its home is honoured.
    pub first_start: bool,
    /// Hosts that hold it, which are therefore no place to start it. Their usage counts it already.
    pub exclude: BTreeSet<HostId>,
    /// The failure domains in which it was lost or failed. What took one host of a rack may take the next, so others
    /// are preferred, though not at the price of crowding them.
    pub lost_in: BTreeSet<&'a str>,
}

impl<'a> Demand<'a> {
    /// The demand of a VM as the log has it.
    ///
    /// A VM that still has holders may be asked about too: that is how a failure is tried out before it happens.
    pub fn of(state: &'a ClusterState, vm: &'a Vm) -> Demand<'a> {
        // Older proofs tell of losses that are long past, and a host that let the VM go of itself is no loss.
        let lost = vm.proofs.last().filter(|proof| !matches!(proof.proof, Proof::Released { .. }));
        let failed_on = vm.failed_on.map(|(host, _)| host);
        let lost_on = lost.map(|proof| proof.host).into_iter().chain(vm.holders.keys().copied()).chain(failed_on);
        let domains = lost_on.filter_map(|host| Some(state.hosts.get(&host)?.failure_domain.as_str()));
        Demand {
            definition: &vm.definition,
            seat: vm.seat.or(vm.definition.home),
            avoid: failed_on,
            first_start: !vm.started_before,
            exclude: vm.holders.keys().copied().collect(),
            lost_in: domains.filter(|domain| !domain.is_empty()).collect(),
        }
    }
}

/// What becomes of each demand. Each VM is in exactly one of the lists, and each list is in the order of decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To be started, and where.
    pub placed: Vec<(VmId, HostId)>,
    /// Room for it is kept there, but every host that fits starts as many VMs as it may at once.
    pub queued: Vec<(VmId, HostId)>,
    /// It fits nowhere: the reasons of up to [`REASONS`] hosts, by host, with at least one host for each kind of
    /// reason. A host that would fit but holds it gives no reason, so in a cluster of holders alone there are none.
    pub unplaced: Vec<(VmId, Vec<(HostId, Unfit)>)>,
}

/// Plans all demands at once, the most urgent first: by priority, then the larger memory, then the id.
///
/// # Contract
/// - Each host stands among the candidates once and each VM among the demands once; their order has no effect.
/// - The demands are all VMs that wait for a start, not only the new ones. What is kept for a queued VM is kept within
///   this plan, so a later plan that left it out could give its room to a VM of lower priority.
/// - Candidates that are not usable belong into the list: they are never chosen, but they are reasons.
pub fn plan(candidates: &[Candidate<'_>], demands: &[Demand<'_>], policy: &Policy) -> Plan {
    let mut order = Order::new(candidates, policy);
    let mut urgent: Vec<&Demand<'_>> = demands.iter().collect();
    // Large before small, because a small VM still fits into what a large one leaves, and not the other way round.
    urgent.sort_by_key(|demand| {
        let definition = demand.definition;
        (Reverse(definition.priority), Reverse(definition.memory_mib), definition.id)
    });
    let mut plan = Plan::default();
    for demand in urgent {
        let vm = demand.definition.id;
        match order.choose(demand) {
            Some(choice) => {
                let host = order.take(choice, demand);
                match choice.turn {
                    Turn::Now => plan.placed.push((vm, host)),
                    Turn::Waits => plan.queued.push((vm, host)),
                }
            }
            None => plan.unplaced.push((vm, order.reasons(demand))),
        }
    }
    plan
}
