//! The calls on a VM: each waits for its end, in a thread of the VM's lane.

use crate::clock::boottime;
use crate::core::action::Outcome;
use crate::core::command::Want;
use crate::core::ids::{Epoch, VmId};
use crate::core::time::Instant;
use crate::platform::pid::Process;
use crate::platform::wait;
use crate::process::definition::{Definition, DiskLock};
use crate::process::disk::{self, DiskError};
use crate::process::life::{Life, LifeDirectory, LifeError, LifeFile, LifeRecord, Stage, replace};
use crate::process::table;
use crate::process::vm::{VmError, read_definition};
use crate::process::watch::Watcher;
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use thiserror::Error;
use tracing::warn;
use uuid::Uuid;

/// What cannot be waited for is looked at again after so long.
const AGAIN: Duration = Duration::from_millis(2);

/// Why a call failed.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("it has a process already")]
    HasProcess,
    #[error("it has no process")]
    HasNoProcess,
    #[error("its process ended before it wrote to its disk; {0:?} says why")]
    EndedEarly(PathBuf),
    #[error(transparent)]
    Life(#[from] LifeError),
    #[error(transparent)]
    Vm(#[from] VmError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("its process cannot be {done}: {source}")]
    Process {
        done: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("its definition {path:?} cannot be {done}: {source}; see whether the file system is full")]
    Definition {
        path: PathBuf,
        done: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("nobody asks a hypervisor to stop a VM that should run")]
    NoStop,
}

fn process(done: &'static str) -> impl FnOnce(io::Error) -> CallError {
    move |source| CallError::Process { done, source }
}

/// What every call needs.
pub(super) struct Calls {
    pub(super) lives: LifeDirectory,
    pub(super) definitions: PathBuf,
    pub(super) program: PathBuf,
    pub(super) host: String,
    pub(super) deadline: Duration,
    pub(super) watcher: Watcher,
}

impl Calls {
    /// Where a VM's definition is.
    pub(super) fn definition(&self, vm: VmId) -> PathBuf {
        self.definitions.join(format!("{vm}.toml"))
    }

    /// Stores a definition, if it is one.
    pub(super) fn define(&self, vm: VmId, bytes: &[u8]) -> Result<(), CallError> {
        let path = self.definition(vm);
        Definition::parse(bytes).map_err(|source| VmError::Definition { path: path.clone(), source })?;
        replace(&path, bytes).map_err(|source| CallError::Definition { path, done: "stored", source })
    }

    /// Removes a definition, and nothing else.
    pub(super) fn undefine(&self, vm: VmId) -> Result<Outcome, CallError> {
        if self.lives.file(vm).is_held()? {
            return Err(CallError::HasProcess);
        }
        let path = self.definition(vm);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CallError::Definition { path, done: "removed", source })
            }
            _ => Ok(Outcome::Done),
        }
    }

    /// Whether the lock of a VM's disk is held.
    pub(super) fn probe_lock(&self, vm: VmId) -> Result<Outcome, CallError> {
        let definition = read_definition(&self.definition(vm))?;
        let locked = definition.lock == DiskLock::Taken && disk::is_locked(&definition.disk)?;
        Ok(if locked { Outcome::Locked } else { Outcome::Done })
    }

    /// Starts a VM, and waits until it writes to its disk.
    pub(super) fn start(&self, vm: VmId, epoch: Epoch) -> Result<Outcome, CallError> {
        let deadline = boottime() + self.deadline;
        read_definition(&self.definition(vm))?;
        let file = self.lives.file(vm);
        let life = file.claim()?.ok_or(CallError::HasProcess)?;
        self.watcher.spare(vm);
        let nonce = Uuid::new_v4();
        life.write(&LifeRecord { vm, nonce, epoch, stage: Stage::Spawning, process: None })?;
        let mut child = self.spawn(vm, &file, life).map_err(process("made"))?;
        let voice = child.stdout.take();
        let watched = Process::open(child.id()).and_then(|process| Ok((process.try_clone()?, process)));
        let (mine, watched) = match watched {
            Ok(both) => both,
            Err(error) => {
                // It cannot be watched, so it must not stay. That it has ended already is as good.
                let _ended = child.kill();
                child.wait().map_err(process("reaped"))?;
                return Err(process("watched")(error));
            }
        };
        self.watcher.adopt(vm, nonce, watched, child);
        if let Some(voice) = voice
            && !speaks_or_ends(voice, deadline).map_err(process("heard"))?
        {
            return Ok(Outcome::TimedOut);
        }
        self.started(vm, nonce, &mine, deadline)
    }

    /// Makes the process. Its standard input carries the lock; this process has no copy of it any more afterwards.
    fn spawn(&self, vm: VmId, file: &LifeFile, life: Life) -> io::Result<Child> {
        let log = OpenOptions::new().append(true).create(true).open(self.lives.log(vm))?;
        let mut command = Command::new(&self.program);
        // It stays in the agent's group of processes, which is what a host is: the loss of power takes it along.
        command.arg0("holdfast").arg("process-vm").env_clear();
        command.arg("--definition").arg(self.definition(vm)).arg("--life").arg(file.path());
        command.arg("--host").arg(&self.host);
        command.stdin(Stdio::from(life.into_file())).stdout(Stdio::piped()).stderr(Stdio::from(log)).spawn()
    }

    /// How a start ended that has spoken, or has ended.
    fn started(&self, vm: VmId, nonce: Uuid, process: &Process, deadline: Instant) -> Result<Outcome, CallError> {
        let file = self.lives.file(vm);
        let stage = |record: Option<LifeRecord>| record.filter(|record| record.nonce == nonce).map(|r| r.stage);
        if let Some(Stage::Running | Stage::PoweredOff) = stage(file.read()?) {
            return Ok(Outcome::Done);
        }
        // Failed is said only when nothing is left of it.
        if !wait_gone(&file, Some(process), deadline)? {
            return Ok(Outcome::TimedOut);
        }
        match stage(file.read()?) {
            Some(Stage::Running | Stage::PoweredOff) => Ok(Outcome::Done),
            Some(Stage::Locked) => Ok(Outcome::Locked),
            _ => Err(CallError::EndedEarly(self.lives.log(vm))),
        }
    }

    /// Stops a VM, and waits until it is gone.
    pub(super) fn stop(&self, vm: VmId, want: Want) -> Result<Outcome, CallError> {
        let deadline = boottime() + self.deadline;
        let file = self.lives.file(vm);
        if !file.is_held()? {
            return Err(CallError::HasNoProcess);
        }
        let gone = match want {
            Want::Running => return Err(CallError::NoStop),
            Want::Stopped => self.ask(&file, deadline)?,
            Want::Killed => {
                if let Some(record) = file.read()? {
                    self.lives.note_destroyed(vm, record.nonce)?;
                }
                self.watcher.kill(vm);
                wait_gone(&file, table::find(&file).as_ref(), deadline)?
            }
        };
        Ok(if gone { Outcome::Done } else { Outcome::TimedOut })
    }

    /// Asks a guest to power off. Whether it did.
    fn ask(&self, file: &LifeFile, deadline: Instant) -> Result<bool, CallError> {
        while boottime() < deadline {
            if !file.is_held()? {
                return Ok(true);
            }
            // A process that has not registered yet does not receive signals yet, and would die of this one.
            let registered = file.read()?.is_some_and(|record| record.process.is_some());
            if registered && let Some(process) = table::find(file) {
                process.signal(Signal::TERM).map_err(self::process("asked"))?;
                return wait_gone(file, Some(&process), deadline);
            }
            wait::pause(AGAIN);
        }
        Ok(false)
    }

    /// What a call comes to. Its failure is told here, as the core wants to know no more than that.
    pub(super) fn settle(vm: VmId, what: &str, result: Result<Outcome, CallError>) -> Outcome {
        result.unwrap_or_else(|error| {
            warn!("{vm} could not be {what}: {error}");
            Outcome::Failed
        })
    }
}

/// Waits until a new process says something, or ends. Whether it did.
fn speaks_or_ends(mut voice: ChildStdout, deadline: Instant) -> io::Result<bool> {
    if !wait::readable(&voice, deadline)? {
        return Ok(false);
    }
    // What it says does not matter: the truth is in the life file.
    voice.read(&mut [0; 64]).map(|_| true)
}

/// Waits until a process has ended, and nobody has its life file's lock any more. Whether that came to be.
fn wait_gone(file: &LifeFile, ending: Option<&Process>, deadline: Instant) -> Result<bool, CallError> {
    if let Some(ending) = ending
        && !wait::readable(ending, deadline).map_err(process("waited for"))?
    {
        return Ok(false);
    }
    while file.is_held()? {
        if boottime() >= deadline {
            return Ok(false);
        }
        wait::pause(AGAIN);
    }
    Ok(true)
}
