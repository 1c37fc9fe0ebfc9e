//! The naive reading of what is told of one VM.

use super::naive::{
    Cell, Fact, STOPPED, Sheet, UNSEEN, UP, doubted, is_isolated, judged, planned, secs, sign, unplanned,
    writes_nothing,
};
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::{JudgeCause, Proof};
use crate::core::state::UpMeans;
use crate::ledger::{Cause, Condition, What};

#[derive(Clone, Copy, PartialEq)]
enum Guest {
    Unasked,
    Booting,
    Answers,
    Silent,
}

/// What is known of a VM so far.
pub(super) struct Life {
    wanted: bool,
    on: Vec<HostId>,
    /// It is down: from where it went, and since when.
    pub(super) fell: Option<(HostId, i64)>,
    moved_off: bool,
    seen: i64,
    asked: Option<i64>,
    up: UpMeans,
    guest: Guest,
}

impl Life {
    pub(super) fn new() -> Life {
        let (on, fell, asked) = (Vec::new(), None, None);
        let (up, guest) = (UpMeans::Running, Guest::Unasked);
        Life { wanted: false, on, fell, moved_off: false, seen: 0, asked, up, guest }
    }

    pub(super) fn told(&mut self, sheet: &mut Sheet, past: &[Fact], at: i64, what: &What) {
        match what {
            What::VmProtected { want, .. } => {
                self.wanted = *want == Want::Running;
                sheet.paint(at, STOPPED);
                sheet.dry(at);
                self.ask(sheet, at);
            }
            What::VmUnprotected { .. } => {
                sheet.paint(at, None);
                sheet.dry(at);
                *self = Life::new();
            }
            What::VmWanted { want, .. } if *want == Want::Running => {
                self.wanted = true;
                self.ask(sheet, at);
            }
            What::VmWanted { .. } => {
                (self.wanted, self.asked) = (false, None);
                let runs = !self.on.is_empty() && self.fell.is_none();
                if !runs && matches!(sheet.last(), Some((Condition::Unplanned, _))) {
                    sheet.paint(at, STOPPED);
                }
            }
            What::VmGone { ran: false, exit: Some(Exit::StartFailed | Exit::Locked), .. } => self.asked = None,
            What::VmGone { ran: true, .. } => self.gone(sheet, past, at, what),
            What::VmUp { host, again, .. } => self.runs(sheet, at, *host, *again),
            What::VmAccounted { account, .. } if account.up != self.up => {
                (self.up, self.guest) = (account.up.clone(), Guest::Unasked);
                self.stand(sheet, at);
            }
            What::VmAnswers { host, answers, ago_milliseconds, .. }
                if self.on.contains(host) && self.fell.is_none() =>
            {
                self.answers(sheet, at, *answers, at - secs(*ago_milliseconds));
            }
            _ => {}
        }
    }

    fn ask(&mut self, sheet: &mut Sheet, at: i64) {
        if self.wanted && self.on.is_empty() && matches!(sheet.last(), Some((Condition::Planned, _))) {
            self.asked = Some(at);
            sheet.paint(at, unplanned(Cause::Unknown));
        }
    }

    fn runs(&mut self, sheet: &mut Sheet, at: i64, host: HostId, again: bool) {
        let fell = self.fell.take();
        self.seen = at;
        let is_move = !again && fell.is_none() && self.on.last().is_some_and(|last| *last != host);
        self.on.retain(|other| *other != host);
        match again {
            true => self.on.insert(0, host),
            false => self.on.push(host),
        }
        if is_move {
            return;
        }
        if let (true, Some((_, since))) = (again, fell) {
            sheet.paint(since, UNSEEN);
            self.asked = None;
        }
        let arrived = fell.is_some() && self.moved_off;
        if !again && self.guest != Guest::Unasked && !arrived {
            self.guest = Guest::Booting;
        }
        if again || self.up == UpMeans::Running || self.guest != Guest::Booting {
            self.rise(sheet, at, at);
        }
    }

    fn rise(&mut self, sheet: &mut Sheet, since: i64, at: i64) {
        let patience = if self.up == UpMeans::Running { 60 } else { 300 };
        if let Some(asked) = self.asked.take()
            && since - asked <= patience
        {
            sheet.paint(asked, STOPPED);
        }
        self.stand(sheet, since);
        sheet.dry(at);
    }

    fn stand(&self, sheet: &mut Sheet, since: i64) {
        if self.on.is_empty() || self.fell.is_some() {
            return;
        }
        match self.guest {
            _ if self.up == UpMeans::Running => sheet.paint(since, UP),
            Guest::Answers => sheet.paint(since, UP),
            Guest::Unasked => sheet.paint(since, UNSEEN),
            Guest::Silent => sheet.paint(since, unplanned(Cause::GuestHang)),
            Guest::Booting => {}
        }
    }

    fn answers(&mut self, sheet: &mut Sheet, at: i64, answers: bool, since: i64) {
        match (answers, self.guest) {
            (true, guest) => {
                self.guest = Guest::Answers;
                let since = if guest == Guest::Booting { since.max(self.seen) } else { since };
                if self.up != UpMeans::Running {
                    self.rise(sheet, since, at);
                }
            }
            (false, Guest::Booting) => {}
            (false, _) => {
                self.guest = Guest::Silent;
                if self.up != UpMeans::Running {
                    self.stand(sheet, since);
                }
            }
        }
    }

    fn gone(&mut self, sheet: &mut Sheet, past: &[Fact], at: i64, what: &What) {
        let What::VmGone { host, proof, exit, ago_milliseconds, unseen, .. } = what else { return };
        let before = &past[..past.len() - 1];
        let cut_off = is_isolated(before, *host);
        self.on.retain(|other| other != host);
        if let Some((from, _)) = self.fell {
            if from == *host {
                self.moved_off = *exit == Some(Exit::Moved);
                if *exit == Some(Exit::LeaseEnded) {
                    let but = match !cut_off && writes_nothing(before, *host) {
                        true => Cause::Storage,
                        false => Cause::Isolation,
                    };
                    sheet.blame(Cause::HostFailure, but);
                }
            }
            return;
        }
        if !self.on.is_empty() {
            return;
        }
        let told = matches!(proof, None | Some(Proof::Released { .. }));
        let ended = (at - secs(*ago_milliseconds)).max(self.seen);
        let since = match told {
            true if *ago_milliseconds > 0 && !unseen => ended,
            true => sign(past, ended, self.seen, 2),
            false if *unseen => sign(past, ended, self.seen, 2).min(doubted(before, *host).unwrap_or(i64::MAX)),
            false => sign(past, ended, self.seen, 60).min(doubted(before, *host).unwrap_or(i64::MAX)),
        };
        let cell = match exit {
            Some(Exit::ByPerson) => STOPPED,
            Some(Exit::HostShutdown) => planned(Cause::Maintenance),
            Some(Exit::Moved) => UNSEEN,
            Some(Exit::Crashed | Exit::CrashedSoon) => unplanned(Cause::GuestCrash),
            Some(Exit::LeaseEnded) if !cut_off && writes_nothing(before, *host) => unplanned(Cause::Storage),
            Some(Exit::LeaseEnded) => unplanned(Cause::Isolation),
            Some(Exit::Ordered) if cut_off => unplanned(Cause::Isolation),
            None if !told && cut_off => unplanned(Cause::Isolation),
            None if !told => unplanned(Cause::HostFailure),
            _ => unplanned(Cause::Unknown),
        };
        self.falls(sheet, *host, since, cell);
        self.moved_off = *exit == Some(Exit::Moved);
    }

    fn falls(&mut self, sheet: &mut Sheet, host: HostId, since: i64, cell: Cell) {
        sheet.paint(since, if self.wanted { cell } else { STOPPED });
        (self.fell, self.asked, self.moved_off) = (Some((host, since)), None, false);
    }

    /// It is down if all hosts are judged on which it was said to run, since the last sign of the last of them.
    pub(super) fn lost_with_hosts(&mut self, sheet: &mut Sheet, past: &[Fact], id: VmId) {
        let (_, what) = past.last().unwrap();
        let is_news = match what {
            What::HostJudged { host, cause, .. } => self.on.contains(host) && *cause != JudgeCause::Conflict,
            What::VmGone { vm, ran: true, .. } => *vm == id,
            _ => false,
        };
        let all_lost = self.on.iter().all(|host| judged(past, *host).is_some());
        if let (true, true, None, Some(last)) = (is_news, all_lost, self.fell, self.on.last().copied()) {
            let (last_sign, cell) = judged(past, last).unwrap();
            self.falls(sheet, last, sign(past, last_sign, self.seen, 2), cell);
        }
    }
}
