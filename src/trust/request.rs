//! Private keys, and the requests to have them certified.

use crate::trust::{TrustError, files};
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::path::Path;

/// A signing request has at most so many bytes.
pub const REQUEST_LIMIT: usize = 4_096;

/// A private key. It stays on the machine that made it.
pub struct PrivateKey(KeyPair);

impl PrivateKey {
    /// A new key (ECDSA on P-256).
    pub fn generate() -> Result<PrivateKey, TrustError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(PrivateKey).map_err(TrustError::Make)
    }

    /// Reads a key from its file, which nobody but its owner may be able to read.
    pub fn load(path: &Path) -> Result<PrivateKey, TrustError> {
        let wrong = || TrustError::Content { path: path.to_owned(), wanted: "private key" };
        let content = files::read_private(path)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&content).map_err(|_| wrong())?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(|_| wrong())?;
        Ok(PrivateKey(pair))
    }

    /// Writes the key to a file that only its owner reads.
    pub fn store(&self, path: &Path) -> Result<(), TrustError> {
        files::write(path, self.0.serialize_pem().as_bytes())
    }

    /// A request to certify this key, in DER. It proves that its sender has the key, and asks for no name: the one
    /// who signs decides that.
    pub fn request(&self) -> Result<Vec<u8>, TrustError> {
        let request = CertificateParams::default().serialize_request(&self.0).map_err(TrustError::Make)?;
        Ok(request.der().to_vec())
    }

    /// The same key once more, for a second certificate of its owner.
    pub fn duplicate(&self) -> Result<PrivateKey, TrustError> {
        PrivateKey::from_der(&self.0.serialize_der())
    }

    pub(super) fn from_der(der: &[u8]) -> Result<PrivateKey, TrustError> {
        let der = PrivatePkcs8KeyDer::from(der);
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map(PrivateKey).map_err(TrustError::Make)
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }

    pub(super) fn into_pair(self) -> KeyPair {
        self.0
    }

    pub(super) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialize_der()))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(not shown)")
    }
}

/// A request whose sender has the private key. Nothing but the public key is taken from it.
#[derive(Debug)]
pub struct SigningRequest(PublicKey);

impl SigningRequest {
    /// Reads a request in DER, and checks its signature.
    pub fn parse(der: &[u8]) -> Result<SigningRequest, TrustError> {
        if der.len() > REQUEST_LIMIT {
            return Err(TrustError::Request("it is too long"));
        }
        let request = CertificateSigningRequestParams::from_der(&der.into());
        let request = request.map_err(|_| TrustError::Request("it cannot be read, or its signature is wrong"))?;
        match request.public_key.algorithm() == &PKCS_ECDSA_P256_SHA256 {
            true => Ok(SigningRequest(request.public_key)),
            false => Err(TrustError::Request("its key must be ECDSA on P-256")),
        }
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.0
    }
}
