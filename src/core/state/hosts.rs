//! How hosts come, are judged, and go, by the log.

use super::{ClusterState, Holder, HolderProof, Host, Life, PROOFS_KEPT, Role, Standing, Vm};
use crate::core::command::Admission;
use crate::core::ids::{BootId, ConfigVersion, DatastoreId, FenceId, Generation, HostId, Incarnation, LogIndex, VmId};
use crate::core::message::{Inventory, Presence};
use crate::core::reason::{JudgeCause, Proof, Refusal};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::Change;
use std::collections::BTreeSet;

/// So many ended boots of a host are remembered.
const BOOTS_KEPT: usize = 32;

impl ClusterState {
    pub(super) fn host_mut(&mut self, host: HostId) -> Result<&mut Host, Refusal> {
        self.hosts.get_mut(&host).ok_or(Refusal::NoSuchThing)
    }

    pub(super) fn admit(&mut self, admission: &Admission, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let life = admission.incarnation;
        let renewal_set = self.genuine(&admission.inventory, &admission.inventory.renewal_set);
        let datastores = self.genuine(&admission.inventory, &admission.inventory.datastores);
        let host = self.host_mut(life.host)?;
        if host.generation != admission.follows || life.generation != Generation(admission.follows.0 + 1) {
            return Err(Refusal::OldVersion);
        }
        if host.standing == Standing::Conflicted || host.past_boots.contains(&life.boot) {
            return Err(Refusal::TargetGone);
        }
        let old_boot = host.life.boot;
        let is_reboot = host.standing != Standing::New && old_boot != life.boot;
        if is_reboot {
            host.past_boots.push(old_boot);
            let surplus = host.past_boots.len().saturating_sub(BOOTS_KEPT);
            host.past_boots.drain(..surplus);
        }
        host.generation = life.generation;
        host.standing = Standing::Admitted;
        host.accounted = true;
        host.address = admission.address;
        host.acknowledged = admission.inventory.config;
        host.life = Life {
            boot: life.boot,
            session: admission.session,
            guards: admission.inventory.guards,
            // An agent that had its guards disarmed while it registered ends all the same.
            disarmed: host.life.disarmed && old_boot == life.boot && host.life.session == admission.session,
            hardware: admission.inventory.hardware,
            renewal_set,
            datastores,
            networks: admission.inventory.networks.clone(),
        };
        changes.push(Change::Admitted(life));
        if is_reboot {
            changes.push(Change::Proven(life, Proof::Rebooted { boot: life.boot }));
        }
        self.settle_holders(admission, changes);
        self.reconsider_given_up(changes);
        Ok(())
    }

    /// Those of a host's datastores that are what the cluster knows under their numbers. On another formatting of the same
    /// number a host would renew its lease where nobody looks for it.
    fn genuine(&self, inventory: &Inventory, named: &BTreeSet<DatastoreId>) -> BTreeSet<DatastoreId> {
        let is_genuine = |id: &DatastoreId| match self.registry.datastores.get(id) {
            Some(known) => inventory.formattings.get(id) == Some(&known.uuid),
            // Only a cluster that was never founded, in a simulation, has datastores without names.
            None => self.registry.cluster.uuid == 0,
        };
        named.iter().copied().filter(is_genuine).collect()
    }

    /// Brings the holders on a newly admitted host in line with what it said it runs.
    fn settle_holders(&mut self, admission: &Admission, changes: &mut Vec<Change>) {
        let life = admission.incarnation;
        // It has a VM, or knows that it let it go under the right that the log gave it.
        let named = |vm: VmId, holder: &Holder| {
            let knows = |presence| !matches!(presence, Presence::Gone { refuses, .. } if refuses < holder.epoch);
            admission.inventory.vms.iter().any(|seen| seen.vm == vm && knows(seen.presence))
        };
        for (id, vm) in &mut self.vms {
            let Some(holder) = vm.holders.get(&life.host).copied() else { continue };
            let is_silent = holder.role == Role::Unaccounted || !named(*id, &holder);
            if is_silent && admission.inventory.config < vm.config {
                // It does not know that the VM is protected: so that it names none says nothing, and a new boot may have
                // started it as it pleased.
                if let Some(holder) = vm.holders.get_mut(&life.host) {
                    holder.boot = life.boot;
                    holder.generation = life.generation;
                    holder.role = Role::Unaccounted;
                }
                vm.version += 1;
                changes.push(Change::Vm(*id));
            } else if holder.boot != life.boot {
                remove_holder(vm, life.host, Proof::Rebooted { boot: life.boot });
                changes.push(Change::Vm(*id));
            } else if !named(*id, &holder) {
                // It does not have it, and a permit of an older generation is worth nothing to it any more.
                remove_holder(vm, life.host, Proof::Released { refuses: holder.epoch });
                changes.push(Change::Vm(*id));
            } else if let Some(holder) = vm.holders.get_mut(&life.host) {
                holder.generation = life.generation;
            }
        }
        for seen in &admission.inventory.vms {
            // What the inventory names and the state does not know is no reason to refuse the host.
            let _ = self.observe(life, seen, admission.inventory.config, changes);
        }
    }

    /// A new host may take what failed everywhere else.
    fn reconsider_given_up(&mut self, changes: &mut Vec<Change>) {
        for (id, vm) in self.vms.iter_mut().filter(|(_, vm)| vm.gave_up) {
            vm.gave_up = false;
            vm.attempts = 0;
            vm.attempts_before = 0;
            vm.version += 1;
            changes.push(Change::Vm(*id));
        }
    }

    pub(super) fn judge(
        &mut self,
        target: Incarnation,
        cause: JudgeCause,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let host = self.host_mut(target.host)?;
        if host.incarnation(target.host) != target || host.standing != Standing::Admitted {
            return Err(Refusal::OtherIncarnation);
        }
        if cause == JudgeCause::Drill && !self.held_on(target.host).is_empty() {
            return Err(Refusal::Held);
        }
        let host = self.host_mut(target.host)?;
        host.standing = Standing::Judged { cause };
        changes.push(Change::Judged(target, cause));
        let mut held = self.held_on(target.host);
        if breaks(Sabotage::NoProofNeeded) {
            for id in held.drain(..) {
                if let Some(vm) = self.vms.get_mut(&id) {
                    vm.holders.remove(&target.host);
                    vm.version += 1;
                    changes.push(Change::Vm(id));
                }
            }
        }
        changes.extend(held.into_iter().map(Change::Vm));
        Ok(())
    }

    /// A person wants a host off. What it holds is restarted elsewhere once its power was read as off; it does not come
    /// back into use by itself.
    pub(super) fn switch_off(
        &mut self,
        target: Incarnation,
        force: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let standing = self.host_mut(target.host)?.standing;
        if !force && !self.held_on(target.host).is_empty() {
            return Err(Refusal::Held);
        }
        match standing {
            Standing::Admitted => self.judge(target, JudgeCause::SwitchedOff, changes)?,
            Standing::Judged { .. } | Standing::Proven { .. } => {
                if self.host_mut(target.host)?.incarnation(target.host) != target {
                    return Err(Refusal::OtherIncarnation);
                }
                changes.push(Change::SwitchedOff(target));
            }
            Standing::New | Standing::Conflicted => return Err(Refusal::TargetGone),
        }
        self.host_mut(target.host)?.quarantined = true;
        Ok(())
    }

    /// What was set up anew since is another device.
    pub(super) fn drilled(
        &mut self,
        host: HostId,
        devices: &[(FenceId, LogIndex)],
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let same = devices.iter().all(|(device, set_up)| self.fence_set_up(*device) == *set_up);
        let entry = self.host_mut(host)?;
        let fences = |device: &FenceId| entry.fences.iter().flatten().any(|fence| fence == device);
        if !same || !devices.iter().all(|(device, _)| fences(device)) {
            return Err(Refusal::OldVersion);
        }
        entry.drilled.extend(devices.iter().copied());
        changes.push(Change::Host(host));
        Ok(())
    }

    /// Whether a device is known to switch a host although it cannot say which machine it controls.
    pub fn is_drilled(&self, host: HostId, device: FenceId) -> bool {
        let set_up = self.fence_set_up(device);
        self.hosts.get(&host).is_some_and(|host| host.drilled.get(&device) == Some(&set_up))
    }

    pub(super) fn switch_on(&mut self, host: HostId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let entry = self.host_mut(host)?;
        if !matches!(entry.standing, Standing::New | Standing::Proven { .. }) {
            return Err(Refusal::Busy);
        }
        entry.quarantined = false;
        changes.extend([Change::Host(host), Change::SwitchedOn(host)]);
        Ok(())
    }

    pub(super) fn prove_host(
        &mut self,
        target: Incarnation,
        proof: Proof,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let host = self.host_mut(target.host)?;
        let sought = !matches!(host.standing, Standing::New | Standing::Admitted);
        if host.standing == Standing::Conflicted && matches!(proof, Proof::Fenced { .. } | Proof::FoundOff { .. }) {
            // One of the two machines is off: nobody knows which.
            return Err(Refusal::TargetGone);
        }
        if host.incarnation(target.host) != target || !sought {
            return Err(Refusal::OtherIncarnation);
        }
        let is_whole = !matches!(proof, Proof::LeaseExpired { .. });
        if is_whole {
            host.accounted = true;
        }
        for id in self.held_on(target.host) {
            if self.proof_covers(id, target, proof) {
                if let Some(vm) = self.vms.get_mut(&id) {
                    remove_holder(vm, target.host, proof);
                }
                changes.push(Change::Vm(id));
            }
        }
        // The end of a lease says nothing of what the host may start, if it does not know what it must not.
        let knows = self.armed_at;
        let nothing_held = self.held_on(target.host).is_empty();
        let host = self.host_mut(target.host)?;
        let is_settled = is_whole || nothing_held && host.accounted && host.acknowledged >= knows;
        if host.standing != Standing::Conflicted && is_settled {
            host.standing = Standing::Proven { proof };
        }
        changes.push(Change::Proven(target, proof));
        Ok(())
    }

    fn proof_covers(&self, id: VmId, target: Incarnation, proof: Proof) -> bool {
        let (Some(vm), Some(host)) = (self.vms.get(&id), self.hosts.get(&target.host)) else { return false };
        let Some(holder) = vm.holders.get(&target.host) else { return false };
        match proof {
            Proof::LeaseExpired { .. } => self.lease_covers(vm, host, holder).is_ok(),
            Proof::Operator => holder.boot == target.boot,
            // A host that never learnt of the protection starts the VM by itself when it comes up again.
            _ => holder.boot == target.boot && holder.role != Role::Unaccounted,
        }
    }

    /// The VMs that a host may run.
    pub fn held_on(&self, host: HostId) -> Vec<VmId> {
        self.vms.iter().filter(|(_, vm)| vm.holders.contains_key(&host)).map(|(id, _)| *id).collect()
    }

    pub(super) fn conflict(
        &mut self,
        host: HostId,
        old: BootId,
        new: BootId,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let entry = self.host_mut(host)?;
        if entry.life.boot != old || entry.standing == Standing::Conflicted {
            return Err(Refusal::OtherIncarnation);
        }
        if !entry.past_boots.contains(&new) {
            entry.past_boots.push(new);
        }
        entry.standing = Standing::Conflicted;
        changes.push(Change::Judged(entry.incarnation(host), JudgeCause::Conflict));
        Ok(())
    }

    pub(super) fn resolve_conflict(&mut self, host: HostId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let entry = self.host_mut(host)?;
        if entry.standing != Standing::Conflicted {
            return Err(Refusal::NothingToDo);
        }
        entry.past_boots.clear();
        entry.life.hardware = 0;
        entry.standing = Standing::Judged { cause: JudgeCause::Conflict };
        changes.push(Change::Host(host));
        Ok(())
    }

    pub(super) fn acknowledge(
        &mut self,
        target: Incarnation,
        config: ConfigVersion,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        if !self.is_admitted(target) {
            return Err(Refusal::OtherIncarnation);
        }
        let host = self.host_mut(target.host)?;
        host.acknowledged = host.acknowledged.max(config);
        changes.push(Change::Host(target.host));
        Ok(())
    }
}

/// Takes a host out of a VM's holders, with the proof that allows it. The only way out.
pub(super) fn remove_holder(vm: &mut Vm, host: HostId, proof: Proof) {
    let Some(Holder { boot, epoch, role, .. }) = vm.holders.remove(&host) else { return };
    vm.proofs.push(HolderProof { host, boot, epoch, proof });
    let surplus = vm.proofs.len().saturating_sub(PROOFS_KEPT);
    vm.proofs.drain(..surplus);
    vm.version += 1;
    if matches!(role, Role::Running | Role::Outgoing) {
        // However it ended: only who crashes soon after the start goes on counting.
        vm.attempts_before = 0;
        vm.failed_on = None;
    }
    if breaks(Sabotage::OneProofIsEnough) {
        vm.holders.clear();
    }
    if role == Role::Outgoing && breaks(Sabotage::MigrationTargetForgotten) {
        vm.holders.retain(|_, other| other.role != Role::Incoming);
    }
    // A migration that lost its target before it ran there leaves the source as it was. Later, what is left of it at the
    // source is not the VM any more.
    if role == Role::Incoming {
        for holder in vm.holders.values_mut().filter(|holder| holder.role == Role::Outgoing) {
            holder.role = Role::Running;
        }
    }
}
