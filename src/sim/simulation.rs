//! A stand-in for `sim::world` until that is there: VMs run at home, and power takes them with it. It decides nothing.

use crate::core::ids::{HostId, VmId};
use crate::core::reason::Wait;
use crate::sim::coverage::Counts;
use crate::sim::fault::Fault;
use crate::sim::spec::WorldSpec;
use crate::sim::spelling::{FAULT_KINDS, fault_kind};
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
    counts: Counts,
}

/// How a VM stands.
#[derive(Debug)]
pub struct FinalState {
    /// Which.
    pub vm: VmId,
    /// What it waits for.
    pub wait: Option<Wait>,
}

/// How things are.
#[derive(Debug)]
pub struct Truth<'a>(&'a Simulation);

impl Truth<'_> {
    /// Where a VM runs.
    pub fn executes_on(&self, vm: VmId) -> Option<HostId> {
        self.0.running.get(&vm).copied()
    }
}

impl Simulation {
    /// A world before its first moment.
    pub fn new(spec: WorldSpec) -> Simulation {
        let counts = FAULT_KINDS.iter().map(|kind| (format!("fault/{kind}"), 0)).collect();
        let (pending, moments, running) = (Vec::new(), Vec::new(), BTreeMap::new());
        Simulation { spec, pending, moments, recording: false, running, counts }
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
                self.tell(at, Happening::Power(host, "power-lost"));
                for (vm, _) in self.running.clone().into_iter().filter(|(_, home)| *home == host) {
                    self.running.remove(&vm);
                    self.tell(at, Happening::VmDown(vm, host, "power-lost"));
                }
            }
        }
    }

    /// What happened.
    pub fn timeline(&self) -> &[Moment] {
        &self.moments
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// What was violated.
    pub fn violations(&self) -> &[Violation] {
        &[]
    }

    /// How the VMs stand.
    pub fn final_states(&self) -> Vec<FinalState> {
        self.spec.vms.iter().map(|vm| FinalState { vm: vm.definition.id, wait: None }).collect()
    }

    /// How things are.
    pub fn truth(&self) -> Truth<'_> {
        Truth(self)
    }

    fn tell(&mut self, at: Duration, what: Happening) {
        if let Happening::Fault(fault) = &what {
            *self.counts.entry(format!("fault/{}", fault_kind(fault))).or_default() += 1;
        }
        if self.recording {
            let at_micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            self.moments.push(Moment { at_micros, what });
        }
    }
}
