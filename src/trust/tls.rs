//! TLS as each use needs it. All of it is 1.3.
//!
//! No session is ever resumed: a resumed session shows no certificate, so whoever was removed from the roster could
//! come back with one.

use crate::trust::token::Pin;
use crate::trust::verify::{self, Admission, JoinVerifier, LinkVerifier};
use crate::trust::{Identity, JoinToken, TrustError};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use std::sync::Arc;

/// What is spoken between hosts.
const LINK_PROTOCOL: &[u8] = b"holdfast";
const API_PROTOCOL: &[u8] = b"http/1.1";

/// The one certificate that this end shows.
#[derive(Debug)]
struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// For a host that is dialled by others: both ends must be members.
pub fn link_server(identity: &Identity, admission: Arc<dyn Admission>) -> Result<ServerConfig, TrustError> {
    let own = Arc::new(Own(identity.certified_key()?));
    let verifier = Arc::new(LinkVerifier::new(identity.authority(), admission));
    let builder = ServerConfig::builder_with_provider(verify::provider().into());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(TrustError::Tls)?;
    let config = builder.with_client_cert_verifier(verifier).with_cert_resolver(own);
    Ok(unresumed(config, LINK_PROTOCOL))
}

/// For a host that dials others: both ends must be members.
pub fn link_client(identity: &Identity, admission: Arc<dyn Admission>) -> Result<ClientConfig, TrustError> {
    let own = Arc::new(Own(identity.certified_key()?));
    let verifier = Arc::new(LinkVerifier::new(identity.authority(), admission));
    let builder = ClientConfig::builder_with_provider(verify::provider().into());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(TrustError::Tls)?;
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_client_cert_resolver(own);
    Ok(fresh(config, LINK_PROTOCOL))
}

/// For the server of the operator's API. A client may show a certificate of the cluster's authority, or none; what it
/// may do is then for [`super::Principal::of`], or for a token, to say.
pub fn api_server(identity: &Identity) -> Result<ServerConfig, TrustError> {
    let own = Arc::new(Own(identity.certified_key()?));
    let roots = verify::roots(&CertificateDer::from(identity.authority().to_vec())).map_err(TrustError::Tls)?;
    let verifier = verify::client_verifier(roots).map_err(TrustError::Tls)?;
    let builder = ServerConfig::builder_with_provider(verify::provider().into());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(TrustError::Tls)?;
    let config = builder.with_client_cert_verifier(verifier).with_cert_resolver(own);
    Ok(unresumed(config, API_PROTOCOL))
}

/// For a client of the operator's API that knows the cluster's authority; with a person's certificate, if there is
/// one.
pub fn api_client(authority: &[u8], person: Option<&Identity>) -> Result<ClientConfig, TrustError> {
    let roots = verify::roots(&CertificateDer::from(authority.to_vec())).map_err(TrustError::Tls)?;
    let builder = ClientConfig::builder_with_provider(verify::provider().into());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(TrustError::Tls)?;
    let builder = builder.with_root_certificates(roots);
    let config = match person {
        Some(person) => builder.with_client_cert_resolver(Arc::new(Own(person.certified_key()?))),
        None => builder.with_no_client_auth(),
    };
    Ok(fresh(config, API_PROTOCOL))
}

/// For a host that joins: the server must be of the authority that the token names, or the secret is not sent.
pub fn joining_client(token: &JoinToken) -> Result<ClientConfig, TrustError> {
    let pin: Pin = token.pin();
    let builder = ClientConfig::builder_with_provider(verify::provider().into());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(TrustError::Tls)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(JoinVerifier(pin)));
    Ok(fresh(builder.with_no_client_auth(), API_PROTOCOL))
}

fn unresumed(mut config: ServerConfig, protocol: &[u8]) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

fn fresh(mut config: ClientConfig, protocol: &[u8]) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}
