//! How a BMC's certificate is verified.

use crate::fence::device::{Fingerprint, Redfish, Verify};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The settings of TLS with which a BMC is spoken to; or why its authorities are of no use.
pub(super) fn client_config(device: &Redfish) -> Result<ClientConfig, String> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let expected = match &device.verify {
        Verify::Authorities(pem) => {
            return Ok(builder.with_root_certificates(authorities(pem)?).with_no_client_auth());
        }
        Verify::Fingerprint(fingerprint) => Some(*fingerprint),
        Verify::Nothing => None,
    };
    let verifier = Arc::new(Pinned { expected, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn authorities(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("its authorities are not sound PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("one of its authorities is of no use: {error}"))?;
    }
    if roots.is_empty() { Err("its authorities hold no certificate".to_owned()) } else { Ok(roots) }
}

/// Takes one certificate and no other, or any. Its name and its dates do not matter: a BMC's clock and name are rarely
/// set. That whoever shows it holds its key is verified in any case.
#[derive(Debug)]
struct Pinned {
    expected: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = fingerprint(shown);
        match self.expected {
            Some(expected) if expected != found => Err(Error::General(format!(
                "its certificate has the fingerprint {found}, not {expected}: if the BMC was given a new certificate, \
                 configure that one; else another machine answers at its address"
            ))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The fingerprint of a certificate in DER.
pub fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Fingerprint::new(bytes)
}
