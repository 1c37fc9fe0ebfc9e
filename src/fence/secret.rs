//! What must not be shown.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest password or option.
const LONGEST: usize = 4096;

/// A password, or any setting that may be one. It is written down as it is, for the cluster has to keep it, and is
/// never shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(String);

/// Why a text cannot be a secret. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password or option is empty, longer than {LONGEST} bytes, or has a NUL in it")]
pub struct BadSecret;

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: &str) -> Result<Secret, BadSecret> {
        Secret::try_from(text.to_owned())
    }

    /// The text, for the one place that has to tell it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Secret {
    type Error = BadSecret;
    fn try_from(text: String) -> Result<Secret, BadSecret> {
        if text.is_empty() || text.len() > LONGEST || text.contains('\0') {
            return Err(BadSecret);
        }
        Ok(Secret(text))
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> String {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(serde_json::from_str::<Secret>("\"\"").unwrap_err().to_string().matches("empty").count(), 1);
    }
}
