//! What holds for whatever lies in a store's rows: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::codec::{decode, encode};
use crate::core::action::AgentStore;
use crate::core::time::Instant;
use crate::core::timing::{Profile, Timing};
use crate::election::{Election, Payload, Settings, StoreImage, StoredSnapshot};
use crate::laws::{settles, settles_as_json};
use crate::ledger::Entry;
use crate::node::format::{read_entry, read_state, write_entry, write_state};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Each row in turn: the voter's, what they hold for the node, and those that are JSON.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let taken = [
        row::<Payload>(bytes),
        row::<StoredSnapshot>(bytes),
        settles(bytes, read_entry, |entry| write_entry(entry).ok_or("it cannot be written")),
        settles(bytes, read_state, |state| write_state(state).ok_or("it cannot be written")),
        settles_as_json::<AgentStore>(bytes),
        settles_as_json::<Entry>(bytes),
        image(bytes),
    ];
    taken.contains(&true)
}

fn row<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> bool {
    settles(bytes, |bytes| decode::<T>(bytes, "a row").ok(), encode)
}

/// A whole store: the Raft library panics at one that cannot be, so what passes for sound must start, or be refused.
fn image(bytes: &[u8]) -> bool {
    let Ok(image) = decode::<StoreImage>(bytes, "a store") else { return false };
    if let Ok(mut election) = Election::start(Instant::ZERO, image, Settings::new(&Timing::of(Profile::Lan), 0)) {
        let deadline = election.next_deadline();
        election.wake(deadline);
        let _output = election.drain(deadline);
    }
    true
}
