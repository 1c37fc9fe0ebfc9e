//! A cluster for the tests of the master's parts: three hosts, and a VM that ran on the first one and runs on the second.

use super::{Context, Master, Output};
use crate::core::command::Want;
use crate::core::ids::{BootId, Epoch, HostId, VmId, VoterId};
use crate::core::reason::Proof;
use crate::core::state::{Armed, ClusterState, Holder, HolderProof, Host, Newcomer, Role, Standing, Vm, VmDefinition};
use crate::core::timing::{Profile, Timing};
use std::sync::Arc;

pub(super) const VM: VmId = VmId(1);

pub(super) fn state() -> ClusterState {
    let host = |number| {
        let host = Host { standing: Standing::Admitted, ..Newcomer::default().host(HostId(number)) };
        (HostId(number), host)
    };
    let epoch = |number| Epoch { number, ..Epoch::NONE };
    let mut vm = Vm::new(VmDefinition::plain(VM), Want::Running);
    vm.seat = Some(HostId(2));
    vm.epoch = epoch(2);
    let (generation, config) = Default::default();
    let holder = Holder { boot: BootId::default(), generation, epoch: epoch(2), role: Role::Running, config };
    vm.holders.insert(HostId(2), holder);
    let proof = Proof::Released { refuses: epoch(1) };
    vm.proofs.push(HolderProof { host: HostId(1), boot: BootId::default(), epoch: epoch(1), proof });
    ClusterState {
        armed: Armed::Armed,
        hosts: [host(1), host(2), host(3)].into(),
        vms: [(VM, vm)].into(),
        ..ClusterState::default()
    }
}

/// The master on the third host.
pub(super) fn master(cx: &Context<'_>) -> Master {
    let timing = Arc::new(Timing::of(Profile::Lan));
    Master::start(cx, timing, HostId(3), VoterId(1), 1, &mut Output::default())
}
