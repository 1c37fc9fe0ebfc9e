//! Adds up what is over.

use super::super::cause::Cause;
use super::super::figures::{Figures, Outage};
use super::super::period::Period;
use super::span::{Condition, Piece, Span};
use super::watch::Watch;

/// What is to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Which time.
    pub period: Period,
    /// Whether each span is kept, for a drawing.
    pub draws: bool,
    /// Whether it is kept who was brought back.
    pub recovers: bool,
}

impl Scope {
    /// Whether facts of this kind mean anything here. Of others no more needs to be known than when they were.
    pub fn reads(&self, kind: &str) -> bool {
        match kind {
            "vm-placed" => self.recovers,
            "vm-redefined" | "vm-not-moved" | "vm-gave-up" | "host-proven" | "host-quarantined" | "host-switched"
            | "host-drilled" | "armed" | "voters" | "recovered" => false,
            _ => true,
        }
    }
}

/// What was counted of one VM or host.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) figures: Figures,
    pub(super) pieces: Vec<Piece>,
    /// The condition up to now, whether in the period or before.
    last: Option<Condition>,
    last_cause: Option<Cause>,
    /// The outage that goes on, as far as it lies in the period.
    outage: Option<Outage>,
}

impl Tally {
    /// Adds a span that is over.
    pub(super) fn add(&mut self, span: Span, to: i64, scope: &Scope, watch: &Watch) {
        if to <= span.from {
            return;
        }
        let Some(condition) = span.state.condition else {
            self.turn(None, None);
            return;
        };
        if condition != Condition::Up {
            self.piece(Piece { from: span.from, to, condition, cause: span.state.cause }, scope);
            return;
        }
        let mut from = span.from;
        for (dark, light) in watch.unwatched(span.from, to) {
            self.piece(Piece { from, to: dark, condition, cause: None }, scope);
            self.piece(Piece { from: dark, to: light, condition: Condition::Unseen, cause: None }, scope);
            from = light;
        }
        self.piece(Piece { from, to, condition, cause: None }, scope);
    }

    fn piece(&mut self, piece: Piece, scope: &Scope) {
        if piece.to <= piece.from {
            return;
        }
        let Piece { condition, cause, .. } = piece;
        let falls = condition == Condition::Unplanned && self.last != Some(condition);
        let turns = self.last != Some(condition) || self.last_cause != cause;
        self.turn(Some(condition), cause);
        let cut = Piece { from: piece.from.max(scope.period.from), to: piece.to.min(scope.period.to), ..piece };
        if cut.to <= cut.from {
            return;
        }
        let begins_within = piece.from >= scope.period.from;
        self.figures.add(condition, cut.to - cut.from);
        self.figures.failures += u64::from(falls && begins_within);
        if condition == Condition::Unplanned {
            self.fall(cut);
        }
        if let Some(cause) = cause {
            let share = self.figures.causes.entry((condition == Condition::Planned, cause)).or_default();
            share.length += cut.to - cut.from;
            share.count += u64::from(turns && begins_within);
        }
        if scope.draws {
            self.draw(cut);
        }
    }

    fn draw(&mut self, cut: Piece) {
        match self.pieces.last_mut() {
            Some(last) if (last.to, last.condition, last.cause) == (cut.from, cut.condition, cut.cause) => {
                last.to = cut.to;
            }
            _ => self.pieces.push(cut),
        }
    }

    /// What comes next is so; an outage that went on is over unless that is a part of it.
    fn turn(&mut self, condition: Option<Condition>, cause: Option<Cause>) {
        if condition != Some(Condition::Unplanned) {
            self.outage = None;
        }
        (self.last, self.last_cause) = (condition, cause);
    }

    fn fall(&mut self, cut: Piece) {
        if self.outage.is_none() {
            self.figures.outages += 1;
        }
        let outage = self.outage.get_or_insert(Outage { length: 0, at: cut.from });
        outage.length += cut.to - cut.from;
        self.figures.longest = Outage::longer(self.figures.longest, Some(*outage));
    }
}
