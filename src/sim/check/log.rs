//! I3 and I4: one history on all voters, one master in each term, and what a majority has on its disks.

use super::Found;
use super::shadow::Shadow;
use crate::core::ids::{Authority, ClusterGeneration, LogIndex, VoterId};
use crate::core::state::ClusterState;
use postcard::ser_flavors::Flavor;
use std::collections::BTreeMap;

/// Fingerprints of so many of the latest states are kept.
const FINGERPRINTS: usize = 256;

/// What the nodes have shown of the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// By machine.
    applied: Vec<Option<(ClusterGeneration, LogIndex)>>,
    masters: Vec<Option<Authority>>,
    fingerprints: BTreeMap<(ClusterGeneration, LogIndex), (u64, usize)>,
    terms: BTreeMap<Authority, usize>,
    durable: BTreeMap<VoterId, LogIndex>,
    committed: LogIndex,
}

impl Log {
    /// Whether a node's state is another than after its last step.
    pub(super) fn has_advanced(&mut self, machine: usize, state: &ClusterState) -> bool {
        let now = Some((state.generation, state.applied));
        if self.applied.len() <= machine {
            self.applied.resize(machine + 1, None);
        }
        std::mem::replace(&mut self.applied[machine], now) != now
    }

    /// Whether a node became a master, or ceased to be one.
    pub(super) fn has_turned(&mut self, machine: usize, master: Option<Authority>) -> bool {
        if self.masters.len() <= machine {
            self.masters.resize(machine + 1, None);
        }
        std::mem::replace(&mut self.masters[machine], master) != master
    }

    /// Two nodes that applied the same entries must have the same state.
    pub(super) fn compare(&mut self, machine: usize, state: &ClusterState, found: &mut Found) {
        let key = (state.generation, state.applied);
        let Ok(fingerprint) = postcard::serialize_with_flavor(state, Fingerprint(0xCBF2_9CE4_8422_2325)) else {
            return;
        };
        match self.fingerprints.get(&key) {
            Some((known, of)) if *known != fingerprint => {
                let applied = state.applied;
                found.add("I3", format!("machines {of} and {machine} have different states at {applied}"));
            }
            Some(_) => {}
            None => {
                self.fingerprints.insert(key, (fingerprint, machine));
                if self.fingerprints.len() > FINGERPRINTS {
                    self.fingerprints.pop_first();
                }
            }
        }
    }

    /// A node turned: no term has two masters.
    pub(super) fn master(&mut self, machine: usize, master: Option<Authority>, found: &mut Found) {
        let Some(authority) = master else { return };
        let first = *self.terms.entry(authority).or_insert(machine);
        if first != machine {
            let term = authority.term;
            found.add("I4", format!("machines {first} and {machine} are both master in term {term}"));
        }
    }

    /// A voter's disk has the log up to here. What a majority once had counts as decided, even if a disk is lost later.
    pub(super) fn durable(&mut self, shadow: &Shadow, voter: VoterId, index: LogIndex) {
        if self.durable.insert(voter, index) == Some(index) {
            return;
        }
        let counts = |voter: &&VoterId| shadow.voters.is_empty() || shadow.voters.contains_key(voter);
        let mut indexes: Vec<LogIndex> =
            self.durable.iter().filter(|(voter, _)| counts(voter)).map(|(_, index)| *index).collect();
        indexes.sort_unstable_by(|one, other| other.cmp(one));
        // A store that is about to vote is among them: of an even number, half is a majority of those that vote.
        let voters = shadow.voters.len().max(indexes.len());
        let needed = voters.div_ceil(2).max(1);
        if let Some(index) = indexes.get(needed - 1) {
            self.committed = self.committed.max(*index);
        }
    }

    /// Up to where a majority of voters has, or once had, the log on its disks.
    pub(super) fn committed(&self) -> LogIndex {
        self.committed
    }
}

/// Folds bytes into a number instead of keeping them.
struct Fingerprint(u64);

impl Flavor for Fingerprint {
    type Output = u64;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u64> {
        Ok(self.0)
    }
}
