//! The laws of reading: what must hold whatever bytes come from outside, for every decoder that there is.
//!
//! A decoder never panics; it takes no more memory than its input or a fixed bound justifies; and what it has read can
//! be written, and reads the same again. Each law below takes any bytes, says whether a decoder took them, and panics
//! where the law is broken. The tests here try them with the seeds in `tests/fuzz/seeds`, whole and damaged, and with
//! what once broke one, in `tests/fuzz/found`; the fuzz targets in `tests/fuzz/targets` try them with whatever the
//! fuzzer comes upon. No shipped build holds this module.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

mod node;
mod peers;
mod people;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

#[cfg(feature = "libvirt")]
use crate::libvirt::law as libvirt;
use std::fmt::Debug;

/// Whether a decoder took the bytes.
pub type Law = fn(&[u8]) -> bool;

/// All laws, by the names of their fuzz targets.
pub const ALL: [(&str, Law); 18] = [
    ("api", crate::api::law),
    ("certificates", people::certificates),
    ("config", people::config),
    ("datagram", peers::datagram),
    ("datastore", crate::datastore::law),
    ("fence-answer", crate::fence::law),
    ("fence-device", people::fence_device),
    ("hello", peers::hello),
    ("libvirt", libvirt),
    ("node", node::node),
    ("process", crate::process::law),
    ("samples", crate::samples::law),
    ("scenario", people::scenario),
    ("sealed", crate::report::law),
    ("store", crate::store::law),
    ("stream", peers::stream),
    ("token", people::token),
    ("watchdog", peers::watchdog),
];

/// A build without libvirt reads nothing of it.
#[cfg(not(feature = "libvirt"))]
fn libvirt(_bytes: &[u8]) -> bool {
    true
}

/// Tries one law.
pub fn check(name: &str, bytes: &[u8]) -> bool {
    let (_, law) = ALL.iter().find(|(known, _)| *known == name).expect("every target has a law");
    law(bytes)
}

/// If the bytes can be read, what was read can be written, and reads the same again.
pub(crate) fn settles<T, E>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Option<T>,
    write: impl FnOnce(&T) -> Result<Vec<u8>, E>,
) -> bool
where
    T: PartialEq + Debug,
    E: Debug,
{
    let Some(value) = read(bytes) else { return false };
    let written = write(&value).expect("what was read can be written");
    assert_eq!(read(&written).as_ref(), Some(&value), "what was written reads otherwise");
    true
}

/// The same of a value that is JSON.
pub(crate) fn settles_as_json<T>(bytes: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    settles(bytes, |bytes| serde_json::from_slice::<T>(bytes).ok(), serde_json::to_vec)
}

/// Text that people are shown moves no cursor and changes no colour.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n')
}
