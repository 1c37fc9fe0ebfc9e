//! Every decision of Holdfast, and no I/O.

pub mod ids;
pub mod time;
pub mod timing;
