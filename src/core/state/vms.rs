//! How VMs are wanted, placed, seen and let go, by the log.

use super::hosts::remove_holder;
use super::{Account, Armed, ClusterState, Guest, Holder, Intent, Role, Standing, Vm, VmDefinition};
use crate::core::command::Want;
use crate::core::ids::{ConfigVersion, Epoch, HostId, Incarnation, Ticket, VmId};
use crate::core::message::{Exit, Presence, VmCondition};
use crate::core::reason::{Proof, Refusal};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::Change;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

impl Vm {
    /// A VM that was never started.
    pub fn new(definition: VmDefinition, want: Want) -> Vm {
        Vm {
            definition,
            protected: true,
            intent: Intent { want, version: 0 },
            version: 1,
            epoch: Epoch::NONE,
            holders: BTreeMap::new(),
            attempts: 0,
            attempts_before: 0,
            failed_on: None,
            gave_up: false,
            config: Default::default(),
            lock_seen: None,
            proofs: Vec::new(),
            seat: None,
            started_before: false,
            unspoken: false,
            account: Account::default(),
            guest: Guest::default(),
        }
    }

    fn intend(&mut self, want: Want) {
        self.intent = Intent { want, version: self.intent.version + 1 };
        self.attempts = 0;
        self.attempts_before = 0;
        self.gave_up = false;
        self.unspoken = false;
    }
}

impl ClusterState {
    pub(super) fn vm_mut(&mut self, vm: VmId) -> Result<&mut Vm, Refusal> {
        self.vms.get_mut(&vm).ok_or(Refusal::NoSuchThing)
    }

    pub(super) fn place(
        &mut self,
        id: VmId,
        version: u64,
        target: Incarnation,
        by_hook: Option<Ticket>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        if by_hook.is_some() {
            // Who starts a VM by hand wants it to run; where it may not, the will stays as it was.
            let vm = self.vm_mut(id)?;
            let before = vm.intent;
            if vm.intent.want != Want::Running {
                vm.intend(Want::Running);
            }
            if let Err(refusal) = self.may_place(id, version, target) {
                self.vm_mut(id)?.intent = before;
                return Err(refusal);
            }
        } else {
            self.may_place(id, version, target)?;
        }
        let epoch = self.become_holder(id, target, Role::Starting)?;
        changes.push(Change::Vm(id));
        changes.push(Self::grant(target, id, epoch, Role::Starting, by_hook));
        Ok(())
    }

    pub(super) fn start_move(
        &mut self,
        id: VmId,
        from: Incarnation,
        to: Incarnation,
        by_hook: Option<Ticket>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let epoch = self.become_holder(id, to, Role::Incoming)?;
        let vm = self.vm_mut(id)?;
        if let Some(source) = vm.holders.get_mut(&from.host) {
            source.role = Role::Outgoing;
        }
        changes.push(Change::Vm(id));
        changes.push(Self::grant(to, id, epoch, Role::Incoming, by_hook));
        Ok(())
    }

    fn become_holder(&mut self, id: VmId, target: Incarnation, role: Role) -> Result<Epoch, Refusal> {
        let epoch = self.take_epoch();
        let config = self.config;
        let vm = self.vm_mut(id)?;
        let Incarnation { boot, generation, .. } = target;
        vm.holders.insert(target.host, Holder { boot, generation, epoch, role, config });
        vm.epoch = epoch;
        vm.version += 1;
        vm.started_before = true;
        Ok(epoch)
    }

    /// What a live host says of a VM (rules 11 and 13).
    pub(super) fn observe(
        &mut self,
        source: Incarnation,
        seen: &VmCondition,
        config: ConfigVersion,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        // That a VM is gone is a proof from a judged host too: that is what its record is for.
        let is_gone = matches!(seen.presence, Presence::Gone { .. });
        let may_speak = self.is_admitted(source) || (is_gone && self.incarnation(source.host) == Some(source));
        if !may_speak {
            return Err(Refusal::OtherIncarnation);
        }
        if !self.vm_mut(seen.vm)?.protected {
            return Err(Refusal::NoSuchThing);
        }
        let before = self.vm_mut(seen.vm)?.version;
        match seen.presence {
            Presence::Running => self.seen_running(source, seen, changes)?,
            Presence::Gone { refuses, exit } => self.seen_gone(source, seen.vm, (refuses, exit), config)?,
            Presence::Starting | Presence::Incoming | Presence::Departed | Presence::Stopping | Presence::Unknown => {
                self.seen_halfway(source, seen)?;
            }
        }
        if self.vm_mut(seen.vm)?.version != before {
            changes.push(Change::Vm(seen.vm));
        }
        Ok(())
    }

    /// Something of the VM is on a host that is no holder: it may come to run there, so the host becomes one.
    fn seen_halfway(&mut self, source: Incarnation, seen: &VmCondition) -> Result<(), Refusal> {
        let config = self.hosts.get(&source.host).map_or_else(Default::default, |host| host.acknowledged);
        let vm = self.vm_mut(seen.vm)?;
        let Incarnation { host, boot, generation } = source;
        if let Entry::Vacant(entry) = vm.holders.entry(host) {
            entry.insert(Holder { boot, generation, epoch: seen.epoch, role: Role::Unaccounted, config });
            vm.version += 1;
        }
        Ok(())
    }

    fn seen_running(
        &mut self,
        source: Incarnation,
        seen: &VmCondition,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        // It is credited with knowing what it has acknowledged, and nothing else.
        let config = self.hosts.get(&source.host).map_or_else(Default::default, |host| host.acknowledged);
        let armed = self.armed == Armed::Armed;
        let vm = self.vm_mut(seen.vm)?;
        let Incarnation { host, boot, generation } = source;
        let ran_here = vm.holders.get(&host).is_some_and(|holder| holder.role == Role::Running);
        if (!armed || vm.unspoken) && !ran_here && vm.intent.want != Want::Running {
            // Nobody has said that it should not run, nor needs to ask a cluster that only observes: what people start
            // is what they want.
            vm.intend(Want::Running);
        }
        if vm.holders.is_empty() {
            // Under the epoch by which the host knows it, so that its word of the VM's end is understood.
            let epoch = seen.epoch;
            vm.epoch = vm.epoch.max(epoch);
            vm.holders.insert(host, Holder { boot, generation, epoch, role: Role::Running, config });
            vm.seat = Some(host);
            vm.version += 1;
            return Ok(());
        }
        match vm.holders.get_mut(&host) {
            Some(holder) if holder.role == Role::Unaccounted => {
                holder.role = Role::Running;
                holder.epoch = seen.epoch;
                holder.config = config;
                vm.seat = Some(host);
                vm.version += 1;
            }
            Some(holder) if holder.epoch == seen.epoch => {
                holder.generation = generation;
                let came = match holder.role {
                    Role::Starting | Role::Incoming => true,
                    Role::Running | Role::Outgoing | Role::Unaccounted => false,
                };
                if came {
                    holder.role = Role::Running;
                    vm.seat = Some(host);
                    vm.attempts_before = std::mem::take(&mut vm.attempts);
                    vm.version += 1;
                    self.lock_proves(seen.vm, host);
                }
            }
            // A forced recovery has lost that it went away and came back.
            Some(holder) if holder.role == Role::Outgoing && holder.epoch < seen.epoch => {
                *holder = Holder { boot, generation, epoch: seen.epoch, role: Role::Running, config };
                vm.epoch = vm.epoch.max(seen.epoch);
                vm.version += 1;
            }
            // It runs under an older right than the newest one that the log gave this host: the newest is still due.
            Some(_) => {}
            None => {
                // Whatever it ought to be: a host that runs it is a host that holds it.
                let holder = Holder { boot, generation, epoch: seen.epoch, role: Role::Running, config };
                vm.holders.insert(host, holder);
                vm.version += 1;
                changes.push(Change::Clash(seen.vm, source));
            }
        }
        Ok(())
    }

    /// Storage let this host take the lock, so whoever was passed over for it is gone (proof 5).
    fn lock_proves(&mut self, id: VmId, taker: HostId) {
        let Some(vm) = self.vms.get(&id) else { return };
        let passed: Vec<HostId> = vm
            .holders
            .iter()
            .filter(|(host, holder)| **host != taker && self.lock_covers(vm, **host, holder))
            .map(|(host, _)| *host)
            .collect();
        if let Some(vm) = self.vms.get_mut(&id) {
            for host in passed {
                remove_holder(vm, host, Proof::DiskLocked);
            }
        }
    }

    fn seen_gone(
        &mut self,
        source: Incarnation,
        id: VmId,
        (refuses, exit): (Epoch, Exit),
        config: ConfigVersion,
    ) -> Result<(), Refusal> {
        let vm = self.vm_mut(id)?;
        let Some(holder) = vm.holders.get(&source.host).copied() else { return Ok(()) };
        let accounted = holder.role == Role::Unaccounted;
        // Who did not know of the protection yet did not keep others from starting it.
        if holder.boot != source.boot || if accounted { config < vm.config } else { refuses < holder.epoch } {
            return Ok(());
        }
        let before = vm.attempts.max(vm.attempts_before);
        // What a live migration has left behind at its source is not the VM.
        let mut others = vm.holders.iter().filter(|(host, _)| **host != source.host);
        let was_all = holder.role == Role::Running && others.all(|(_, other)| other.role == Role::Outgoing);
        remove_holder(vm, source.host, Proof::Released { refuses });
        match exit {
            _ if accounted => {}
            Exit::StartFailed | Exit::CrashedSoon => {
                vm.attempts = before.saturating_add(1);
                vm.failed_on = Some((source.host, exit));
            }
            // While a migration is under way the VM may live at the other end: a person's stop empties both.
            Exit::ByPerson if (was_all || vm.holders.is_empty()) && vm.intent.want == Want::Running => {
                vm.intend(Want::Stopped);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn intend(&mut self, id: VmId, want: Want, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        // A cluster that only observes would not act on it now, and must not act on it when it is armed one day.
        if self.armed != Armed::Armed {
            return Err(Refusal::NotArmed);
        }
        let vm = self.vm_mut(id)?;
        if !vm.protected {
            return Err(Refusal::NoSuchThing);
        }
        vm.intend(want);
        if want == Want::Running {
            // A person asks for it, so it is started even where policy would leave it alone.
            vm.started_before = false;
        }
        vm.version += 1;
        changes.push(Change::Vm(id));
        Ok(())
    }

    pub(super) fn protect(
        &mut self,
        definition: &VmDefinition,
        runs: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let id = self.number_of(definition);
        if self.vms.get(&id).is_some_and(|vm| vm.protected) {
            return Err(Refusal::NothingToDo);
        }
        let is_namesake = |vm: &Vm| vm.definition.name == definition.name && vm.definition.uuid != definition.uuid;
        if self.vms.values().any(is_namesake) {
            return Err(Refusal::NameTaken);
        }
        let former = &mut self.registry.former;
        former.vms.remove(&id);
        former.last_vm = former.last_vm.max(id);
        self.raise_config(changes);
        let config = self.config;
        let want = if runs { Want::Running } else { Want::Stopped };
        let mut fresh = Vm::new(VmDefinition { id, ..definition.clone() }, want);
        if let Some(old) = self.vms.get(&id) {
            fresh.epoch = old.epoch;
            fresh.version = old.version + 1;
            fresh.intent.version = old.intent.version + 1;
            fresh.account = old.account.clone();
        }
        fresh.unspoken = true;
        fresh.config = config;
        // Until a host knows of the protection, its hook lets anyone start the VM there: it may run on any of them.
        for (host, entry) in &self.hosts {
            // One that is off now starts it by itself when it comes up, for it has not been told either.
            if entry.standing != Standing::New && !entry.is_witness() && !breaks(Sabotage::ProtectionUnaccounted) {
                let (boot, generation) = (entry.life.boot, entry.generation);
                let holder = Holder { boot, generation, epoch: fresh.epoch, role: Role::Unaccounted, config };
                fresh.holders.insert(*host, holder);
            }
        }
        self.vms.insert(id, fresh);
        changes.push(Change::Vm(id));
        Ok(())
    }

    /// The number of a VM: what its definition says, or else the one that it has or ever had, or else a new one.
    pub fn number_of(&self, definition: &VmDefinition) -> VmId {
        if definition.id != VmId(0) {
            return definition.id;
        }
        let former = &self.registry.former;
        let present = self.vms.iter().map(|(id, vm)| (id, vm.definition.uuid));
        let past = former.vms.iter().map(|(id, vm)| (id, vm.uuid));
        let known = present.chain(past).find(|(_, uuid)| *uuid == definition.uuid);
        known.map_or(VmId(former.last_vm.0.saturating_add(1)), |(id, _)| *id)
    }

    pub(super) fn unprotect(&mut self, id: VmId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        self.raise_config(changes);
        let config = self.config;
        let vm = self.vm_mut(id)?;
        vm.protected = false;
        vm.holders.clear();
        vm.config = config;
        vm.version += 1;
        changes.push(Change::Vm(id));
        Ok(())
    }

    pub(super) fn remove(&mut self, id: VmId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        if self.vm_mut(id)?.protected {
            return Err(Refusal::Busy);
        }
        // The entry stays for as long as a host might not know that its protection ended.
        let config = self.vm_mut(id)?.config;
        if self.hosts.values().any(|host| host.standing == Standing::Admitted && host.acknowledged < config) {
            return Err(Refusal::ConfigBehind);
        }
        if let Some(vm) = self.vms.remove(&id) {
            self.registry.former.keep_vm(id, vm.definition.name, vm.definition.uuid);
        }
        changes.push(Change::Vm(id));
        Ok(())
    }

    pub(super) fn lock_seen(&mut self, id: VmId, epoch: Epoch, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let vm = self.vm_mut(id)?;
        if !vm.holders.values().any(|holder| holder.epoch == epoch) {
            return Err(Refusal::OldEpoch);
        }
        vm.lock_seen = Some(epoch);
        changes.push(Change::Vm(id));
        Ok(())
    }

    pub(super) fn give_up(&mut self, id: VmId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let vm = self.vm_mut(id)?;
        if vm.gave_up || vm.attempts == 0 {
            return Err(Refusal::NothingToDo);
        }
        vm.gave_up = true;
        vm.version += 1;
        changes.push(Change::Vm(id));
        Ok(())
    }
}
