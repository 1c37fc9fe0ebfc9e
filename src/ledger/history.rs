//! What the facts mean: when a VM or host was up, down or unseen, and how long each stage of a recovery took.
//!
//! The reading is cautious in both directions. A VM on a host that went silent counts as down from the last sign of
//! that host, not from the moment at which somebody noticed; what nobody could see is neither up nor down, but unseen,
//! unless it is proven afterwards that the VM had ended: then it was down from the last sign on. A VM that should run is
//! down unplanned as long as it does not, whether it ever ran or not; only a start that succeeds at once is a part of
//! what a person planned.

use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::Proof;
use crate::ledger::{Entry, What};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// While no master was there for less than this, agents and heartbeats bridged the gap.
const BLIND_FROM: i64 = 30_000;
/// A start that a person asked for, and that comes about within this, was no failure.
const PROMPT: i64 = 60_000;
/// Who was silent from the first moment of a master on may have been so while there was none.
const HEARD_AT_ONCE: i64 = 2_000;
/// When there is a master again, who rebooted meanwhile is back within this, if it was not judged before.
const BACK_WITHIN: i64 = 60_000;

/// How something fared for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// It was up.
    Up,
    /// It was down because a person meant it to be.
    Planned,
    /// It was down, and should not have been.
    Unplanned,
    /// Nobody could see it.
    Unseen,
}

/// A while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// How it fared from then on, until the next span begins. None: it was not under our eyes at all.
    pub condition: Option<Condition>,
}

/// A VM that was brought back, with the length of each stage in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Which.
    pub vm: VmId,
    /// From where, if it was known to run somewhere.
    pub from: Option<HostId>,
    /// To where.
    pub to: HostId,
    /// What proved the old holder gone.
    pub proof: Option<Proof>,
    /// How it ended there, if the host could say so.
    pub exit: Option<Exit>,
    /// Since when it was down, in milliseconds since 1970.
    pub down_at: i64,
    /// Since when it is up again.
    pub up_at: i64,
    /// From the last sign to the judgement.
    pub detect: i64,
    /// From there to the proof.
    pub prove: i64,
    /// From there to the placement.
    pub queue: i64,
    /// From there until its new host said that it runs.
    pub start: i64,
}

/// All that can be told of the past.
#[derive(Debug, Clone, Default)]
pub struct History {
    vms: BTreeMap<VmId, Track>,
    hosts: BTreeMap<HostId, Vec<Span>>,
    /// Hosts that were judged and have not been admitted since: their last sign, and the judgement.
    judged: BTreeMap<HostId, (i64, i64)>,
    /// When there was no master.
    masterless: Vec<(i64, i64)>,
    recoveries: Vec<Recovery>,
}

#[derive(Debug, Clone, Default)]
struct Track {
    name: String,
    spans: Vec<Span>,
    wanted: bool,
    runs_on: BTreeSet<HostId>,
    fall: Option<Fall>,
    /// When a host last said that it runs.
    seen_at: i64,
    /// Since when a person wants a start that has not come about yet, nor failed.
    asked_at: Option<i64>,
}

/// A VM that went down and is not up yet.
#[derive(Debug, Clone)]
struct Fall {
    from: Option<HostId>,
    down_at: i64,
    noticed_at: i64,
    proof: Option<Proof>,
    exit: Option<Exit>,
    proven_at: Option<i64>,
    placed_at: Option<i64>,
    /// A person meant it to be down, or to stay down: what is started again later is not brought back.
    meant: bool,
}

impl Track {
    fn set(&mut self, from: i64, condition: Option<Condition>) {
        while self.spans.last().is_some_and(|last| last.from >= from) {
            self.spans.pop();
        }
        if self.spans.last().map(|last| last.condition) != Some(condition) {
            self.spans.push(Span { from, condition });
        }
    }

    /// A person wants it to run, and it does not. What is not over soon was never planned.
    fn ask(&mut self, at: i64) {
        if self.runs_on.is_empty() && self.condition() == Some(Condition::Planned) {
            self.asked_at = Some(at);
            self.set(at, Some(Condition::Unplanned));
        }
    }

    /// It runs: a start that came about at once was a part of what was planned.
    fn rise(&mut self, at: i64) {
        if let Some(asked_at) = self.asked_at.take().filter(|asked_at| at.saturating_sub(*asked_at) <= PROMPT) {
            self.set(asked_at, Some(Condition::Planned));
        }
        self.set(at, Some(Condition::Up));
    }

    fn condition(&self) -> Option<Condition> {
        self.spans.last().and_then(|last| last.condition)
    }
}

impl History {
    /// Reads facts in the order of their keys.
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> History {
        let mut history = History::default();
        for entry in entries {
            history.add(entry);
        }
        history
    }

    /// Reads one fact more.
    pub fn add(&mut self, entry: &Entry) {
        let at = entry.at_milliseconds;
        match &entry.what {
            What::HostUp { host, .. } => {
                self.judged.remove(host);
                push(self.hosts.entry(*host).or_default(), at, Some(Condition::Up));
            }
            What::HostJudged { host, silent_milliseconds, planned, .. } => {
                self.host_judged(at, *host, *silent_milliseconds, *planned);
            }
            What::HostLeft { host } => push(self.hosts.entry(*host).or_default(), at, None),
            What::MasterBegan { blind_milliseconds, .. } if *blind_milliseconds > 0 => {
                self.masterless.push((at.saturating_sub(signed(*blind_milliseconds)), at));
            }
            what => {
                if let Some(vm) = what.vm() {
                    self.of_vm(at, vm, what);
                }
            }
        }
    }

    fn host_judged(&mut self, at: i64, host: HostId, silent: u64, planned: bool) {
        let last_sign = at.saturating_sub(signed(silent));
        self.judged.insert(host, (last_sign, at));
        let condition = if planned { Condition::Planned } else { Condition::Unplanned };
        let spans = self.hosts.entry(host).or_default();
        let host_seen = spans.last().map_or(last_sign, |span| span.from);
        push(spans, last_sign_of(&self.masterless, last_sign, host_seen, HEARD_AT_ONCE), Some(condition));
        for track in self.vms.values_mut().filter(|track| track.runs_on.contains(&host) && track.runs_on.len() == 1) {
            let last_sign = last_sign_of(&self.masterless, last_sign, track.seen_at, HEARD_AT_ONCE);
            track.set(last_sign, Some(if track.wanted { condition } else { Condition::Planned }));
            track.fall = Some(Fall {
                from: Some(host),
                down_at: last_sign,
                noticed_at: at,
                proof: None,
                exit: None,
                proven_at: None,
                placed_at: None,
                meant: !track.wanted,
            });
        }
    }

    fn of_vm(&mut self, at: i64, vm: VmId, what: &What) {
        let track = self.vms.entry(vm).or_default();
        match what {
            What::VmProtected { name, want, .. } => {
                track.name.clone_from(name);
                track.wanted = *want == Want::Running;
                track.set(at, Some(Condition::Planned));
                if track.wanted {
                    track.ask(at);
                }
            }
            What::VmUnprotected { .. } => {
                track.runs_on.clear();
                track.fall = None;
                track.set(at, None);
            }
            What::VmWanted { want, .. } => {
                track.wanted = *want == Want::Running;
                if track.condition() == Some(Condition::Unplanned) && !track.wanted {
                    track.set(at, Some(Condition::Planned));
                }
                track.asked_at = None;
                if track.wanted {
                    track.ask(at);
                }
                if let (Some(fall), false) = (&mut track.fall, track.wanted) {
                    fall.meant = true;
                }
            }
            What::VmPlaced { .. } => {
                if let Some(fall) = &mut track.fall {
                    fall.placed_at = Some(at);
                }
            }
            What::VmGone { ran: false, exit: Some(Exit::StartFailed | Exit::Locked), .. } => track.asked_at = None,
            What::VmGone { host, ran: true, proof, exit, planned, ago_milliseconds, .. } => {
                let was_last = track.runs_on.remove(host) && track.runs_on.is_empty();
                if was_last {
                    let ended = at.saturating_sub(signed(*ago_milliseconds)).max(track.seen_at);
                    // Nobody but the host itself can say that it ran on while there was no master.
                    let is_told = matches!(proof, None | Some(Proof::Released { .. }));
                    let ended =
                        if is_told { ended } else { last_sign_of(&self.masterless, ended, track.seen_at, BACK_WITHIN) };
                    gone(track, (at, ended), *host, (*proof, *exit), *planned);
                }
            }
            What::VmUp { host, again, .. } => {
                if let Some(recovery) = up(track, at, vm, *host, *again) {
                    self.recoveries.push(recovery);
                }
            }
            _ => {}
        }
    }

    /// The VMs that were ever under protection, with their names.
    pub fn vms(&self) -> impl Iterator<Item = (VmId, &str)> {
        self.vms.iter().map(|(id, track)| (*id, track.name.as_str()))
    }

    /// The hosts that were ever admitted.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + '_ {
        self.hosts.keys().copied()
    }

    /// How a VM fared.
    pub fn vm(&self, vm: VmId, from: i64, to: i64) -> Availability {
        self.vms.get(&vm).map_or_else(Availability::default, |track| self.sum(&track.spans, from, to))
    }

    /// How a host fared.
    pub fn host(&self, host: HostId, from: i64, to: i64) -> Availability {
        self.hosts.get(&host).map_or_else(Availability::default, |spans| self.sum(spans, from, to))
    }

    /// The recoveries, oldest first.
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    fn sum(&self, spans: &[Span], from: i64, to: i64) -> Availability {
        let mut sum = Availability::default();
        for (place, span) in spans.iter().enumerate() {
            let next = spans.get(place + 1).map_or(to, |next| next.from);
            let (start, end) = (span.from.max(from), next.min(to));
            let Some(condition) = span.condition.filter(|_| end > start) else { continue };
            let unseen = if condition == Condition::Up { self.blind_within(start, end) } else { 0 };
            sum.add(condition, end - start - unseen);
            sum.add(Condition::Unseen, unseen);
            let falls = condition == Condition::Unplanned && span.from >= from;
            sum.failures += u32::from(falls);
        }
        sum
    }

    fn blind_within(&self, from: i64, to: i64) -> i64 {
        let blind = self.masterless.iter().filter(|(start, end)| end.saturating_sub(*start) >= BLIND_FROM);
        blind.map(|(start, end)| (to.min(*end) - from.max(*start)).max(0)).sum()
    }
}

/// When something gave its last sign that was not seen to live since `seen_at`. If a time without a master was over for no
/// longer than `patience` by then, nobody knows of a sign since that began.
fn last_sign_of(masterless: &[(i64, i64)], sign: i64, seen_at: i64, patience: i64) -> i64 {
    let is_dark =
        |(start, end): &&(i64, i64)| *start <= sign && sign <= end.saturating_add(patience) && seen_at <= *start;
    let dark = masterless.iter().rev().find(is_dark);
    dark.map_or(sign, |(start, _)| *start)
}

fn push(spans: &mut Vec<Span>, from: i64, condition: Option<Condition>) {
    let mut track = Track { spans: std::mem::take(spans), ..Track::default() };
    track.set(from, condition);
    *spans = track.spans;
}

fn gone(
    track: &mut Track,
    (at, ended): (i64, i64),
    host: HostId,
    (proof, exit): (Option<Proof>, Option<Exit>),
    planned: bool,
) {
    match &mut track.fall {
        Some(fall) if fall.from == Some(host) => {
            fall.proven_at = Some(at);
            fall.proof = proof;
            fall.exit = exit;
        }
        _ => {
            let condition = if planned || !track.wanted { Condition::Planned } else { Condition::Unplanned };
            track.set(ended, Some(condition));
            track.fall = Some(Fall {
                from: Some(host),
                down_at: ended,
                noticed_at: at,
                proof,
                exit,
                proven_at: Some(at),
                placed_at: None,
                meant: !track.wanted,
            });
        }
    }
}

fn up(track: &mut Track, at: i64, vm: VmId, host: HostId, again: bool) -> Option<Recovery> {
    let first = track.runs_on.insert(host) && track.runs_on.len() == 1;
    let fall = track.fall.take();
    track.seen_at = at;
    if again {
        if let Some(fall) = fall {
            // It may have run all the time, or not: the host was out of sight.
            track.set(fall.down_at, Some(Condition::Unseen));
        }
        track.set(at, Some(Condition::Up));
        return None;
    }
    if first {
        track.rise(at);
    }
    let fall = fall.filter(|fall| !fall.meant)?;
    let proven = fall.proven_at?;
    let placed = fall.placed_at.unwrap_or(at).max(proven);
    Some(Recovery {
        vm,
        from: fall.from,
        to: host,
        proof: fall.proof,
        exit: fall.exit,
        down_at: fall.down_at,
        up_at: at,
        detect: fall.noticed_at - fall.down_at,
        prove: proven - fall.noticed_at,
        queue: placed - proven,
        start: at - placed,
    })
}

fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

impl From<Availability> for crate::ledger::Figures {
    fn from(sum: Availability) -> Self {
        let Availability { up, planned, unplanned, unseen, failures } = sum;
        let failures = u64::from(failures);
        crate::ledger::Figures { up, planned, unplanned, unseen, failures, outages: failures, ..Self::default() }
    }
}

/// How long something fared how, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Availability {
    /// Up.
    pub up: i64,
    /// Down because a person meant it to be.
    pub planned: i64,
    /// Down, and it should not have been.
    pub unplanned: i64,
    /// Out of sight.
    pub unseen: i64,
    /// How often it went down unplanned.
    pub failures: u32,
}

impl Availability {
    fn add(&mut self, condition: Condition, milliseconds: i64) {
        match condition {
            Condition::Up => self.up += milliseconds,
            Condition::Planned => self.planned += milliseconds,
            Condition::Unplanned => self.unplanned += milliseconds,
            Condition::Unseen => self.unseen += milliseconds,
        }
    }

    /// The share of the time in which it should have been up and was seen, in percent; none if there was no such time.
    pub fn percent(&self) -> Option<f64> {
        let wanted = self.up + self.unplanned;
        (wanted > 0).then(|| self.up as f64 * 100.0 / wanted as f64)
    }

    /// That share in nines: 3.0 is 99.9 percent. None if it never went down, for no time is long enough to prove more.
    pub fn nines(&self) -> Option<f64> {
        let wanted = self.up + self.unplanned;
        (wanted > 0 && self.unplanned > 0).then(|| -(self.unplanned as f64 / wanted as f64).log10())
    }
}
