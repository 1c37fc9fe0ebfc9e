//! The checkers: they watch the truth, and know nothing of how it comes about.
//!
//! | | what | where |
//! |---|---|---|
//! | I1 | never two | `processes` |
//! | I2 | proof first | `holders`, `proofs`, `lease` |
//! | I3 | nothing lost | `log`, `liveness` |
//! | I4 | one decider | `log`, `orders`, `majority` |
//! | I5 | intent is obeyed; that no disk is deleted needs no check, as no action can | `intent` |
//! | I6 | doubt is loud | `doubt` |
//! | figures | the ledger tells what was true | `accounts` |
//!
//! They are told facts in the order in which they came true, and each node's state after its step. The work is
//! proportional to what changed.

mod accounts;
mod doubt;
mod holders;
mod intent;
mod lease;
mod liveness;
mod log;
mod majority;
mod orders;
mod processes;
mod proofs;
mod shadow;
#[cfg(test)]
mod tests;

pub use liveness::{Condition, Lack, Stand};

use crate::core::action::ProcessState;
use crate::core::ids::{Authority, Epoch, HostId, VmId};
use crate::core::reason::Wait;
use crate::core::state::ClusterState;
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::election::Members;
use crate::node::{NodeAction, NodeEvent};
use crate::sim::spec::WorldSpec;
use crate::sim::timeline::Violation;
use crate::sim::world::fact::{Cause, Fact};
use processes::Seen;
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
    proofs: proofs::Proofs,
    leases: lease::Leases,
    majority: majority::Majority,
    log: log::Log,
    orders: orders::Orders,
    intent: intent::Intent,
    doubt: doubt::Doubt,
    accounts: accounts::Accounts,
    /// Starts and migrations by people that nobody had to let in.
    let_pass: BTreeSet<(VmId, usize)>,
}

impl Checks {
    /// For the world of a specification.
    pub fn new(spec: &WorldSpec) -> Checks {
        Checks {
            found: Found::default(),
            excused: false,
            shadow: shadow::Shadow::default(),
            processes: processes::Processes::default(),
            proofs: proofs::Proofs::new(spec),
            leases: lease::Leases::new(spec),
            majority: majority::Majority::new(spec),
            log: log::Log::default(),
            orders: orders::Orders::default(),
            intent: intent::Intent::default(),
            doubt: doubt::Doubt::new(&Timing::of(spec.profile)),
            accounts: accounts::Accounts::new(&Timing::of(spec.profile)),
            let_pass: BTreeSet::new(),
        }
    }

    /// A node took a step; this is what it now has of the replicated state, and whether it is the master.
    pub fn node_stepped(&mut self, now: u64, machine: usize, state: Option<&ClusterState>, master: Option<Authority>) {
        if let Some(state) = state.filter(|state| self.log.has_advanced(machine, state)) {
            self.log.compare(machine, state, &mut self.found);
            if self.shadow.is_behind(state) {
                let mut gone = Vec::new();
                holders::check(&self.shadow, state, |vm, proof| gone.push((vm, *proof)), &mut self.found);
                for (vm, proof) in gone {
                    self.proofs.given(now, vm, &proof, (&self.shadow, &self.processes), &mut self.found);
                }
                self.intent.follow(&self.shadow, state);
                self.shadow.follow(state);
            }
        }
        self.accounts.seen(now, master.is_some());
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
                self.accounts.process(now, *vm, (*machine, *host), *state);
                let permitted = epoch.is_some_and(|epoch| epoch != Epoch::NONE);
                // People answer for what they sent on its way while nobody had to let it in.
                let came = self.let_pass.contains(&(*vm, *machine));
                if matches!(state, Some(ProcessState::Executing) | None) {
                    self.let_pass.remove(&(*vm, *machine));
                }
                let answers = permitted || !came && self.shadow.is_guarded(*vm, *host);
                if state.is_none() {
                    self.proofs.process_ended(*vm, *machine);
                    self.leases.process_ended(*vm, *machine);
                }
                let process = (*host, *state, *epoch);
                let seen = Seen { process, theirs: came, called: self.orders.called(*vm, *epoch) };
                let began = self.processes.changed(now, *vm, *machine, seen, answers.then_some(&mut *found));
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
                self.orders.start_called(now, (*vm, *host), *epoch, *floor, found);
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
            Fact::LetPass { vm, machine, host } => {
                if !self.shadow.is_guarded(*vm, *host) {
                    self.let_pass.insert((*vm, *machine));
                }
            }
            Fact::Booted { machine, boot } => self.proofs.booted(*machine, *boot),
            Fact::Watchdog { machine, fires_at } => self.proofs.watchdog(*machine, *fires_at),
            Fact::Excused => self.excused = true,
        }
    }

    /// An agent's process has started.
    pub fn agent_started(&mut self, machine: usize, host: HostId, session: u64, now: Instant) {
        self.leases.started(machine, host, session, now);
        self.majority.started(machine);
    }

    /// Something is about to reach an agent.
    pub fn agent_hears(&mut self, machine: usize, now: Instant, event: &NodeEvent) {
        self.leases.heard(machine, now, event);
        self.majority.heard(machine, now, event);
    }

    /// An agent does something.
    pub fn agent_does(&mut self, machine: usize, now: Instant, action: &NodeAction, members: Option<&Members>) {
        if let NodeAction::Ledger(entries) = action {
            self.accounts.written(entries);
        }
        self.majority.did(machine, now, action, members, &mut self.found);
        self.leases.did(machine, now, action, (&self.shadow, &self.processes), &mut self.found);
    }

    /// An agent was woken, and all that it did then is done.
    pub fn agent_woke(&mut self, machine: usize, now: (u64, Instant)) {
        self.leases.woke(machine, now, (&self.shadow, &self.processes), &mut self.found);
    }

    /// There is no master that could say anything.
    pub fn no_master(&mut self) {
        self.doubt.no_master();
    }

    /// How things stand under this master, which is asked what VMs wait for.
    pub fn sample(&mut self, now: u64, master: Option<Authority>, wait: impl Fn(VmId) -> Option<Wait>) {
        self.doubt.sample(now, master, (&self.shadow, &self.processes), wait, &mut self.found);
    }

    /// The run is over: the ledger must tell of it what was true.
    pub fn account(&mut self, now: u64) {
        self.accounts.check(now, &mut self.found);
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
