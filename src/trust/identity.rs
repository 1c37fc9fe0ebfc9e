//! A private key with the certificate that names its owner, and the authority that signed it.

use crate::trust::{Principal, PrivateKey, TrustError, files, fingerprint, verify};
use crate::wire::Fingerprint;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::{hkdf, hmac};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Who one is, and the proof of it.
pub struct Identity {
    key: PrivateKey,
    certificate: CertificateDer<'static>,
    pub(super) authority: CertificateDer<'static>,
    principal: Principal,
}

impl Identity {
    /// Puts together what belongs together: the key, its certificate and the authority's, both in DER.
    pub fn new(key: PrivateKey, certificate: &[u8], authority: &[u8]) -> Result<Identity, TrustError> {
        let certificate = CertificateDer::from(certificate.to_vec());
        let authority = CertificateDer::from(authority.to_vec());
        let principal = Principal::of(&certificate)?;
        check_pair(&certificate, &key)?;
        let name = principal.name.clone();
        verify::signed_by(&certificate, &authority).map_err(|_| TrustError::Foreign { name })?;
        Ok(Identity { key, certificate, authority, principal })
    }

    /// Reads an identity from a folder: `NAME.key`, `NAME.pem` and `ca.pem`.
    pub fn load(folder: &Path, name: &str) -> Result<Identity, TrustError> {
        let certificate = read_certificate(&folder.join(format!("{name}.pem")))?;
        let authority = read_certificate(&folder.join("ca.pem"))?;
        let key = PrivateKey::load(&folder.join(format!("{name}.key")))?;
        Identity::new(key, &certificate, &authority)
    }

    /// Writes the identity into a folder, as [`Identity::load`] reads it. The certificate is written last: without it
    /// a join that was cut short is seen as one.
    pub fn store(&self, folder: &Path, name: &str) -> Result<(), TrustError> {
        self.key.store(&folder.join(format!("{name}.key")))?;
        files::write(&folder.join("ca.pem"), pem("CERTIFICATE", &self.authority).as_bytes())?;
        files::write(&folder.join(format!("{name}.pem")), pem("CERTIFICATE", &self.certificate).as_bytes())
    }

    /// The certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The authority's certificate, in DER.
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The certificate's fingerprint, which the roster names.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.certificate)
    }

    /// Whom the certificate names.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// A key for the purpose named, the same in each run of the program. Nothing can be learnt from it about the
    /// private key.
    pub fn derived_key(&self, purpose: &[u8]) -> Option<hmac::Key> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"holdfast derived key");
        let secret = salt.extract(self.key.to_der().secret_der());
        let mut bytes = [0; 32];
        secret.expand(&[purpose], hkdf::HKDF_SHA256).ok()?.fill(&mut bytes).ok()?;
        Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// Key and chain for TLS. The chain holds the authority too: a host that joins knows it by its fingerprint only.
    pub(super) fn certified_key(&self) -> Result<Arc<CertifiedKey>, TrustError> {
        let chain = vec![self.certificate.clone(), self.authority.clone()];
        let key = CertifiedKey::from_der(chain, self.key.to_der(), &verify::provider()).map_err(TrustError::Tls)?;
        Ok(Arc::new(key))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Identity");
        shown.field("principal", &self.principal).field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// Refuses a key that is not the certificate's.
pub(super) fn check_pair(certificate: &CertificateDer<'static>, key: &PrivateKey) -> Result<(), TrustError> {
    let paired = CertifiedKey::from_der(vec![certificate.clone()], key.to_der(), &verify::provider());
    match paired {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let name = Principal::of(certificate).map_or_else(|_| "the authority".to_owned(), |owner| owner.name);
            Err(TrustError::Unpaired { name })
        }
        Err(error) => Err(TrustError::Tls(error)),
    }
}

/// Reads the certificate in a file, as it is kept beside an identity, into DER.
pub fn load_certificate(path: &Path) -> Result<Vec<u8>, TrustError> {
    read_certificate(path).map(|certificate| certificate.to_vec())
}

/// Writes a certificate in DER into a file, as [`load_certificate`] reads it.
pub fn store_certificate(path: &Path, certificate: &[u8]) -> Result<(), TrustError> {
    files::write(path, pem("CERTIFICATE", certificate).as_bytes())
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, TrustError> {
    let content = files::read_public(path)?;
    CertificateDer::from_pem_slice(&content)
        .map_err(|_| TrustError::Content { path: path.to_owned(), wanted: "certificate" })
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
