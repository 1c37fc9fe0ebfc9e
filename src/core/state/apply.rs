//! x
/// x
pub struct Applied; 
/// x
pub struct Change;
