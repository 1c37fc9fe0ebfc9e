//! The network between machines, and between machines and fence devices.

use crate::core::action::Event;
use crate::core::ids::Address;
use crate::node::{NodeEvent, Packet};
use crate::sim::fault::LinkFault;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One in so many packets of a link is kept, for replays.
const SAMPLED: u32 = 8;
/// So many packets are kept for each link.
const SAMPLES: usize = 64;

/// What is wrong with the network, and what went over it.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// By sender and receiver; each ends by itself.
    links: BTreeMap<(usize, usize), Vec<(LinkFault, u64)>>,
    /// By machine: it is cut off until then.
    isolated: BTreeMap<usize, u64>,
    /// Each side of a partition hears itself only, until then.
    partitions: Vec<(Vec<usize>, u64)>,
    /// By sender and receiver: packets that were sent.
    sampled: BTreeMap<(usize, usize), VecDeque<(u64, Packet)>>,
    sent: u32,
}

impl Network {
    /// Cuts a machine off.
    pub(super) fn isolate(&mut self, machine: usize, until: u64) {
        let entry = self.isolated.entry(machine).or_default();
        *entry = until.max(*entry);
    }

    /// Splits the network.
    pub(super) fn part(&mut self, side: Vec<usize>, until: u64) {
        self.partitions.push((side, until));
    }

    /// Makes one direction of a link misbehave.
    pub(super) fn impair(&mut self, from: usize, to: usize, fault: LinkFault, until: u64) {
        self.links.entry((from, to)).or_default().push((fault, until));
    }

    /// Mends everything.
    pub(super) fn mend(&mut self) {
        self.links.clear();
        self.isolated.clear();
        self.partitions.clear();
    }

    /// Whether a machine is cut off from everything, fence devices and people too.
    pub(super) fn is_isolated(&self, machine: usize, now: u64) -> bool {
        self.isolated.get(&machine).is_some_and(|until| *until > now)
    }

    /// Whether packets can go this way at all.
    pub(super) fn passes(&self, from: usize, to: usize, now: u64) -> bool {
        if self.links.is_empty() && self.isolated.is_empty() && self.partitions.is_empty() {
            return true;
        }
        let apart = |(side, until): &(Vec<usize>, u64)| *until > now && side.contains(&from) != side.contains(&to);
        let cut = |(fault, until): &(LinkFault, u64)| *until > now && *fault == LinkFault::Cut;
        // A machine hears itself whatever happens to its cables.
        from == to
            || !(self.is_isolated(from, now)
                || self.is_isolated(to, now)
                || self.partitions.iter().any(apart)
                || self.links.get(&(from, to)).is_some_and(|faults| faults.iter().any(cut)))
    }

    /// Forgets what has ended, so that the common way stays short.
    pub(super) fn tidy(&mut self, now: u64) {
        self.links.retain(|_, faults| {
            faults.retain(|(_, until)| *until > now);
            !faults.is_empty()
        });
        self.isolated.retain(|_, until| *until > now);
        self.partitions.retain(|(_, until)| *until > now);
    }

    fn sample(&mut self, from: usize, to: usize, now: u64, packet: &Packet) {
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(SAMPLED) {
            let kept = self.sampled.entry((from, to)).or_default();
            if kept.len() >= SAMPLES {
                kept.pop_front();
            }
            kept.push_back((now, packet.clone()));
        }
    }
}

impl World {
    /// Sends a packet from one machine to an address.
    pub(super) fn send(&mut self, from: usize, to: Address, packet: Packet) {
        let to = to.0 as usize;
        if to >= self.machines.len() {
            return;
        }
        self.network.sample(from, to, self.now, &packet);
        let Some((delay, copy)) = self.transit(from, to) else { return };
        let from = Address(from as u32);
        if let Some(later) = copy {
            self.after(delay + later, Occurrence::Packet { to, from, packet: Box::new(packet.clone()) });
        }
        self.after(delay, Occurrence::Packet { to, from, packet: Box::new(packet) });
    }

    /// How long a packet takes this way, and how much later a second copy comes; none if it is lost.
    fn transit(&mut self, from: usize, to: usize) -> Option<(u64, Option<u64>)> {
        if !self.network.passes(from, to, self.now) {
            return None;
        }
        let mut delay = self.chance.network.micros_between(self.spec.nature.network);
        let mut copy = None;
        if let Some(faults) = self.network.links.get(&(from, to)) {
            let dice = &mut self.chance.network;
            for (fault, _) in faults.iter().filter(|(_, until)| *until > self.now) {
                match fault {
                    LinkFault::Loss(percent) if dice.chance(*percent) => return None,
                    LinkFault::Delay(most) => delay += dice.micros_between((Duration::ZERO, *most)),
                    LinkFault::Duplicate(percent) if dice.chance(*percent) => copy = Some(dice.range(0, 200_000)),
                    _ => {}
                }
            }
        }
        Some((delay, copy))
    }

    /// Pings a machine.
    pub(super) fn ping(&mut self, from: usize, to: Address) {
        let to = to.0 as usize;
        if to < self.machines.len()
            && let Some((delay, _)) = self.transit(from, to)
        {
            self.after(delay, Occurrence::Ping { to, from });
        }
    }

    /// A ping arrives: the kernel answers it, whatever the agent does.
    pub(super) fn pinged(&mut self, to: usize, from: usize) {
        let machine = &self.machines[to];
        if machine.is_up()
            && !machine.stands_still()
            && let Some((delay, _)) = self.transit(to, from)
        {
            self.after(delay, Occurrence::Pong { to: from, from: to });
        }
    }

    /// The answer to a ping arrives.
    pub(super) fn ponged(&mut self, to: usize, from: usize) {
        self.deliver(to, NodeEvent::Core(Event::Pong { from: Address(from as u32) }));
    }

    /// A packet arrives. It is let through even if its way was cut meanwhile: it was past the cut.
    pub(super) fn arrive(&mut self, to: usize, from: Address, packet: Packet) {
        self.deliver(to, NodeEvent::Packet { from, packet });
    }

    /// Sends again what was sent so long ago, in the same rhythm, for so long. If nothing that old was kept, the oldest
    /// that was is sent instead.
    pub(super) fn replay(&mut self, from: usize, to: usize, age: Duration, lasts: Duration) {
        let Some(kept) = self.network.sampled.get(&(from, to)) else { return };
        let begin = self.now.saturating_sub(micros(age));
        let end = begin.saturating_add(micros(lasts));
        let old: Vec<_> = kept.iter().filter(|(at, _)| (begin..end).contains(at)).cloned().collect();
        let chosen = if old.is_empty() { kept.iter().take(8).cloned().collect() } else { old };
        for (at, packet) in chosen {
            let wait = at.saturating_sub(begin).min(micros(lasts));
            self.after(wait, Occurrence::Packet { to, from: Address(from as u32), packet: Box::new(packet) });
        }
    }
}
