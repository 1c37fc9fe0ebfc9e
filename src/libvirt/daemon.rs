//! The hypervisor's daemon: every call to it may hang for ever, so none is made on a thread that somebody needs.
//!
//! Each call has a thread and a connection of its own, and a deadline for whoever waits. A call that is late is written
//! off: its thread stays behind until libvirt lets go of it. So many of them may stay behind, then nothing is asked any
//! more until one comes back.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::libvirt::raw::{self, Sink, Subscription};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tracing::error;
use virt::connect::Connect;
use virt::error::{ErrorNumber, clear_error_callback};
use virt::event::{event_register_default_impl, event_run_default_impl};

/// So many calls may be under way at once, written off ones among them.
const ABROAD: usize = 128;
/// So many connections are kept for later.
const IDLE: usize = 8;
/// A daemon that is silent for so many of these intervals is not there.
const KEEPALIVE: Duration = Duration::from_secs(3);
const KEEPALIVE_COUNT: u32 = 5;
/// What libvirt needs of a stack is little.
const STACK: usize = 1_024 * 1_024;

/// Why the daemon did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Trouble {
    /// Too much hangs already: it was not asked.
    #[error("libvirt was not asked: {ABROAD} calls to it hang already; see whether libvirtd and its storage answer")]
    Crowded,
    /// There is no connection: it was not asked.
    #[error("libvirt cannot be reached: {0}; see whether libvirtd runs, and `uri` in the configuration")]
    Unreachable(String),
    /// The connection broke: it may have done it.
    #[error("the connection to libvirt broke: {0}")]
    Lost(String),
    /// It did not answer in time: it may yet do it.
    #[error("libvirt has not answered in time")]
    TimedOut,
    /// It says no.
    #[error("libvirt says: {message}")]
    Refused {
        /// By its number for programs, if that is known here.
        number: Option<ErrorNumber>,
        /// In its words.
        message: String,
    },
}

impl Trouble {
    /// Whether it says that there is no such domain.
    pub(super) fn is_no_domain(&self) -> bool {
        matches!(self, Trouble::Refused { number: Some(ErrorNumber::NoDomain), .. })
    }
}

/// The way to the daemon.
pub(super) struct Daemon {
    uri: String,
    idle: Mutex<Vec<Connection>>,
    abroad: AtomicUsize,
}

impl Daemon {
    /// Asks nothing yet.
    pub(super) fn new(uri: &str) -> Arc<Daemon> {
        begin_events();
        Arc::new(Daemon { uri: uri.to_owned(), idle: Mutex::default(), abroad: AtomicUsize::new(0) })
    }

    /// Has work done with a connection, on a thread of its own, and waits for its end.
    pub(super) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl FnOnce(&Connect) -> Result<T, virt::error::Error> + Send + 'static,
    ) -> Result<T, Trouble> {
        if self.abroad.fetch_add(1, Ordering::SeqCst) >= ABROAD {
            self.abroad.fetch_sub(1, Ordering::SeqCst);
            return Err(Trouble::Crowded);
        }
        let (tell, told) = sync_channel(1);
        let abroad = Abroad(Arc::clone(self));
        let job = move || {
            let (result, connection) = abroad.0.work(work);
            // Whoever waited may have given up.
            let _ = tell.send(result);
            // To close one is a call, too.
            drop(connection);
            drop(abroad);
        };
        let spawned = thread::Builder::new().name("libvirt".to_owned()).stack_size(STACK).spawn(job);
        if spawned.is_err() {
            return Err(Trouble::Crowded);
        }
        match told.recv_timeout(deadline.since(boottime())) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(Trouble::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(Trouble::Lost("its thread has ended".to_owned())),
        }
    }

    /// Does work, and returns what is left of the connection if that is not kept.
    fn work<T>(
        &self,
        work: impl FnOnce(&Connect) -> Result<T, virt::error::Error>,
    ) -> (Result<T, Trouble>, Option<Connection>) {
        let connection = match self.connection() {
            Ok(connection) => connection,
            Err(trouble) => return (Err(trouble), None),
        };
        let result = work(connection.get());
        // This is asked of the own end alone.
        let lives = connection.get().is_alive().unwrap_or(false);
        let result = result.map_err(|error| match lives {
            false => Trouble::Lost(error.message().to_owned()),
            true => refusal(&error),
        });
        let mut idle = lock(&self.idle);
        if lives && idle.len() < IDLE {
            idle.push(connection);
            return (result, None);
        }
        (result, Some(connection))
    }

    fn connection(&self) -> Result<Connection, Trouble> {
        loop {
            let kept = lock(&self.idle).pop();
            match kept {
                Some(kept) if kept.get().is_alive().unwrap_or(false) => return Ok(kept),
                Some(_) => {}
                None => return self.open(),
            }
        }
    }

    fn open(&self) -> Result<Connection, Trouble> {
        let unreachable = |error: virt::error::Error| Trouble::Unreachable(error.message().to_owned());
        let connection = Connection(Some(Connect::open(Some(&self.uri)).map_err(unreachable)?));
        let seconds = i32::try_from(KEEPALIVE.as_secs()).unwrap_or(i32::MAX);
        // A daemon that knows no keepalive, as that for tests, is used without: deadlines hold all the same.
        let _ = connection.get().set_keep_alive(seconds, KEEPALIVE_COUNT);
        Ok(connection)
    }

    /// A connection that tells of what happens, until it breaks.
    pub(super) fn listen(self: &Arc<Self>, deadline: Instant, sink: Sink) -> Result<Listening, Trouble> {
        let daemon = Arc::clone(self);
        // The connection of the call is not the one that is kept: that one is used for nothing else.
        self.ask(deadline, move |_| {
            Ok(daemon.open().and_then(|connection| match raw::subscribe(connection.get(), &sink) {
                Ok(subscription) => Ok(Listening { connection: Some(connection), subscription }),
                Err(error) => Err(refusal(&error)),
            }))
        })?
    }
}

/// A connection by which events come.
pub(super) struct Listening {
    /// It is taken out only when this is dropped.
    connection: Option<Connection>,
    subscription: Subscription,
}

impl Listening {
    /// Whether it has not broken.
    pub(super) fn lives(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.get().is_alive().unwrap_or(false))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let subscription = std::mem::take(&mut self.subscription);
        // The daemon is told, if it is there, and may hang.
        let end = move || {
            raw::unsubscribe(connection.get(), subscription);
            drop(connection);
        };
        if thread::Builder::new().name("libvirt-end".to_owned()).stack_size(STACK).spawn(end).is_err() {
            error!("there is no thread to end a connection to libvirt: its memory is lost");
        }
    }
}

fn refusal(error: &virt::error::Error) -> Trouble {
    Trouble::Refused { number: error.code().known(), message: error.message().to_owned() }
}

/// What a daemon or a domain cannot have, it has none of.
pub(super) fn unless_unsupported<T: Default>(result: Result<T, virt::error::Error>) -> Result<T, virt::error::Error> {
    match result {
        Err(error) if matches!(error.code().known(), Some(ErrorNumber::NoSupport | ErrorNumber::OperationInvalid)) => {
            Ok(T::default())
        }
        result => result,
    }
}

/// Counts a call for as long as its thread is not back.
struct Abroad(Arc<Daemon>);

impl Drop for Abroad {
    fn drop(&mut self) {
        self.0.abroad.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that can be let go of in any state: the crate panics if libvirt refuses to close one.
struct Connection(Option<Connect>);

impl Connection {
    fn get(&self) -> &Connect {
        match &self.0 {
            Some(connect) => connect,
            None => unreachable!("it is taken out only when it is dropped"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let connect = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(connect))).is_err() {
            error!("a connection to libvirt could not be closed: its memory is lost");
        }
    }
}

/// Starts libvirt's own loop, once for this process. Without it there are no events and no keepalive.
fn begin_events() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // Libvirt writes errors to standard error, unless it is told not to: they are all in the log of the agent.
        clear_error_callback();
        if let Err(error) = event_register_default_impl() {
            error!("libvirt tells of nothing by itself: {error}; all that changes is seen a little later");
            return;
        }
        let run = || {
            while let Ok(()) = event_run_default_impl() {}
            error!("libvirt's loop of events has ended: all that changes is seen a little later");
        };
        if let Err(error) = thread::Builder::new().name("libvirt-events".to_owned()).spawn(run) {
            error!("there is no thread for libvirt's loop of events: {error}");
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it has the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::wait;

    #[test]
    fn a_connection_that_is_replaced_leaves_nothing_behind() {
        // Libvirt's own hypervisor for tests, which lives in this process.
        let daemon = Daemon::new("test:///default");
        let deadline = boottime() + Duration::from_secs(20);
        let sink: Sink = Arc::new(|_, _| {});
        for _ in 0..3 {
            let listening = daemon.listen(deadline, Arc::clone(&sink)).unwrap();
            assert!(listening.lives() && Arc::strong_count(&sink) > 1);
            drop(listening);
            while Arc::strong_count(&sink) > 1 {
                assert!(boottime() < deadline, "it is let go of");
                wait::pause(Duration::from_millis(1));
            }
        }
    }
}
