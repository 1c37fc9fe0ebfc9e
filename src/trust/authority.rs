//! The cluster's authority: it signs the certificates of hosts, API servers and operators.

use crate::clock;
use crate::trust::identity::pem;
use crate::trust::{Principal, PrivateKey, Role, SigningRequest, TrustError, files, fingerprint, random};
use crate::wire::Fingerprint;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, SigningKey, date_time_ymd,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const AUTHORITY_YEARS: u32 = 20;
const HOST_YEARS: u32 = 10;
const PERSON_YEARS: u32 = 1;

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";

/// The authority, with its private key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority of a new cluster.
    pub fn create(cluster: u128) -> Result<Authority, TrustError> {
        let key = PrivateKey::generate()?;
        let mut params = lasting(AUTHORITY_YEARS)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Holdfast");
        subject.push(DnType::CommonName, format!("cluster {}", uuid::Uuid::from_u128(cluster)));
        params.distinguished_name = subject;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key.pair()).map_err(TrustError::Make)?;
        let certificate = certificate.der().clone();
        Authority::of(certificate, key)
    }

    /// Reads the authority from a folder.
    pub fn load(folder: &Path) -> Result<Authority, TrustError> {
        let path = folder.join(CERTIFICATE_FILE);
        let certificate = CertificateDer::from_pem_slice(&files::read_public(&path)?)
            .map_err(|_| TrustError::Content { path, wanted: "certificate" })?;
        let key = PrivateKey::load(&folder.join(KEY_FILE))?;
        super::identity::check_pair(&certificate, &key)?;
        Authority::of(certificate, key)
    }

    /// Writes the authority into a folder: `ca.key`, which only its owner reads, then `ca.pem`.
    pub fn store(&self, folder: &Path) -> Result<(), TrustError> {
        files::write(&folder.join(KEY_FILE), self.issuer.key().serialize_pem().as_bytes())?;
        files::write(&folder.join(CERTIFICATE_FILE), pem("CERTIFICATE", &self.certificate).as_bytes())
    }

    /// The authority as the replicated log holds it: its certificate and its key, both in DER.
    pub fn restore(certificate: &[u8], key: &[u8]) -> Result<Authority, TrustError> {
        let certificate = CertificateDer::from(certificate.to_vec());
        let key = PrivateKey::from_der(key)?;
        super::identity::check_pair(&certificate, &key)?;
        Authority::of(certificate, key)
    }

    /// Its key, in DER, for the replicated log: every voter can let hosts join.
    pub fn key(&self) -> Vec<u8> {
        self.issuer.key().serialize_der()
    }

    /// Its own certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The fingerprint of its own certificate, which a join token carries.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.certificate)
    }

    /// A host's certificate, for the links between hosts. It names no address, so it serves for nothing else.
    pub fn issue_host(&self, request: &SigningRequest, name: &str) -> Result<Vec<u8>, TrustError> {
        let params = self.params(&Principal::new(name, Role::Host)?, HOST_YEARS, &BOTH_ENDS)?;
        self.sign(request, &params)
    }

    /// The certificate of an API server, for the names and addresses under which it is called.
    pub fn issue_api_server(
        &self,
        request: &SigningRequest,
        name: &str,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Vec<u8>, TrustError> {
        let principal = Principal::new(name, Role::Api)?;
        let mut params = self.params(&principal, HOST_YEARS, &[ExtendedKeyUsagePurpose::ServerAuth])?;
        for name in names {
            let dns = name.as_str().try_into().map_err(|_| TrustError::Name(name.clone()))?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        self.sign(request, &params)
    }

    /// A person's certificate, for the API.
    pub fn issue_person(&self, request: &SigningRequest, person: &Principal) -> Result<Vec<u8>, TrustError> {
        if !matches!(person.role, Role::Viewer | Role::Operator) {
            return Err(TrustError::Request("a person is a viewer or an operator"));
        }
        self.sign(request, &self.params(person, PERSON_YEARS, &[ExtendedKeyUsagePurpose::ClientAuth])?)
    }

    /// A signature of something else than a certificate, for [`has_signed`].
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, TrustError> {
        self.issuer.key().sign(message).map_err(TrustError::Make)
    }

    fn of(certificate: CertificateDer<'static>, key: PrivateKey) -> Result<Authority, TrustError> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key.into_pair()).map_err(TrustError::Make)?;
        Ok(Authority { certificate, issuer })
    }

    fn params(
        &self,
        principal: &Principal,
        years: u32,
        uses: &[ExtendedKeyUsagePurpose],
    ) -> Result<CertificateParams, TrustError> {
        let mut params = lasting(years)?;
        params.distinguished_name = principal.distinguished_name();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = uses.to_vec();
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn sign(&self, request: &SigningRequest, params: &CertificateParams) -> Result<Vec<u8>, TrustError> {
        let signed = params.signed_by(request.public_key(), &self.issuer).map_err(TrustError::Make)?;
        Ok(signed.der().to_vec())
    }
}

/// Whether the authority with this certificate, in DER, has signed that.
pub fn has_signed(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let key = &parsed.tbs_certificate.subject_pki.subject_public_key.data;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

const BOTH_ENDS: [ExtendedKeyUsagePurpose; 2] =
    [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

/// Valid from a day ago, so that a machine whose clock is a little slow takes it as well.
fn lasting(years: u32) -> Result<CertificateParams, TrustError> {
    let mut params = CertificateParams::default();
    let now = Duration::from_millis(u64::try_from(clock::wall_milliseconds()).unwrap_or(0));
    let begin = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
    params.not_before = begin;
    params.not_after = begin + YEAR * years;
    params.serial_number = Some(SerialNumber::from(random::<16>()?.to_vec()));
    Ok(params)
}
