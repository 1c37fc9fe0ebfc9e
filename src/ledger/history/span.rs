//! How something was, and why.

use super::super::cause::Cause;
use serde::{Deserialize, Serialize};

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

/// How something is, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// None: it is not under our eyes at all.
    pub(super) condition: Option<Condition>,
    /// Why it is down, if it is.
    pub(super) cause: Option<Cause>,
}

impl State {
    pub(super) const OUT: State = State { condition: None, cause: None };
    pub(super) const UP: State = State { condition: Some(Condition::Up), cause: None };
    pub(super) const UNSEEN: State = State { condition: Some(Condition::Unseen), cause: None };
    pub(super) const STOPPED: State = State::planned(Cause::Operator);

    pub(super) const fn planned(cause: Cause) -> State {
        State { condition: Some(Condition::Planned), cause: Some(cause) }
    }

    pub(super) const fn unplanned(cause: Cause) -> State {
        State { condition: Some(Condition::Unplanned), cause: Some(cause) }
    }

    pub(super) fn is(self, condition: Condition) -> bool {
        self.condition == Some(condition)
    }
}

/// Since when something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) state: State,
}

/// A while that is over, cut to the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// How it was.
    pub condition: Condition,
    /// Why, if it was down.
    pub cause: Option<Cause>,
}
