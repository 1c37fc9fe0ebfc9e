//! Keys, certificates and tokens, with real files and real handshakes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handshakes;

use super::*;
use crate::wire::Fingerprint;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

fn authority() -> Authority {
    Authority::create(7).unwrap()
}

fn request(key: &PrivateKey) -> SigningRequest {
    SigningRequest::parse(&key.request().unwrap()).unwrap()
}

fn host(authority: &Authority, name: &str) -> Identity {
    let key = PrivateKey::generate().unwrap();
    let certificate = authority.issue_host(&request(&key), name).unwrap();
    Identity::new(key, &certificate, authority.certificate()).unwrap()
}

fn person(authority: &Authority, name: &str, role: Role) -> Identity {
    let key = PrivateKey::generate().unwrap();
    let principal = Principal::new(name, role).unwrap();
    let certificate = authority.issue_person(&request(&key), &principal).unwrap();
    Identity::new(key, &certificate, authority.certificate()).unwrap()
}

fn api(authority: &Authority) -> Identity {
    let key = PrivateKey::generate().unwrap();
    let names = ["node-1.example".to_owned()];
    let addresses = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    let certificate = authority.issue_api_server(&request(&key), "node-1", &names, &addresses).unwrap();
    Identity::new(key, &certificate, authority.certificate()).unwrap()
}

/// A roster of fingerprints.
#[derive(Debug, Default)]
struct List(Mutex<BTreeSet<Fingerprint>>);

impl List {
    fn of(members: &[&Identity]) -> Arc<List> {
        Arc::new(List(Mutex::new(members.iter().map(|member| member.fingerprint()).collect())))
    }
}

impl Admission for List {
    fn admits(&self, fingerprint: &Fingerprint) -> bool {
        self.0.lock().unwrap().contains(fingerprint)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_identity_is_stored_for_its_owner_only_and_read_back() {
    let folder = TempDir::new().unwrap();
    let identity = host(&authority(), "node-1");
    identity.store(folder.path(), "host").unwrap();
    let again = Identity::load(folder.path(), "host").unwrap();
    assert_eq!(again.fingerprint(), identity.fingerprint());
    assert_eq!(again.principal(), &Principal::new("node-1", Role::Host).unwrap());
    assert_eq!(again.authority(), identity.authority());
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "host.key", "host.pem"], "no draft is left behind");
    for name in names {
        assert_eq!(mode(&folder.path().join(name)), 0o600);
    }
}

#[test]
fn the_authority_is_read_back_and_signs_on() {
    let folder = TempDir::new().unwrap();
    let authority = authority();
    authority.store(folder.path()).unwrap();
    let again = Authority::load(folder.path()).unwrap();
    assert_eq!(again.fingerprint(), authority.fingerprint());
    let key = PrivateKey::generate().unwrap();
    let late = again.issue_host(&request(&key), "node-9").unwrap();
    let late = Identity::new(key, &late, authority.certificate());
    assert!(late.is_ok(), "what the stored authority signs is of the same authority");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = TempDir::new().unwrap();
    host(&authority(), "node-1").store(folder.path(), "host").unwrap();
    let key = folder.path().join("host.key");
    for open in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(&key, fs::Permissions::from_mode(open)).unwrap();
        let error = Identity::load(folder.path(), "host").unwrap_err();
        assert!(matches!(error, TrustError::Exposed { mode, .. } if mode == open), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Identity::load(folder.path(), "host").is_ok());
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let (ours, theirs) = (authority(), authority());
    let certificate = |authority: &Authority, key: &PrivateKey| authority.issue_host(&request(key), "node-1").unwrap();
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (good, foreign) = (certificate(&ours, &key), certificate(&theirs, &key));
    let error = Identity::new(other, &good, ours.certificate()).unwrap_err();
    assert!(matches!(error, TrustError::Unpaired { ref name } if name == "node-1"), "{error}");
    let error = Identity::new(key, &foreign, ours.certificate()).unwrap_err();
    assert!(matches!(error, TrustError::Foreign { ref name } if name == "node-1"), "{error}");
    let key = PrivateKey::generate().unwrap();
    let error = Identity::new(key, b"nonsense", ours.certificate()).unwrap_err();
    assert!(matches!(error, TrustError::NoCertificate), "{error}");
    let folder = TempDir::new().unwrap();
    ours.store(folder.path()).unwrap();
    PrivateKey::generate().unwrap().store(&folder.path().join("ca.key")).unwrap();
    assert!(matches!(Authority::load(folder.path()), Err(TrustError::Unpaired { .. })));
}

#[test]
fn damaged_files_are_named() {
    let folder = TempDir::new().unwrap();
    let identity = host(&authority(), "node-1");
    for (name, wanted) in [("host.key", "private key"), ("host.pem", "certificate"), ("ca.pem", "certificate")] {
        identity.store(folder.path(), "host").unwrap();
        let path = folder.path().join(name);
        fs::write(&path, "-----BEGIN").unwrap();
        let error = Identity::load(folder.path(), "host").unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(wanted), "{error}");
        fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert!(matches!(Identity::load(folder.path(), "host"), Err(TrustError::Read { .. })), "{name} is too long");
        fs::remove_file(&path).unwrap();
        assert!(matches!(Identity::load(folder.path(), "host"), Err(TrustError::Read { .. })), "{name} is missing");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_or_stays() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.key");
    files::write(&path, b"old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    files::write(&path, b"new").unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o600));
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("full")).unwrap();
    let error = files::write(&taken, b"x").unwrap_err();
    assert!(matches!(error, TrustError::Write { .. }), "{error}");
    let drafts = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(drafts, 2, "the draft of what failed is removed");
    assert!(files::write(&folder.path().join("none/a.key"), b"x").is_err());
}

#[test]
fn certificates_name_whom_and_as_what() {
    let authority = authority();
    let of = |identity: &Identity| Principal::of(identity.certificate()).unwrap();
    assert_eq!(of(&person(&authority, "Zoë", Role::Viewer)), Principal::new("Zoë", Role::Viewer).unwrap());
    assert_eq!(of(&person(&authority, "ann", Role::Operator)), Principal::new("ann", Role::Operator).unwrap());
    assert_eq!(of(&api(&authority)).role, Role::Api);
    assert!(matches!(Principal::of(authority.certificate()), Err(TrustError::NoRole)), "an authority has no role");
    assert!(matches!(Principal::of(b"x"), Err(TrustError::NoCertificate)));
}

#[test]
fn names_are_plain() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(Principal::new(name, Role::Host), Err(TrustError::Name(_))), "{name:?}");
    }
    let authority = authority();
    let key = PrivateKey::generate().unwrap();
    let host = Principal::new("node-1", Role::Host).unwrap();
    let error = authority.issue_person(&request(&key), &host).unwrap_err();
    assert!(matches!(error, TrustError::Request(_)), "nobody asks for a person's certificate and gets a host's");
}

#[test]
fn a_signing_request_proves_possession_and_decides_nothing() {
    let key = PrivateKey::generate().unwrap();
    let good = key.request().unwrap();
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        if let Ok(other) = SigningRequest::parse(&damaged) {
            // A damaged request must not be taken for one of another key.
            assert_eq!(format!("{:?}", other.public_key()), format!("{:?}", request(&key).public_key()), "byte {at}");
        }
    }
    assert!(matches!(SigningRequest::parse(&vec![0x30; REQUEST_LIMIT + 1]), Err(TrustError::Request(_))));
    let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let other = CertificateParams::default().serialize_request(&other).unwrap();
    assert!(matches!(SigningRequest::parse(other.der()), Err(TrustError::Request(_))), "one kind of key only");
}

#[test]
fn a_request_that_asks_for_more_gets_no_more() {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["api.example".to_owned()]).unwrap();
    params.distinguished_name = Principal::new("mallory", Role::Operator).unwrap().distinguished_name();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let asked = SigningRequest::parse(params.serialize_request(&pair).unwrap().der()).unwrap();
    let certificate = authority().issue_host(&asked, "node-1").unwrap();
    assert_eq!(Principal::of(&certificate).unwrap(), Principal::new("node-1", Role::Host).unwrap());
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
    assert!(!parsed.is_ca() && parsed.subject_alternative_name().unwrap().is_none());
}

#[test]
fn derived_keys_hold_over_restarts_and_differ_by_purpose() {
    let folder = TempDir::new().unwrap();
    let identity = host(&authority(), "node-1");
    identity.store(folder.path(), "host").unwrap();
    let again = Identity::load(folder.path(), "host").unwrap();
    let sign = |identity: &Identity, purpose: &[u8]| {
        ring::hmac::sign(&identity.derived_key(purpose).unwrap(), b"x").as_ref().to_vec()
    };
    assert_eq!(sign(&identity, b"a"), sign(&again, b"a"));
    assert_ne!(sign(&identity, b"a"), sign(&identity, b"b"));
    assert_ne!(sign(&identity, b"a"), sign(&host(&authority(), "node-1"), b"a"));
}

#[test]
fn a_token_is_written_and_read_and_keeps_its_secret() {
    let authority = authority();
    let token = JoinToken::generate(&authority.fingerprint()).unwrap();
    let text = token.to_string();
    assert_eq!(text.parse::<JoinToken>().unwrap(), token);
    assert_eq!(format!(" {text}\n").parse::<JoinToken>().unwrap(), token, "copied with what surrounds it");
    assert_eq!(token.secret().reveal().parse::<Secret>().unwrap(), *token.secret());
    assert_eq!(token.id().to_string().parse::<TokenId>().unwrap(), token.id());
    assert!(!format!("{token:?}").contains(&token.secret().reveal()), "{token:?}");
    let digest = token.secret().digest();
    assert!(!format!("{digest:?}").contains(&token.secret().reveal()));
    assert!(digest.matches(token.secret()));
    let other = JoinToken::generate(&authority.fingerprint()).unwrap();
    assert!(!digest.matches(other.secret()) && other.id() != token.id());
}

#[test]
fn what_is_no_token_is_told_so() {
    let text = JoinToken::generate(&authority().fingerprint()).unwrap().to_string();
    let error = |text: &str| text.parse::<JoinToken>().unwrap_err();
    assert_eq!(error("hello"), TokenError::NoToken);
    assert_eq!(error(""), TokenError::NoToken);
    assert_eq!(error(&text.replace("holdfast-1", "holdfast-2")), TokenError::OtherForm);
    assert_eq!(error(&text[..text.rfind('.').unwrap()]), TokenError::Parts(3));
    assert_eq!(error(&format!("{text}.more")), TokenError::Parts(5));
    assert_eq!(error(&text[..text.len() - 1]), TokenError::Damaged("authority's fingerprint"));
    let part = |at: usize, new: &str| {
        let mut parts: Vec<&str> = text.split('.').collect();
        parts[at] = new;
        error(&parts.join("."))
    };
    assert_eq!(part(1, "+00000000000000f"), TokenError::Damaged("identifier"));
    assert_eq!(part(1, "f"), TokenError::Damaged("identifier"));
    assert_eq!(part(2, &"x".repeat(100_000)), TokenError::Damaged("secret"));
    assert_eq!(part(2, &"=".repeat(43)), TokenError::Damaged("secret"));
}
