//! Permits and orders: the master's word to the hosts that hold a VM (rules 11 and 12).

use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::command::Command;
use crate::core::ids::{Address, Epoch, HostId, Incarnation, VmId};
use crate::core::message::{Coming, Message, Order, OrderKind, Permit, PermitKind, Wish};
use crate::core::reason::Refusal;
use crate::core::state::{Grant, Holder, Role};
use std::sync::Arc;

impl Master {
    /// A host became a holder: it is told at once.
    pub(super) fn granted(&mut self, cx: &Context<'_>, grant: &Grant, out: &mut Output) {
        self.recovery.consider(grant.vm);
        let Some(vm) = cx.state.vms.get(&grant.vm) else { return };
        let Some(holder) = vm.holders.get(&grant.target.host).copied() else { return };
        let (vm_id, host, epoch) = (grant.vm, grant.target.host, grant.epoch);
        out.note(Note::Placed { vm: vm_id, host, epoch, proofs: vm.proofs.clone() });
        self.send_permit(cx, grant.vm, grant.target.host, &holder, grant.kind, out);
    }

    /// Gives a permit, under the conditions under which a heartbeat is acknowledged; it extends a lease like one.
    pub(super) fn send_permit(
        &mut self,
        cx: &Context<'_>,
        id: VmId,
        host: HostId,
        holder: &Holder,
        kind: PermitKind,
        out: &mut Output,
    ) {
        let quorum = self.has_quorum(cx);
        let authority = self.authority;
        let Some(vm) = cx.state.vms.get(&id) else { return };
        let Some(watched) = self.watched_mut(host) else { return };
        let life = watched.life;
        let heard = cx.ears.of_boot(host, life.boot).map(|heard| heard.heartbeat);
        let Some(heartbeat) = heard.filter(|beat| beat.session == watched.session && beat.incarnation == life) else {
            return;
        };
        if !quorum || !watched.is_acknowledged || holder.boot != life.boot {
            return;
        }
        watched.last_sign = cx.now;
        let address = watched.address;
        out.send(
            address,
            Message::Permit(Permit {
                incarnation: life,
                authority,
                index: cx.state.applied,
                session: heartbeat.session,
                sequence: heartbeat.sequence,
                vm: id,
                epoch: holder.epoch,
                config: holder.config,
                known: super::admission::known(vm),
                kind,
                payload: Arc::clone(&vm.definition.payload),
            }),
        );
    }

    pub(super) fn send_order(
        &mut self,
        cx: &Context<'_>,
        vm: VmId,
        host: HostId,
        epoch: Epoch,
        kind: OrderKind,
        out: &mut Output,
    ) {
        let Some(incarnation) = cx.state.incarnation(host).filter(|life| cx.state.is_admitted(*life)) else { return };
        let Some(address) = self.watched(host).map(|watched| watched.address) else { return };
        let order = Order { incarnation, authority: self.authority, vm, epoch, kind };
        out.send(address, Message::Order(order));
    }

    /// An operator starts, or moves in, a VM with the hypervisor's own tools.
    pub(super) fn wished(&mut self, cx: &Context<'_>, from: Address, wish: &Wish, out: &mut Output) {
        if let Err(refusal) = self.try_wish(cx, wish, out) {
            out.send(from, Message::WishRefused { ticket: wish.ticket, refusal });
        }
    }

    fn try_wish(&mut self, cx: &Context<'_>, wish: &Wish, out: &mut Output) -> Result<(), Refusal> {
        let target = wish.incarnation;
        if !cx.state.is_admitted(target) {
            return Err(Refusal::OtherIncarnation);
        }
        let vm = cx.state.vms.get(&wish.vm).filter(|vm| vm.protected).ok_or(Refusal::NoSuchThing)?;
        let (id, version, by_hook) = (wish.vm, vm.version, Some(wish.ticket));
        let moved = wish.coming == Coming::Moved;
        // Its disks were written to elsewhere since it was saved here.
        if wish.coming == Coming::Restored && vm.seat.is_some_and(|seat| seat != target.host) {
            return Err(Refusal::SavedBefore);
        }
        if let Some(holder) = vm.holders.get(&target.host).copied() {
            // If just that is allowed already, the hook asks because the permit was lost, or is late.
            let is_leaving = vm.holders.values().any(|other| other.role == Role::Outgoing);
            let is_meant = match holder.role {
                Role::Starting => !moved,
                Role::Incoming => moved && is_leaving,
                Role::Running | Role::Outgoing | Role::Unaccounted => false,
            };
            return if is_meant {
                self.send_permit(cx, id, target.host, &holder, PermitKind::Hook(wish.ticket), out);
                Ok(())
            } else {
                Err(Refusal::IdentityClash)
            };
        }
        if !moved {
            out.propose(Command::Place { vm: id, version, target, by_hook });
            return Ok(());
        }
        // The destination does not know where it comes from; the log knows where it runs.
        let mut sources = vm.holders.iter().filter(|(_, holder)| holder.role == Role::Running);
        let (Some((source, _)), None) = (sources.next(), sources.next()) else { return Err(Refusal::NoSuchThing) };
        let from = cx.state.incarnation(*source).ok_or(Refusal::NoSuchThing)?;
        out.propose(Command::Move { vm: id, version, from, to: target, by_hook });
        Ok(())
    }

    /// The log refused what an operator did with the hypervisor's own tools: the hook must hear it.
    pub(super) fn hook_refused(&self, cx: &Context<'_>, command: &Command, refusal: Refusal, out: &mut Output) {
        let (target, ticket): (Incarnation, _) = match command {
            Command::Place { target, by_hook: Some(ticket), .. } => (*target, *ticket),
            Command::Move { to, by_hook: Some(ticket), .. } => (*to, *ticket),
            _ => return,
        };
        if let Some(host) = cx.state.hosts.get(&target.host) {
            out.send(host.address, Message::WishRefused { ticket, refusal });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::core::action::Action;
    use crate::core::command::Command;
    use crate::core::ids::{HostId, Ticket};
    use crate::core::master::tests::{VM, master, state};
    use crate::core::master::{Context, Output};
    use crate::core::message::{Coming, Message, Wish};
    use crate::core::reason::Refusal;
    use crate::core::time::Instant;

    /// What comes of a start by hand on this host, of a VM that ran on host 2 last.
    fn wished(host: u32, coming: Coming) -> Result<(), Refusal> {
        let mut state = state();
        state.vms.get_mut(&VM).unwrap().holders.clear();
        let ears = Default::default();
        let cx = Context { now: Instant::ZERO, state: &state, ears: &ears, quorum: None };
        let (mut master, mut out) = (master(&cx), Output::default());
        let incarnation = state.incarnation(HostId(host)).unwrap();
        let wish = Wish { incarnation, ticket: Ticket(1), vm: VM, coming };
        master.wished(&cx, state.hosts[&HostId(host)].address, &wish, &mut out);
        match (&out.actions[..], &out.proposals[..]) {
            ([], [proposal]) if matches!(proposal.command, Command::Place { by_hook: Some(_), .. }) => Ok(()),
            ([Action::Send { message: Message::WishRefused { refusal, .. }, .. }], []) => Err(*refusal),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_old_memory_is_gone_on_with_only_where_the_vm_ran_last() {
        assert_eq!(wished(1, Coming::Restored), Err(Refusal::SavedBefore));
        assert_eq!(wished(1, Coming::Started), Ok(()));
        assert_eq!(wished(2, Coming::Restored), Ok(()));
    }
}
