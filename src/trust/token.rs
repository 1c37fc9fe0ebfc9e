//! One-time tokens by which a host joins.
//!
//! A token is one line of text: `holdfast-1.ID.SECRET.PIN`. The cluster keeps the identifier and the secret's
//! SHA-256. The pin is the beginning of the authority's fingerprint: by it the joining host knows the server before
//! it tells the secret.

use crate::trust::{TrustError, random, sha256};
use crate::wire::Fingerprint;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const PREFIX: &str = "holdfast-";
const FORM: &str = "holdfast-1";

/// Names a token; it is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenId(u64);

/// What only the holder of a token knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// What the cluster keeps of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretDigest([u8; 32]);

/// The beginning of the authority's fingerprint: long enough that nobody makes another authority that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin([u8; 16]);

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    id: TokenId,
    secret: Secret,
    pin: Pin,
}

/// Why a text is no token.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It is something else altogether.
    #[error("this is no join token: it must begin with '{FORM}.'; copy the whole line that `holdfast token` printed")]
    NoToken,
    /// It is of another form.
    #[error("this join token is of a form that this build does not know: install the build that the cluster runs")]
    OtherForm,
    /// A part is missing, or too many are there.
    #[error("this join token has {0} parts where there must be 4; copy the whole line that `holdfast token` printed")]
    Parts(usize),
    /// A part cannot be read.
    #[error("the {0} of this join token is damaged; copy the whole line that `holdfast token` printed")]
    Damaged(&'static str),
}

impl JoinToken {
    /// A new token for the cluster whose authority has this fingerprint.
    pub fn generate(authority: &Fingerprint) -> Result<JoinToken, TrustError> {
        let id = TokenId(u64::from_be_bytes(random()?));
        Ok(JoinToken { id, secret: Secret(random()?), pin: Pin::of(authority) })
    }

    /// Its name.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Its secret.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn pin(&self) -> Pin {
        self.pin
    }
}

/// The whole token with its secret: for the one to whom it is given.
impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM}.{}.{}.{}", self.id, self.secret.reveal(), BASE64_URL_SAFE_NO_PAD.encode(self.pin.0))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        if parts.first() != Some(&FORM) {
            return Err(if text.starts_with(PREFIX) { TokenError::OtherForm } else { TokenError::NoToken });
        }
        let [_, id, secret, pin] = parts[..] else { return Err(TokenError::Parts(parts.len())) };
        let pin = bytes(pin).map(Pin).ok_or(TokenError::Damaged("authority's fingerprint"))?;
        Ok(JoinToken { id: id.parse()?, secret: secret.parse()?, pin })
    }
}

impl TokenId {
    /// The number that the log knows it by.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| plain);
        number.map(TokenId).ok_or(TokenError::Damaged("identifier"))
    }
}

impl Secret {
    /// The secret as text, to be sent to a server that was verified.
    pub fn reveal(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the cluster keeps of it.
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(sha256(&self.0))
    }
}

impl FromStr for Secret {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        bytes(text).map(Secret).ok_or(TokenError::Damaged("secret"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl From<Fingerprint> for SecretDigest {
    fn from(print: Fingerprint) -> SecretDigest {
        SecretDigest(print.0)
    }
}

impl From<SecretDigest> for Fingerprint {
    fn from(digest: SecretDigest) -> Fingerprint {
        Fingerprint(digest.0)
    }
}

impl SecretDigest {
    /// Whether this is the secret. It takes as long for a near miss as for a far one.
    pub fn matches(&self, secret: &Secret) -> bool {
        // The comparison of two authentication codes is the one that `ring` makes in constant time.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"holdfast join token");
        let code = hmac::sign(&key, &self.0);
        hmac::verify(&key, &secret.digest().0, code.as_ref()).is_ok()
    }
}

impl Pin {
    fn of(fingerprint: &Fingerprint) -> Pin {
        let mut pin = [0; 16];
        pin.copy_from_slice(&fingerprint.0[..16]);
        Pin(pin)
    }

    pub(super) fn matches(&self, fingerprint: &Fingerprint) -> bool {
        *self == Pin::of(fingerprint)
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Longer text is refused before it is decoded.
    let wanted = text.len() == base64::encoded_len(N, false)?;
    wanted.then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok())?
}
