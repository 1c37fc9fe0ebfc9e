//! The wishes: among the hosts that can take a VM, which one should.
//!
//! A host's load is the fuller of its memory and its CPU, in parts of a million, because the scarcer of the two is what
//! the next VM will lack. Whole numbers alone are used, so that every machine computes the same plan.

use super::{Candidate, Demand, Usage};
use crate::core::state::{Host, Role};

/// The load of a host that is full.
const FULL: u64 = 1_000_000;

/// What each start under way adds to a host's load. Starts on one host slow each other down, and a host that stands
/// empty would else get all of them.
const START_COST: u64 = FULL / 100;

/// What it costs to stay in a failure domain that the VM was lost in. It is a cost and not a rule: in a cluster of two
/// racks the survivors of the struck rack must share the work, once the other rack is that much fuller.
const LOST_DOMAIN_COST: u64 = FULL / 10;

/// Whether a host deserves trust with this VM. It comes before any load: lesser is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Nothing speaks against it.
    Fresh,
    /// The VM's last start failed there, so even a wait elsewhere promises more.
    FailedLast,
}

/// When a host can start the VM. Only its trust comes before this: lesser is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// At once.
    Now,
    /// When another of its starts is done.
    Waits,
}

/// A host that can take the VM. Lesser is better, field by field; the seats are in the order of host ids, which settles
/// ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    /// Whether it deserves trust.
    pub trust: Trust,
    /// When it can start the VM.
    pub turn: Turn,
    /// The load that the host would have with the VM, and the cost of each wish that is not met.
    pub cost: u64,
    /// Which host, by its place among the candidates.
    pub seat: usize,
}

/// How full a host is.
pub(super) fn load(host: &Host, usage: &Usage) -> u64 {
    let memory = share(usage.memory_mib, host.memory_mib);
    let cpu = share(usage.millicores, host.millicores);
    memory.max(cpu).saturating_add(START_COST.saturating_mul(u64::from(usage.starting)))
}

/// What it costs to start the VM on this host, which must fit.
pub(super) fn cost(candidate: &Candidate<'_>, demand: &Demand<'_>) -> u64 {
    let mut after = candidate.usage;
    after.add(demand.definition, Role::Starting);
    let mut cost = load(candidate.host, &after);
    if demand.lost_in.contains(candidate.host.failure_domain.as_str()) {
        cost = cost.saturating_add(LOST_DOMAIN_COST);
    }
    cost
}

/// By how much the VM raises the load of any host at the least, given the largest that there are.
///
/// It lets the search stop: no host whose load plus this is above the best cost so far can be better. It must never be
/// too great, so each new wish may only add to [`cost`]. Rounding is safe, because the whole part of a sum is never
/// less than the sum of the whole parts.
pub(super) fn least_growth(largest_mib: u64, largest_millicores: u64, demand: &Demand<'_>) -> u64 {
    let memory = share(demand.definition.memory_mib, largest_mib);
    let cpu = share(demand.definition.millicores, largest_millicores);
    memory.min(cpu).saturating_add(START_COST)
}

/// A part of a whole, in parts of a million. A host without any CPU figure counts as the smallest possible one.
fn share(part: u64, whole: u64) -> u64 {
    part.saturating_mul(FULL) / whole.max(1)
}
