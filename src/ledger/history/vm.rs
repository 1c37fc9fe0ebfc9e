//! One VM, as facts tell of it.
//!
//! ```text
//!             runs there                 gone, host judged
//!   stopped ─────────────▶ up ◀────────▶ down ──▶ placed ──▶ runs ──▶ answers (where that counts)
//!      ▲                    │  guest silent                             │
//!      └────────────────────┴── a person stops it                       └▶ up
//! ```

use super::super::cause::Cause;
use super::life::Life;
use super::recovery::{Fall, Recovery};
use super::span::{Condition, State};
use super::tally::Scope;
use super::watch::Watch;
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::Proof;
use crate::core::state::{Account, Tag, Target, UpMeans};
use std::collections::BTreeSet;

/// A start that a person asked for, and that comes about within this, was no failure.
const PROMPT: i64 = 60_000;
/// The same where a guest must answer before the VM counts as up.
const PROMPT_ANSWER: i64 = 300_000;
/// When there is a master again, who rebooted meanwhile is back within this, if it was not judged before.
const BACK_WITHIN: i64 = 60_000;

/// When something is told, and what is known besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) at: i64,
    pub(super) scope: &'a Scope,
    pub(super) watch: &'a Watch,
}

/// By what a VM's figures are grouped.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    pub(super) name: String,
    pub(super) tags: BTreeSet<Tag>,
    pub(super) target: Option<Target>,
    pub(super) system: Option<String>,
}

/// What a guest says, where that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Guest {
    /// It was never asked, or not since it counts.
    #[default]
    Unasked,
    /// It came up and has not answered yet.
    Booting,
    /// It answers.
    Answers,
    /// It answered, and does not any more.
    Silent,
}

/// A VM.
#[derive(Debug, Clone, Default)]
pub(super) struct Vm {
    pub(super) life: Life,
    pub(super) labels: Labels,
    /// The hosts that said that it runs there, and have not said otherwise; the last one is the newest.
    pub(super) on: Vec<HostId>,
    wanted: bool,
    fall: Option<Fall>,
    /// It runs again, and its guest does not answer yet.
    back: Option<Recovery>,
    /// When a host last said that it runs.
    seen_at: i64,
    /// Since when a person wants a start that has not come about yet, nor failed.
    asked_at: Option<i64>,
    /// What it counts as up for.
    up: UpMeans,
    guest: Guest,
}

/// How a VM ended on a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) proof: Option<Proof>,
    pub(super) exit: Option<Exit>,
    pub(super) ago: i64,
    /// Nobody saw how it ended; so long ago its host's last sign is.
    pub(super) unseen: bool,
    /// Since when nobody knows which of two machines its host is.
    pub(super) doubted_at: i64,
    /// What is to be blamed where a host could not say how it ended.
    pub(super) blamed: Cause,
}

impl Vm {
    pub(super) fn protected(&mut self, now: Now<'_>, name: &str, want: Want) {
        name.clone_into(&mut self.labels.name);
        self.wanted = want == Want::Running;
        self.life.set(now.at, State::STOPPED);
        self.life.settle(now.at, now.scope, now.watch);
        self.ask(now.at);
    }

    /// It is not under our eyes any more. What it is called and counted by stays, for its time so far.
    pub(super) fn unprotected(&mut self, now: Now<'_>) -> Option<Recovery> {
        self.life.set(now.at, State::OUT);
        self.life.settle(now.at, now.scope, now.watch);
        let (life, labels) = (std::mem::take(&mut self.life), std::mem::take(&mut self.labels));
        let back = self.back.take();
        *self = Vm { life, labels, ..Vm::default() };
        back
    }

    pub(super) fn wanted(&mut self, now: Now<'_>, want: Want) {
        self.wanted = want == Want::Running;
        if self.wanted {
            return self.ask(now.at);
        }
        self.asked_at = None;
        let is_down = self.on.is_empty() || self.fall.is_some();
        if is_down && self.life.state().is(Condition::Unplanned) {
            self.life.set(now.at, State::STOPPED);
        }
        if let Some(fall) = &mut self.fall {
            fall.meant = true;
        }
    }

    /// A person wants it to run, and it does not. What is not over soon was never planned.
    fn ask(&mut self, at: i64) {
        if self.wanted && self.on.is_empty() && self.life.state().is(Condition::Planned) {
            self.asked_at = Some(at);
            self.life.set(at, State::unplanned(Cause::Unknown));
        }
    }

    /// What it counts as up for may have changed: whoever is asked something else has not answered that yet.
    pub(super) fn accounted(&mut self, now: Now<'_>, account: &Account) -> Option<Recovery> {
        if self.up == account.up {
            return None;
        }
        self.up = account.up.clone();
        self.guest = Guest::Unasked;
        self.stand(now.at);
        self.back.take()
    }

    fn must_answer(&self) -> bool {
        self.up != UpMeans::Running
    }

    pub(super) fn placed(&mut self, at: i64) {
        if let Some(fall) = &mut self.fall {
            fall.placed_at = Some(at);
        }
    }

    /// A start came to nothing.
    pub(super) fn not_started(&mut self, exit: Option<Exit>) {
        if matches!(exit, Some(Exit::StartFailed | Exit::Locked)) {
            self.asked_at = None;
        }
    }

    /// A host says that it runs there; `again` is said by one that was out of sight.
    pub(super) fn runs(&mut self, now: Now<'_>, vm: VmId, host: HostId, again: bool) -> Option<Recovery> {
        let fall = self.fall.take();
        let source = self.on.last().copied().filter(|source| *source != host && fall.is_none());
        self.on.retain(|other| *other != host);
        if again {
            self.on.insert(0, host);
            self.seen_at = now.at;
            if let Some(fall) = fall {
                // It may have run all the time, or not; nobody has started it.
                self.life.set(fall.down_at, State::UNSEEN);
                self.asked_at = None;
            }
            self.rise(now.at, now);
            return None;
        }
        self.on.push(host);
        self.seen_at = now.at;
        if let Some(source) = source {
            return Some(Recovery::moved(vm, source, host, now.at));
        }
        let was_moved = fall.as_ref().is_some_and(|fall| fall.exit == Some(Exit::Moved));
        if self.guest != Guest::Unasked && !was_moved {
            self.guest = Guest::Booting;
        }
        let back = fall.and_then(|fall| fall.over(vm, host, now.at, self.life.state()));
        if self.must_answer() && self.guest == Guest::Booting {
            self.back = back;
            return None;
        }
        self.rise(now.at, now);
        back
    }

    /// It is up: a start that came about soon was a part of what was planned.
    fn rise(&mut self, up_at: i64, now: Now<'_>) {
        let patience = if self.must_answer() { PROMPT_ANSWER } else { PROMPT };
        if let Some(asked_at) = self.asked_at.take().filter(|asked_at| up_at.saturating_sub(*asked_at) <= patience) {
            self.life.set(asked_at, State::STOPPED);
        }
        self.stand(up_at);
        self.life.settle(now.at, now.scope, now.watch);
    }

    /// While it runs it stands as its guest says.
    fn stand(&mut self, at: i64) {
        if self.on.is_empty() || self.fall.is_some() {
            return;
        }
        match self.guest {
            _ if !self.must_answer() => self.life.set(at, State::UP),
            Guest::Answers => self.life.set(at, State::UP),
            Guest::Unasked => self.life.set(at, State::UNSEEN),
            Guest::Silent => self.life.set(at, State::unplanned(Cause::GuestHang)),
            // It is down as it was before.
            Guest::Booting => {}
        }
    }

    /// Its guest answers, or does not, since a moment.
    pub(super) fn answers(&mut self, now: Now<'_>, host: HostId, answers: bool, since: i64) -> Option<Recovery> {
        if !self.on.contains(&host) || self.fall.is_some() {
            return None;
        }
        match (answers, self.guest) {
            (true, before) => {
                self.guest = Guest::Answers;
                let since = if before == Guest::Booting { since.max(self.seen_at) } else { since };
                if self.must_answer() {
                    self.rise(since, now);
                }
                let back = self.back.take()?;
                Some(Recovery { ready: Some(since - back.up_at), ..back })
            }
            // That it has not answered yet is known.
            (false, Guest::Booting) => None,
            (false, _) => {
                self.guest = Guest::Silent;
                if self.must_answer() {
                    self.stand(since);
                }
                None
            }
        }
    }

    /// The last of its hosts was judged, and had given its last sign before.
    pub(super) fn lost(&mut self, now: Now<'_>, host: HostId, last_sign: i64, state: State) -> Option<Recovery> {
        if self.fall.is_some() {
            return None;
        }
        let down_at = now.watch.last_sign(last_sign, self.seen_at, super::HEARD_AT_ONCE);
        self.falls(now.at, host, down_at, state)
    }

    /// It is gone from a host on which it ran.
    pub(super) fn gone(&mut self, now: Now<'_>, host: HostId, end: End) -> Option<Recovery> {
        self.on.retain(|other| *other != host);
        if self.fall.is_some() || !self.on.is_empty() {
            self.proven(now.at, host, end);
            return None;
        }
        let is_told = matches!(end.proof, None | Some(Proof::Released { .. }));
        let ended = now.at.saturating_sub(end.ago).max(self.seen_at);
        let down_at = match (is_told, end.ago) {
            (true, 1..) if !end.unseen => ended,
            // Its host said that it is gone, and not since when.
            (true, _) => now.watch.last_sign(ended, self.seen_at, super::HEARD_AT_ONCE),
            (false, _) if end.unseen => {
                now.watch.last_sign(ended, self.seen_at, super::HEARD_AT_ONCE).min(end.doubted_at)
            }
            // Nobody but the host itself can say that it ran on while there was no master.
            (false, _) => now.watch.last_sign(ended, self.seen_at, BACK_WITHIN).min(end.doubted_at),
        };
        let back = self.falls(now.at, host, down_at, after(end));
        self.proven(now.at, host, end);
        back
    }

    fn proven(&mut self, at: i64, host: HostId, end: End) {
        if let Some(fall) = self.fall.as_mut().filter(|fall| fall.from == host) {
            (fall.proven_at, fall.proof, fall.exit) = (Some(at), end.proof, end.exit);
            if end.exit == Some(Exit::LeaseEnded) {
                self.life.blame(Cause::HostFailure, end.blamed);
            }
        }
    }

    /// It is down. If it was just coming back, that was it.
    fn falls(&mut self, at: i64, host: HostId, down_at: i64, state: State) -> Option<Recovery> {
        let state = if self.wanted { state } else { State::STOPPED };
        // A start that ends before its guest answered has failed.
        self.asked_at = None;
        self.life.set(down_at, state);
        self.fall = Some(Fall::noticed(host, down_at, at, !self.wanted));
        self.back.take()
    }

    /// Its host turned out to be cut off.
    pub(super) fn cut_off(&mut self, host: HostId) {
        if self.fall.as_ref().is_some_and(|fall| fall.from == host) {
            self.life.blame(Cause::HostFailure, Cause::Isolation);
        }
    }

    /// It runs again by the end of all facts, and its guest has not answered.
    pub(super) fn still_back(&mut self) -> Option<Recovery> {
        self.back.take()
    }
}

/// How a VM is that should run, after it ended so.
fn after(end: End) -> State {
    match end.exit {
        Some(Exit::ByPerson) => State::STOPPED,
        Some(Exit::HostShutdown) => State::planned(Cause::Maintenance),
        // Where it was moved to it runs, if it arrived; that is still to be said.
        Some(Exit::Moved) => State::UNSEEN,
        Some(Exit::Crashed | Exit::CrashedSoon) => State::unplanned(Cause::GuestCrash),
        // By order of a master that wants it to run it ends only where its host is cut off.
        Some(Exit::LeaseEnded | Exit::Ordered) => State::unplanned(end.blamed),
        Some(Exit::NeverStarted | Exit::StartFailed | Exit::Locked | Exit::NotFound) => {
            State::unplanned(Cause::Unknown)
        }
        None if matches!(end.proof, None | Some(Proof::Released { .. })) => State::unplanned(Cause::Unknown),
        None => State::unplanned(end.blamed),
    }
}
