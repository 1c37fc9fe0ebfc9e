//! What every adapter of a hypervisor does: it carries out what a node orders, and decides nothing.
//!
//! The calling contract of [`Platform`]:
//!
//! - No function blocks. What takes time is done elsewhere, and its end is told to the [`Tell`] that the adapter was
//!   made with. That may be called on any thread, also before the function that caused it has returned.
//! - The calls on one VM are carried out in the order given; one that hangs holds up no other VM's, and no look.
//! - [`Platform::kill`] overtakes everything.
//! - Each call is answered once, or never, if what it needs hangs: whoever calls sets the deadline.

pub(crate) mod lanes;
pub(crate) mod live;
mod none;
pub(crate) mod pid;
mod survey;
pub(crate) mod usage;
pub(crate) mod wait;

pub use live::{Checkup, Flaw, Gravity, Guest, GuestAgent, HostUse, Live, MoveProgress, Moving, Reading, VmUse};
pub use none::NoPlatform;
pub use survey::{Found, Survey};

use crate::core::action::{PlatformCall, PlatformEvent};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::Known;
use crate::core::reason::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an adapter tells what happened. It must not block: kills may wait behind it.
pub type Tell = Arc<dyn Fn(PlatformEvent) + Send + Sync>;

/// A hypervisor, as a node uses it.
pub trait Platform: Send {
    /// Says which VMs are protected, the whole of it whenever it may have changed. It comes before all that rests on it.
    fn know(&mut self, protected: &BTreeMap<VmId, Known>);

    /// Brings a VM's definition to this host; it comes before a start that shall use it. Only the adapter knows what
    /// the bytes mean. If they cannot be stored, the next start fails.
    fn define(&mut self, vm: VmId, definition: Arc<[u8]>);

    /// Has [`PlatformEvent::Defined`] told of a VM, even if it was told before, as soon as the hypervisor can say it. What
    /// is as [`Platform::define`] has brought it is told only `though_brought`.
    fn describe(&mut self, _vm: VmId, _though_brought: bool) {}

    /// Calls the hypervisor. A look answers with what was seen after it was asked for.
    fn call(&mut self, ticket: Ticket, call: PlatformCall);

    /// Answers what was asked by [`PlatformEvent::Asks`].
    fn answer(&mut self, ticket: Ticket, answer: Result<Epoch, Refusal>);

    /// Kills the VM's process that exists or is just being made, past the hypervisor's daemon and past every call
    /// under way. Starts that come later are not hindered.
    fn kill(&mut self, vm: VmId);

    /// Forces this machine down and up again, without any orderly end.
    fn reboot(&mut self);

    /// The way to see what the hypervisor has that is not protected; none: it has nothing of its own.
    fn survey(&self) -> Option<Arc<dyn Survey>> {
        None
    }

    /// The way to see what the host and its VMs use just now.
    fn live(&self) -> Arc<dyn Live> {
        Arc::new(live::HostAlone)
    }
}
