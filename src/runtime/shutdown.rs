//! Whether this machine is being shut down: a person's doing, and no failure.
//!
//! The machine's service manager puts a file there before it ends any guest, and takes it away if it thinks better of
//! it. Signals tell nothing: an agent is asked to end by an upgrade in the same way. The file is looked for whenever it
//! was looked what runs, so that no guest is missed before it is known why.

use crate::core::action::{Event, PlatformEvent};
use crate::platform::Tell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the machine says that it is being shut down.
#[derive(Debug)]
pub struct ShutdownMark {
    path: PathBuf,
    /// What the node was told last.
    told: AtomicBool,
}

/// Why an agent is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// A newer one is to take its place, and the VMs run on.
    Upgrade,
    /// The machine is being shut down, and the VMs with it.
    ShutDown,
}

impl ShutdownMark {
    pub(super) fn new(path: PathBuf) -> ShutdownMark {
        ShutdownMark { path, told: AtomicBool::new(false) }
    }

    /// Why an agent that is told to end now is to end.
    pub fn leave(&self) -> Leave {
        if self.path.exists() { Leave::ShutDown } else { Leave::Upgrade }
    }

    /// What the node has not been told yet.
    fn news(&self) -> Option<Event> {
        let is_set = self.leave() == Leave::ShutDown;
        let was_set = self.told.swap(is_set, Ordering::SeqCst);
        (is_set != was_set).then_some(if is_set { Event::ShuttingDown } else { Event::ShutdownCalledOff })
    }
}

/// Tells what a hypervisor says, and before each look whether the machine is being shut down.
pub(super) fn telling(mark: Arc<ShutdownMark>, tell: impl Fn(Event) + Send + Sync + 'static) -> Tell {
    Arc::new(move |event| {
        if matches!(event, PlatformEvent::Looked { .. }) {
            mark.news().into_iter().for_each(&tell);
        }
        tell(Event::Platform(event));
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::View;
    use crate::core::ids::{Ticket, VmId};
    use std::sync::mpsc::channel;

    #[test]
    fn what_is_seen_is_never_told_before_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shutting-down");
        let mark = Arc::new(ShutdownMark::new(path.clone()));
        let (told, tell) = channel();
        let told = std::sync::Mutex::new(told);
        let telling = telling(Arc::clone(&mark), move |event| drop(told.lock().unwrap().send(event)));
        let looked = || telling(PlatformEvent::Looked { ticket: Ticket(1), view: View::default() });
        looked();
        assert!(matches!(tell.try_recv(), Ok(Event::Platform(_))) && mark.leave() == Leave::Upgrade);
        std::fs::write(&path, "").unwrap();
        telling(PlatformEvent::Changed { vm: VmId(1) });
        assert!(matches!(tell.try_recv(), Ok(Event::Platform(_))), "only a look settles anything");
        looked();
        looked();
        assert!(matches!(tell.try_recv(), Ok(Event::ShuttingDown)) && mark.leave() == Leave::ShutDown);
        assert!(matches!(tell.try_recv(), Ok(Event::Platform(_))));
        assert!(matches!(tell.try_recv(), Ok(Event::Platform(_))), "it is told once");
        std::fs::remove_file(&path).unwrap();
        looked();
        assert!(matches!(tell.try_recv(), Ok(Event::ShutdownCalledOff)));
    }
}
