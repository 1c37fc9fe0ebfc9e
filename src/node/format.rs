//! How the replicated state and the commands in the log are written down.
//!
//! Each begins with the number of its format. A build that does not know the number does not guess: a voter that can
//! not read what the others agree on takes part no more, rather than to come to another state than theirs.

use crate::core::command::LogEntry;
use crate::core::state::ClusterState;
use serde::{Deserialize, Serialize};

/// The newest format, which is the only one so far.
const NEWEST: u8 = 1;

/// The state as a snapshot holds it.
pub fn write_state(state: &ClusterState) -> Option<Vec<u8>> {
    write(state)
}

/// Reads a snapshot. An empty one is the state of a new learner.
pub fn read_state(bytes: &[u8]) -> Option<ClusterState> {
    if bytes.is_empty() { Some(ClusterState::default()) } else { read(bytes) }
}

pub(crate) fn write_entry(entry: &LogEntry) -> Option<Vec<u8>> {
    write(entry)
}

/// Reads an entry of the log.
pub fn read_entry(bytes: &[u8]) -> Option<LogEntry> {
    read(bytes)
}

fn write(value: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_extend(value, vec![NEWEST]).ok()
}

fn read<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    let (format, rest) = bytes.split_first()?;
    if *format != NEWEST {
        return None;
    }
    let (value, rest) = postcard::take_from_bytes(rest).ok()?;
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::{Command, Proposal};
    use crate::core::ids::VmId;

    fn entry() -> LogEntry {
        let proposal = Proposal { answers: None, said: None, command: Command::GiveUp { vm: VmId(3) } };
        LogEntry { at_milliseconds: 1_700_000_000_000, proposal }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = write_entry(&entry()).unwrap();
        assert_eq!(read_entry(&bytes), Some(entry()));
        let state = ClusterState { next_epoch: 7, ..ClusterState::default() };
        assert_eq!(read_state(&write_state(&state).unwrap()), Some(state));
    }

    #[test]
    fn another_format_and_what_is_left_over_are_not_guessed_at() {
        let mut bytes = write_entry(&entry()).unwrap();
        bytes.push(0);
        assert_eq!(read_entry(&bytes), None);
        bytes.pop();
        bytes[0] = NEWEST + 1;
        assert_eq!(read_entry(&bytes), None);
        assert_eq!(read_entry(&[]), None);
    }
}
