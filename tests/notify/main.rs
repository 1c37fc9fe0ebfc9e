//! Notifications against real receivers: an HTTP server of this test's own, which can do whatever servers do, and the
//! mail server aiosmtpd, which nobody here wrote; first one sender at a time, then whole clusters whose masters die.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where what it stands on is missing"
)]

mod channels;
mod mail;
mod receiver;
mod senders;
mod successions;

use std::io::Write;

/// Says that something was not tested, past the test runner, which keeps what a passing test prints to itself.
fn skip(what: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}").ok();
}
