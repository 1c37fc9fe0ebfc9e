//! The hard rules: whether a host can take a VM at all, and if not, why.

use super::{Candidate, Demand};
use crate::core::ids::FeatureId;
use crate::core::reason::Unfit;

/// One hard rule. It sees a host as the plan has filled it so far.
type Constraint = fn(&Candidate<'_>, &Demand<'_>) -> Result<(), Unfit>;

/// All hard rules. The first that is broken is the reason told, so what lasts longer stands before what passes: a host
/// without the VM's datastore is no place for it, however much memory comes free.
const CONSTRAINTS: [Constraint; 8] = [bound, witness, usable, datastores, networks, needs, memory, cpu];

/// Whether the host can take the VM, at its present usage. The limit of parallel starts is not asked about here: a host
/// at its limit fits, and only its turn has to be waited for.
pub fn fits(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    CONSTRAINTS.iter().try_for_each(|constraint| constraint(candidate, demand))
}

/// Whether the host can take any VM.
pub(super) fn fits_any(candidate: &Candidate<'_>) -> bool {
    !candidate.host.is_witness() && candidate.usable.is_ok()
}

/// That comes first: nothing that another host could come to have helps.
fn bound(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    let may_move = demand.definition.bonds.is_empty() || demand.seat == Some(candidate.id);
    if may_move { Ok(()) } else { Err(Unfit::Bound) }
}

fn needs(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    let mut needs = demand.definition.needs.iter().map(|need| FeatureId::of(need));
    match needs.find(|need| !candidate.usable.is_ok_and(|features| features.contains(need))) {
        Some(need) => Err(Unfit::Lacks(need)),
        None => Ok(()),
    }
}

fn witness(candidate: &Candidate<'_>, _: &Demand<'_>) -> Result<(), Unfit> {
    if candidate.host.is_witness() { Err(Unfit::Witness) } else { Ok(()) }
}

fn usable(candidate: &Candidate<'_>, _: &Demand<'_>) -> Result<(), Unfit> {
    candidate.usable.map(|_| ())
}

fn datastores(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    let reached = &candidate.host.life.datastores;
    match demand.definition.datastores.iter().find(|datastore| !reached.contains(datastore)) {
        Some(&datastore) => Err(Unfit::Datastore(datastore)),
        None => Ok(()),
    }
}

fn networks(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    let reached = &candidate.host.life.networks;
    match demand.definition.networks.iter().find(|network| !reached.contains(network)) {
        Some(&network) => Err(Unfit::Network(network)),
        None => Ok(()),
    }
}

fn memory(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    let free_mib = candidate.usage.free_mib(candidate.host);
    let needed_mib = demand.definition.memory_mib;
    if needed_mib <= free_mib { Ok(()) } else { Err(Unfit::Memory { free_mib, needed_mib }) }
}

fn cpu(candidate: &Candidate<'_>, demand: &Demand<'_>) -> Result<(), Unfit> {
    let free_millicores = candidate.usage.free_millicores(candidate.host);
    let needed_millicores = demand.definition.millicores;
    if needed_millicores <= free_millicores { Ok(()) } else { Err(Unfit::Cpu { free_millicores, needed_millicores }) }
}
