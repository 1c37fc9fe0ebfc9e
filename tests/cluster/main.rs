//! Whole clusters of real processes: each test has its own, and ends with the question whether any disk was ever written
//! by two, whether everything that should run runs, and whether the ledger tells it right.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where what it stands on is missing"
)]

mod agents;
mod checks;
mod cuts;
mod deaths;
mod freezes;
mod full_disk;
mod guards;
mod guests;
mod live;
mod load;
mod majority;
mod measure;
mod mounts;
mod people;
mod power;
mod recover;
mod reports;
mod requests;
mod rig;
mod shutdowns;
mod storage;
mod strangers;
#[cfg(feature = "next-protocol")]
mod upgrade;
