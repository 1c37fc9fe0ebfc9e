//! The candidates in the order in which they are tried, kept true while the plan fills them.

use super::score::{self, Choice, Trust, Turn};
use super::{Candidate, Demand, REASONS, fit};
use crate::core::ids::HostId;
use crate::core::reason::Unfit;
use crate::core::state::{Policy, Role};
use std::collections::BTreeSet;
use std::mem::discriminant;

/// The candidates, filled by the plan so far.
pub(super) struct Order<'a> {
    /// All of them, by host id. A seat is an index into this.
    seats: Vec<Candidate<'a>>,
    /// Those that can take any VM at all, the least loaded first. With it a large cluster costs little: the search
    /// begins at the best host and ends as soon as none of the rest can be better.
    by_load: BTreeSet<(u64, usize)>,
    /// The largest memory among them, in MiB.
    largest_mib: u64,
    /// The most CPU among them, in thousandths of a core.
    largest_millicores: u64,
    /// So many VMs may start on one host at the same time.
    parallel_starts: u32,
}

impl<'a> Order<'a> {
    /// The candidates before anything is planned.
    pub(super) fn new(candidates: &[Candidate<'a>], policy: &Policy) -> Order<'a> {
        let mut seats = candidates.to_vec();
        seats.sort_by_key(|candidate| candidate.id);
        let open = || seats.iter().enumerate().filter(|(_, candidate)| fit::fits_any(candidate));
        Order {
            by_load: open().map(|(seat, entry)| (score::load(entry.host, &entry.usage), seat)).collect(),
            largest_mib: open().map(|(_, entry)| entry.host.memory_mib).max().unwrap_or(0),
            largest_millicores: open().map(|(_, entry)| entry.host.millicores).max().unwrap_or(0),
            parallel_starts: policy.parallel_starts,
            seats,
        }
    }

    /// The best host for the VM, or none if it fits nowhere.
    pub(super) fn choose(&self, demand: &Demand<'_>) -> Option<Choice> {
        if let Some(choice) = self.home(demand).and_then(|seat| self.weigh(seat, demand)) {
            return Some(choice);
        }
        let growth = score::least_growth(self.largest_mib, self.largest_millicores, demand);
        let mut best: Option<Choice> = None;
        for &(load, seat) in &self.by_load {
            // From here on hosts are fuller, so this is the best that any of the rest could be.
            let bound = Choice { trust: Trust::Fresh, turn: Turn::Now, cost: load.saturating_add(growth), seat };
            if best.is_some_and(|best| best < bound) {
                break;
            }
            let choice = self.weigh(seat, demand);
            best = best.into_iter().chain(choice).min();
        }
        best
    }

    /// Takes the room for the VM and says on which host. A VM that has to wait for its start counts among the starts
    /// too, so that those who wait spread over the hosts as those who start do.
    pub(super) fn take(&mut self, choice: Choice, demand: &Demand<'_>) -> HostId {
        let candidate = &mut self.seats[choice.seat];
        let before = score::load(candidate.host, &candidate.usage);
        candidate.usage.add(demand.definition, Role::Starting);
        self.by_load.remove(&(before, choice.seat));
        self.by_load.insert((score::load(candidate.host, &candidate.usage), choice.seat));
        candidate.id
    }

    /// Why the VM fits nowhere: the first host of each kind of reason, and then more hosts, up to the limit, by id.
    pub(super) fn reasons(&self, demand: &Demand<'_>) -> Vec<(HostId, Unfit)> {
        let mut kinds = Vec::new();
        let (mut first, mut more) = (Vec::new(), Vec::new());
        for candidate in &self.seats {
            let Err(unfit) = fit::fits(candidate, demand) else { continue };
            if kinds.contains(&discriminant(&unfit)) {
                more.push((candidate.id, unfit));
            } else {
                kinds.push(discriminant(&unfit));
                first.push((candidate.id, unfit));
            }
        }
        first.extend(more);
        first.truncate(REASONS);
        first.sort_unstable();
        first
    }

    /// The seat of the VM's home, if that is to be honoured.
    fn home(&self, demand: &Demand<'_>) -> Option<usize> {
        let home = demand.definition.home.filter(|&home| demand.first_start && demand.avoid != Some(home))?;
        self.seats.binary_search_by_key(&home, |candidate| candidate.id).ok()
    }

    /// What this host is worth to the VM; none if it does not fit or holds it.
    fn weigh(&self, seat: usize, demand: &Demand<'_>) -> Option<Choice> {
        let candidate = &self.seats[seat];
        if demand.exclude.contains(&candidate.id) || fit::fits(candidate, demand).is_err() {
            return None;
        }
        let trust = if demand.avoid == Some(candidate.id) { Trust::FailedLast } else { Trust::Fresh };
        let turn = if candidate.usage.starting < self.parallel_starts { Turn::Now } else { Turn::Waits };
        Some(Choice { trust, turn, cost: score::cost(candidate, demand), seat })
    }
}
