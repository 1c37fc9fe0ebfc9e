//! Whose guests are to be asked, and what they answer, on its way into the log. None of it has any bearing on what runs
//! where.

use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::command::Command;
use crate::core::ids::{Address, HostId, Ticket, VmId};
use crate::core::message::{Asking, GuestReport, Message};
use crate::core::reason::Refusal;
use crate::core::state::{ClusterState, GuestWord, Role, UpMeans};
use crate::core::time::Instant;
use std::collections::BTreeMap;

/// What this master has told of guests, and was told.
#[derive(Debug)]
pub(super) struct Guests {
    /// Whether the log may want other guests asked by now.
    stale: bool,
    /// What each host was told. One that was told nothing by this master asks nobody, or as another master said.
    told: BTreeMap<HostId, Told>,
    /// What was proposed to the log and not applied yet.
    proposed: BTreeMap<VmId, (GuestWord, Instant)>,
}

#[derive(Debug, Default)]
struct Told {
    vms: Vec<(VmId, UpMeans)>,
    ticket: Ticket,
    sent: Option<Instant>,
    heard: bool,
}

impl Default for Guests {
    fn default() -> Guests {
        Guests { stale: true, told: BTreeMap::new(), proposed: BTreeMap::new() }
    }
}

impl Guests {
    /// The log has changed in a way that may matter here.
    pub(super) fn reconsider(&mut self) {
        self.stale = true;
    }

    /// A host begins a new life: whatever it was told is forgotten there.
    pub(super) fn forget(&mut self, host: HostId) {
        self.told.remove(&host);
        self.stale = true;
    }

    /// A host has heard whom it is to ask.
    pub(super) fn asking_heard(&mut self, host: HostId, ticket: Ticket) {
        if let Some(told) = self.told.get_mut(&host).filter(|told| told.ticket == ticket) {
            told.heard = true;
        }
    }
}

impl Master {
    /// Tells each host whose guests it is to ask, until it has heard it.
    pub(super) fn tend_guests(&mut self, cx: &Context<'_>, out: &mut Output) {
        if std::mem::take(&mut self.guests.stale) {
            let mut wanted = wanted(cx.state);
            // Who was told of some is told when there are none left.
            for host in self.guests.told.keys() {
                wanted.entry(*host).or_default();
            }
            for (host, vms) in wanted {
                if self.guests.told.get(&host).is_none_or(|told| told.vms != vms) {
                    let ticket = self.ticket();
                    self.guests.told.insert(host, Told { vms, ticket, ..Told::default() });
                }
            }
        }
        let (authority, resend) = (self.authority, self.timing.resend);
        for (host, told) in &mut self.guests.told {
            let Some(entry) = cx.state.hosts.get(host) else { continue };
            let incarnation = entry.incarnation(*host);
            let is_due = !told.heard && told.sent.is_none_or(|sent| cx.now.since(sent) >= resend);
            if is_due && cx.state.is_admitted(incarnation) {
                told.sent = Some(cx.now);
                let asking = Asking { incarnation, authority, ticket: told.ticket, vms: told.vms.clone() };
                out.send(entry.address, Message::AskGuests(asking));
            }
        }
    }

    /// What a host says of a guest, which may be news to the log.
    pub(super) fn guest_heard(&mut self, cx: &Context<'_>, from: Address, said: GuestReport, out: &mut Output) {
        let GuestReport { incarnation, ticket, vm, epoch, word } = said;
        match cx.state.guest_news(incarnation, vm, epoch, &word) {
            // It is told again until it is answered, which it is when the log has it.
            Ok(()) => {
                let resend = self.timing.resend * 4;
                let proposed = self.guests.proposed.get(&vm);
                if proposed.is_none_or(|(_, at)| cx.now.since(*at) >= resend) {
                    self.guests.proposed.insert(vm, (word.clone(), cx.now));
                    out.propose(Command::HearGuest { source: incarnation, vm, epoch, word });
                }
            }
            // The log may yet come to know that it runs there.
            Err(Refusal::OtherIncarnation | Refusal::OldEpoch) => {}
            Err(refusal) => {
                out.send(from, Message::GuestNoted { ticket });
                if refusal == Refusal::NotWanted {
                    // It was told so by an earlier master, and does not know better.
                    self.guests.told.entry(incarnation.host).or_default().heard = false;
                }
            }
        }
    }

    /// What a host said was applied, or refused.
    pub(super) fn guest_settled(&mut self, command: &Command, refused: Option<Refusal>, out: &mut Output) {
        let Command::HearGuest { source, vm, word, .. } = command else { return };
        if self.guests.proposed.get(vm).is_some_and(|(proposed, _)| proposed == word) {
            self.guests.proposed.remove(vm);
        }
        if let (GuestWord::Answers { answers, .. }, None) = (word, refused) {
            out.note(Note::Guest { vm: *vm, host: source.host, answers: *answers });
        }
    }
}

/// The guests that each host is to ask: of the VMs that run on it.
fn wanted(state: &ClusterState) -> BTreeMap<HostId, Vec<(VmId, UpMeans)>> {
    let mut wanted: BTreeMap<HostId, Vec<(VmId, UpMeans)>> = BTreeMap::new();
    for (id, vm) in state.vms.iter().filter(|(_, vm)| vm.protected && vm.account.up.asks()) {
        for (host, holder) in &vm.holders {
            if matches!(holder.role, Role::Running | Role::Outgoing) {
                wanted.entry(*host).or_default().push((*id, vm.account.up.clone()));
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::Action;
    use crate::core::ears::Ears;
    use crate::core::ids::Epoch;
    use crate::core::master::tests::{VM, master, state};
    use std::time::Duration;

    const HOST: HostId = HostId(2);

    struct Table {
        state: ClusterState,
        ears: Ears,
        master: Master,
        now: Instant,
    }

    impl Table {
        fn new(up: UpMeans) -> Table {
            let mut state = state();
            if let Some(vm) = state.vms.get_mut(&VM) {
                vm.account.up = up;
            }
            let ears = Ears::default();
            let now = Instant::ZERO + Duration::from_secs(60);
            let master = master(&Context { now, state: &state, ears: &ears, quorum: None });
            Table { state, ears, master, now }
        }

        fn with(&mut self, later: u64, work: impl FnOnce(&mut Master, &Context<'_>, &mut Output)) -> Output {
            self.now += Duration::from_secs(later);
            let mut out = Output::default();
            let cx = Context { now: self.now, state: &self.state, ears: &self.ears, quorum: None };
            work(&mut self.master, &cx, &mut out);
            out
        }

        /// Whom the host is told to ask, if it is told now, and under which ticket.
        fn told(&mut self) -> Option<(Ticket, usize)> {
            let out = self.with(1, |master, cx, out| master.tend_guests(cx, out));
            out.actions.into_iter().find_map(|action| match action {
                Action::Send { message: Message::AskGuests(asking), .. } => Some((asking.ticket, asking.vms.len())),
                _ => None,
            })
        }

        /// Takes in that the guest answers; whether that is proposed, and whether it is noted.
        fn heard(&mut self) -> (usize, bool) {
            let incarnation = self.state.incarnation(HOST).expect("it is a host");
            let epoch = Epoch { number: 2, ..Epoch::NONE };
            let word = GuestWord::Answers { answers: true, ago_milliseconds: 0 };
            let said = GuestReport { incarnation, ticket: Ticket(7), vm: VM, epoch, word };
            let out = self.with(0, |master, cx, out| master.guest_heard(cx, Address(2), said, out));
            let is_noted = |action: &Action| {
                matches!(action, Action::Send { message: Message::GuestNoted { ticket: Ticket(7) }, .. })
            };
            for proposal in &out.proposals {
                let index = crate::core::ids::LogIndex(self.state.applied.0 + 1);
                let applied = self.state.apply(index, &proposal.command);
                self.with(0, |master, _, out| master.guest_settled(&proposal.command, applied.refused, out));
            }
            (out.proposals.len(), out.actions.iter().any(is_noted))
        }
    }

    #[test]
    fn a_host_is_told_whom_to_ask_until_it_has_heard_it() {
        let mut table = Table::new(UpMeans::Agent);
        let (ticket, count) = table.told().expect("it is told");
        assert_eq!(count, 1);
        assert_eq!(table.told(), Some((ticket, 1)), "it has not heard it yet");
        table.master.guests.asking_heard(HOST, ticket);
        assert_eq!(table.told(), None);
        table.state.vms.get_mut(&VM).expect("the VM").account.up = UpMeans::Running;
        table.master.guests.reconsider();
        assert_eq!(table.told().map(|(_, count)| count), Some(0), "it is told that there is nobody left to ask");
    }

    #[test]
    fn where_nobody_is_asked_nobody_is_told() {
        assert_eq!(Table::new(UpMeans::Running).told(), None);
    }

    #[test]
    fn what_is_heard_is_proposed_once_and_noted_when_the_log_has_it() {
        let mut table = Table::new(UpMeans::Agent);
        assert_eq!(table.heard(), (1, false));
        assert_eq!(table.heard(), (0, true));
    }

    #[test]
    fn who_asks_by_an_older_word_is_told_the_newer_one() {
        let mut table = Table::new(UpMeans::Running);
        assert_eq!(table.heard(), (0, true));
        assert_eq!(table.told().map(|(_, count)| count), Some(0));
    }
}
