//! I4: what can not be taken back is done on a majority's word only, and never under an epoch that is over.

use super::Found;
use super::log::Log;
use super::shadow::Shadow;
use crate::core::ids::{Epoch, HostId, LogIndex, VmId};
use crate::core::record::Tombstone;
use crate::core::state::Standing;
use std::collections::BTreeMap;

/// The newest epoch under which each VM was started, anywhere.
#[derive(Debug, Default)]
pub(super) struct Orders {
    epochs: BTreeMap<VmId, Epoch>,
    /// When the start under that epoch was called for.
    called: BTreeMap<(VmId, Epoch), u64>,
}

impl Orders {
    /// An agent called for a start.
    pub(super) fn start_called(
        &mut self,
        now: u64,
        (vm, host): (VmId, HostId),
        epoch: Epoch,
        floor: Epoch,
        found: &mut Found,
    ) {
        self.called.insert((vm, epoch), now);
        if epoch <= floor {
            found.add("I4", format!("{host} starts {vm} under epoch {epoch}, which it refused up to {floor}"));
        }
        let newest = self.epochs.entry(vm).or_insert(Epoch::NONE);
        if epoch <= *newest {
            found.add("I4", format!("{host} starts {vm} under epoch {epoch}, after a start under {newest}"));
        }
        *newest = epoch.max(*newest);
    }

    /// When an agent called for the start under this epoch, if one did.
    pub(super) fn called(&self, vm: VmId, epoch: Option<Epoch>) -> Option<u64> {
        self.called.get(&(vm, epoch?)).copied()
    }

    /// A process began under an epoch, whoever called for it.
    pub(super) fn began(&mut self, vm: VmId, epoch: Option<Epoch>) {
        if let Some(epoch) = epoch {
            let newest = self.epochs.entry(vm).or_insert(Epoch::NONE);
            *newest = epoch.max(*newest);
        }
    }

    /// A machine is ordered off: the judgement must be on a majority's disks.
    pub(super) fn power_off(&self, log: &Log, index: LogIndex, machine: usize, found: &mut Found) {
        let committed = log.committed();
        if index == LogIndex(0) || index > committed {
            found.add("I4", format!("machine {machine} orders power off by {index}; a majority has {committed}"));
        }
    }

    /// A tombstone is being written: the host must be judged, by the newest state that any node has applied.
    pub(super) fn tombstone(&self, shadow: &Shadow, to: HostId, tombstone: Tombstone, found: &mut Found) {
        // A forced recovery writes its tombstones before its own generation has any log.
        if tombstone.authority.generation > shadow.generation {
            return;
        }
        let Some((generation, standing)) = shadow.hosts.get(&to) else { return };
        let lives = *generation <= tombstone.generation && *standing == Standing::Admitted;
        if lives || *generation < tombstone.generation {
            let bound = tombstone.generation;
            found.add("I4", format!("a tombstone binds {to} up to {bound}, which no majority has judged"));
        }
    }
}
