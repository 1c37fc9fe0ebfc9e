//! Stub, replaced by the branch `election`.
use crate::core::ids::{LogIndex, Ticket, VoterId};
/// x
#[derive(Debug, Clone)]
pub struct Message;
/// x
#[derive(Debug, Clone)]
pub struct StoreBatch {
    /// x
    pub ticket: Ticket,
}
/// x
#[derive(Debug, Clone)]
pub struct StoreImage {
    /// x
    pub voter: VoterId,
    /// x
    pub restored_from_backup: bool,
}
impl StoreImage {
    /// x
    pub fn apply(&mut self, _batch: &StoreBatch) {}
    /// x
    pub fn last_index(&self) -> LogIndex {
        LogIndex(0)
    }
    /// x
    pub fn bootstrap(voter: VoterId, _voters: &[VoterId], _snapshot: Vec<u8>) -> Self {
        StoreImage { voter, restored_from_backup: false }
    }
}
