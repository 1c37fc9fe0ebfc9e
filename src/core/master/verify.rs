//! Asking fence devices before they are needed: who they are and whether they answer, now and then, in an emergency of
//! nobody's.
//!
//! ```text
//!  every device of a host that is alive: Identity ─▶ right machine │ wrong machine │ cannot say ─▶ Power ─▶ answers
//!  no answer ─▶ by another way; by none ─▶ alert.  Each round begins with another way: each voter's turn comes.
//! ```

use super::reach::Purpose;
use super::{Context, Master, Output};
use crate::core::ids::{FenceId, HostId, LogIndex, Ticket};
use crate::core::message::{FenceOp, FenceResult};
use crate::core::reason::{Alert, HostState};
use crate::core::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many ways are tried in one round.
const WAYS: usize = 3;
/// Devices that are new to a master are asked one after another, so far apart.
const APART: Duration = Duration::from_millis(200);

/// What is known of all devices.
#[derive(Debug, Default)]
pub(super) struct Verification {
    devices: BTreeMap<(HostId, FenceId), Checked>,
}

#[derive(Debug)]
struct Checked {
    /// The entry of the log that set the device up: another one means another device.
    set_up: LogIndex,
    next: Instant,
    /// Which way is tried.
    way: usize,
    /// How many were tried in this round.
    tried: usize,
    asked: Option<(Ticket, HostId)>,
    last: Option<Verified>,
    /// Whether it has said that it cannot tell which machine it controls.
    nameless: bool,
}

/// What a device said when it was asked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// When.
    pub at: Instant,
    /// Which host asked.
    pub by: HostId,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of asking a device who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It controls the right machine, or cannot say which and answers.
    Good,
    /// It controls another machine.
    WrongMachine,
    /// It refuses the credentials.
    Refused,
    /// It does not answer, by no way that was tried.
    Unreachable,
}

impl Master {
    /// What each device of each host said last.
    pub fn verified(&self) -> BTreeMap<(HostId, FenceId), Verified> {
        let devices = self.verification.devices.iter();
        devices.filter_map(|(key, checked)| Some((*key, checked.last?))).collect()
    }

    /// The first level of a host's devices with one that cannot tell which machine it controls, and was not seen to
    /// switch off this one: each drill shows one level.
    pub(super) fn level_to_drill(&self, cx: &Context<'_>, host: HostId) -> Option<usize> {
        let is_unknown = |device: &FenceId| {
            let checked = self.verification.devices.get(&(host, *device));
            checked.is_some_and(|checked| checked.nameless) && !cx.state.is_drilled(host, *device)
        };
        let levels = &cx.state.hosts.get(&host)?.fences;
        levels.iter().position(|level| level.iter().any(is_unknown))
    }

    pub(super) fn tend_verification(&mut self, cx: &Context<'_>, out: &mut Output) {
        self.follow_devices(cx);
        let due = self.verification.devices.iter().filter(|(_, checked)| checked.next <= cx.now);
        let due: Vec<(HostId, FenceId)> = due.map(|(key, _)| *key).collect();
        for (host, device) in due {
            let alive = self.host_state(host) == HostState::Alive && !self.fencing.contains_key(&host);
            let waits = self.verification.devices.get(&(host, device)).and_then(|checked| checked.asked);
            match waits {
                _ if !alive => self.verify_again(cx, host, device, self.timing.fence_first_check),
                Some((ticket, _)) if self.reach.awaits(ticket) => {}
                Some((_, by)) => self.judge_device(cx, (host, device), by, FenceResult::Unreachable, out),
                None => self.verify(cx, host, device, FenceOp::Identity, out),
            }
        }
    }

    fn follow_devices(&mut self, cx: &Context<'_>) {
        let fenced = |host: HostId| cx.state.hosts.get(&host).into_iter().flat_map(|host| host.fences.iter().flatten());
        self.verification.devices.retain(|(host, device), checked| {
            fenced(*host).any(|fence| fence == device) && checked.set_up == cx.state.fence_set_up(*device)
        });
        let mut begins = cx.now + self.timing.fence_first_check;
        for (host, device) in cx.state.hosts.keys().flat_map(|host| fenced(*host).map(|device| (*host, *device))) {
            let set_up = cx.state.fence_set_up(device);
            self.verification.devices.entry((host, device)).or_insert_with(|| {
                begins += APART;
                Checked { set_up, next: begins, way: 0, tried: 0, asked: None, last: None, nameless: false }
            });
        }
    }

    fn verify(&mut self, cx: &Context<'_>, host: HostId, device: FenceId, op: FenceOp, out: &mut Output) {
        let Some(way) = self.verification.devices.get(&(host, device)).map(|checked| checked.way) else { return };
        let (ticket, by) = self.ask_fence(cx, Purpose::Verify(host, device), (host, device, op), way, out);
        if let Some(checked) = self.verification.devices.get_mut(&(host, device)) {
            checked.asked = Some((ticket, by));
            checked.next = cx.now + self.timing.fence_poll;
        }
    }

    /// A device that was asked out of turn has answered.
    pub(super) fn device_verified(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        (host, device): (HostId, FenceId),
        result: FenceResult,
        out: &mut Output,
    ) {
        let asked = self.verification.devices.get(&(host, device)).and_then(|checked| checked.asked);
        let Some((_, by)) = asked.filter(|(asked, _)| *asked == ticket) else { return };
        if let Some(checked) = self.verification.devices.get_mut(&(host, device)) {
            checked.nameless |= result == FenceResult::Nameless;
        }
        match result {
            FenceResult::Nameless => self.verify(cx, host, device, FenceOp::Power, out),
            result => self.judge_device(cx, (host, device), by, result, out),
        }
    }

    fn judge_device(
        &mut self,
        cx: &Context<'_>,
        (host, device): (HostId, FenceId),
        by: HostId,
        result: FenceResult,
        out: &mut Output,
    ) {
        let uuid = cx.state.hosts.get(&host).map(|host| host.uuid);
        let Some(checked) = self.verification.devices.get_mut(&(host, device)) else { return };
        checked.asked = None;
        checked.way += 1;
        checked.tried += 1;
        let verdict = match result {
            FenceResult::Identity(found) if Some(found) == uuid => Verdict::Good,
            FenceResult::Identity(_) => Verdict::WrongMachine,
            FenceResult::On | FenceResult::Off | FenceResult::Taken | FenceResult::Nameless => Verdict::Good,
            FenceResult::Refused => Verdict::Refused,
            FenceResult::Unreachable if checked.tried < WAYS => return,
            FenceResult::Unreachable => Verdict::Unreachable,
        };
        checked.last = Some(Verified { at: cx.now, by, verdict });
        self.verify_again(cx, host, device, self.timing.fence_check);
        match verdict {
            // It cannot have said that it is the right one.
            Verdict::Good if uuid.map(FenceResult::Identity) != Some(result) => {}
            Verdict::Good => {
                // What fails once more is said once more.
                self.alerted.remove(&Alert::FenceFailed { device });
                self.alerted.remove(&Alert::WrongMachine { device });
            }
            Verdict::WrongMachine => self.alert(Alert::WrongMachine { device }, out),
            Verdict::Refused | Verdict::Unreachable => self.alert(Alert::FenceFailed { device }, out),
        }
    }

    fn verify_again(&mut self, cx: &Context<'_>, host: HostId, device: FenceId, after: Duration) {
        if let Some(checked) = self.verification.devices.get_mut(&(host, device)) {
            checked.next = cx.now + after;
            checked.tried = 0;
            checked.asked = None;
        }
    }
}
