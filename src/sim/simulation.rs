//! A stand-in for the world until it is there: VMs run at home, and power takes them with it. It decides nothing.

use crate::core::ids::{HostId, VmId};
use crate::core::reason::HostState;
use crate::sim::coverage::Counts;
use crate::sim::fault::Fault;
use crate::sim::run::{FinalStates, FinalVm};
use crate::sim::spec::WorldSpec;
use crate::sim::timeline::{Happening, Moment, Violation};
use std::collections::BTreeMap;
use std::time::Duration;

/// A world.
#[derive(Debug)]
pub struct Simulation {
    spec: WorldSpec,
    pending: Vec<(Duration, Fault)>,
    moments: Vec<Moment>,
    recording: bool,
    running: BTreeMap<VmId, HostId>,
    off: Vec<HostId>,
    counts: Counts,
}

impl Simulation {
    /// A world before its first moment.
    pub fn new(spec: WorldSpec) -> Simulation {
        let mut simulation = Simulation {
            spec,
            pending: Vec::new(),
            moments: Vec::new(),
            recording: false,
            running: BTreeMap::new(),
            off: Vec::new(),
            counts: Counts::default(),
        };
        simulation.off = simulation.spec.hosts.iter().filter(|(_, host)| !host.on).map(|(id, _)| *id).collect();
        simulation
    }

    /// Whether all that happens is kept.
    pub fn record(&mut self, on: bool) {
        self.recording = on;
    }

    /// Has a fault befall the world.
    pub fn schedule(&mut self, at: Duration, fault: Fault) {
        self.pending.push((at, fault));
        self.pending.sort_by_key(|(at, _)| *at);
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until: Duration) {
        for vm in self.spec.vms.clone() {
            if let (true, Some(home)) = (vm.wanted, vm.definition.home) {
                self.running.insert(vm.definition.id, home);
                self.tell(Duration::from_secs(1), Happening::VmUp(vm.definition.id, home, None));
            }
        }
        for (at, fault) in std::mem::take(&mut self.pending).into_iter().filter(|(at, _)| *at <= until) {
            self.tell(at, Happening::Fault(fault.clone()));
            if let Fault::PowerOff(host) = fault {
                self.off.push(host);
                self.tell(at, Happening::Power(host, "power-off"));
                for (vm, _) in self.running.clone().into_iter().filter(|(_, home)| *home == host) {
                    self.running.remove(&vm);
                    self.tell(at, Happening::VmDown(vm, host, "power-off"));
                }
            }
        }
    }

    /// What happened.
    pub fn timeline(&self) -> &[Moment] {
        &self.moments
    }

    /// How often what happened.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What was violated.
    pub fn violations(&self) -> &[Violation] {
        &[]
    }

    /// How everything stands.
    pub fn final_states(&self) -> FinalStates {
        let vms = self.spec.vms.iter().map(|vm| {
            let host = self.running.get(&vm.definition.id).copied();
            (vm.definition.id, FinalVm { host, wanted: vm.wanted, wait: None })
        });
        let state = |id: &HostId| if self.off.contains(id) { HostState::Absent } else { HostState::Alive };
        FinalStates { vms: vms.collect(), hosts: self.spec.hosts.keys().map(|id| (*id, Some(state(id)))).collect() }
    }

    fn tell(&mut self, at: Duration, what: Happening) {
        self.counts.see(&what);
        if self.recording {
            let at_micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            self.moments.push(Moment { at_micros, what });
        }
    }
}
