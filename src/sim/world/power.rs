//! Power, boot, standing still, and the watchdog.

use crate::core::action::Ended;
use crate::core::action::WatchdogOp;
use crate::core::ids::BootId;
use crate::core::message::Watchdog;
use crate::sim::timeline::Happening;
use crate::sim::world::fact::Fact;
use crate::sim::world::machine::{Daemon, Power, Timer};
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::time::Duration;

impl World {
    /// The machine loses power: all that it did not sync is lost.
    pub(super) fn power_off(&mut self, machine: usize, why: &'static str) {
        if self.machines[machine].power == Power::Off {
            return;
        }
        self.end_life(machine, why);
        self.machines[machine].power = Power::Off;
        let host = self.machines[machine].host;
        self.tell(Happening::Power(host, why));
    }

    /// The machine gets power, if it has none.
    pub(super) fn power_on(&mut self, machine: usize) {
        if self.machines[machine].power != Power::Off || self.machines[machine].given_up {
            return;
        }
        self.machines[machine].power = Power::Booting;
        let takes = micros(self.machines[machine].spec.boot_time);
        let life = self.machines[machine].life;
        self.after(takes, Occurrence::Booted { machine, life });
        let host = self.machines[machine].host;
        self.tell(Happening::Power(host, "powered-on"));
    }

    /// The machine starts anew without losing power: a crash of its kernel, its watchdog, or a forced reboot.
    pub(super) fn reset(&mut self, machine: usize, why: &'static str) {
        if self.machines[machine].power == Power::Off {
            return;
        }
        self.power_off(machine, why);
        self.power_on(machine);
    }

    fn end_life(&mut self, machine: usize, why: &'static str) {
        // Before the agent's end, which would let a batch land: without power none does.
        self.machines[machine].disk.pending.clear();
        self.end_agent(machine);
        self.drop_all_io(machine);
        self.drop_fence_calls(machine);
        self.end_all_processes(machine, why);
        let target = &mut self.machines[machine];
        target.life += 1;
        target.stands_until = 0;
        target.held.clear();
        target.watchdog = Timer { queued: target.watchdog.queued, ..Timer::default() };
        target.hypervisor.daemon = Daemon::Up;
        target.hypervisor.shutting_down = false;
    }

    /// The kernel is up: a new boot, a new clock, first the agent, then the hypervisor with nothing in it.
    pub(super) fn booted(&mut self, machine: usize, life: u32) {
        if self.machines[machine].life != life || self.machines[machine].power != Power::Booting {
            return;
        }
        let boot = BootId(self.chance.power.number());
        let target = &mut self.machines[machine];
        target.power = Power::Up;
        target.boot = boot;
        target.boot_at = self.now;
        // What libvirt knew of how processes ended does not outlive a boot.
        target.hypervisor.definitions.values_mut().for_each(|domain| domain.ended = Ended::Unknown);
        let host = target.host;
        self.facts.push(Fact::Booted { machine, boot });
        self.tell(Happening::Power(host, "booted"));
        self.start_agent(machine);
        self.autostart(machine);
    }

    /// The machine stands still for so long, its guests too; a timer in hardware does not.
    pub(super) fn freeze(&mut self, machine: usize, lasts: Duration) {
        let until = self.later(lasts).max(1);
        let target = &mut self.machines[machine];
        if !target.stands_still() && matches!(target.spec.watchdog, Watchdog::Software { .. }) {
            // A software timer stands still with the machine: what is left of it is kept as a span.
            target.watchdog.fires_at = target.watchdog.fires_at.saturating_sub(self.now);
        }
        let in_time = self.timing.hard_deadline;
        if !matches!(target.spec.watchdog, Watchdog::Hardware { timeout } if timeout <= in_time) {
            self.excuse_weak_guards();
        }
        let target = &mut self.machines[machine];
        target.stands_until = target.stands_until.max(until);
        self.queue.push(until, Occurrence::Thaw(machine));
    }

    /// A host stood still that has nothing in hardware to end it in time. If policy accepts that by name, the lease of such a
    /// host counts, and what follows is what was accepted.
    pub(super) fn excuse_weak_guards(&mut self) {
        if self.spec.policy.accept_software_guards {
            self.excuse();
        }
    }

    /// The machine goes on, if no other fault holds it: what waited is read first, then the node is woken.
    pub(super) fn thaw(&mut self, machine: usize) {
        let target = &mut self.machines[machine];
        if !target.stands_still() || self.now < target.stands_until {
            return;
        }
        target.stands_until = 0;
        if matches!(target.spec.watchdog, Watchdog::Software { .. }) && target.watchdog.open {
            target.watchdog.fires_at += self.now;
            target.watchdog.queued = true;
            self.queue.push(target.watchdog.fires_at, Occurrence::Watchdog(machine));
        }
        for occurrence in std::mem::take(&mut self.machines[machine].held) {
            self.queue.push(self.now, occurrence);
        }
        self.drain_inbox(machine);
    }

    /// An agent works its watchdog.
    pub(super) fn work_watchdog(&mut self, machine: usize, op: WatchdogOp) {
        let target = &mut self.machines[machine];
        let timeout = match target.spec.watchdog {
            Watchdog::None => return,
            Watchdog::Hardware { timeout } | Watchdog::Software { timeout } => timeout,
        };
        match op {
            WatchdogOp::Open => target.watchdog.open = true,
            WatchdogOp::Feed if !target.watchdog.open => return,
            WatchdogOp::Feed => {}
            WatchdogOp::Close => target.watchdog.open = false,
        }
        // The timer counts at the machine's own rate.
        let fires_at = target.true_time(target.local(self.now) + timeout);
        target.watchdog.fires_at = fires_at;
        let open = target.watchdog.open;
        self.facts.push(Fact::Watchdog { machine, fires_at: open.then_some(fires_at) });
        let target = &mut self.machines[machine];
        if target.watchdog.open && !target.watchdog.queued {
            target.watchdog.queued = true;
            self.queue.push(fires_at, Occurrence::Watchdog(machine));
        }
    }

    /// A watchdog's time may be up. It was fed many times since this was queued, most likely.
    pub(super) fn watchdog_due(&mut self, machine: usize) {
        let target = &mut self.machines[machine];
        target.watchdog.queued = false;
        let paused = target.stands_still() && matches!(target.spec.watchdog, Watchdog::Software { .. });
        if !target.watchdog.open || paused {
            return;
        }
        if self.now < target.watchdog.fires_at {
            target.watchdog.queued = true;
            let at = target.watchdog.fires_at;
            self.queue.push(at, Occurrence::Watchdog(machine));
            return;
        }
        self.reset(machine, "watchdog");
    }
}
