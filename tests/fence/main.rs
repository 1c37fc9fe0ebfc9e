//! The clients of fence devices, against devices that misbehave and against code that nobody here wrote. How they work a
//! BMC that behaves is tested with the embedded machine, in `tests/machine`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where what it stands on is missing")]

mod agents;
mod strange;
mod sushy;
mod vendors;

use std::io::Write;

/// Says that something was not tested, past the test runner, which keeps what a passing test prints to itself.
fn skip(what: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}").ok();
}
