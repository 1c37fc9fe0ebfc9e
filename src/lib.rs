//! Holdfast keeps virtual machines running when hosts die.

pub mod core;
pub mod election;
