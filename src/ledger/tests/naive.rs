//! The definitions once more, as plainly as a person would apply them: a sheet with a cell for each second, painted over
//! with each fact in turn. It shares nothing with what it checks but the names of things.

use super::naive_vm::Life;
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::{Alert, JudgeCause, StorageTrouble, Unfit, Wait};
use crate::ledger::{Cause, Condition, What};

/// How something was in a second, and why; none: it was not under anybody's eyes.
pub type Cell = Option<(Condition, Option<Cause>)>;

/// A fact and the second in which it was written down, by whatever clock.
pub type Fact = (i64, What);

/// The seconds as they count: one that is before another's that came earlier counts as that.
pub fn straightened(facts: &[Fact]) -> Vec<Fact> {
    let latest = |place: usize| facts[..=place].iter().map(|(at, _)| *at).max().unwrap();
    facts.iter().enumerate().map(|(place, (_, what))| (latest(place), what.clone())).collect()
}

/// The seconds in which nobody watched: half a minute or more, after the last fact, without a master.
pub fn unwatched(facts: &[Fact], seconds: i64) -> Vec<bool> {
    let mut dark = vec![false; usize::try_from(seconds).unwrap()];
    for (place, (at, what)) in facts.iter().enumerate() {
        let What::MasterBegan { blind_milliseconds, .. } = what else { continue };
        let before = place.checked_sub(1).map_or(i64::MIN, |before| facts[before].0);
        let since = (at - secs(*blind_milliseconds)).max(before);
        if at - since >= 30 {
            for second in since.max(0)..(*at).min(seconds) {
                dark[usize::try_from(second).unwrap()] = true;
            }
        }
    }
    dark
}

pub(super) fn secs(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1_000).unwrap()
}

/// The last sign, unless a time without a master was over no longer than `patience` before: then the beginning of that.
pub(super) fn sign(facts: &[Fact], last: i64, seen: i64, patience: i64) -> i64 {
    for (place, (at, what)) in facts.iter().enumerate().rev() {
        if let What::MasterBegan { blind_milliseconds, .. } = what {
            let dark = at - secs(*blind_milliseconds);
            if *blind_milliseconds > 0 && dark <= last && last <= at + patience && seen <= dark {
                // Two seconds before it a master may not have noticed yet; and before that there may have been none.
                return sign(&facts[..place], (dark - 2).max(seen), seen, 2);
            }
        }
    }
    last
}

pub(super) struct Sheet {
    cells: Vec<Cell>,
    /// Before this second nothing is painted over.
    dry: Option<i64>,
    /// Since when there is wet paint.
    painted: bool,
}

impl Sheet {
    fn new(seconds: i64) -> Sheet {
        Sheet { cells: vec![None; usize::try_from(seconds).unwrap()], dry: None, painted: false }
    }

    pub(super) fn paint(&mut self, from: i64, cell: Cell) {
        if !self.painted {
            (self.painted, self.dry) = (true, Some(from));
        }
        let from = from.max(self.dry.unwrap()).max(0);
        for second in self.cells.iter_mut().skip(usize::try_from(from).unwrap()) {
            *second = cell;
        }
    }

    pub(super) fn dry(&mut self, at: i64) {
        if self.painted {
            self.dry = Some(self.dry.unwrap().max(at));
        }
    }

    pub(super) fn last(&self) -> Cell {
        *self.cells.last().unwrap()
    }

    pub(super) fn blame(&mut self, not: Cause, but: Cause) {
        let dry = usize::try_from(self.dry.unwrap_or(0).max(0)).unwrap();
        for cell in self.cells.iter_mut().skip(dry) {
            if *cell == unplanned(not) {
                *cell = unplanned(but);
            }
        }
    }
}

pub(super) const UP: Cell = Some((Condition::Up, None));
pub(super) const UNSEEN: Cell = Some((Condition::Unseen, None));
pub(super) const STOPPED: Cell = Some((Condition::Planned, Some(Cause::Operator)));

pub(super) fn planned(cause: Cause) -> Cell {
    Some((Condition::Planned, Some(cause)))
}

pub(super) fn unplanned(cause: Cause) -> Cell {
    Some((Condition::Unplanned, Some(cause)))
}

/// The facts about a host since it was last admitted, up to a place.
fn since_up(facts: &[Fact], host: HostId) -> &[Fact] {
    let is_up = |(_, what): &Fact| matches!(what, What::HostUp { host: other, .. } if *other == host);
    let begin = facts.iter().rposition(is_up).map_or(0, |place| place + 1);
    &facts[begin..]
}

pub(super) fn is_isolated(facts: &[Fact], host: HostId) -> bool {
    let begin = facts.len() - since_up(facts, host).len();
    (begin..facts.len()).any(|place| match &facts[place].1 {
        What::Alert { alert: Alert::Isolated { host: other } } => *other == host,
        What::VmGone { host: other, ran: true, exit: Some(Exit::LeaseEnded), .. } => {
            *other == host && !writes_nothing(&facts[..place], host)
        }
        _ => false,
    })
}

/// Whether it is the last one of these facts that tells that a host is cut off.
fn turns_isolated(facts: &[Fact], host: HostId) -> bool {
    is_isolated(facts, host) && !is_isolated(&facts[..facts.len() - 1], host)
}

pub(super) fn writes_nothing(facts: &[Fact], host: HostId) -> bool {
    since_up(facts, host).iter().any(|(_, what)| {
        matches!(what, What::Alert { alert: Alert::Storage { trouble: StorageTrouble::Unwritten { host: other, .. }, .. } }
            if *other == host)
    })
}

/// If the host is judged: its last sign, and how what it held counts.
pub(super) fn judged(facts: &[Fact], host: HostId) -> Option<(i64, Cell)> {
    let recent = since_up(facts, host);
    let is_judged = |(_, what): &Fact| matches!(what, What::HostJudged { host: other, cause, .. } if *other == host && *cause != JudgeCause::Conflict);
    let place = recent.iter().rposition(is_judged)?;
    let (at, What::HostJudged { cause, silent_milliseconds, planned: meant, .. }) = &recent[place] else { return None };
    let cell = match cause {
        JudgeCause::Drill | JudgeCause::SwitchedOff => planned(Cause::Maintenance),
        _ if *meant => planned(Cause::Maintenance),
        _ if is_isolated(facts, host) => unplanned(Cause::Isolation),
        _ => unplanned(Cause::HostFailure),
    };
    Some((at - secs(*silent_milliseconds), cell))
}

/// Since when two machines claim to be the host, if they do.
pub(super) fn doubted(facts: &[Fact], host: HostId) -> Option<i64> {
    let is_doubt = |(_, what): &&Fact| matches!(what, What::HostJudged { host: other, cause: JudgeCause::Conflict, .. } if *other == host);
    since_up(facts, host).iter().find(is_doubt).map(|(at, _)| *at)
}

/// How a host was in each second.
pub fn host(facts: &[Fact], id: HostId, seconds: i64) -> Vec<Cell> {
    let mut sheet = Sheet::new(seconds);
    let mut seen = 0;
    for (place, (at, what)) in facts.iter().enumerate() {
        let past = &facts[..=place];
        match what {
            What::HostUp { host, rebooted, .. } if *host == id => {
                if let (Some(unheard), None) = (rebooted, judged(&past[..place], id)) {
                    sheet.paint(sign(past, at - secs(*unheard), seen, 2), unplanned(Cause::Unknown));
                }
                sheet.paint(*at, UP);
                sheet.dry(*at);
                seen = *at;
            }
            What::HostJudged { host, cause: JudgeCause::Conflict, .. } if *host == id => sheet.paint(*at, UNSEEN),
            What::HostJudged { host, .. } if *host == id => {
                let (last, cell) = judged(past, id).unwrap();
                sheet.paint(sign(past, last, seen, 2), cell);
            }
            What::HostLeft { host } if *host == id => {
                sheet.paint(*at, None);
                sheet.dry(*at);
            }
            _ => {}
        }
        if judged(past, id).is_some() && turns_isolated(past, id) {
            sheet.blame(Cause::HostFailure, Cause::Isolation);
        }
    }
    sheet.cells
}

/// How a VM was in each second.
pub fn vm(facts: &[Fact], id: VmId, seconds: i64) -> Vec<Cell> {
    let mut sheet = Sheet::new(seconds);
    let mut life = Life::new();
    for (place, (at, what)) in facts.iter().enumerate() {
        let past = &facts[..=place];
        if what.vm() == Some(id) {
            life.told(&mut sheet, past, *at, what);
        }
        if let What::Alert { alert: Alert::Waiting { vm, wait: Wait::NoRoom(hosts), .. } } = what
            && *vm == id
            && !hosts.is_empty()
            && hosts.iter().all(|(_, why)| matches!(why, Unfit::Datastore(_)))
        {
            sheet.blame(Cause::Unknown, Cause::Storage);
        }
        if let Some((from, _)) = life.fell
            && turns_isolated(past, from)
        {
            sheet.blame(Cause::HostFailure, Cause::Isolation);
        }
        life.lost_with_hosts(&mut sheet, past, id);
    }
    sheet.cells
}
