//! Fence devices: reached over the management network, one operation at a time each.

use crate::core::action::Event;
use crate::core::ids::{FenceId, Ticket};
use crate::core::message::{FenceOp, FenceResult};
use crate::node::NodeEvent;
use crate::sim::fault::FenceFault;
use crate::sim::spec::FenceSpec;
use crate::sim::world::machine::Power;
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::{World, micros};
use std::collections::VecDeque;
use std::time::Duration;

/// A device that is not reached says so at once, or after so long as the caller has patience; at once means this.
const AT_ONCE: u64 = 20_000;

/// A fence device.
#[derive(Debug)]
pub(super) struct FenceDevice {
    pub(super) spec: FenceSpec,
    /// Each ends by itself.
    pub(super) faults: Vec<(FenceFault, u64)>,
    /// It controls the machine of that device instead of its own, until then.
    pub(super) swapped: Option<(FenceId, u64)>,
    calls: VecDeque<FenceCall>,
}

#[derive(Debug)]
struct FenceCall {
    machine: usize,
    session: u64,
    ticket: Ticket,
    op: FenceOp,
    /// The machine that gave the order died before the order was out.
    void: bool,
}

impl FenceDevice {
    /// A device in order.
    pub(super) fn new(spec: FenceSpec) -> FenceDevice {
        FenceDevice { spec, faults: Vec::new(), swapped: None, calls: VecDeque::new() }
    }

    fn has(&self, wanted: FenceFault, now: u64) -> bool {
        self.faults.iter().any(|(fault, until)| *until > now && *fault == wanted)
    }

    fn lateness(&self, now: u64) -> Option<Duration> {
        let late = |(fault, until): &(FenceFault, u64)| match fault {
            FenceFault::Late(by) if *until > now => Some(*by),
            _ => None,
        };
        self.faults.iter().filter_map(late).max()
    }

    fn latency(&self, now: u64) -> Duration {
        let slow = |(fault, until): &(FenceFault, u64)| match fault {
            FenceFault::Slow(by) if *until > now => Some(*by),
            _ => None,
        };
        self.faults.iter().filter_map(slow).max().unwrap_or(self.spec.latency)
    }
}

impl World {
    /// An agent asks something of a fence device.
    pub(super) fn ask_fence(&mut self, machine: usize, ticket: Ticket, device: FenceId, op: FenceOp) {
        let session = self.machines[machine].agent.session;
        let isolated = self.network.is_isolated(machine, self.now);
        let now = self.now;
        let Some(target) =
            self.fences.get_mut(&device).filter(|target| !isolated && !target.has(FenceFault::Unreachable, now))
        else {
            let at_once = self.chance.fence.chance(50);
            let takes = if at_once { AT_ONCE } else { micros(self.timing.fence_timeout) };
            self.after(takes, Occurrence::FenceGivenUp { machine, session, ticket });
            return;
        };
        target.calls.push_back(FenceCall { machine, session, ticket, op, void: false });
        if target.calls.len() == 1 {
            let takes = micros(target.latency(now));
            self.after(takes, Occurrence::Fence(device));
        }
    }

    /// A device could not be reached.
    pub(super) fn fence_given_up(&mut self, machine: usize, session: u64, ticket: Ticket) {
        let event = Event::Fence { ticket, result: FenceResult::Unreachable };
        self.deliver_to(machine, session, NodeEvent::Core(event));
    }

    /// The first operation in a device's queue takes effect, and is answered.
    pub(super) fn fence_done(&mut self, device: FenceId) {
        let now = self.now;
        let Some(target) = self.fences.get_mut(&device) else { return };
        let Some(call) = target.calls.pop_front() else { return };
        if !target.calls.is_empty() {
            let takes = micros(target.latency(now));
            self.after(takes, Occurrence::Fence(device));
        }
        if call.void {
            return;
        }
        let result = self.work_fence(device, call.op);
        let event = Event::Fence { ticket: call.ticket, result };
        if self.network.is_isolated(call.machine, now) {
            // The order got through and its answer does not; the caller gives up when its patience ends.
            let FenceCall { machine, session, ticket, .. } = call;
            let takes = micros(self.timing.fence_timeout);
            self.after(takes, Occurrence::FenceGivenUp { machine, session, ticket });
            return;
        }
        self.deliver_to(call.machine, call.session, NodeEvent::Core(event));
    }

    fn work_fence(&mut self, device: FenceId, op: FenceOp) -> FenceResult {
        let now = self.now;
        let Some(target) = self.fences.get(&device) else { return FenceResult::Unreachable };
        if target.has(FenceFault::Unreachable, now) {
            return FenceResult::Unreachable;
        }
        if target.has(FenceFault::WrongPassword, now) {
            return FenceResult::Refused;
        }
        let lies = target.has(FenceFault::Lies, now);
        let other = target.swapped.filter(|(_, until)| *until > now).and_then(|(other, _)| self.fences.get(&other));
        let Some(machine) = self.place(other.unwrap_or(target).spec.controls) else { return FenceResult::Unreachable };
        // Nobody can know that it controls another machine by now.
        if target.spec.nameless && other.is_some() {
            self.excuse();
        }
        let Some(target) = self.fences.get(&device) else { return FenceResult::Unreachable };
        match op {
            FenceOp::Identity if target.spec.nameless => FenceResult::Nameless,
            FenceOp::Identity => FenceResult::Identity(self.machines[machine].uuid),
            FenceOp::PowerOff if lies => {
                self.excuse();
                FenceResult::Taken
            }
            FenceOp::PowerOff => {
                match target.lateness(now) {
                    Some(late) => self.after(micros(late), Occurrence::FenceCuts(machine)),
                    None => self.power_off(machine, "fenced"),
                }
                FenceResult::Taken
            }
            FenceOp::PowerOn => {
                self.power_on(machine);
                FenceResult::Taken
            }
            FenceOp::Power if lies => {
                self.excuse();
                FenceResult::Off
            }
            FenceOp::Power if self.machines[machine].power == Power::Off => FenceResult::Off,
            FenceOp::Power => FenceResult::On,
        }
    }

    /// A device carries out at last what it was told. People who mend everything see to it that nothing is left over.
    pub(super) fn fence_cuts(&mut self, machine: usize) {
        if !self.healing {
            self.power_off(machine, "fenced");
        }
    }

    /// A machine is gone: of the orders that it gave, the one under way may take effect yet.
    pub(super) fn drop_fence_calls(&mut self, machine: usize) {
        for device in self.fences.values_mut() {
            for (place, call) in device.calls.iter_mut().enumerate().filter(|(_, call)| call.machine == machine) {
                call.void = place > 0 || self.chance.fence.chance(50);
            }
        }
    }
}
