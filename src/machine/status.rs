//! What the machine shows of itself, in `machine.json`.

use crate::machine::power::Event;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};
use uuid::Uuid;

/// A machine as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The machine.
    pub uuid: Uuid,
    /// Its power.
    pub power: Power,
    /// What its host does.
    pub host: HostState,
    /// The boot that began last, while there is power.
    pub boot_id: Option<Uuid>,
    /// The process group of the host; also its first process, with which it lives and dies.
    pub pgid: Option<i32>,
    /// The agent.
    pub agent_pid: Option<i32>,
    /// How often it was booted.
    pub boots: u64,
    /// How often an order took the power away, for good or for a moment.
    pub resets: u64,
    /// How often the watchdog did.
    pub watchdog_expiries: u64,
    /// After how long the watchdog resets the machine when it is not fed, while it counts.
    pub watchdog_ms: Option<u64>,
    /// How long it takes until an order for the power takes effect.
    pub power_delay_ms: u64,
}

impl Status {
    /// Writes it to `machine.json` in the machine's folder.
    pub(super) fn show(&self, directory: &Path) -> io::Result<()> {
        replace(&directory.join("machine.json"), &serde_json::to_string_pretty(self)?)
    }
}

/// Whether there is power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Something may run.
    On,
    /// It is being switched off, and something may still run.
    PoweringOff,
    /// No process of the host is left.
    Off,
}

/// What the host does while there is power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It runs, with an agent or without.
    Running,
    /// Its processes were killed from outside. It stays so until it is reset.
    Crashed,
    /// There is none.
    None,
}

/// What the parts of a machine share.
pub(super) struct Shared {
    status: Mutex<Status>,
    /// To the one that switches the power.
    pub(super) events: SyncSender<Event>,
    /// The machine is to end.
    pub(super) leaving: AtomicBool,
}

impl Shared {
    pub(super) fn new(uuid: Uuid, power_delay: Duration, events: SyncSender<Event>) -> Shared {
        let status = Status {
            uuid,
            power: Power::Off,
            host: HostState::None,
            boot_id: None,
            pgid: None,
            agent_pid: None,
            boots: 0,
            resets: 0,
            watchdog_expiries: 0,
            watchdog_ms: None,
            power_delay_ms: u64::try_from(power_delay.as_millis()).unwrap_or(u64::MAX),
        };
        Shared { status: Mutex::new(status), events, leaving: AtomicBool::new(false) }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the one that switches the power look around. If its queue is full, it is about to do so anyway.
    pub(super) fn nudge(&self) {
        self.events.try_send(Event::Look).ok();
    }
}

/// Replaces a file as a whole, so that a reader sees the old or the new one. It is gone with the machine, so it is not
/// synced.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text)?;
    fs::rename(&draft, path)
}
