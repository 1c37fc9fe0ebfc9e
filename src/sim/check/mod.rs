//! The checkers: they watch the truth, and know nothing of how it comes about.
//!
//! | | what | where |
//! |---|---|---|
//! | I1 | never two | `processes` |
//! | I2 | proof first | `holders` |
//! | I3 | nothing lost | `log`, `liveness` |
//! | I4 | one decider | `log`, `orders` |
//! | I5 | intent is obeyed; that no disk is deleted needs no check, as no action can | `intent` |
//! | I6 | doubt is loud | `doubt` |
//!
//! They are told facts in the order in which they came true, and each node's state after its step. The work is
//! proportional to what changed.

mod doubt;
mod holders;
mod intent;
mod liveness;
mod log;
mod orders;
mod processes;
mod shadow;
#[cfg(test)]
mod tests;

pub use liveness::{Condition, Lack, Stand};

use crate::core::action::ProcessState;
use crate::core::ids::{Authority, Epoch, VmId};
use crate::core::reason::Wait;
use crate::core::state::ClusterState;
use crate::core::timing::Timing;
use crate::sim::spec::WorldSpec;
use crate::sim::timeline::Violation;
use crate::sim::world::fact::{Cause, Fact};
use std::collections::BTreeSet;

/// What was found wrong since the last time it was asked for.
#[derive(Debug)]
pub struct Findings(pub Vec<Violation>);

/// Where checkers put what they find.
#[derive(Debug, Default)]
struct Found(Vec<(&'static str, String)>);

impl Found {
    fn add(&mut self, invariant: &'static str, detail: String) {
        self.0.push((invariant, detail));
    }
}

/// All checkers.
#[derive(Debug)]
pub struct Checks {
    found: Found,
    excused: bool,
    shadow: shadow::Shadow,
    processes: processes::Processes,
    log: log::Log,
    orders: orders::Orders,
    intent: intent::Intent,
    doubt: doubt::Doubt,
    /// Migrations by people that nobody had to let in.
    arrivals: BTreeSet<(VmId, usize)>,
}

impl Checks {
    /// For the world of a specification.
    pub fn new(spec: &WorldSpec) -> Checks {
        Checks {
            found: Found::default(),
            excused: false,
            shadow: shadow::Shadow::default(),
            processes: processes::Processes::default(),
            log: log::Log::default(),
            orders: orders::Orders::default(),
            intent: intent::Intent::default(),
            doubt: doubt::Doubt::new(&Timing::of(spec.profile)),
            arrivals: BTreeSet::new(),
        }
    }

    /// A node took a step; this is what it now has of the replicated state, and whether it is the master.
    pub fn node_stepped(&mut self, machine: usize, state: Option<&ClusterState>, master: Option<Authority>) {
        if let Some(state) = state.filter(|state| self.log.has_advanced(machine, state)) {
            self.log.compare(machine, state, &mut self.found);
            if self.shadow.is_behind(state) {
                holders::check(&self.shadow, state, &mut self.found);
                self.intent.follow(&self.shadow, state);
                self.shadow.follow(state);
            }
        }
        if self.log.has_turned(machine, master) {
            self.log.master(machine, master, &mut self.found);
            if let (Some(_), Some(state)) = (master, state) {
                self.intent.new_master(state, &mut self.found);
            }
        }
    }

    /// Something came true.
    pub fn fact(&mut self, now: u64, fact: &Fact) {
        let found = &mut self.found;
        match fact {
            Fact::Process { vm, machine, host, state, epoch, by } => {
                let permitted = epoch.is_some_and(|epoch| epoch != Epoch::NONE);
                let came = self.arrivals.remove(&(*vm, *machine));
                if *state == Some(ProcessState::Incoming) && !permitted && !self.shadow.is_guarded(*vm, *host) {
                    self.arrivals.insert((*vm, *machine));
                }
                // People answer for what they sent on its way while the cluster only observed.
                let answers = permitted || !came && self.shadow.is_guarded(*vm, *host);
                let began = self.processes.changed(*vm, *machine, *host, *state, answers.then_some(&mut *found));
                if began && *state == Some(ProcessState::Executing) {
                    self.doubt.came_up(*vm);
                }
                if began && *state == Some(ProcessState::Executing) && answers {
                    holders::check_start(&self.shadow, *vm, *host, *epoch, found);
                    self.orders.began(*vm, *epoch);
                    if *by == Cause::Started {
                        self.intent.began(&self.shadow, *vm, *host, *epoch, found);
                    }
                }
            }
            Fact::StartCalled { vm, host, epoch, floor } => {
                self.orders.start_called(*vm, *host, *epoch, *floor, found);
            }
            Fact::PowerOffOrdered { index, machine } => {
                self.orders.power_off(&self.log, *index, *machine, found);
                if self.shadow.is_braked() {
                    found
                        .add("rule 10", format!("machine {machine} orders power off though too many hosts are silent"));
                }
            }
            Fact::TombstoneOrdered { to, tombstone } => self.orders.tombstone(&self.shadow, *to, *tombstone, found),
            Fact::Durable { voter, index } => self.log.durable(&self.shadow, *voter, *index),
            Fact::Accepted(request) => self.intent.accepted(&self.shadow, request, found),
            Fact::Alert(alert) => self.doubt.alert(now, alert),
            Fact::Excused => self.excused = true,
        }
    }

    /// There is no master that could say anything.
    pub fn no_master(&mut self) {
        self.doubt.no_master();
    }

    /// How things stand under this master, which is asked what VMs wait for.
    pub fn sample(&mut self, now: u64, master: Option<Authority>, wait: impl Fn(VmId) -> Option<Wait>) {
        self.doubt.sample(now, master, (&self.shadow, &self.processes), wait, &mut self.found);
    }

    /// After healing, and in the time allowed, this did not come right.
    pub fn lack(&mut self, lack: &str) {
        self.found.add("I3", lack.to_owned());
    }

    /// What was found since the last call, if anything.
    pub fn findings(&mut self) -> Option<Findings> {
        if self.found.0.is_empty() {
            return None;
        }
        let excused = self.excused;
        let found = std::mem::take(&mut self.found.0);
        let violation = |(invariant, detail)| Violation { invariant, detail, excused };
        Some(Findings(found.into_iter().map(violation).collect()))
    }
}
