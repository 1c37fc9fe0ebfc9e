//! The names of the kinds of things, to count them by: who waits for the first of a kind must see that there was none.

use crate::core::reason::Alert;

/// The kinds of [`Wait`](crate::core::reason::Wait), to count them by.
pub const WAIT_KINDS: [&str; 14] = [
    "nothing",
    "stopped",
    "left-alone",
    "not-protected",
    "not-armed",
    "proof",
    "starting",
    "unknown",
    "locked",
    "retry",
    "no-room",
    "gave-up",
    "recovering",
    "moving",
];

/// The kinds of [`Alert`], to count them by.
pub const ALERT_KINDS: [&str; 15] = [
    "waiting",
    "two-machines",
    "wrong-machine",
    "fence-failed",
    "brake",
    "isolated",
    "unanswered",
    "quarantined",
    "gave-up",
    "dead-shows-life",
    "store-lost",
    "clash",
    "no-majority",
    "storage",
    "agent-away",
];

impl Alert {
    /// The name of its kind, one of [`ALERT_KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Alert::Waiting { .. } => "waiting",
            Alert::TwoMachines { .. } => "two-machines",
            Alert::WrongMachine { .. } => "wrong-machine",
            Alert::FenceFailed { .. } => "fence-failed",
            Alert::Brake { .. } => "brake",
            Alert::Isolated { .. } => "isolated",
            Alert::Unanswered { .. } => "unanswered",
            Alert::Quarantined { .. } => "quarantined",
            Alert::GaveUp { .. } => "gave-up",
            Alert::DeadShowsLife { .. } => "dead-shows-life",
            Alert::StoreLost => "store-lost",
            Alert::Clash { .. } => "clash",
            Alert::NoMajority => "no-majority",
            Alert::Storage { .. } => "storage",
            Alert::AgentAway { .. } => "agent-away",
        }
    }
}
