//! The clock of elections: ticks, election time-outs, and the times in which a voter stays silent.

use crate::core::ids::VoterId;
use crate::core::time::Instant;
use crate::core::timing::Timing;
use std::time::Duration;

/// The limits that an election runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A voter that heard its leader this lately elects no other (E1).
    pub election_min: Duration,
    /// A voter that has not heard a leader for this long stands for election (E2).
    pub election_max: Duration,
    /// The granularity of the election's clock.
    pub tick: Duration,
    /// A leader starts a quorum round this often.
    pub round_interval: Duration,
    /// After standing still for longer, the silence of others says nothing.
    pub gap: Duration,
    /// After its start a voter neither votes nor stands for this long.
    pub silence: Duration,
    /// Where the election time-outs are drawn from.
    pub seed: u64,
}

impl Settings {
    /// The settings that follow from the table of limits.
    pub fn new(timing: &Timing, seed: u64) -> Self {
        Settings {
            election_min: timing.election_min,
            election_max: timing.election_max,
            tick: timing.election_tick,
            round_interval: timing.round_interval,
            gap: timing.gap,
            silence: silence_after_start(timing),
            seed,
        }
    }

    /// The least election time-out in ticks. A tick may come right after the leader was heard, so that n ticks
    /// prove only n − 1 tick lengths of silence: hence one more than E1 holds.
    pub(super) fn ticks_min(&self) -> usize {
        let ticks = self.election_min.as_micros().div_ceil(self.tick.as_micros().max(1)) + 1;
        usize::try_from(ticks).unwrap_or(usize::MAX / 4).max(3)
    }

    /// The greatest election time-out in ticks.
    pub(super) fn ticks_max(&self) -> usize {
        let ticks = self.election_max.as_micros() / self.tick.as_micros().max(1);
        usize::try_from(ticks).unwrap_or(usize::MAX / 4).max(self.ticks_min())
    }
}

/// How long a voter that has just started neither votes nor stands for election.
///
/// Before it was restarted it may have answered a round of the leader, and so have promised to elect no other for E1.
/// It does not remember when, so it assumes the last moment before its start; it may have counted E1 by a slower
/// clock than the leader's, hence the stretch. The very first start of a cluster pays the same, which costs E1 once.
fn silence_after_start(timing: &Timing) -> Duration {
    timing.stretched(timing.election_min) + timing.election_tick
}

/// The running clock of one voter.
pub(super) struct Pace {
    settings: Settings,
    voter: VoterId,
    next_tick: Instant,
    last_wake: Instant,
    silent_until: Instant,
    heard: Option<Instant>,
    draws: u64,
    timeout: usize,
}

/// What a wake-up means for the election's clock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// No tick is due.
    None,
    /// One tick.
    Tick,
    /// One tick, and the loop stood still before it: no silence counts.
    TickAfterGap,
}

impl Pace {
    pub(super) fn new(now: Instant, voter: VoterId, settings: Settings) -> Self {
        // The first tick comes at a time of the voter's own, lest voters that start together tick together and
        // stand for election in the same moment ever after.
        let tick = u64::try_from(settings.tick.as_micros()).unwrap_or(1).max(1);
        let phase = Duration::from_micros(1 + mix([settings.seed, voter.0, 0, 0]) % tick);
        let mut pace = Pace {
            voter,
            next_tick: now + phase,
            last_wake: now,
            silent_until: now + settings.silence,
            heard: None,
            draws: 0,
            timeout: settings.ticks_min(),
            settings,
        };
        pace.redraw(0);
        pace
    }

    pub(super) fn next_tick(&self) -> Instant {
        self.next_tick
    }

    pub(super) fn timeout(&self) -> usize {
        self.timeout
    }

    /// Draws another election time-out, from nothing but the seed, the voter, the term and the number of draws.
    pub(super) fn redraw(&mut self, term: u64) {
        self.draws += 1;
        let (min, max) = (self.settings.ticks_min(), self.settings.ticks_max());
        let choice = mix([self.settings.seed, self.voter.0, term, self.draws]) % (max - min + 1) as u64;
        self.timeout = min + usize::try_from(choice).unwrap_or(0);
    }

    /// At most one tick, however late it comes, and the next one a full length later. Ticks made up for in a row
    /// would count as silence a time in which this voter could not have heard anybody.
    pub(super) fn wake(&mut self, now: Instant) -> Beat {
        let gap = now.since(self.last_wake) > self.settings.gap;
        self.last_wake = now;
        if now < self.next_tick {
            return Beat::None;
        }
        self.next_tick = now + self.settings.tick;
        if gap { Beat::TickAfterGap } else { Beat::Tick }
    }

    /// A message of the leader was taken; its answer may complete a quorum round.
    pub(super) fn heard_leader(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// From now until then this voter takes part in no election.
    pub(super) fn be_silent(&mut self, until: Instant) {
        self.silent_until = self.silent_until.max(until);
    }

    /// Whether this voter must not help to elect anybody now, itself included.
    ///
    /// The library has a check of its own, but forgets the leader, and the check with it, as soon as any message of
    /// a higher term arrives; a late answer to somebody's old message is enough. The promise that lies in an
    /// answered round does not end with that. It is made on this clock and judged on another: E1 leaves room for
    /// that (k·q + b ≤ E1).
    pub(super) fn must_not_elect(&self, now: Instant) -> bool {
        now < self.silent_until || self.heard.is_some_and(|heard| now < heard + self.settings.election_min)
    }
}

/// SplitMix64 over several words.
pub(super) fn mix(words: [u64; 4]) -> u64 {
    let mut state = 0u64;
    for word in words {
        state = state.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    state
}
