//! A guest's load: keeps a share of one processor busy.

use crate::clock::boottime;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The share is kept in every stretch of this length.
const STRETCH: Duration = Duration::from_millis(20);

/// The load of a guest, which may be changed. Its thread ends with it.
pub(super) struct Load {
    shares: Option<SyncSender<u64>>,
}

impl Load {
    /// Begins with so many percent of one processor.
    pub(super) fn start(percent: u64) -> Load {
        let mut load = Load { shares: None };
        load.set(percent);
        load
    }

    /// Goes on with so many percent.
    pub(super) fn set(&mut self, percent: u64) {
        if self.shares.is_none() && percent > 0 {
            let (shares, changed) = sync_channel(1);
            let spawned = thread::Builder::new().name("load".to_owned()).spawn(move || burn(&changed));
            // A machine without room for one more thread is busy enough.
            self.shares = spawned.ok().map(|_| shares);
        }
        if let Some(shares) = &self.shares {
            let _ended_with_the_process = shares.send(percent);
        }
    }
}

fn burn(changed: &Receiver<u64>) {
    let Ok(mut percent) = changed.recv() else { return };
    loop {
        let began = boottime();
        let busy = STRETCH.mul_f64(percent.min(100) as f64 / 100.0);
        while boottime().since(began) < busy {
            std::hint::spin_loop();
        }
        percent = match changed.recv_timeout(STRETCH.saturating_sub(busy)) {
            Ok(percent) => percent,
            Err(RecvTimeoutError::Timeout) => percent,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}
