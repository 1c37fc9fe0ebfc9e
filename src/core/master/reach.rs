//! How the master gets at datastores and fence devices: itself, or through any living host that can (rule 7).

use super::{Context, Master, Output};
use crate::core::action::{Action, Warrant};
use crate::core::ids::{DatastoreId, FenceId, HostId, Ticket};
use crate::core::message::{FenceOp, Message, RemoteOp, RemoteResult};
use crate::core::reason::HostState;
use crate::core::record::{DatastoreCall, DatastoreOp};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use std::collections::BTreeMap;

/// The operations that are under way, and whom they are for.
#[derive(Debug, Default)]
pub(super) struct Reach {
    under_way: BTreeMap<Ticket, UnderWay>,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    purpose: Purpose,
    began: Instant,
}

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// The regular reading of all records.
    Poll(DatastoreId),
    /// A step of a burial.
    Bury(HostId, DatastoreId),
    /// A step of a chain of fences.
    Fence(HostId, FenceId, FenceOp),
    /// A release order by mail.
    Mail(HostId, DatastoreId),
    /// A question to a fence device that nothing hangs on.
    Verify(HostId, FenceId),
}

impl Reach {
    pub(super) fn is_under_way(&self, purpose: Purpose) -> bool {
        self.under_way.values().any(|call| call.purpose == purpose)
    }

    /// Whether an operation may still be answered.
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.under_way.contains_key(&ticket)
    }

    /// Forgets what has hung for so long that nobody waits for it: it is tried another way, and if the answer comes
    /// after all, nobody knows it any more.
    pub(super) fn give_up_late(&mut self, now: Instant, timing: &Timing) {
        self.under_way.retain(|_, call| {
            let patience = match call.purpose {
                Purpose::Fence(..) | Purpose::Verify(..) => timing.fence_timeout * 2,
                Purpose::Poll(_) | Purpose::Bury(..) | Purpose::Mail(..) => timing.storage_patience,
            };
            now.since(call.began) < patience
        });
    }
}

impl Master {
    /// Does something on a datastore: the `attempt`th time by the `attempt`th way.
    pub(super) fn on_datastore(
        &mut self,
        cx: &Context<'_>,
        purpose: Purpose,
        datastore: DatastoreId,
        op: DatastoreOp,
        attempt: usize,
        out: &mut Output,
    ) {
        let ticket = self.begin(cx, purpose);
        let reaches =
            |id: &HostId| cx.state.hosts.get(id).is_some_and(|host| host.life.renewal_set.contains(&datastore));
        match self.way(cx, attempt, reaches) {
            None => {
                let call = DatastoreCall { datastore, op };
                out.actions.push(Action::Datastore { ticket, call });
            }
            Some(to) => {
                let op = RemoteOp::Datastore(datastore, op);
                out.send(to, Message::Remote { ticket, authority: self.authority, op });
            }
        }
    }

    /// Asks a fence device: the `attempt`th time by the `attempt`th way.
    pub(super) fn on_fence(
        &mut self,
        cx: &Context<'_>,
        target: HostId,
        device: FenceId,
        op: FenceOp,
        attempt: usize,
        out: &mut Output,
    ) -> Ticket {
        self.ask_fence(cx, Purpose::Fence(target, device, op), (target, device, op), attempt, out).0
    }

    /// The same, for any purpose; with the host that asks.
    pub(super) fn ask_fence(
        &mut self,
        cx: &Context<'_>,
        purpose: Purpose,
        (target, device, op): (HostId, FenceId, FenceOp),
        attempt: usize,
        out: &mut Output,
    ) -> (Ticket, HostId) {
        let ticket = self.begin(cx, purpose);
        let (index, set_up) = (self.warrant_index(cx, target, op), cx.state.fence_set_up(device));
        let warrant = Warrant { authority: self.authority, index, set_up };
        // Only voters know how to speak to a device: its password is in the log, and on no other host.
        let knows = |id: &HostId| *id != target && cx.state.voters.values().any(|home| home == id);
        match self.way(cx, attempt, knows) {
            None => {
                out.actions.push(Action::Fence { ticket, warrant, device, op });
                (ticket, self.me)
            }
            Some(to) => {
                let op = RemoteOp::Fence(warrant, device, op);
                out.send(to, Message::Remote { ticket, authority: self.authority, op });
                let by = cx.state.hosts.iter().find(|(_, host)| host.address == to).map_or(self.me, |(id, _)| *id);
                (ticket, by)
            }
        }
    }

    fn begin(&mut self, cx: &Context<'_>, purpose: Purpose) -> Ticket {
        let ticket = self.ticket();
        self.reach.under_way.insert(ticket, UnderWay { purpose, began: cx.now });
        ticket
    }

    /// Itself first, then each living host in turn, then itself again.
    fn way(
        &self,
        cx: &Context<'_>,
        attempt: usize,
        reaches: impl Fn(&HostId) -> bool,
    ) -> Option<crate::core::ids::Address> {
        let helpers: Vec<_> = cx
            .state
            .hosts
            .iter()
            .filter(|(id, _)| **id != self.me && self.host_state(**id) == HostState::Alive && reaches(id))
            .map(|(_, host)| host.address)
            .collect();
        // A datastore that the master's own host does not mount at all can only be reached through others.
        let own = usize::from(reaches(&self.me) || helpers.is_empty());
        match attempt % (helpers.len() + own) {
            0 if own == 1 => None,
            turn => helpers.get(turn - own).copied(),
        }
    }

    /// Something that was asked has answered.
    pub(super) fn reached(&mut self, cx: &Context<'_>, ticket: Ticket, result: RemoteResult, out: &mut Output) {
        let Some(UnderWay { purpose, .. }) = self.reach.under_way.remove(&ticket) else { return };
        match (purpose, result) {
            (Purpose::Poll(datastore), RemoteResult::Datastore(result)) => {
                self.records_read(cx, datastore, result, out);
            }
            (Purpose::Bury(host, datastore), RemoteResult::Datastore(result)) => {
                self.burial_answered(cx, host, datastore, result, out);
            }
            (Purpose::Fence(host, device, op), RemoteResult::Fence(result)) => {
                self.fence_answered(cx, ticket, (host, device, op), result, out);
            }
            (Purpose::Verify(host, device), RemoteResult::Fence(result)) => {
                self.device_verified(cx, ticket, (host, device), result, out);
            }
            // Mail that could not be written is written again with the next scan.
            _ => {}
        }
    }
}
