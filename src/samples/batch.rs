//! What an agent tells the voters: what its host and the VMs there used in some slots.

use super::{Slot, Subject};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The first byte of a request that carries samples. Whatever else hosts ask each other is JSON, which begins with none.
const FORMAT: u8 = 1;
/// A host tells of no more VMs.
pub const MOST_VMS: usize = 1_024;
/// So many slots are told at once, at most.
const MOST_BATCHES: usize = 128;
/// No request of samples is longer.
pub const MOST_BYTES: usize = 64 * 1_024;

/// What a host and its VMs used in one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// In which.
    pub slot: Slot,
    /// How much of the host's processors was busy, in thousandths of a core; nothing: it could not be measured.
    pub busy_millicores: Option<u32>,
    /// How much of the host's memory was in use.
    pub used_mib: u32,
    /// The VMs that had a process there, each once, in the order of their UUIDs.
    pub vms: Vec<VmSample>,
}

/// What a VM used in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSample {
    /// Which.
    pub uuid: u128,
    /// The processor time of its process, in thousandths of a core; nothing: it has only just come up.
    pub busy_millicores: Option<u32>,
    /// What its process has in the host's memory.
    pub used_mib: u32,
}

/// What a voter answers: the run of its keeper. A keeper that ran before may have lost what was not on its disk yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Another number for each run.
    pub run: u64,
}

/// Why samples were not taken.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BatchError {
    /// They are in no form that is known here.
    #[error("samples in a form that is not known here: {0}")]
    Form(String),
    /// They are more than a host has to tell.
    #[error("{count} {what} at once, {limit} is the limit")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The same VM twice.
    #[error("the VMs of a slot are not in order, or one is told of twice")]
    Order,
}

impl Batch {
    /// All that is told, by series.
    pub fn samples(&self, host: u32) -> impl Iterator<Item = (Subject, Option<u32>, u32)> + '_ {
        let own = (Subject::Host(host), self.busy_millicores, self.used_mib);
        let vms = self.vms.iter().map(|vm| (Subject::Vm(vm.uuid), vm.busy_millicores, vm.used_mib));
        std::iter::once(own).chain(vms)
    }

    /// At most so many bytes it takes in a request.
    pub(super) fn most_bytes(&self) -> usize {
        // A UUID takes at most 19 bytes, each number at most five and one that says that it is there.
        24 + self.vms.len() * 31
    }

    fn check(&self) -> Result<(), BatchError> {
        limited("VMs", self.vms.len(), MOST_VMS)?;
        let in_order = self.vms.is_sorted_by(|left, right| left.uuid < right.uuid);
        if in_order { Ok(()) } else { Err(BatchError::Order) }
    }
}

fn limited(what: &'static str, count: usize, limit: usize) -> Result<(), BatchError> {
    if count <= limit { Ok(()) } else { Err(BatchError::TooMany { what, count, limit }) }
}

/// Whether a request between hosts carries samples.
pub fn is_samples(body: &[u8]) -> bool {
    body.first() == Some(&FORMAT)
}

/// The request that tells of these slots.
pub fn encode_batches(batches: &[Batch]) -> Vec<u8> {
    // Numbers and lists of them can always be written.
    postcard::to_extend(batches, vec![FORMAT]).unwrap_or_default()
}

/// Reads such a request, and refuses what no agent of this cluster would send.
pub fn decode_batches(bytes: &[u8]) -> Result<Vec<Batch>, BatchError> {
    limited("bytes", bytes.len(), MOST_BYTES)?;
    let batches: Vec<Batch> = read(bytes)?;
    limited("slots", batches.len(), MOST_BATCHES)?;
    batches.iter().try_for_each(Batch::check)?;
    Ok(batches)
}

impl Receipt {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        // A number can always be written.
        postcard::to_extend(self, vec![FORMAT]).unwrap_or_default()
    }

    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Result<Receipt, BatchError> {
        read(bytes)
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BatchError> {
    let form = |what: &str| BatchError::Form(what.to_owned());
    match bytes.split_first() {
        Some((&FORMAT, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(form("something is left over")),
            Err(error) => Err(form(&error.to_string())),
        },
        _ => Err(form("it does not begin as such a request does")),
    }
}
