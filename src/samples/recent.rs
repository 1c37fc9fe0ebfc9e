//! What has come and is not on the disk yet, and the newest of each host.

use super::chunk::merge;
use super::codec::Column;
use super::{Batch, HOUR_SLOTS, Measure, Slot, Subject};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Slots by series and hour.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The hour comes first, so that what is written together is together.
    pub(super) spans: BTreeMap<(u32, Subject, Measure), Span>,
    /// How many values there are, gaps included.
    pub(super) size: usize,
}

/// A part of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// The place of its first slot in the hour.
    pub(super) first: usize,
    pub(super) values: Column,
}

impl Span {
    /// The hour, as far as it is known.
    pub(super) fn column(&self) -> Column {
        let mut column = vec![None; self.first];
        column.extend_from_slice(&self.values);
        column
    }
}

impl Pending {
    /// Adds a value to a slot; the greater of two stays.
    fn add(&mut self, subject: Subject, measure: Measure, slot: Slot, value: u32) {
        let (hour, place) = slot.hour();
        let span = self.spans.entry((hour, subject, measure)).or_insert(Span { first: place, values: Column::new() });
        let before = span.values.len();
        if place < span.first {
            span.values.splice(0..0, std::iter::repeat_n(None, span.first - place));
            span.first = place;
        }
        let at = place - span.first;
        if span.values.len() <= at {
            span.values.resize(at + 1, None);
        }
        if let Some(known) = span.values.get_mut(at) {
            *known = (*known).max(Some(value));
        }
        self.size += span.values.len() - before;
    }

    /// The first and the last slot.
    pub(super) fn ends(&self) -> Option<(Slot, Slot)> {
        let slot = |hour: u32, place: usize| Slot(hour * HOUR_SLOTS + place as u32);
        let first = self.spans.iter().map(|((hour, ..), span)| slot(*hour, span.first)).min()?;
        let last = self.spans.iter().map(|((hour, ..), span)| slot(*hour, span.first + span.values.len() - 1)).max()?;
        Some((first, last))
    }

    fn column(&self, subject: Subject, measure: Measure, hour: u32) -> Option<Column> {
        self.spans.get(&(hour, subject, measure)).map(Span::column)
    }
}

#[derive(Debug, Default)]
struct State {
    fresh: Pending,
    /// What is being written just now.
    flushing: Arc<Pending>,
    /// The newest of each host.
    newest: BTreeMap<u32, Batch>,
}

/// What is not on the disk yet, for the one who writes it and for all who read.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    state: Arc<Mutex<State>>,
}

impl Recent {
    /// Takes in what a host has told, as far as these VMs are known.
    pub(super) fn add(&self, host: u32, batch: Batch, is_known: impl Fn(u128) -> bool) {
        let mut state = self.state();
        for (subject, busy_millicores, used_mib) in batch.samples(host) {
            if matches!(subject, Subject::Vm(uuid) if !is_known(uuid)) {
                continue;
            }
            if let Some(busy) = busy_millicores {
                state.fresh.add(subject, Measure::Cpu, batch.slot, busy);
            }
            state.fresh.add(subject, Measure::Memory, batch.slot, used_mib);
        }
        state.newest.insert(host, batch);
    }

    /// How much there is that nobody writes yet.
    pub(super) fn size(&self) -> usize {
        self.state().fresh.size
    }

    /// Hands out what is to be written. It is still to be seen here until [`Recent::written`].
    pub(super) fn flush(&self) -> Arc<Pending> {
        let mut state = self.state();
        if state.flushing.size == 0 {
            state.flushing = Arc::new(std::mem::take(&mut state.fresh));
        }
        Arc::clone(&state.flushing)
    }

    /// What was handed out is on the disk, or is given up.
    pub(super) fn written(&self) {
        self.state().flushing = Arc::default();
    }

    /// What there is of one series in one hour.
    pub(super) fn column(&self, subject: Subject, measure: Measure, hour: u32) -> Option<Column> {
        let state = self.state();
        let parts = [&state.fresh, state.flushing.as_ref()].map(|part| part.column(subject, measure, hour));
        parts.into_iter().flatten().reduce(|mut one, other| {
            merge(&mut one, &other);
            one
        })
    }

    /// The newest of each host.
    pub(super) fn newest(&self) -> BTreeMap<u32, Batch> {
        self.state().newest.clone()
    }

    /// Forgets the newest of hosts that are no more.
    pub(super) fn retain_hosts(&self, is_known: impl Fn(u32) -> bool) {
        self.state().newest.retain(|host, _| is_known(*host));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it has the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
