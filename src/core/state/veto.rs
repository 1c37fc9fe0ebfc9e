//! x
/// x
pub struct LeaseCover;
