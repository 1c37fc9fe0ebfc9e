//! The process that is a VM: it locks its disk, writes to it until it is stopped, and watches that nobody else does.
//!
//! It is made by a platform, which gives it the VM's life file as its standard input (see `life`), and outlives it.
//!
//! ```text
//!   Spawning ──▶ Starting ──▶ Running ──▶ PoweredOff     SIGTERM (if heeded), SIGUSR1
//!                   │            └──────▶ (Running)      killed, crashed: the record stays as it was
//!                   └──▶ Locked, Failed
//! ```

use crate::clock::boottime;
use crate::platform::pid;
use crate::process::definition::{Definition, DefinitionError, StopRequest};
use crate::process::disk::{self, DiskError, Takeover, Writer, WriterName};
use crate::process::life::{Life, LifeError, LifeRecord, Stage};
use crate::process::load::Load;
use crate::process::signals::{self, Order, SignalError};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use thiserror::Error;

/// What a VM's process is told.
#[derive(Debug, Clone)]
pub struct VmSetup {
    /// Where the VM's definition is.
    pub definition: PathBuf,
    /// Where the VM's life file is; the process has it as its standard input, too.
    pub life: PathBuf,
    /// What its host is called.
    pub host: String,
}

/// Why a VM's process ended otherwise than by the guest's powering off.
#[derive(Debug, Error)]
pub enum VmError {
    /// It was not made by a platform.
    #[error("{0:?} is not this process's standard input, or not locked by it: VMs are started by `holdfast agent`")]
    NoLife(PathBuf),
    /// It was made by a platform, and not for this.
    #[error("{0:?} names no start that is to come: VMs are started by `holdfast agent`")]
    NoStart(PathBuf),
    /// Its life file is unusable.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// Its signals cannot be received.
    #[error(transparent)]
    Signals(#[from] SignalError),
    /// It does not receive signals any more.
    #[error("the thread that receives this process's signals has ended: see above why")]
    Deaf,
    /// The kernel does not name it.
    #[error("/proc does not show this process: mount it")]
    NoProc,
    /// Its definition cannot be read.
    #[error("the definition {path:?} cannot be read: {source}")]
    DefinitionFile {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its definition is none.
    #[error("{path:?}: {source}")]
    Definition {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DefinitionError,
    },
    /// Its disk cannot be used, or not by it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl VmError {
    /// The code with which the process ends: one of its own for each way in which another one was in its place.
    pub fn code(&self) -> u8 {
        match self {
            VmError::Disk(DiskError::Locked(_)) => 10,
            VmError::Disk(DiskError::Clash(_)) => 11,
            VmError::NoLife(_) | VmError::NoStart(_) => 2,
            _ => 1,
        }
    }
}

/// Is the VM, until its guest powers off.
pub fn run(setup: &VmSetup) -> Result<(), VmError> {
    let life = Life::inherited(&setup.life)?.ok_or_else(|| VmError::NoLife(setup.life.clone()))?;
    let record = life.read()?.filter(|record| record.stage == Stage::Spawning);
    let mut record = record.ok_or_else(|| VmError::NoStart(setup.life.clone()))?;
    // Who finds its number in the life file may send signals: they must be received by then.
    let orders = signals::receive()?;
    record.process = Some(pid::own_name().ok_or(VmError::NoProc)?);
    record.stage = Stage::Starting;
    life.write(&record)?;

    match come_up(setup, &record, &orders) {
        Ok(Some((definition, writer))) => {
            record.stage = Stage::Running;
            life.write(&record)?;
            tell_platform();
            execute(setup, &definition, writer, &orders)?;
            record.stage = Stage::PoweredOff;
        }
        Ok(None) => record.stage = Stage::Failed,
        Err(error) => {
            let locked = matches!(error, VmError::Disk(DiskError::Locked(_)));
            record.stage = if locked { Stage::Locked } else { Stage::Failed };
            life.write(&record)?;
            return Err(error);
        }
    }
    Ok(life.write(&record)?)
}

/// Comes as far as the first write; `None` if it is told to stop before that.
fn come_up(
    setup: &VmSetup,
    record: &LifeRecord,
    orders: &Receiver<Order>,
) -> Result<Option<(Definition, Writer)>, VmError> {
    let definition = read_definition(&setup.definition)?;
    let until = boottime() + definition.start_delay;
    loop {
        let left = until.since(boottime());
        if left.is_zero() {
            break;
        }
        if matches!(orders.recv_timeout(left), Ok(Order::Stop | Order::PowerOff)) {
            return Ok(None);
        }
    }
    let file = disk::open(&definition.disk, definition.lock)?;
    let name = WriterName { nonce: record.nonce, vm: record.vm, epoch: record.epoch, host: setup.host.clone() };
    let mut writer = Takeover::begin(&definition.disk, file)?.append(name)?;
    writer.write()?;
    Ok(Some((definition, writer)))
}

/// Reads a definition from its file.
pub(super) fn read_definition(path: &Path) -> Result<Definition, VmError> {
    let failed = |source| VmError::DefinitionFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more than is allowed is enough to be refused.
    File::open(path).and_then(|file| file.take(64 * 1_024 + 1).read_to_end(&mut bytes)).map_err(failed)?;
    Definition::parse(&bytes).map_err(|source| VmError::Definition { path: path.to_owned(), source })
}

/// Says that the life file is worth a look. The platform may be gone by now: then nobody waits.
fn tell_platform() {
    let mut out = io::stdout();
    let _nobody_waits = out.write_all(b"running\n").and_then(|()| out.flush());
}

/// Runs the guest until it powers off.
fn execute(
    setup: &VmSetup,
    definition: &Definition,
    mut writer: Writer,
    orders: &Receiver<Order>,
) -> Result<(), VmError> {
    let mut load = Load::start(definition.cpu_load_percent);
    let mut next = boottime() + definition.write_interval;
    loop {
        let left = next.since(boottime());
        match orders.recv_timeout(left) {
            Ok(Order::Stop) if definition.stop_request == StopRequest::Ignored => {}
            Ok(Order::Stop | Order::PowerOff) => return Ok(()),
            Ok(Order::ReadLoad) => match read_definition(&setup.definition) {
                Ok(changed) => load.set(changed.cpu_load_percent),
                Err(error) => complain(&error),
            },
            Err(RecvTimeoutError::Timeout) => {
                writer.write()?;
                next = boottime() + definition.write_interval;
            }
            // Nobody asked the guest to end: this is a crash.
            Err(RecvTimeoutError::Disconnected) => return Err(VmError::Deaf),
        }
    }
}

fn complain(error: &VmError) {
    let _nobody_left = writeln!(io::stderr(), "the load stays as it is: {error}");
}
