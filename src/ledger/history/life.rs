//! The life of one VM or host: its last part, which facts to come may still change, and the sum of all before.
//!
//! What somebody was in a while is known for good only when it is over. A VM on a silent host is down until its host
//! comes back and says that it ran on; then it was out of sight. So the spans since somebody last said that it runs are kept
//! as they are, and counted when that is said again.

use super::super::cause::Cause;
use super::span::{Span, State};
use super::tally::{Scope, Tally};
use super::watch::Watch;

/// The life of one of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// In their order; the time before the first one is counted.
    spans: Vec<Span>,
    /// What is over for good.
    pub(super) tally: Tally,
}

impl Life {
    /// From this moment on it was so, whatever was thought of that time before.
    pub(super) fn set(&mut self, from: i64, state: State) {
        let from = self.spans.first().map_or(from, |first| from.max(first.from));
        while self.spans.last().is_some_and(|last| last.from >= from) {
            self.spans.pop();
        }
        if self.state() != state || self.spans.is_empty() {
            self.spans.push(Span { from, state });
        }
    }

    /// How it is by now.
    pub(super) fn state(&self) -> State {
        self.spans.last().map_or(State::OUT, |last| last.state)
    }

    /// What it was down for unplanned since it was last up was not this, but that.
    pub(super) fn blame(&mut self, not: Cause, but: Cause) {
        for span in self.spans.iter_mut().filter(|span| span.state == State::unplanned(not)) {
            span.state = State::unplanned(but);
        }
    }

    /// Up to this moment it was as it was thought to be: no fact to come changes that.
    pub(super) fn settle(&mut self, at: i64, scope: &Scope, watch: &Watch) {
        let Some(last) = self.spans.last().copied() else { return };
        self.count(at, scope, watch);
        self.spans.push(Span { from: last.from.max(at), ..last });
    }

    /// There is no more to come.
    pub(super) fn end(&mut self, scope: &Scope, watch: &Watch) {
        self.count(scope.period.to, scope, watch);
    }

    fn count(&mut self, end: i64, scope: &Scope, watch: &Watch) {
        let ends: Vec<i64> = self.spans.iter().skip(1).map(|next| next.from).chain([end]).collect();
        for (span, to) in self.spans.drain(..).zip(ends) {
            self.tally.add(span, to.min(end), scope, watch);
        }
    }
}
