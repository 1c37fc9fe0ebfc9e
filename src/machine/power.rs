//! The power of the machine: what switches it, and what follows.
//!
//! ```text
//!         On, restart                     init dead, or power taken away
//!  Off ────────────────▶ On ───────────────────────────────────────────────▶ Ending ── nobody is left ──▶ Off
//!                        ▲                                                     │  │                     ──▶ Crashed
//!                        └──────────────── and it was to be restarted ─────────┘  └ the machine is to end ─▶ Left
//! ```
//! One thread does all of this, and it alone starts, kills and reaps processes of the host.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::machine::SHUTDOWN_MARK;
use crate::machine::host::{End, Host, Program};
use crate::machine::status::{HostState, Power, Shared, Status, replace};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use std::{fs, io};
use uuid::Uuid;

/// So long a dying host is let be before it is looked at again, if no death is told before.
const ENDING_POLL: Duration = Duration::from_millis(5);
/// With nothing to wait for, it looks around so often.
const IDLE_POLL: Duration = Duration::from_secs(60);
/// More orders do not wait at once.
const MOST_ORDERS: usize = 16;

/// An order for the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// On, if it is off.
    On,
    /// Off at once.
    ForceOff,
    /// Off at once and on again. What is off stays off.
    ForceRestart,
    /// The host is asked to shut down, and then off.
    GracefulShutdown,
}

/// What happens to the machine.
#[derive(Debug)]
pub(super) enum Event {
    /// Something may have changed.
    Look,
    /// An order that takes effect then.
    Order(Instant, Order),
    /// In the boot with this group, this agent runs now.
    Agent(i32, Option<i32>),
    /// The watchdog of this boot was not fed.
    Expired(Uuid),
}

/// What is done after the watchdog has taken the power away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterWatchdog {
    /// It stays off.
    Off,
    /// It boots anew.
    Restart,
}

enum Stage {
    Off,
    On(Host),
    /// There is power, and nothing runs.
    Crashed,
    Ending(Host, Then),
    /// The machine has ended.
    Left,
}

/// What becomes of a machine whose host has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Off,
    Restart,
    StayCrashed,
    Leave,
}

pub(super) struct Supply {
    pub(super) directory: PathBuf,
    pub(super) program: Program,
    pub(super) after_watchdog: AfterWatchdog,
    pub(super) shared: Arc<Shared>,
}

/// Switches the power on, and then does what is ordered, until the machine is to end.
pub(super) fn run(supply: Supply, events: &Receiver<Event>) {
    let mut machine = Machine { stage: Stage::Off, orders: VecDeque::new(), shown: None, supply };
    machine.stage = machine.power_on();
    while !matches!(machine.stage, Stage::Left) {
        machine.publish();
        if let Ok(event) = events.recv_timeout(machine.patience()) {
            machine.take(event);
            events.try_iter().for_each(|event| machine.take(event));
        }
        machine.look();
        machine.carry_out();
    }
    machine.publish();
}

struct Machine {
    supply: Supply,
    stage: Stage,
    /// In the order in which they came, with when they take effect.
    orders: VecDeque<(Instant, Order)>,
    shown: Option<Status>,
}

impl Machine {
    fn patience(&self) -> Duration {
        if matches!(self.stage, Stage::Ending(..)) {
            return ENDING_POLL;
        }
        self.orders.front().map_or(IDLE_POLL, |(due, _)| due.since(boottime()))
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Look => {}
            Event::Order(due, order) if self.orders.len() < MOST_ORDERS => self.orders.push_back((due, order)),
            Event::Order(_, order) => tracing::error!("{order:?} is dropped: {MOST_ORDERS} orders wait already"),
            Event::Agent(group, agent) => {
                let mut status = self.supply.shared.status();
                if status.pgid == Some(group) {
                    status.agent_pid = agent;
                }
            }
            Event::Expired(boot) => self.expired(boot),
        }
    }

    fn expired(&mut self, boot: Uuid) {
        let counts = match &self.stage {
            Stage::On(_) | Stage::Crashed | Stage::Ending(_, Then::StayCrashed) => true,
            Stage::Off | Stage::Ending(..) | Stage::Left => false,
        };
        if !counts || self.supply.shared.status().boot_id != Some(boot) {
            return;
        }
        tracing::warn!("the watchdog was not fed: the machine loses its power");
        self.supply.shared.status().watchdog_expiries += 1;
        self.cut(match self.supply.after_watchdog {
            AfterWatchdog::Off => Then::Off,
            AfterWatchdog::Restart => Then::Restart,
        });
    }

    /// Sees how the host fares, and goes on with ending it.
    fn look(&mut self) {
        if self.supply.shared.leaving.load(Ordering::SeqCst) {
            self.cut(Then::Leave);
        }
        if let Stage::On(host) = &self.stage
            && let Some(end) = host.ended()
        {
            self.cut(if end == End::ShutDown { Then::Off } else { Then::StayCrashed });
        }
        if let Stage::Ending(host, then) = &mut self.stage {
            let then = *then;
            match host.end() {
                Ok(true) => self.stage = self.settle(then),
                Ok(false) => {}
                Err(error) => tracing::error!("the host cannot be ended yet: {error}"),
            }
        }
    }

    fn carry_out(&mut self) {
        while !matches!(self.stage, Stage::Ending(..) | Stage::Left)
            && let Some((due, order)) = self.orders.front().copied()
            && due <= boottime()
        {
            self.orders.pop_front();
            let is_off = matches!(self.stage, Stage::Off);
            match order {
                Order::On if is_off => self.stage = self.power_on(),
                Order::ForceOff if !is_off => self.reset(Then::Off),
                Order::ForceRestart if !is_off => self.reset(Then::Restart),
                Order::GracefulShutdown => {
                    if let Stage::On(host) = &self.stage {
                        host.shut_down();
                    }
                }
                Order::On | Order::ForceOff | Order::ForceRestart => {}
            }
        }
    }

    fn reset(&mut self, then: Then) {
        self.supply.shared.status().resets += 1;
        self.cut(then);
        self.look();
    }

    /// Takes the power away.
    fn cut(&mut self, then: Then) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Off) {
            Stage::On(host) | Stage::Ending(host, _) => Stage::Ending(host, then),
            Stage::Off if then == Then::Leave => Stage::Left,
            Stage::Off => Stage::Off,
            Stage::Crashed => self.settle(then),
            Stage::Left => Stage::Left,
        };
    }

    /// Nobody of the host is left.
    fn settle(&mut self, then: Then) -> Stage {
        match then {
            Then::Off => Stage::Off,
            Then::StayCrashed => Stage::Crashed,
            Then::Leave => Stage::Left,
            Then::Restart => self.power_on(),
        }
    }

    fn power_on(&mut self) -> Stage {
        match self.boot() {
            Ok(host) => Stage::On(host),
            Err(error) => {
                tracing::error!("the host cannot boot: {error}");
                Stage::Crashed
            }
        }
    }

    fn boot(&mut self) -> io::Result<Host> {
        let run = self.supply.directory.join("run");
        // What a boot leaves there does not outlive it.
        match fs::remove_dir_all(&run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&run)?,
        }
        let boot = Uuid::new_v4();
        replace(&run.join("boot-id"), &format!("{boot}\n"))?;
        {
            let mut status = self.supply.shared.status();
            status.boots += 1;
            // Before anything runs: whoever reads that it is off takes that for a proof.
            status.power = Power::On;
            status.host = HostState::Running;
            status.boot_id = Some(boot);
            status.agent_pid = None;
            // Until the new one is known, no word of an old one counts.
            status.pgid = None;
        }
        let shared = Arc::clone(&self.supply.shared);
        let host = Host::start(&self.supply.program, &run.join(SHUTDOWN_MARK), move |init, agent| {
            shared.events.send(Event::Agent(init.as_raw_nonzero().get(), agent)).is_ok()
        })?;
        self.supply.shared.status().pgid = Some(host.group().as_raw_nonzero().get());
        Ok(host)
    }

    /// Shows what is so now. A host that is not said to be off may still run; one that is, does not.
    fn publish(&mut self) {
        let status = {
            let mut status = self.supply.shared.status();
            (status.power, status.host) = match &self.stage {
                Stage::On(_) | Stage::Ending(_, Then::Restart | Then::StayCrashed) => (Power::On, HostState::Running),
                Stage::Crashed => (Power::On, HostState::Crashed),
                Stage::Ending(_, Then::Off | Then::Leave) => (Power::PoweringOff, HostState::Running),
                Stage::Off | Stage::Left => (Power::Off, HostState::None),
            };
            if status.power == Power::Off {
                status.boot_id = None;
            }
            if matches!(self.stage, Stage::Off | Stage::Left | Stage::Crashed) {
                status.pgid = None;
                status.agent_pid = None;
            }
            status.clone()
        };
        if self.shown.as_ref() == Some(&status) {
            return;
        }
        match status.show(&self.supply.directory) {
            Ok(()) => self.shown = Some(status),
            Err(error) => tracing::error!("machine.json cannot be written: {error}"),
        }
    }
}
