//! How everything stands at the end of a run.

use crate::core::action::Note;
use crate::core::ids::{HostId, VmId};
use crate::core::reason::{HostState, Wait};
use crate::sim::scenario::expect::EndState;
use crate::sim::spec::WorldSpec;
use crate::sim::timeline::{Happening, Moment};
use crate::sim::world::Simulation;
use std::collections::BTreeMap;

/// How everything stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalStates {
    /// The VMs.
    pub vms: BTreeMap<VmId, FinalVm>,
    /// The hosts as a master saw them last; `None` where none ever said.
    pub hosts: BTreeMap<HostId, Option<HostState>>,
}

/// How a VM stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalVm {
    /// In one word.
    pub state: EndState,
    /// Where its processors run, in truth.
    pub host: Option<HostId>,
    /// What the master knows it to wait for, if there is a master.
    pub wait: Option<Wait>,
}

impl FinalStates {
    /// How everything stands in a world now.
    pub fn of(simulation: &Simulation, spec: &WorldSpec, events: &[Moment]) -> FinalStates {
        let truth = simulation.truth();
        let waits: BTreeMap<VmId, Option<Wait>> =
            simulation.final_states().into_iter().map(|end| (end.vm, end.wait)).collect();
        let vms = spec.vms.iter().map(|vm| {
            let id = vm.definition.id;
            let (host, wait) = (truth.executes_on(id), waits.get(&id).cloned().flatten());
            let wanted = match &wait {
                Some(Wait::Stopped | Wait::NotProtected) => false,
                Some(_) => true,
                None => vm.wanted,
            };
            let state = match (host, wanted) {
                (Some(_), _) => EndState::Running,
                (None, true) => EndState::Waiting,
                (None, false) => EndState::Stopped,
            };
            (id, FinalVm { state, host, wait })
        });
        let mut hosts: BTreeMap<HostId, Option<HostState>> = spec.hosts.keys().map(|id| (*id, None)).collect();
        for moment in events {
            if let Happening::Note(_, Note::Host(host, state)) = &moment.what {
                hosts.insert(*host, Some(*state));
            }
        }
        FinalStates { vms: vms.collect(), hosts }
    }
}
