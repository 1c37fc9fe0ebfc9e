//! The embedded machine with real processes, and the product's clients of its BMC and its watchdog.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where what it stands on is missing")]

mod bmc;
mod ends;
mod host;
mod power;
mod rig;
mod system;
mod watchdog;
