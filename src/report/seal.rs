//! Signed reports: one file that a person reads and a program checks.
//!
//! ```text
//!  <!doctype html> ... <script type="application/json" id="data">{"statement": ...}</script> ... </html>
//!  └──────────────────────────── signed, to the last byte ────────────────────────────────────────────┘
//!  <!--holdfast-seal-1 BASE64-->
//!  └──── the signature ────────┘ and nothing behind it
//! ```
//!
//! Signed are all bytes of the page, with a word before them that no certificate and no roster begins with, by the key of the
//! cluster's authority: every voter holds it, so a voter's own certificate would prove no more, and whoever checks needs
//! `ca.pem` and nothing else. The key stays where it is: the master signs.

use super::html::{DATA_BEGINS, DATA_ENDS};
use crate::trust::{fingerprint, has_signed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Stands before what is signed, so that a signature of a report is one of nothing else.
const PURPOSE: &[u8] = b"holdfast report, sealed: 1\n";
const SEAL_BEGINS: &str = "<!--holdfast-seal-1 ";
const SEAL_ENDS: &str = "-->\n";
/// No seal is longer: a signature in DER has at most 72 bytes.
const SEAL_LIMIT: usize = 100;

/// What a sealed report says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The name of the cluster.
    pub cluster: String,
    /// Its UUID.
    pub uuid: uuid::Uuid,
    /// The SHA-256 of its authority's certificate, in hexadecimal digits.
    pub authority: String,
    /// Which month, such as `2026-10`.
    pub month: String,
    /// In which time zone.
    pub zone: String,
    /// When it began, in milliseconds since 1970.
    pub from: i64,
    /// Up to when it is told.
    pub to: i64,
    /// The month was not over yet when it was signed.
    pub provisional: bool,
    /// When it was signed, in milliseconds since 1970, by the clock of who signed.
    pub signed_at_milliseconds: i64,
    /// The host of the master that signed.
    pub signed_on: String,
}

/// Where a page says so.
#[derive(Deserialize)]
struct Data {
    statement: Statement,
}

/// Why a file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// It has no seal.
    #[error("it is no signed report of Holdfast, or its end is missing: no seal stands at its end")]
    NoSeal,
    /// Another authority is named in it.
    #[error("it says that another authority signed it: {named}, and not {wanted}")]
    Foreign {
        /// Which one is named.
        named: String,
        /// Which one was wanted.
        wanted: String,
    },
    /// The signature is not of these bytes.
    #[error("it was changed after it was signed, or this authority did not sign it: the signature does not fit")]
    Changed,
    /// What it says of itself cannot be read.
    #[error("its signature is right, but what it says of itself cannot be read: a newer Holdfast may have made it")]
    Unreadable,
    /// The certificate of the authority is none.
    #[error("what was given as the authority's certificate is none")]
    NoAuthority,
    /// The authority had no right to sign then.
    #[error("it was signed at a time at which the authority's certificate was not valid")]
    OutOfTime,
}

/// Seals a page; `sign` signs with the authority's key.
pub fn seal<E>(page: &str, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, E> {
    let signature = sign(&to_sign(page.as_bytes()))?;
    Ok(format!("{page}{SEAL_BEGINS}{}{SEAL_ENDS}", BASE64.encode(signature)))
}

/// Checks a sealed page against the certificate of an authority, in DER, and gives what it says of itself.
pub fn open(file: &[u8], authority: &[u8]) -> Result<Statement, SealError> {
    let (_, certificate) = X509Certificate::from_der(authority).map_err(|_| SealError::NoAuthority)?;
    let (page, signature) = parted(file).ok_or(SealError::NoSeal)?;
    let statement = statement(page);
    if !has_signed(authority, &to_sign(page), &signature) {
        // It is not believed, but it may help.
        let wanted = fingerprint(authority).to_string();
        let named = statement.map(|statement| statement.authority).filter(|named| *named != wanted);
        return Err(named.map_or(SealError::Changed, |named| SealError::Foreign { named, wanted }));
    }
    let statement = statement.ok_or(SealError::Unreadable)?;
    let (validity, signed) = (certificate.validity(), statement.signed_at_milliseconds.div_euclid(1_000));
    match (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&signed) {
        true => Ok(statement),
        false => Err(SealError::OutOfTime),
    }
}

fn to_sign(page: &[u8]) -> Vec<u8> {
    [PURPOSE, page].concat()
}

/// The page and its signature. There is one way to write a seal: another one is none.
fn parted(file: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let rest = file.strip_suffix(SEAL_ENDS.as_bytes())?;
    let least = rest.len().saturating_sub(SEAL_LIMIT + SEAL_BEGINS.len());
    let begin = SEAL_BEGINS.as_bytes();
    let place =
        (least..rest.len()).rev().find(|place| rest.get(*place..).is_some_and(|rest| rest.starts_with(begin)))?;
    let (page, seal) = rest.split_at_checked(place)?;
    Some((page, BASE64.decode(seal.strip_prefix(begin)?).ok()?))
}

fn statement(page: &[u8]) -> Option<Statement> {
    let page = std::str::from_utf8(page).ok()?;
    // The page escapes all names, so this stands there once.
    let (_, data) = page.split_once(DATA_BEGINS)?;
    let (data, _) = data.split_once(DATA_ENDS)?;
    serde_json::from_str::<Data>(data).ok().map(|data| data.statement)
}

/// There is one way to write what was read: see [`crate::laws`].
#[cfg(any(test, fuzzing))]
pub(crate) fn law(bytes: &[u8]) -> bool {
    let Some((page, signature)) = parted(bytes) else { return false };
    let again = [page, SEAL_BEGINS.as_bytes(), BASE64.encode(&signature).as_bytes(), SEAL_ENDS.as_bytes()].concat();
    assert!(again == bytes, "a seal that can be written in two ways");
    let settled = |statement: Statement| {
        let text = serde_json::to_string(&statement).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Statement>(&text).ok(), Some(statement), "{text}");
    };
    statement(page).map(settled);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Document, html};
    use crate::trust::Authority;
    use jiff::tz::TimeZone;

    fn stated(authority: &Authority) -> Statement {
        Statement {
            cluster: "lab".to_owned(),
            uuid: uuid::Uuid::from_u128(7),
            authority: authority.fingerprint().to_string(),
            month: "2026-10".to_owned(),
            zone: "UTC".to_owned(),
            from: 0,
            to: 1,
            provisional: false,
            signed_at_milliseconds: crate::clock::wall_milliseconds(),
            signed_on: "host-1".to_owned(),
        }
    }

    fn page(statement: &Statement) -> String {
        html(&Document {
            title: "A month".to_owned(),
            subtitle: "</script><!--holdfast-seal-1 AAAA-->\n".to_owned(),
            zone: TimeZone::UTC,
            facts: Vec::new(),
            warnings: Vec::new(),
            sections: Vec::new(),
            definitions: "",
            colophon: String::new(),
            data: serde_json::json!({ "statement": statement }).to_string(),
        })
    }

    fn sealed(authority: &Authority, statement: &Statement) -> Vec<u8> {
        seal(&page(statement), |bytes| authority.sign_message(bytes)).unwrap().into_bytes()
    }

    #[test]
    fn a_sealed_report_tells_who_signed_it_when() {
        let authority = Authority::create(7).unwrap();
        let statement = stated(&authority);
        assert_eq!(open(&sealed(&authority, &statement), authority.certificate()), Ok(statement));
    }

    #[test]
    fn no_byte_can_be_changed_added_or_left_out() {
        let authority = Authority::create(7).unwrap();
        let file = sealed(&authority, &stated(&authority));
        for place in 0..file.len() {
            let mut changed = file.clone();
            // One bit of each byte, another one each time.
            changed[place] ^= 1 << (place % 8);
            assert!(open(&changed, authority.certificate()).is_err(), "byte {place}");
        }
        for length in (0..file.len()).step_by(97).chain([file.len() - 1]) {
            assert_eq!(open(&file[..length], authority.certificate()), Err(SealError::NoSeal), "{length} bytes");
        }
        for more in [" ", "\n", "<p>more</p>", "<!--holdfast-seal-1 AAAA-->\n"] {
            assert!(open(&[&file, more.as_bytes()].concat(), authority.certificate()).is_err(), "{more}");
            assert!(open(&[more.as_bytes(), &file].concat(), authority.certificate()).is_err(), "{more}");
        }
    }

    #[test]
    fn another_authority_and_another_time_are_told_in_words() {
        let (ours, theirs) = (Authority::create(7).unwrap(), Authority::create(7).unwrap());
        let file = sealed(&theirs, &stated(&theirs));
        assert!(matches!(open(&file, ours.certificate()), Err(SealError::Foreign { .. })));
        // It lies about who signed it.
        let file = sealed(&theirs, &stated(&ours));
        assert_eq!(open(&file, ours.certificate()), Err(SealError::Changed));
        assert_eq!(open(&file, b"none"), Err(SealError::NoAuthority));
        for at in [0, 4_000_000_000_000] {
            let old = Statement { signed_at_milliseconds: at, ..stated(&ours) };
            assert_eq!(open(&sealed(&ours, &old), ours.certificate()), Err(SealError::OutOfTime));
        }
        let silent = seal("<p>no data</p>", |bytes| ours.sign_message(bytes)).unwrap();
        assert_eq!(open(silent.as_bytes(), ours.certificate()), Err(SealError::Unreadable));
    }
}
