//! Every judgement, proof, wait and refusal in words, as an operator reads them.

mod alerts;
mod facts;
mod names;
mod notes;
mod reasons;

pub use alerts::alert;
pub use facts::{exit, fact};
pub use names::{NameList, Names};
pub use notes::{cause, note_of, under_epoch};
pub use reasons::{no_proof, proof, refusal, storage_trouble, unfit, wait};
