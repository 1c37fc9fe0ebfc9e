//! Every judgement, proof, wait and refusal in words, as an operator reads them.

mod names;
mod reasons;

pub use names::Names;
pub use reasons::{alert, proof, refusal, unfit, wait};
