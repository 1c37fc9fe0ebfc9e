//! The watchdog of a real machine, behind `/dev/watchdog`.
//!
//! ```text
//!   probe: read sysfs ─▶ open (it counts) ─▶ set the time-out ─▶ read it back ─▶ feed … ─▶ disable, `V`, close
//! ```
//! To open it is to start it, so a probe does not. An agent that dies leaves it counting: the next one opens it again, or
//! takes it from the service manager, and the machine is reset if that comes too late. One whose driver was loaded with
//! `nowayout` cannot be stopped by anybody: where the agent is to stop it, it is fed on and set to count for long.

use super::facts::{Facts, real_places};
use super::holder::Holder;
use super::{Opened, Watchdog, WatchdogError, kept, raw};
use crate::clock::boottime;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Any letter feeds it, except the one that allows the next close to stop it.
const FOOD: &[u8] = b"\0";
const MAGIC: &[u8] = b"V";
/// So often in a row it must be the device that is slow, and not this process.
const SLOW: u32 = 3;
/// Time-outs of a device that cannot be stopped, of which the longest that it takes is set; in seconds.
const LONG: [i32; 4] = [600, 300, 120, 30];

/// The watchdog behind a device of the kernel.
#[derive(Debug)]
pub struct DeviceWatchdog {
    path: PathBuf,
    /// The longest that it may count.
    timeout: Duration,
    /// Open while this is there.
    device: Option<OwnedFd>,
    /// How often in a row it took long to be fed.
    slow: u32,
    /// Feeds one that cannot be stopped and that nobody counts on any more.
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    device: OwnedFd,
    ends: Sender<()>,
    thread: JoinHandle<()>,
}

impl DeviceWatchdog {
    /// The watchdog at this path, which may count so long and no longer. What an earlier run of the agent left with the
    /// service manager is taken over.
    pub fn new(path: &Path, timeout: Duration) -> DeviceWatchdog {
        DeviceWatchdog { path: path.to_owned(), timeout, device: kept::take(), slow: 0, keeper: None }
    }

    /// What it is, in words, with what an operator should know.
    pub fn describe(&self) -> Result<String, WatchdogError> {
        let facts = self.facts()?;
        let kind = match facts.why_software {
            None => "hardware".to_owned(),
            Some(why) => format!("software: {why}"),
        };
        let stop = if facts.no_way_out { "; it cannot be stopped (nowayout)" } else { "" };
        let reset = if facts.has_reset { "; the last reset of this machine came from it" } else { "" };
        Ok(format!("{} ({kind}){stop}{reset}", facts.identity))
    }

    fn facts(&self) -> Result<Facts, WatchdogError> {
        let (system, processors) = real_places();
        Facts::read(&self.path, &system, &processors).map_err(|error| self.refused(error.to_string()))
    }

    fn wanted(&self) -> u64 {
        self.timeout.as_secs().max(1)
    }

    /// Opens the device, or takes what is open.
    fn start(&mut self) -> Result<OwnedFd, WatchdogError> {
        if let Some(device) = self.device.take() {
            return Ok(device);
        }
        match open(&self.path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(device) => Ok(device),
            Err(Errno::BUSY) => Err(self.held()),
            Err(errno) => Err(WatchdogError::Unreachable { path: self.name(), source: errno.into() }),
        }
    }

    /// Sets the time-out, and reads back what counts.
    fn set(&self, device: &OwnedFd) -> Result<Duration, WatchdogError> {
        // The kernel forgets the magic letter of an earlier run with the next feeding only: without this one, a close in
        // between would stop what others count on.
        self.eat(device)?;
        let wanted = i32::try_from(self.wanted()).unwrap_or(i32::MAX);
        match raw::set_timeout(device.as_fd(), wanted) {
            // What it has is judged below.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOTTY) => {}
            Err(errno) => return Err(self.refused(format!("its time-out cannot be set to {wanted} s: {errno}"))),
        }
        let read = raw::timeout(device.as_fd()).map_err(|errno| {
            self.refused(format!("its time-out cannot be read back ({errno}), so it is not known when it would fire"))
        })?;
        match u64::try_from(read) {
            Ok(seconds @ 1..) => self.short_enough(seconds),
            _ => Err(self.refused(format!("it says that its time-out is {read} s"))),
        }
    }

    /// Feeds a device, and says how long it took. The count began anew some time in between.
    fn eat(&self, device: &OwnedFd) -> Result<Duration, WatchdogError> {
        let began = boottime();
        if let Err(errno) = write(device, FOOD) {
            return Err(WatchdogError::Unreachable { path: self.name(), source: errno.into() });
        }
        Ok(boottime().since(began))
    }

    fn short_enough(&self, seconds: u64) -> Result<Duration, WatchdogError> {
        let granted = Duration::from_secs(seconds);
        if granted <= self.timeout {
            return Ok(granted);
        }
        Err(self.refused(format!(
            "it counts {seconds} s, and no more than {:?} is of use in a cluster of this profile: this host does without it",
            self.timeout
        )))
    }

    /// Leaves a device alone that was just opened, and is of no use.
    fn give_back(&self, device: OwnedFd) {
        raw::disable(device.as_fd()).ok();
        if let Err(errno) = write(&device, MAGIC) {
            tracing::error!(%errno, "the watchdog at {} may count on: it resets this machine then", self.name());
        }
    }

    /// Feeds a device that cannot be stopped, as long as this process lives, and has it count for long.
    fn keep_feeding(&self, device: OwnedFd) -> io::Result<Keeper> {
        let set = LONG.into_iter().find(|seconds| raw::set_timeout(device.as_fd(), *seconds).is_ok());
        let seconds = raw::timeout(device.as_fd()).ok().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(1);
        tracing::warn!(
            ?set,
            "the watchdog at {} cannot be stopped, for its driver was loaded with nowayout: while the agent runs it is \
             fed, and {seconds} s after the agent has ended it resets this machine, unless an agent runs again by then",
            self.name()
        );
        let fed = device.try_clone()?;
        let (ends, ended) = channel::<()>();
        let interval = Duration::from_secs(seconds.max(1)) / 4;
        let feed = move || {
            while write(&fed, FOOD).is_ok() && ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {}
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(feed)?;
        Ok(Keeper { device, ends, thread })
    }

    fn held(&self) -> WatchdogError {
        match Holder::find(Path::new("/proc"), &self.path) {
            Some(holder) => self.refused(holder.to_string()),
            None => self.refused("another process has it open, and cannot be found from here".to_owned()),
        }
    }

    fn refused(&self, why: String) -> WatchdogError {
        WatchdogError::Refused { path: self.name(), why }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Watchdog for DeviceWatchdog {
    fn probe(&mut self) -> Result<Opened, WatchdogError> {
        let facts = self.facts()?;
        if !facts.outlives {
            return Err(self.refused(
                "it stops when the agent dies, or does nothing at its end, so it is no guard: load its driver with nowayout=1, \
                 or with action=reset"
                    .to_owned(),
            ));
        }
        if self.device.is_none()
            && let Some(holder) = Holder::find(Path::new("/proc"), &self.path)
        {
            return Err(self.refused(holder.to_string()));
        }
        let timeout = self.short_enough(facts.would_grant(self.wanted()))?;
        tracing::info!("the watchdog at {}: {}", self.name(), self.describe()?);
        Ok(Opened { timeout, kind: facts.kind })
    }

    fn open(&mut self) -> Result<Opened, WatchdogError> {
        // Whoever fed it without being asked ends before anybody counts on it.
        let kind = self.facts()?.kind;
        if let Some(Keeper { device, ends, thread }) = self.keeper.take() {
            drop(ends);
            // A thread that panicked feeds no more either.
            thread.join().ok();
            self.device = Some(device);
        }
        let device = self.start()?;
        match self.set(&device) {
            Ok(timeout) => {
                if let Err(error) = kept::leave(device.as_fd()) {
                    tracing::debug!(%error, "the service manager does not keep the watchdog's descriptor");
                }
                self.device = Some(device);
                Ok(Opened { timeout, kind })
            }
            Err(error) => {
                self.give_back(device);
                Err(error)
            }
        }
    }

    fn feed(&mut self) -> Result<(), WatchdogError> {
        let Some(device) = &self.device else { return Err(WatchdogError::NotOpen { path: self.name() }) };
        let took = self.eat(device)?;
        self.slow = if took > self.timeout / 8 { self.slow + 1 } else { 0 };
        if self.slow >= SLOW {
            return Err(self.refused(format!("it takes {took:?} to be fed: nobody knows when it would fire")));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), WatchdogError> {
        let Some(device) = self.device.take() else { return Err(WatchdogError::NotOpen { path: self.name() }) };
        let stopped = raw::disable(device.as_fd());
        if stopped == Err(Errno::BUSY) || self.facts().is_ok_and(|facts| facts.no_way_out) {
            let unreachable = |source| WatchdogError::Unreachable { path: self.name(), source };
            self.keeper = Some(self.keep_feeding(device).map_err(unreachable)?);
            return Ok(());
        }
        if let Err(error) = kept::withdraw() {
            tracing::debug!(%error, "the service manager was not told to close the watchdog's descriptor");
        }
        match write(&device, MAGIC) {
            Ok(_) => Ok(()),
            Err(errno) => Err(WatchdogError::Unreachable { path: self.name(), source: errno.into() }),
        }
    }
}
