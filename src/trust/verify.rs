//! Which certificates TLS takes.

use crate::trust::fingerprint;
use crate::trust::token::Pin;
use crate::wire::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore, SignatureScheme,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Who says which certificates are those of members, at this moment.
pub trait Admission: Debug + Send + Sync {
    /// Whether the certificate with this fingerprint is that of a member.
    fn admits(&self, fingerprint: &Fingerprint) -> bool;
}

pub(super) fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

pub(super) fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

/// Whether the authority signed this certificate, whatever the clock says now.
pub(super) fn signed_by(certificate: &CertificateDer<'_>, authority: &CertificateDer<'static>) -> Result<(), Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let begin = |der: &[u8]| -> Result<UnixTime, Error> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| bad())?;
        let seconds = u64::try_from(parsed.validity().not_before.timestamp()).map_err(|_| bad())?;
        Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    };
    let then = begin(certificate)?.max(begin(authority)?);
    let result = chain(certificate, authority, then, Uses::Server);
    // A person's certificate serves for nothing but a client's.
    result.or_else(|_| chain(certificate, authority, then, Uses::Client))
}

enum Uses {
    Server,
    Client,
}

fn chain(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'static>,
    now: UnixTime,
    uses: Uses,
) -> Result<(), Error> {
    let roots = roots(authority)?;
    match uses {
        Uses::Server => {
            let parsed = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms().all)
        }
        Uses::Client => {
            let verifier = client_verifier(roots)?;
            verifier.verify_client_cert(certificate, &[], now).map(|_| ())
        }
    }
}

pub(super) fn client_verifier(roots: RootCertStore) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let builder = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider().into());
    builder.allow_unauthenticated().build().map_err(|error| Error::General(error.to_string()))
}

/// Between hosts: a certificate of the authority that the roster names.
///
/// The roster is asked first. What it does not name is not even parsed.
#[derive(Debug)]
pub(super) struct LinkVerifier {
    authority: CertificateDer<'static>,
    admission: Arc<dyn Admission>,
}

impl LinkVerifier {
    pub(super) fn new(authority: &[u8], admission: Arc<dyn Admission>) -> LinkVerifier {
        LinkVerifier { authority: CertificateDer::from(authority.to_vec()), admission }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match self.admission.admits(&fingerprint(certificate)) {
            true => signed_by(certificate, &self.authority),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }
}

/// All our TLS is 1.3.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
}

impl ServerCertVerifier for LinkVerifier {
    /// Who is dialled is known by the fingerprint, which the transport compares; a name would add nothing.
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

impl ClientCertVerifier for LinkVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// For a host that joins: it knows the authority by the pin in its token, and finds its certificate in the chain that
/// the server shows.
#[derive(Debug)]
pub(super) struct JoinVerifier(pub(super) Pin);

impl ServerCertVerifier for JoinVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|shown| self.0.matches(&fingerprint(shown)));
        let authority = authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        chain(certificate, &authority.clone().into_owned(), now, Uses::Server)?;
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
