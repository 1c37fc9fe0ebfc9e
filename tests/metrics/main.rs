//! What Prometheus gets: metrics that it can read, rules that fire when they should, a dashboard that asks for what there
//! is. All of it by Debian's own Prometheus; without it these tests say that they are skipped.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where what it stands on is missing"
)]

mod dashboard;
mod living;
mod names;
mod prometheus;
mod promtool;
mod rules;
