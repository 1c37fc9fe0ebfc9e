//! What holds for whatever a definition, a payload or a hook says: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::definition::payload::{Package, pack, unpack};
use super::definition::{Circumstances, describe, obstacles, shape};
use super::hook;
use crate::laws::{is_plain, settles};

/// The XML of a domain, what travels of it, and what a hook says.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let described = std::str::from_utf8(bytes).is_ok_and(|xml| {
        let Ok(described) = describe(xml) else { return false };
        assert!(is_plain(&described.name));
        let obstacles = obstacles(&described, &Circumstances::default());
        let shape = shape(&described, &obstacles, &[], Vec::new().into());
        assert!(shape.bonds.iter().chain(&shape.needs).all(|text| is_plain(text)));
        let package = Package { xml: xml.to_owned(), nvram: None, is_saved: false };
        assert_eq!(unpack(&pack(&package).unwrap()).unwrap(), package);
        true
    });
    let unpacked = settles(bytes, |bytes| unpack(bytes).ok(), pack);
    hook::law(bytes) || unpacked || described
}
