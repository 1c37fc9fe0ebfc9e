//! The calls on a VM: each waits for its end, in a thread of the VM's lane.

use crate::clock::boottime;
use crate::core::action::{Ended, Outcome};
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::time::Instant;
use crate::libvirt::activity::Activity;
use crate::libvirt::books::Books;
use crate::libvirt::daemon::{Daemon, Trouble};
use crate::libvirt::definition::payload::{PayloadError, unpack};
use crate::libvirt::definition::{Datastore, DescribeError, describe};
use crate::libvirt::inquiry::is_moving_out;
use crate::libvirt::left::Left;
use crate::libvirt::nvram::{self, NvramError};
use crate::libvirt::processes::Processes;
use crate::libvirt::raw;
use crate::libvirt::survey::{Read, is_shared};
use crate::libvirt::watch::Watcher;
use crate::libvirt::{Names, image_lock};
use crate::platform::pid::{Process, ProcessName};
use crate::platform::wait;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tracing::{info, warn};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::{Domain, MigrateParameters};
use virt::error::{Error as LibvirtError, ErrorNumber};
use virt::sys;

/// A stop at once gives the daemon so long, then the process is killed past it.
const DAEMON_DESTROYS: Duration = Duration::from_secs(2);
/// A guest that has powered off is gone within this.
const ENDS: Duration = Duration::from_secs(1);
/// Whether a live migration that somebody else has begun is over is asked this often.
const LOOKS_AGAIN: Duration = Duration::from_millis(250);
/// A live migration that is to give up gets so long for it.
const GIVES_UP: Duration = Duration::from_secs(10);
/// What the daemon, QEMU and lock managers say of an image that another process has locked.
const LOCKED: [&str; 3] = ["Failed to get \"write\" lock", "Is another process using the image", "already locked"];
/// What our hook's refusals begin with.
pub(super) const REFUSED: &str = "holdfast refuses";

/// Why a call failed.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("this host was never told which VM that is")]
    Stranger,
    #[error("it has a process already")]
    HasProcess,
    #[error("it has no process")]
    HasNoProcess,
    #[error("nobody asks a hypervisor to stop a VM that should run")]
    NoStop,
    #[error("it is not known how {0} is reached")]
    NoSuchHost(HostId),
    #[error("the definition that came for it cannot be used: {0}")]
    Payload(#[from] PayloadError),
    #[error("its definition cannot be read: {0}")]
    Definition(#[from] DescribeError),
    #[error("the definition that came for it is that of {0}")]
    OtherVm(Uuid),
    #[error(
        "libvirt has an old memory of it on this host, which it would go on with over what was written elsewhere since: \
         see to it that nobody needs it, and say `virsh managedsave-remove {0}` here"
    )]
    OldMemory(Uuid),
    #[error("{0} is no file of this host, so its lock cannot be seen")]
    NoFile(String),
    #[error(transparent)]
    Nvram(#[from] NvramError),
    #[error("what it left here before cannot be kept or read: {0}; see to the folder `state` of the configuration")]
    Left(#[source] io::Error),
    #[error("the processes of this host cannot be seen: {0}; mount /proc")]
    Processes(#[source] io::Error),
    #[error("the lock of {path} cannot be seen: {source}")]
    Lock {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// What every call needs.
pub(super) struct Calls {
    pub(super) daemon: Arc<Daemon>,
    pub(super) processes: Arc<Processes>,
    pub(super) activity: Arc<Activity>,
    pub(super) books: Arc<Books>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) names: Names,
    pub(super) migration: String,
    pub(super) deadline: Duration,
    pub(super) move_deadline: Duration,
    pub(super) datastores: Vec<Datastore>,
    /// What VMs left here.
    pub(super) left: Left,
    /// VMs that this host had no definition of before one was brought, until one of their starts has succeeded.
    pub(super) brought: Mutex<BTreeSet<VmId>>,
}

impl Calls {
    /// What a call comes to. Its failure is told here, as the core wants to know no more than that.
    pub(super) fn settle(vm: VmId, what: &str, result: Result<Outcome, CallError>) -> Outcome {
        result.unwrap_or_else(|error| {
            warn!("{vm} could not be {what}: {error}");
            match error {
                CallError::Trouble(Trouble::TimedOut) => Outcome::TimedOut,
                CallError::Trouble(Trouble::Lost(_)) => Outcome::ConnectionLost,
                CallError::Trouble(Trouble::Refused { number, message }) => refused(number, &message),
                _ => Outcome::Failed,
            }
        })
    }

    /// Brings a definition to this host, and tells what the daemon has made of it, if that can be read. It changes nothing
    /// of a VM that runs, and of what its firmware keeps only what the VM left here when it went elsewhere.
    pub(super) fn define(&self, vm: VmId, payload: &[u8]) -> Result<Option<Read>, CallError> {
        let uuid = self.uuid(vm)?;
        let package = unpack(payload)?;
        let described = describe(&package.xml)?;
        if described.uuid != uuid {
            return Err(CallError::OtherVm(Uuid::from_u128(described.uuid)));
        }
        if !package.is_saved && self.is_saved(uuid)? {
            return Err(CallError::OldMemory(Uuid::from_u128(uuid)));
        }
        if let (Some(path), Some(content)) = (&described.nvram, &package.nvram) {
            let left = self.left.nvram(Uuid::from_u128(uuid)).map_err(CallError::Left)?;
            nvram::bring(path, content, left.as_deref())?;
        }
        let datastores = self.datastores.clone();
        let (read, is_new) = self.ask(move |connect| {
            let before = connect.lookup_domain_by_uuid(Uuid::from_u128(uuid));
            let is_new = before.is_err_and(|error| error.code().known() == Some(ErrorNumber::NoDomain));
            let domain = connect.define_domain_xml(&package.xml)?;
            Ok((Read::of(connect, &domain, &datastores).ok(), is_new))
        })?;
        if is_new {
            self.brought().insert(vm);
        }
        self.books.describe(vm, &described);
        Ok(read)
    }

    /// Whether libvirt here would not start the VM, but have it go on where it was when it was saved.
    fn is_saved(&self, uuid: u128) -> Result<bool, CallError> {
        match self.with_domain(uuid, boottime() + self.deadline, |domain| domain.has_managed_save(0)) {
            Err(CallError::Trouble(trouble)) if trouble.is_no_domain() => Ok(false),
            result => result,
        }
    }

    /// Starts a VM. A start that fails for certain leaves no definition that this host did not have before: the VM is
    /// started elsewhere, and what was left here would soon be out of date.
    pub(super) fn start(&self, vm: VmId) -> Outcome {
        let outcome = Calls::settle(vm, "started", self.try_to_start(vm));
        let is_left = match outcome {
            Outcome::Done => {
                self.brought().remove(&vm);
                false
            }
            Outcome::Failed | Outcome::Refused | Outcome::Locked => self.brought().contains(&vm),
            // It may yet come up.
            Outcome::TimedOut | Outcome::ConnectionLost => false,
        };
        if is_left {
            match self.undefine(vm) {
                Ok(_) => drop(self.brought().remove(&vm)),
                // The next start here that fails tries again, and so does the next master that greets this host.
                Err(error) => warn!("{vm}: the definition that was brought for its start is left here: {error}"),
            }
        }
        outcome
    }

    fn try_to_start(&self, vm: VmId) -> Result<Outcome, CallError> {
        let uuid = self.uuid(vm)?;
        self.watcher.spare(vm);
        let found = self.processes.scan().map_err(CallError::Processes)?;
        if found.qemus.iter().any(|qemu| qemu.uuid == uuid) {
            return Err(CallError::HasProcess);
        }
        // It lasts as long as libvirt has the call, however long somebody waits for it here. If the connection breaks
        // meanwhile, these daemons may still have it.
        let (activity, under_way, daemons) = (Arc::clone(&self.activity), self.activity.begin(vm), found.daemons);
        self.ask(move |connect| {
            let result = connect.lookup_domain_by_uuid(Uuid::from_u128(uuid))?.create();
            if result.is_err() && !connect.is_alive().unwrap_or(false) {
                activity.lose(vm, daemons);
            }
            drop(under_way);
            result
        })?;
        Ok(Outcome::Done)
    }

    /// Stops a VM, and waits until it is gone.
    pub(super) fn stop(&self, vm: VmId, want: Want) -> Result<Outcome, CallError> {
        let uuid = self.uuid(vm)?;
        let deadline = boottime() + self.deadline;
        let processes = self.processes.of(uuid).map_err(CallError::Processes)?;
        if processes.is_empty() {
            return Err(CallError::HasNoProcess);
        }
        match want {
            Want::Running => return Err(CallError::NoStop),
            // Without a flag the daemon asks the agent in the guest if one answers, else it presses the power button. A guest
            // that ends while it is still being asked may make that fail.
            Want::Stopped => {
                if let Err(error) = self.with_domain(uuid, deadline, |domain| domain.shutdown())
                    && !all_end(&processes, deadline.min(boottime() + ENDS))
                {
                    return Err(error);
                }
            }
            Want::Killed => {
                self.books.ends_by_us(vm);
                let patience = boottime() + DAEMON_DESTROYS;
                if let Err(error) = self.with_domain(uuid, patience, |domain| domain.destroy()) {
                    info!("{vm}: its process is killed past the daemon: {error}");
                }
                self.watcher.kill(vm, uuid);
            }
        }
        Ok(if all_end(&processes, deadline) { Outcome::Done } else { Outcome::TimedOut })
    }

    /// Moves a VM alive. What it is moved from and to are both left whole if that fails.
    pub(super) fn move_to(&self, vm: VmId, to: HostId) -> Result<Outcome, CallError> {
        self.books.not_moved(vm, None);
        let before = self.definition(self.uuid(vm)?);
        let moved = self.try_to_move(vm, to);
        match (&moved, before) {
            (Err(error), _) => self.books.not_moved(vm, Some(error.to_string())),
            // Libvirt takes the definition along, but not what the firmware keeps.
            (Ok(Outcome::Done), Ok(Some(xml))) => {
                if let Err(error) = self.keep_what_is_left(self.uuid(vm)?, &xml) {
                    warn!("{vm}: what it left here is not kept: {error}");
                }
            }
            _ => {}
        }
        moved
    }

    fn try_to_move(&self, vm: VmId, to: HostId) -> Result<Outcome, CallError> {
        let uuid = self.uuid(vm)?;
        let host = (self.names)(to).ok_or(CallError::NoSuchHost(to))?;
        if self.with_domain(uuid, boottime() + self.deadline, is_moving_out)? {
            return Ok(self.follow_a_move(uuid));
        }
        let uri = self.migration.replace("{host}", &host);
        let flags = sys::VIR_MIGRATE_LIVE
            | sys::VIR_MIGRATE_PEER2PEER
            | sys::VIR_MIGRATE_PERSIST_DEST
            | sys::VIR_MIGRATE_UNDEFINE_SOURCE
            | sys::VIR_MIGRATE_ABORT_ON_ERROR;
        let work = move |domain: &Domain| domain.migrate_to_uri3(Some(&uri), MigrateParameters::default(), flags);
        self.books.stops(vm, Some(Ended::Moved));
        let result = self.with_domain(uuid, boottime() + self.move_deadline, work);
        if let Err(CallError::Trouble(Trouble::TimedOut)) = &result
            && let Err(error) = self.with_domain(uuid, boottime() + GIVES_UP, raw::abort)
        {
            warn!("{vm}: its live migration is too slow, and does not give up: {error}");
        }
        if let Err(CallError::Trouble(Trouble::Refused { .. } | Trouble::Unreachable(_) | Trouble::Crowded)) = &result {
            self.books.stops(vm, None);
        }
        result.map(|()| Outcome::Done)
    }

    /// A person was quicker to move a VM. That is waited for, and how it ends is seen like all that people do.
    fn follow_a_move(&self, uuid: u128) -> Outcome {
        let deadline = boottime() + self.move_deadline;
        // Of one that was moved away there is nothing left to ask.
        let moves = || self.with_domain(uuid, boottime() + self.deadline, is_moving_out).is_ok_and(|moves| moves);
        while boottime() < deadline && moves() {
            wait::pause(LOOKS_AGAIN);
        }
        Outcome::TimedOut
    }

    /// Removes a definition, and nothing else: what libvirt would have to delete with it keeps it from being removed. A
    /// copy of it is kept.
    pub(super) fn undefine(&self, vm: VmId) -> Result<Outcome, CallError> {
        let uuid = self.uuid(vm)?;
        if !self.processes.of(uuid).map_err(CallError::Processes)?.is_empty() {
            return Err(CallError::HasProcess);
        }
        // What was only brought here is the log's.
        if !self.brought().contains(&vm)
            && let Some(xml) = self.definition(uuid)?
        {
            self.keep_what_is_left(uuid, &xml)?;
        }
        let work = |domain: &Domain| {
            if domain.is_active()? {
                return Ok(false);
            }
            match domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | sys::VIR_DOMAIN_UNDEFINE_KEEP_TPM) {
                // Before 8.9 libvirt did not know the second flag, and kept no TPM's state from being found again.
                Err(error) if error.code().known() == Some(ErrorNumber::InvalidArg) => {
                    domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)?;
                }
                result => result?,
            }
            Ok(true)
        };
        match self.with_domain(uuid, boottime() + self.deadline, work) {
            Ok(true) => Ok(Outcome::Done),
            Ok(false) => Err(CallError::HasProcess),
            Err(CallError::Trouble(trouble)) if trouble.is_no_domain() => Ok(Outcome::Done),
            Err(error) => Err(error),
        }
    }

    fn definition(&self, uuid: u128) -> Result<Option<String>, CallError> {
        let flags = sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE;
        match self.with_domain(uuid, boottime() + self.deadline, move |domain| domain.xml_desc(flags)) {
            Err(CallError::Trouble(trouble)) if trouble.is_no_domain() => Ok(None),
            xml => xml.map(Some),
        }
    }

    fn keep_what_is_left(&self, uuid: u128, xml: &str) -> Result<(), CallError> {
        let own = describe(xml)?.nvram.filter(|path| !is_shared(path, &self.datastores));
        let nvram = own.map(|path| nvram::read(&path)).transpose()?.flatten();
        self.left.keep(Uuid::from_u128(uuid), xml, nvram.as_deref()).map_err(CallError::Left)
    }

    /// Whether another process has the image of one of the VM's own disks locked for writing.
    pub(super) fn probe_lock(&self, vm: VmId) -> Result<Outcome, CallError> {
        let uuid = self.uuid(vm)?;
        let flags = sys::VIR_DOMAIN_XML_INACTIVE;
        let xml = self.with_domain(uuid, boottime() + self.deadline, move |domain| domain.xml_desc(flags))?;
        let described = describe(&xml)?;
        let mut is_locked = false;
        for disk in described.disks.iter().filter(|disk| disk.is_own()) {
            let Some(path) = disk.path() else { return Err(CallError::NoFile(disk.target.clone())) };
            let seen = |source| CallError::Lock { path: path.display().to_string(), source };
            is_locked |= image_lock::is_held(path, boottime() + self.deadline).map_err(seen)?;
        }
        Ok(if is_locked { Outcome::Locked } else { Outcome::Done })
    }

    fn brought(&self) -> MutexGuard<'_, BTreeSet<VmId>> {
        // Nothing panics while it has the lock.
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uuid(&self, vm: VmId) -> Result<u128, CallError> {
        self.books.uuid(vm).ok_or(CallError::Stranger)
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connect) -> Result<T, LibvirtError> + Send + 'static,
    ) -> Result<T, CallError> {
        Ok(self.daemon.ask(boottime() + self.deadline, work)?)
    }

    fn with_domain<T: Send + 'static>(
        &self,
        uuid: u128,
        deadline: Instant,
        work: impl FnOnce(&Domain) -> Result<T, LibvirtError> + Send + 'static,
    ) -> Result<T, CallError> {
        let work = move |connect: &Connect| work(&connect.lookup_domain_by_uuid(Uuid::from_u128(uuid))?);
        Ok(self.daemon.ask(deadline, work)?)
    }
}

/// What a refusal of the daemon means.
fn refused(number: Option<ErrorNumber>, message: &str) -> Outcome {
    if number == Some(ErrorNumber::ResourceBusy) || LOCKED.iter().any(|words| message.contains(words)) {
        Outcome::Locked
    } else if message.contains(REFUSED) {
        Outcome::Refused
    } else {
        Outcome::Failed
    }
}

fn all_end(processes: &[(ProcessName, Process)], deadline: Instant) -> bool {
    // A wait that fails is no end: a look tells.
    processes.iter().all(|(_, process)| wait::readable(process, deadline).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let locked = "internal error: process exited while connecting to monitor: Failed to get \"write\" lock\n\
                      Is another process using the image [/ds/a.qcow2]?";
        assert_eq!(refused(Some(ErrorNumber::InternalError), locked), Outcome::Locked);
        assert_eq!(refused(Some(ErrorNumber::ResourceBusy), "resource busy: lease"), Outcome::Locked);
        let hook = "Hook script execution failed: internal error: holdfast refuses the start: no permit";
        assert_eq!(refused(Some(ErrorNumber::HookScriptFailed), hook), Outcome::Refused);
        assert_eq!(refused(Some(ErrorNumber::HookScriptFailed), "another hook"), Outcome::Failed);
        assert_eq!(refused(None, "no such file"), Outcome::Failed);
    }

    #[test]
    fn what_may_still_happen_is_never_called_failed() {
        let settled = |trouble| Calls::settle(VmId(1), "started", Err(CallError::Trouble(trouble)));
        assert_eq!(settled(Trouble::TimedOut), Outcome::TimedOut);
        assert_eq!(settled(Trouble::Lost(String::new())), Outcome::ConnectionLost);
        assert_eq!(settled(Trouble::Unreachable(String::new())), Outcome::Failed);
        assert_eq!(settled(Trouble::Crowded), Outcome::Failed);
    }
}
