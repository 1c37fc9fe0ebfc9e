//! Healing, and the demand that follows: whatever should run and can, must run within the bound.

use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::reason::Wait;
use crate::core::state::{Armed, ClusterState, Health, Standing, Vm};
use crate::sim::check::{Condition, Lack, Stand};
use crate::sim::fault::Fault;
use crate::sim::world::machine::Power;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::{Brain, SAMPLE, Simulation};
use std::time::Duration;

/// People look this often for what only they can release.
const PEOPLE: Duration = Duration::from_secs(2);

/// How a healed world fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// All is as it should be, after so long.
    After(Duration),
    /// The bound has passed, and this is not as it should be. Each is a violation of I3, too.
    Not(Vec<String>),
}

impl<B: Brain> Simulation<B> {
    /// Lets every fault end now, and every machine that should be on boot.
    pub fn heal(&mut self) {
        self.world.befall(Fault::Heal);
        self.settle();
    }

    /// The time within which a healed world must be as it should be: the bound of the time table, after the slowest
    /// boot.
    pub fn recovery_bound(&self) -> Duration {
        let boot = self.world.spec.hosts.values().map(|host| host.boot_time).max().unwrap_or_default();
        boot + self.world.timing.recovery_bound()
    }

    /// Heals the world and runs it until all is as it should be, at the longest for the bound. People meanwhile
    /// release what only a person may: conflicts, quarantines, VMs that were given up.
    pub fn recover(&mut self, bound: Duration) -> Recovered {
        self.heal();
        let begun = self.now();
        let step = Duration::from_micros(SAMPLE);
        let mut next_people = begun + PEOPLE;
        while self.now() < begun + bound {
            self.run_until((self.now() + step).min(begun + bound));
            if self.now() >= next_people {
                self.release();
                next_people += PEOPLE;
            }
            if self.lacks().is_empty() {
                return Recovered::After(self.now() - begun);
            }
        }
        self.liveness()
    }

    /// What is not as it should be now, as a violation of I3 each.
    pub fn liveness(&mut self) -> Recovered {
        let lacks: Vec<String> = self.lacks().iter().map(ToString::to_string).collect();
        for lack in &lacks {
            self.checks.lack(lack);
        }
        self.report();
        Recovered::Not(lacks)
    }

    fn lacks(&self) -> Vec<Lack> {
        let Some(state) = self.master().and_then(|(_, brain)| brain.state()) else { return vec![Lack::NoMaster] };
        let stands = state.vms.iter().filter(|(_, vm)| vm.protected).map(|(id, vm)| Stand {
            vm: *id,
            want: vm.intent.want,
            condition: self.condition(*id),
            possible: self.can_run(state, vm),
            wait: self.master_wait(*id),
        });
        let protected = state.vms.iter().filter(|(_, vm)| vm.protected);
        let is_other =
            |(id, vm): &(&VmId, &Vm)| self.world.runs_as(**id).is_some_and(|payload| payload != vm.definition.payload);
        let redefined = protected.clone().filter(is_other).map(|(id, _)| Lack::Redefined(*id));
        let is_unheard = |(id, vm): &(&VmId, &Vm)| {
            let answers = self.world.guests_speak() && self.condition(**id) == Condition::Executes;
            answers && vm.account.up.asks() && vm.health() != Health::Answers
        };
        let unheard = protected.filter(is_unheard).map(|(id, vm)| Lack::Unheard(*id, vm.health()));
        // A cluster that only observes stops nothing.
        let acts = state.armed == Armed::Armed;
        let lacks = stands.filter_map(|stand| stand.lack());
        lacks.filter(|lack| acts || !matches!(lack, Lack::NotStopped(_))).chain(redefined).chain(unheard).collect()
    }

    fn condition(&self, vm: VmId) -> Condition {
        match self.truth().executes_on(vm) {
            Some(_) => Condition::Executes,
            None => Condition::DoesNot,
        }
    }

    /// Whether any host could take the VM, were it alone.
    fn can_run(&self, state: &ClusterState, vm: &Vm) -> bool {
        let definition = &vm.definition;
        self.world.spec.hosts.iter().any(|(host, entry)| {
            let quarantined = state.hosts.get(host).is_none_or(|host| host.quarantined);
            let on = self.world.place(*host).is_some_and(|place| self.world.machines[place].should_be_on);
            on && !quarantined
                && entry.memory_mib >= definition.memory_mib.max(1)
                && entry.millicores >= definition.millicores
                && definition.datastores.is_subset(&entry.datastores)
                && definition.networks.is_subset(&entry.networks)
        })
    }

    /// People do what the master says that only they may.
    fn release(&mut self) {
        let Some(state) = self.master().and_then(|(_, brain)| brain.state()) else { return };
        let conflicted = |host: &&HostId| state.hosts[host].standing == Standing::Conflicted;
        let quarantined = |host: &&HostId| state.hosts[host].quarantined;
        let conflicts = state.hosts.keys().filter(conflicted).map(|host| Request::ResolveConflict(*host));
        let quarantines = state.hosts.keys().filter(quarantined).map(|host| Request::EndQuarantine(*host));
        let given_up = state.vms.iter().filter(|(vm, entry)| {
            let waits = matches!(self.master_wait(**vm), Some(Wait::GaveUp { .. }));
            entry.protected && entry.intent.want == Want::Running && waits
        });
        let starts = given_up.map(|(vm, _)| Request::Intend { vm: *vm, want: Want::Running });
        let stays_off = |host: &&HostId| {
            let mut machines = self.world.machines.iter().filter(|machine| machine.host == **host);
            machines.all(|machine| machine.power == Power::Off && !machine.should_be_on)
        };
        let dead = state.hosts.keys().filter(stays_off).map(|host| Request::ConfirmDead(*host));
        // What was fenced and is not to come up by itself is looked after by somebody.
        let is_fenced = |host: &&HostId| matches!(state.hosts[host].standing, Standing::Proven { .. });
        let fenced: Vec<HostId> = state.hosts.keys().filter(is_fenced).copied().collect();
        for request in conflicts.chain(quarantines).chain(starts).chain(dead).collect::<Vec<_>>() {
            self.world.queue.push(self.world.now, Occurrence::Asks(Box::new(request)));
        }
        for host in fenced {
            let place = self.world.place(host).filter(|place| self.world.machines[*place].should_be_on);
            if let Some(place) = place {
                self.world.power_on(place);
            }
        }
    }

    /// The checkers look at how things stand: once in each second of true time.
    pub(super) fn sample(&mut self) {
        self.world.after(SAMPLE, Occurrence::Sample);
        let master = self.master_place().filter(|place| self.world.machines[*place].agent_moves());
        // Not through `brain`, which would borrow the checkers too.
        let found = master.and_then(|place| Some((place, self.brains.get(place)?.as_ref()?)));
        let Some((place, brain)) = found else {
            self.checks.no_master();
            return;
        };
        let now = self.world.machines[place].local(self.world.now);
        self.checks.sample(self.world.now, brain.master(), |vm| brain.wait(now, vm));
    }
}
