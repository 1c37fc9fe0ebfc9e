//! The embedded hypervisor, with real processes: what it starts runs, what it calls gone is gone, and nothing else is
//! ever touched.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where what it stands on is missing")]

mod agents;
mod calls;
mod host;
mod kills;
