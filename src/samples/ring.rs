//! What an agent has measured of late, and how far each voter has been told.

use super::Batch;
use super::batch::{MOST_BYTES, Receipt};
use crate::core::ids::Address;
use std::collections::{BTreeMap, VecDeque};

/// So many slots are kept: ten minutes, which is longer than a voter takes to put what it heard on its disk.
const KEPT: usize = 120;

/// The last ten minutes, and who knows what of them.
#[derive(Debug, Default)]
pub struct Ring {
    batches: VecDeque<Batch>,
    /// The number of the first batch that is kept; each has one more than the one before.
    first: u64,
    voters: BTreeMap<Address, Told>,
}

/// What a voter was told.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// All batches before this one.
    before: u64,
    /// By which run of its keeper, if it has ever answered.
    run: Option<u64>,
    /// The batch before which all will have been told once it answers, while it is being told something.
    telling: Option<u64>,
}

impl Ring {
    /// Keeps a batch, and forgets the oldest one if there are too many.
    pub fn push(&mut self, batch: Batch) {
        self.batches.push_back(batch);
        if self.batches.len() > KEPT {
            self.batches.pop_front();
            self.first += 1;
        }
    }

    /// Takes over where the voters are. A new one is told all that is kept.
    pub fn set_voters(&mut self, voters: &[Address]) {
        self.voters.retain(|voter, _| voters.contains(voter));
        for voter in voters {
            self.voters.entry(*voter).or_default();
        }
    }

    /// The voters that lack something and are not being told already.
    pub fn lacking(&self) -> Vec<Address> {
        let end = self.end();
        let lacks = |told: &&Told| told.telling.is_none() && told.before < end;
        self.voters.iter().filter(|(_, told)| lacks(told)).map(|(voter, _)| *voter).collect()
    }

    /// What a voter is to be told next: the oldest that it lacks, as much as fits into one request. It counts as being
    /// told until [`Ring::told`].
    pub fn next_for(&mut self, voter: Address) -> Vec<Batch> {
        let Some(told) = self.voters.get_mut(&voter) else { return Vec::new() };
        let begin = told.before.max(self.first);
        let mut room = MOST_BYTES;
        let skipped = usize::try_from(begin - self.first).unwrap_or(usize::MAX);
        let fits = |batch: &&Batch| {
            let fits = batch.most_bytes() <= room;
            room = room.saturating_sub(batch.most_bytes());
            fits
        };
        let batches: Vec<Batch> = self.batches.iter().skip(skipped).take_while(fits).cloned().collect();
        told.telling = Some(begin + batches.len() as u64);
        batches
    }

    /// A voter has answered, or has not. One whose keeper began anew may have lost what was not on its disk yet, and is
    /// told all of it again.
    pub fn told(&mut self, voter: Address, receipt: Option<Receipt>) {
        let Some(told) = self.voters.get_mut(&voter) else { return };
        let Some(telling) = told.telling.take() else { return };
        let Some(receipt) = receipt else { return };
        let began_anew = told.run.is_some_and(|run| run != receipt.run);
        told.before = if began_anew { 0 } else { telling };
        told.run = Some(receipt.run);
    }

    fn end(&self) -> u64 {
        self.first + self.batches.len() as u64
    }
}
