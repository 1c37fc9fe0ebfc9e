//! A host without a hypervisor: a witness, which only votes.

use super::{Platform, Tell};
use crate::core::action::{Outcome, PlatformCall, PlatformEvent, View};
use crate::core::ids::{Epoch, Ticket, VmId};
use crate::core::message::Known;
use crate::core::reason::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nothing runs here, and nothing can.
pub struct NoPlatform {
    tell: Tell,
}

impl NoPlatform {
    /// Answers through this.
    pub fn new(tell: Tell) -> NoPlatform {
        NoPlatform { tell }
    }
}

impl Platform for NoPlatform {
    fn know(&mut self, _protected: &BTreeMap<VmId, Known>) {}

    fn define(&mut self, vm: VmId, _definition: Arc<[u8]>) {
        tracing::error!(%vm, "a VM was sent to a host without a hypervisor");
    }

    fn call(&mut self, ticket: Ticket, call: PlatformCall) {
        (self.tell)(match call {
            PlatformCall::Look => PlatformEvent::Looked { ticket, view: View { daemon: true, ..View::default() } },
            _ => PlatformEvent::Returned { ticket, outcome: Outcome::Failed },
        });
    }

    fn answer(&mut self, _ticket: Ticket, _answer: Result<Epoch, Refusal>) {}

    fn kill(&mut self, _vm: VmId) {}

    fn reboot(&mut self) {}
}
