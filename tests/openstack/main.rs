//! The clients of an OpenStack cloud against a server that answers as a real one (Nova 26, Zed) has answered, or fails as
//! servers do: refuses, counts requests, breaks off, says nothing, is not there.

#![allow(clippy::expect_used, reason = "a test ends where what it stands on is missing")]
#![allow(clippy::unwrap_used, reason = "a test ends where what it stands on is missing")]

mod cloud;
mod command;
mod lists;
mod orders;
mod questions;
mod recorded;
mod versions;
