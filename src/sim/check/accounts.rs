//! What the ledger tells of a run, held against when each VM's processors really ran.
//!
//! Never less downtime than there was: whenever a VM did not run, the history says that it was down, or that nobody could
//! see it. At most one detection more: what it says was down, and ran, lies between a host's last sign and the proof that
//! it runs nothing more, or between a start and the word of it.
//!
//! Left out are the moments around which the ledger itself tells of doubt: a new master, a host alive on storage only, the
//! brake, an agent that is away, two machines with one identity. What a master cannot hear it cannot write down.

use super::Found;
use crate::core::action::ProcessState;
use crate::core::ids::{HostId, VmId};
use crate::core::reason::{Alert, JudgeCause, Proof};
use crate::core::state::UpMeans;
use crate::core::timing::Timing;
use crate::ledger::{Condition, Entry, History, Key, Period, Piece, Scope, What};
use std::collections::{BTreeMap, BTreeSet};

/// What happens at the very end of a run may not be told by then.
const SETTLES: i64 = 5_000;
/// Doubt reaches so far to both sides.
const DOUBT: i64 = 15_000;

/// What is known in truth, and what was written down.
#[derive(Debug)]
pub(super) struct Accounts {
    entries: BTreeMap<Key, Entry>,
    runs_on: BTreeMap<VmId, BTreeSet<usize>>,
    /// Since when each VM ran, and did not, in milliseconds.
    turns: BTreeMap<VmId, Vec<(i64, bool)>>,
    /// Where it ran at last, and since when.
    arrivals: BTreeMap<VmId, Vec<(i64, HostId)>>,
    /// When some master was last seen, and for how long there was none before others were.
    led_at: i64,
    leaderless: Vec<(i64, i64)>,
    /// A sign, or the word that a VM ended, is on its way for so long at the most: it may be read from storage.
    on_its_way: i64,
    /// A host looks after its VMs this often.
    look: i64,
    /// The word that a VM runs comes after so long at the most.
    late: i64,
}

impl Accounts {
    pub(super) fn new(timing: &Timing) -> Accounts {
        let milliseconds = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Accounts {
            entries: BTreeMap::new(),
            runs_on: BTreeMap::new(),
            turns: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            led_at: 0,
            leaderless: Vec::new(),
            on_its_way: milliseconds(timing.record_interval) * 2,
            look: milliseconds(timing.look_interval),
            late: milliseconds(timing.look_interval + timing.fence_after),
        }
    }

    /// A voter writes these down.
    pub(super) fn written(&mut self, entries: &[Entry]) {
        self.entries.extend(entries.iter().map(|entry| (entry.key, entry.clone())));
    }

    /// A process of a VM is in this state from now on. One that was killed counts until it is gone, as its own host
    /// sees it; and how long one stands still as it is moved alive is not told.
    pub(super) fn process(
        &mut self,
        now: u64,
        vm: VmId,
        (machine, host): (usize, HostId),
        state: Option<ProcessState>,
    ) {
        let places = self.runs_on.entry(vm).or_default();
        match state {
            Some(ProcessState::Executing | ProcessState::Departed | ProcessState::Dying) => {
                if places.insert(machine) {
                    self.arrivals.entry(vm).or_default().push((milliseconds(now), host));
                }
            }
            Some(ProcessState::Incoming) | None => drop(places.remove(&machine)),
        }
        let runs = !places.is_empty();
        let turns = self.turns.entry(vm).or_default();
        if turns.last().map(|(_, ran)| *ran) != Some(runs) {
            turns.push((milliseconds(now), runs));
        }
    }

    /// A node took a step, as master or not.
    pub(super) fn seen(&mut self, now: u64, is_master: bool) {
        let now = milliseconds(now);
        if is_master {
            if now - self.led_at > DOUBT {
                self.leaderless.push((self.led_at, now));
            }
            self.led_at = now;
        }
    }

    /// The run is over.
    pub(super) fn check(&self, now: u64, found: &mut Found) {
        // Of what only the voters knew that were given up for good, nothing is promised.
        if self.entries.values().any(|entry| matches!(entry.what, What::Recovered { .. })) {
            return;
        }
        let doubts = self.doubts();
        let is_sure = |from: i64, to: i64| !doubts.iter().any(|(begin, end)| *begin < to && from < *end);
        let period = Period { from: 0, to: milliseconds(now) - SETTLES };
        let mut history = History::new(Scope { period, draws: true, recovers: false });
        self.entries.values().for_each(|entry| history.add(entry));
        for vm in history.end().vms {
            let Ok(id) = u32::try_from(vm.id).map(VmId) else { continue };
            // Whether processors run says nothing of one that must answer.
            if self.must_answer(id) {
                continue;
            }
            let turns = self.turns.get(&id).map_or(&[][..], Vec::as_slice);
            for (from, to) in overlaps(&vm.pieces, turns, false, &[Condition::Up]) {
                let late = self.on_its_way + self.unnoticed(id, to);
                if to - from > late && !self.is_out_of_date(id, from, to) && is_sure(from, to) {
                    found.add("figures", format!("{id} was down from {from} to {to} ms, and counts as up"));
                }
            }
            for (from, to) in overlaps(&vm.pieces, turns, true, &[Condition::Planned, Condition::Unplanned]) {
                if to - from > self.late && !self.is_being_proven(id, from, to) && is_sure(from, to) {
                    found.add("figures", format!("{id} ran from {from} to {to} ms, and counts as down"));
                }
            }
        }
    }

    fn must_answer(&self, id: VmId) -> bool {
        self.entries.values().any(|entry| match &entry.what {
            What::VmAccounted { vm, account } => *vm == id && account.up != UpMeans::Running,
            _ => false,
        })
    }

    /// When it is written down next that a VM is gone from a host on which it ran, and by which proof.
    fn gone_after(&self, id: VmId, from: i64) -> Option<(i64, Option<Proof>)> {
        let later = self.entries.values().filter(|entry| entry.at_milliseconds >= from);
        let mut gone = later.filter_map(|entry| match &entry.what {
            What::VmGone { vm, ran: true, proof, .. } if *vm == id => Some((entry.at_milliseconds, *proof)),
            _ => None,
        });
        gone.next()
    }

    /// Whether it ran on a host until it was proven to be gone from there; or until that host was judged, which fell silent
    /// before it could say that it ran.
    fn is_being_proven(&self, id: VmId, from: i64, to: i64) -> bool {
        let arrivals = self.arrivals.get(&id).into_iter().flatten();
        let Some((_, on)) = arrivals.rev().find(|(at, _)| *at < to) else { return false };
        let until = |at: i64| from <= at && to <= at + self.on_its_way;
        self.entries.values().any(|entry| match &entry.what {
            What::VmGone { vm, host, ran: true, .. } => *vm == id && host == on && until(entry.at_milliseconds),
            What::HostJudged { host, silent_milliseconds, .. } if host == on => {
                let at = entry.at_milliseconds;
                let last_sign = at.saturating_sub(i64::try_from(*silent_milliseconds).unwrap_or(i64::MAX));
                last_sign <= from + self.late && until(at)
            }
            _ => false,
        })
    }

    /// Whether its host was admitted again meanwhile with what it knew of the VM before it stood still, and soon looked.
    fn is_out_of_date(&self, id: VmId, from: i64, to: i64) -> bool {
        self.entries.values().any(|entry| match &entry.what {
            What::VmUp { vm, again: true, .. } if *vm == id => {
                (from..=to).contains(&entry.at_milliseconds)
                    && to - entry.at_milliseconds <= self.on_its_way + self.look
            }
            _ => false,
        })
    }

    /// For how long a living host may not have noticed that a VM ended, if it told so then.
    fn unnoticed(&self, id: VmId, at: i64) -> i64 {
        match self.gone_after(id, at.saturating_sub(1)) {
            Some((gone, Some(Proof::Released { .. }))) if gone <= at.saturating_add(1) => self.look,
            _ => 0,
        }
    }

    /// When the ledger tells of doubt.
    fn doubts(&self) -> Vec<(i64, i64)> {
        let doubt = |entry: &Entry| {
            let at = entry.at_milliseconds;
            let (since, until) = match &entry.what {
                What::MasterBegan { blind_milliseconds, .. } => {
                    (at.saturating_sub(i64::try_from(*blind_milliseconds).unwrap_or(i64::MAX)), at)
                }
                What::HostJudged { host, cause: JudgeCause::Conflict, .. } => (at, self.admitted_after(*host, at)),
                What::Alert {
                    alert:
                        Alert::Isolated { .. }
                        | Alert::Brake { .. }
                        | Alert::AgentAway { .. }
                        | Alert::TwoMachines { .. }
                        | Alert::Clash { .. },
                } => (at, at),
                _ => return None,
            };
            Some((since.saturating_sub(DOUBT), until.saturating_add(DOUBT)))
        };
        let leaderless = self.leaderless.iter().map(|(from, to)| (from - DOUBT, to + DOUBT));
        self.entries.values().filter_map(doubt).chain(leaderless).collect()
    }

    /// When a host was admitted next: then it is known again which machine it is.
    fn admitted_after(&self, host: HostId, at: i64) -> i64 {
        let is_it = |entry: &&Entry| matches!(entry.what, What::HostUp { host: other, .. } if other == host);
        let later = self.entries.values().filter(|entry| entry.at_milliseconds > at);
        later.filter(is_it).map(|entry| entry.at_milliseconds).next().unwrap_or(i64::MAX)
    }
}

/// When a VM ran, or did not, while the history says one of these.
fn overlaps(pieces: &[Piece], turns: &[(i64, bool)], runs: bool, says: &[Condition]) -> Vec<(i64, i64)> {
    let ends = turns.iter().skip(1).map(|(at, _)| *at).chain([i64::MAX]);
    let spells: Vec<(i64, i64)> =
        turns.iter().zip(ends).filter(|((_, ran), _)| *ran == runs).map(|((at, _), end)| (*at, end)).collect();
    let mut found: Vec<(i64, i64)> = Vec::new();
    for piece in pieces.iter().filter(|piece| says.contains(&piece.condition)) {
        for (from, to) in &spells {
            let (from, to) = (piece.from.max(*from), piece.to.min(*to));
            match found.last_mut() {
                _ if to <= from => {}
                Some(last) if last.1 == from => last.1 = to,
                _ => found.push((from, to)),
            }
        }
    }
    found
}

fn milliseconds(microseconds: u64) -> i64 {
    i64::try_from(microseconds / 1_000).unwrap_or(i64::MAX)
}
