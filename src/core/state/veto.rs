//! The veto: whether a VM may be given to a host.
//!
//! Everything that could run a VM twice ends here. The functions look at the replicated state alone and return the
//! reason of a refusal, so that two masters, or one that errs, are refused by the log itself.

use super::{Armed, ClusterState, Holder, Host, Response, Role, Standing, Vm};
use crate::core::command::Want;
use crate::core::ids::{HostId, Incarnation, VmId};
use crate::core::message::Watchdog;
use crate::core::reason::{NoProof, Refusal};
use crate::core::sabotage::{Sabotage, breaks};

impl ClusterState {
    /// Whether the VM may be placed on the target now.
    pub(super) fn may_place(&self, id: VmId, version: u64, target: Incarnation) -> Result<(), Refusal> {
        let vm = self.vms.get(&id).ok_or(Refusal::NoSuchThing)?;
        self.may_run(vm, version)?;
        if vm.intent.want != Want::Running && !breaks(Sabotage::IntentIgnored) {
            return Err(Refusal::NotWanted);
        }
        self.may_hold(target)?;
        for (host, holder) in &vm.holders {
            if *host == target.host || !self.lock_covers(vm, *host, holder) {
                return Err(Refusal::Held);
            }
        }
        Ok(())
    }

    /// Whether the VM may be moved alive between these two now.
    pub(super) fn may_move(&self, id: VmId, version: u64, from: Incarnation, to: Incarnation) -> Result<(), Refusal> {
        let vm = self.vms.get(&id).ok_or(Refusal::NoSuchThing)?;
        self.may_run(vm, version)?;
        self.may_hold(to)?;
        if from.host == to.host || !self.is_admitted(from) {
            return Err(Refusal::TargetGone);
        }
        let mut holders = vm.holders.iter();
        match (holders.next(), holders.next()) {
            (Some((host, holder)), None) if *host == from.host && holder.role == Role::Running => Ok(()),
            _ => Err(Refusal::Busy),
        }
    }

    fn may_run(&self, vm: &Vm, version: u64) -> Result<(), Refusal> {
        if vm.version != version {
            return Err(Refusal::OldVersion);
        }
        if !vm.protected {
            return Err(Refusal::NoSuchThing);
        }
        if self.armed != Armed::Armed {
            return Err(Refusal::NotArmed);
        }
        if !self.unsettled_hosts().is_empty() {
            return Err(Refusal::Recovering);
        }
        Ok(())
    }

    /// Hosts of which it is not known yet what they run: since a forced recovery they have not said it; or they have
    /// not heard yet that the cluster is armed, and their hooks let anyone start anything.
    pub fn unsettled_hosts(&self) -> Vec<HostId> {
        // A dead host that knew what to keep out will do so until it is admitted again, and is told then.
        let is_off = |standing| matches!(standing, Standing::New | Standing::Proven { .. });
        let knows = |host: &Host| host.is_witness() || host.acknowledged >= self.armed_at;
        let unsettled =
            |host: &Host| host.standing != Standing::New && !host.accounted || !is_off(host.standing) && !knows(host);
        self.hosts.iter().filter(|(_, host)| unsettled(host)).map(|(id, _)| *id).collect()
    }

    fn may_hold(&self, target: Incarnation) -> Result<(), Refusal> {
        let quarantined = self.hosts.get(&target.host).is_none_or(|host| host.quarantined || host.is_witness());
        if quarantined || !self.is_admitted(target) { Err(Refusal::TargetGone) } else { Ok(()) }
    }

    /// Whether storage refuses a start elsewhere for as long as this holder may live (proof 5).
    ///
    /// Only a holder that is judged is passed over so: the lock stands in for a proof, and while the host is thought
    /// to be well there is nothing to prove.
    pub fn lock_covers(&self, vm: &Vm, host: HostId, holder: &Holder) -> bool {
        let judged = self.hosts.get(&host).is_some_and(|host| matches!(host.standing, Standing::Judged { .. }));
        judged
            && vm.definition.locked
            && vm.lock_seen == Some(holder.epoch)
            && matches!(holder.role, Role::Running | Role::Starting)
    }

    /// Whether the end of the holder's lease proves that it no longer runs the VM (proof 4).
    pub fn lease_covers(&self, vm: &Vm, host: &Host, holder: &Holder) -> Result<(), NoProof> {
        let software = self.policy.accept_software_guards || breaks(Sabotage::SoftwareGuardsCount);
        let guarded =
            !host.life.disarmed && (matches!(host.life.guards.watchdog, Watchdog::Hardware { .. }) || software);
        // A coverage that was decided but that the host does not know yet ends nothing there.
        let told = host.acknowledged.max(holder.config) >= vm.config.max(self.armed_since)
            || breaks(Sabotage::UnacknowledgedGuardsCount);
        // After a forced recovery, what it was last told may be lost: that its guards are disarmed, say.
        let covered = self.armed == Armed::Armed
            && host.accounted
            && guarded
            && told
            && vm.definition.response == Response::Restart
            && holder.role != Role::Unaccounted
            && holder.boot == host.life.boot;
        if covered { Ok(()) } else { Err(NoProof::NotLeased) }
    }
}
