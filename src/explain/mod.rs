//! Every judgement, proof, wait and refusal in words, as an operator reads them.

mod facts;
mod names;
mod notes;
mod reasons;

pub use facts::{exit, fact};
pub use names::{NameList, Names};
pub use notes::{cause, note_of, under_epoch};
pub use reasons::{alert, no_proof, proof, refusal, storage_trouble, unfit, wait};
