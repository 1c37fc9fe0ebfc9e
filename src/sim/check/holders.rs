//! I2: a holder leaves the log with a proof only, and a VM begins to execute on a holder only.

use super::Found;
use super::shadow::{Shadow, ShadowVm};
use crate::core::ids::{Epoch, HostId, VmId};
use crate::core::state::{ClusterState, Holder, HolderProof, PROOFS_KEPT, Role, Vm};

/// Compares a newer state with the one before: whoever left must be named in a proof.
pub(super) fn check(
    before: &Shadow,
    after: &ClusterState,
    mut gone: impl FnMut(VmId, &HolderProof),
    found: &mut Found,
) {
    let skipped = before.applied.is_some_and(|applied| after.applied.0 > applied.0 + 1);
    for (id, vm) in &after.vms {
        let Some(old) = before.vms.get(id).filter(|old| old.version != vm.version) else { continue };
        if !vm.protected || !old.protected || before.generation != after.generation {
            continue;
        }
        check_vm(*id, old, vm, skipped, &mut gone, found);
    }
}

fn check_vm(
    id: VmId,
    old: &ShadowVm,
    new: &Vm,
    skipped: bool,
    gone: &mut impl FnMut(VmId, &HolderProof),
    found: &mut Found,
) {
    for (host, holder) in &old.holders {
        // Of a holder that is not accounted for, it is known only later in which boot and under which epoch.
        let stays = new.holders.get(host).is_some_and(|now| {
            holder.role == Role::Unaccounted
                || now.role == Role::Unaccounted
                || (now.boot == holder.boot && now.epoch == holder.epoch)
        });
        if stays {
            continue;
        }
        if let Some(proof) = proof_of(*host, holder, new) {
            gone(id, proof);
            continue;
        }
        // Only so many proofs are kept. Where entries were applied several at a time, the proof may have come and gone.
        if skipped && new.proofs.len() >= PROOFS_KEPT {
            continue;
        }
        let Holder { boot, epoch, .. } = holder;
        found.add("I2", format!("{host} ({boot}, epoch {epoch}) ceased to be a holder of {id} without a proof"));
    }
}

fn proof_of<'a>(host: HostId, holder: &Holder, vm: &'a Vm) -> Option<&'a HolderProof> {
    let names = |proof: &&HolderProof| {
        // Of one that was not accounted for, nobody knew in which boot and under which epoch.
        let same = proof.boot == holder.boot && proof.epoch == holder.epoch;
        proof.host == host && (same || holder.role == Role::Unaccounted)
    };
    vm.proofs.iter().rev().find(names)
}

/// A VM's processors began to run on a host: the log must have that host as its holder, under that epoch.
pub(super) fn check_start(shadow: &Shadow, vm: VmId, host: HostId, epoch: Option<Epoch>, found: &mut Found) {
    let Some(known) = shadow.vms.get(&vm).filter(|known| known.protected) else { return };
    let holder = known.holders.get(&host);
    match (holder, epoch) {
        (Some(holder), Some(epoch)) if holder.epoch == epoch => {}
        // A stranger that was put under protection before this host was told: the log counts it as a holder.
        (Some(_), None) => {}
        (holder, epoch) => {
            let had = holder.map_or("none".to_owned(), |holder| format!("epoch {}", holder.epoch));
            let under = epoch.map_or("no epoch".to_owned(), |epoch| format!("epoch {epoch}"));
            found.add("I2", format!("{vm} began to execute on {host} under {under}; the log has {had} for it there"));
        }
    }
}
