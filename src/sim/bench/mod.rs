//! Examples of a stated size, to measure on. They hold no clock: whoever measures looks at the time before and after.

mod heartbeats;
mod rack;

pub use heartbeats::Heartbeats;
pub use rack::{RackExample, rack_example};
