//! The versions of Nova's interface.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A version of Nova's interface, such as 2.93.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Microversion {
    major: u16,
    minor: u16,
}

impl Microversion {
    /// The oldest that is spoken, of Pike: since it, services are named by UUIDs, and a UUID is one service in all cells.
    pub const LOWEST: Microversion = Microversion::new(2, 53);
    /// The newest that is spoken, of Zed. From 2.95 on evacuated servers stay stopped; a cloud that knows that one knows
    /// this one too, and brings them back as they were.
    pub const HIGHEST: Microversion = Microversion::new(2, 93);

    /// This one.
    pub const fn new(major: u16, minor: u16) -> Microversion {
        Microversion { major, minor }
    }

    /// The one to be spoken with a cloud that knows all from `lowest` to `highest`.
    pub fn between(lowest: Microversion, highest: Microversion) -> Option<Microversion> {
        let spoken = highest.min(Microversion::HIGHEST);
        (spoken >= Microversion::LOWEST && spoken >= lowest).then_some(spoken)
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Microversion {
    type Err = String;
    fn from_str(text: &str) -> Result<Microversion, String> {
        let parts = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parts.map(|(major, minor)| Microversion::new(major, minor)).ok_or_else(|| format!("\"{text}\" is no version"))
    }
}

impl TryFrom<String> for Microversion {
    type Error = String;
    fn try_from(text: String) -> Result<Microversion, String> {
        text.parse()
    }
}

impl From<Microversion> for String {
    fn from(version: Microversion) -> String {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_not_texts() {
        let version = |text: &str| text.parse::<Microversion>().unwrap();
        assert!(version("2.100") > version("2.93") && version("2.9") < version("2.53"));
        assert_eq!(version("2.93").to_string(), "2.93");
        for wrong in ["", "2", "2.x", "two", "2.93.1", "2.-1", "99999.1"] {
            assert!(wrong.parse::<Microversion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_both_know_is_spoken() {
        let version = |text: &str| text.parse::<Microversion>().unwrap();
        let spoken = |low: &str, high: &str| Microversion::between(version(low), version(high)).map(|v| v.to_string());
        assert_eq!(spoken("2.1", "2.53").as_deref(), Some("2.53"));
        assert_eq!(spoken("2.1", "2.93").as_deref(), Some("2.93"));
        assert_eq!(spoken("2.1", "2.100").as_deref(), Some("2.93"));
        assert_eq!(spoken("2.1", "2.52"), None);
        assert_eq!(spoken("2.94", "2.100"), None);
    }
}
