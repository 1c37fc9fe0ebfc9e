//! The signals by which a VM's process is told something.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a VM's process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Someone asks the guest to stop (SIGTERM).
    Stop,
    /// The guest powers itself off (SIGUSR1).
    PowerOff,
    /// The load in the definition has changed (SIGHUP).
    ReadLoad,
}

/// Why signals cannot be received.
#[derive(Debug, Error)]
#[error("this process cannot receive signals: {0}")]
pub struct SignalError(#[from] io::Error);

struct Signals {
    stop: Signal,
    power_off: Signal,
    read_load: Signal,
    /// A terminal's interrupt goes to its whole group of processes, and is not meant for guests.
    interrupt: Signal,
}

/// Receives signals from now on: they come out of the channel.
pub(super) fn receive() -> Result<Receiver<Order>, SignalError> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals {
            stop: signal(SignalKind::terminate())?,
            power_off: signal(SignalKind::user_defined1())?,
            read_load: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        }
    };
    // Signals of one kind merge, so a few places are enough; what does not fit is told again by whoever needs it.
    let (orders, received) = sync_channel(16);
    thread::Builder::new().name("signals".to_owned()).spawn(move || pass_on(&runtime, signals, &orders))?;
    Ok(received)
}

fn pass_on(runtime: &Runtime, mut signals: Signals, orders: &SyncSender<Order>) {
    runtime.block_on(async {
        loop {
            let order = tokio::select! {
                Some(()) = signals.stop.recv() => Order::Stop,
                Some(()) = signals.power_off.recv() => Order::PowerOff,
                Some(()) = signals.read_load.recv() => Order::ReadLoad,
                Some(()) = signals.interrupt.recv() => continue,
            };
            // A guest that hangs takes no orders.
            let _lost = orders.try_send(order);
        }
    });
}
