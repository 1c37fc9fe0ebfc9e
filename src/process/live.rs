//! What the VMs of this host use just now.

use crate::core::ids::VmId;
use crate::core::time::Instant;
use crate::platform::{Guest, GuestAgent, Live, Reading, VmUse, live, usage};
use crate::process::life::LifeDirectory;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Tells it. A definition names no UUID, so only protected VMs are told, which the cluster knows by one.
pub(super) struct Gauge {
    lives: LifeDirectory,
    uuids: Mutex<BTreeMap<VmId, Uuid>>,
}

impl Gauge {
    pub(super) fn new(lives: LifeDirectory) -> Gauge {
        Gauge { lives, uuids: Mutex::default() }
    }

    /// Takes over how the cluster calls the VMs.
    pub(super) fn know(&self, uuids: BTreeMap<VmId, Uuid>) {
        *self.uuids() = uuids;
    }

    fn of(&self, vm: VmId, uuid: Uuid) -> Option<VmUse> {
        let file = self.lives.file(vm);
        let name = file.read().ok()??.process.filter(|_| file.is_held().unwrap_or(false))?;
        let used = usage::of(name)?;
        let (cpu_nanoseconds, resident_kib) = (used.cpu_nanoseconds, used.resident_kib);
        Some(VmUse { uuid, cpu_nanoseconds, resident_kib, vcpus: None, memory_kib: None })
    }

    fn uuids(&self) -> MutexGuard<'_, BTreeMap<VmId, Uuid>> {
        // Nothing panics while it has the lock.
        self.uuids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live for Gauge {
    fn reading(&self, _deadline: Instant) -> Result<Reading, String> {
        let uuids = self.uuids().clone();
        live::reading(uuids.into_iter().filter_map(|(vm, uuid)| self.of(vm, uuid)).collect(), None)
    }

    fn guest(&self, uuid: Uuid, _deadline: Instant) -> Result<Guest, String> {
        let vm = self.uuids().iter().find(|(_, known)| **known == uuid).map(|(vm, _)| *vm);
        match vm.and_then(|vm| self.of(vm, uuid)) {
            // Its guest is the process itself.
            Some(_) => Ok(Guest { agent: GuestAgent::None, system: None }),
            None => Err("it does not run on this host".to_owned()),
        }
    }
}
