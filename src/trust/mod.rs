//! Keys and certificates: who may talk to whom.
//!
//! Each cluster has an authority of its own, which signs the certificates of its hosts, of its API servers and of its
//! operators. A private key never leaves the machine that made it; what travels is a signing request.
//!
//! Between hosts a certificate of the authority is not enough: the roster must name it too, so a host that is
//! removed from the roster gets nowhere at once. There the wall clock decides nothing: a host whose clock is wrong must
//! not lose its heartbeats, so a host's certificate holds as long as the roster names it, however old it is. For
//! people, on the API, it expires as written.

mod authority;
mod error;
mod files;
mod identity;
mod principal;
mod request;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod verify;

pub use authority::{Authority, has_signed};
pub use error::TrustError;
pub use identity::{Identity, load_certificate, store_certificate};
pub use principal::{Principal, Role};
pub use request::{PrivateKey, REQUEST_LIMIT, SigningRequest};
pub use tls::{api_client, api_server, joining_client, link_client, link_server};
pub use token::{JoinToken, Secret, SecretDigest, TokenError, TokenId};
pub use verify::Admission;

use crate::wire::Fingerprint;
use ring::digest;

/// Names the one provider of cryptography, for libraries that ask for a default. Calling it again changes nothing.
pub fn use_ring() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // Another one can only have been named by this program too, which names no other.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The SHA-256 of a certificate.
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(sha256(der))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], TrustError> {
    let mut bytes = [0; N];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    filled.map(|()| bytes).map_err(|_| TrustError::NoRandomness)
}
