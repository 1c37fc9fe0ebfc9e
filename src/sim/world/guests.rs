//! The guests: each answers once it has come up, unless something keeps it from that.
//!
//! Nobody draws lots here: what guests say shifts nothing in worlds that have none who say anything.

use crate::core::action::{Event, GuestAnswer};
use crate::core::ids::{Ticket, VmId};
use crate::core::state::UpMeans;
use crate::node::NodeEvent;
use crate::sim::world::machine::Daemon;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after its processors began to run a guest answers.
const COMES_UP: Duration = Duration::from_secs(4);
/// How long an answer takes.
const ANSWERS: Duration = Duration::from_millis(3);

/// The guests of all machines.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// When each came up last. A live migration takes the guest along as it is.
    began: BTreeMap<VmId, u64>,
    /// Until when each answers nothing.
    hushed: BTreeMap<VmId, u64>,
}

impl Guests {
    /// Everyone answers again.
    pub(super) fn heal(&mut self) {
        self.hushed.clear();
    }
}

impl World {
    /// A guest begins anew.
    pub(super) fn guest_begins(&mut self, vm: VmId) {
        self.guests.began.insert(vm, self.now);
        self.guests.hushed.remove(&vm);
    }

    /// A guest answers nothing for so long.
    pub(super) fn hush_guest(&mut self, vm: VmId, lasts: Duration) {
        let until = self.later(lasts);
        self.guests.hushed.insert(vm, until);
    }

    /// An agent asks a guest. In a world whose guests say nothing nobody answers, ever.
    pub(super) fn ask_guest(&mut self, machine: usize, ticket: Ticket, vm: VmId, up: &UpMeans, within: Duration) {
        if !self.guests_speak() {
            return;
        }
        let target = &self.machines[machine];
        let can_ask = *up != UpMeans::Agent || target.hypervisor.daemon == Daemon::Up;
        let answers = target.executes(vm).filter(|_| can_ask).map(|_| self.guest_answers(vm));
        let system = (*up == UpMeans::Agent && answers == Some(true)).then(|| "Debian GNU/Linux 12".to_owned());
        let (session, life) = (target.agent.session, target.life);
        let takes = if answers == Some(false) { within } else { ANSWERS };
        let answer = GuestAnswer { answers, system };
        self.after(micros(takes), Occurrence::GuestAnswers { machine, life, session, ticket, answer });
    }

    /// Whether anybody asks guests in this world; only then they say anything.
    pub(super) fn guests_speak(&self) -> bool {
        self.spec.vms.iter().any(|entry| entry.up.asks())
    }

    /// Whether the guest of a VM that runs answers just now.
    fn guest_answers(&self, vm: VmId) -> bool {
        let began = self.guests.began.get(&vm).copied().unwrap_or(0);
        let hushed = self.guests.hushed.get(&vm).is_some_and(|until| self.now < *until);
        self.now >= began + micros(COMES_UP) && !hushed
    }

    /// A question to a guest has ended.
    pub(super) fn guest_has_answered(
        &mut self,
        (machine, life, session): (usize, u32, u64),
        ticket: Ticket,
        answer: GuestAnswer,
    ) {
        let again = Occurrence::GuestAnswers { machine, life, session, ticket, answer: answer.clone() };
        if !self.is_void_or_held(machine, life, again) {
            self.deliver_to(machine, session, NodeEvent::Core(Event::GuestAnswered { ticket, answer }));
        }
    }
}
