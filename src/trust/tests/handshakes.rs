//! Handshakes between our own TLS configurations, over buffers in place of sockets.

use super::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

/// Carries what one end has to say to the other; whether there was anything.
fn carry(from: &mut Connection, to: &mut Connection) -> Result<bool, rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(!bytes.is_empty())
}

/// Talks until both ends have nothing more to say or one refuses; gives whom the client showed itself to be.
fn handshake(client: ClientConfig, server: ServerConfig, name: &str) -> Result<Option<Principal>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = Connection::Client(ClientConnection::new(Arc::new(client), name)?);
    let mut server = Connection::Server(ServerConnection::new(Arc::new(server))?);
    while carry(&mut client, &mut server)? | carry(&mut server, &mut client)? {}
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(server.peer_certificates().map(|chain| Principal::of(&chain[0]).unwrap()))
}

fn link(client: &Identity, server: &Identity, known: &[&Identity]) -> Result<Option<Principal>, rustls::Error> {
    let list = List::of(known);
    let (client, server) = (link_client(client, list.clone()).unwrap(), link_server(server, list).unwrap());
    handshake(client, server, "holdfast")
}

#[test]
fn members_link_up() {
    let authority = authority();
    let (one, two) = (host(&authority, "node-1"), host(&authority, "node-2"));
    let shown = link(&one, &two, &[&one, &two]).unwrap();
    assert_eq!(shown, Some(Principal::new("node-1", Role::Host).unwrap()));
}

#[test]
fn who_is_not_in_the_roster_gets_nowhere() {
    let authority = authority();
    let (one, two) = (host(&authority, "node-1"), host(&authority, "node-2"));
    let error = link(&one, &two, &[&one]).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "the client refuses the server: {error}");
    let error = link(&one, &two, &[&two]).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "the server refuses the client: {error}");
}

#[test]
fn the_roster_alone_does_not_make_a_member() {
    let (ours, theirs) = (authority(), authority());
    let (one, foreign) = (host(&ours, "node-1"), host(&theirs, "node-2"));
    for (client, server) in [(&one, &foreign), (&foreign, &one)] {
        let error = link(client, server, &[&one, &foreign]).unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    }
}

#[test]
fn a_client_without_a_certificate_gets_nowhere_on_a_link() {
    let authority = authority();
    let one = host(&authority, "node-1");
    let mut client = api_client(authority.certificate(), None).unwrap();
    client.alpn_protocols = vec![b"holdfast".to_vec()];
    client
        .dangerous()
        .set_certificate_verifier(Arc::new(verify::LinkVerifier::new(one.authority(), List::of(&[&one]))));
    let server = link_server(&one, List::of(&[&one])).unwrap();
    let error = handshake(client, server, "holdfast").unwrap_err();
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
}

#[test]
fn no_link_is_resumed() {
    let authority = authority();
    let one = host(&authority, "node-1");
    let list = List::of(&[&one]);
    let server = link_server(&one, list.clone()).unwrap();
    let client = link_client(&one, list.clone()).unwrap();
    handshake(client.clone(), server.clone(), "holdfast").unwrap();
    list.0.lock().unwrap().clear();
    assert!(handshake(client, server, "holdfast").is_err(), "it would be known from before");
}

#[test]
fn people_and_none_may_call_the_api() {
    let authority = authority();
    let call = |person: Option<&Identity>, name| {
        handshake(api_client(authority.certificate(), person).unwrap(), api_server(&api(&authority)).unwrap(), name)
    };
    for name in ["node-1.example", "10.0.0.1", "fd00::1"] {
        assert_eq!(call(None, name).unwrap(), None);
    }
    let ann = person(&authority, "ann", Role::Viewer);
    assert_eq!(call(Some(&ann), "10.0.0.1").unwrap(), Some(ann.principal().clone()));
    assert!(call(None, "10.0.0.2").is_err(), "it is another server");
    let foreign = person(&super::authority(), "eve", Role::Operator);
    assert!(call(Some(&foreign), "10.0.0.1").is_err(), "no other authority makes operators here");
}

#[test]
fn nobody_but_an_api_server_serves_the_api() {
    let authority = authority();
    let list = [host(&authority, "node-1"), person(&authority, "10.0.0.1", Role::Operator)];
    for impostor in &list {
        let client = api_client(authority.certificate(), None).unwrap();
        assert!(handshake(client, api_server(impostor).unwrap(), "10.0.0.1").is_err(), "{impostor:?}");
        let token = JoinToken::generate(&authority.fingerprint()).unwrap();
        let client = joining_client(&token).unwrap();
        assert!(handshake(client, api_server(impostor).unwrap(), "10.0.0.1").is_err(), "{impostor:?}");
    }
}

#[test]
fn who_joins_knows_the_server_by_the_token() {
    let (ours, theirs) = (authority(), authority());
    let token = JoinToken::generate(&ours.fingerprint()).unwrap();
    let token: JoinToken = token.to_string().parse().unwrap();
    let join = |server: &Identity| handshake(joining_client(&token).unwrap(), api_server(server).unwrap(), "10.0.0.1");
    assert_eq!(join(&api(&ours)).unwrap(), None);
    let error = join(&api(&theirs)).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
}

/// It shows the right authority beside a certificate that this authority never signed.
#[test]
fn the_right_authority_beside_a_foreign_certificate_does_not_help() {
    let (ours, theirs) = (authority(), authority());
    let token = JoinToken::generate(&ours.fingerprint()).unwrap();
    let mut liar = api(&theirs);
    liar.authority = ours.certificate().to_vec().into();
    let server = api_server(&liar).unwrap();
    assert!(handshake(joining_client(&token).unwrap(), server, "10.0.0.1").is_err());
}

/// Both certificates ran out years ago. On a link that must not matter, for the clock may be what is wrong.
#[test]
fn a_links_certificate_does_not_run_out() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, date_time_ymd};
    let (root_key, host_key) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let old = |from, to| {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params
    };
    let mut root = old(2000, 2020);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(root_key.pair()).unwrap();
    let mut leaf = old(2001, 2011);
    leaf.distinguished_name = Principal::new("node-1", Role::Host).unwrap().distinguished_name();
    leaf.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = leaf.signed_by(host_key.pair(), &Issuer::from_params(&root, root_key.pair())).unwrap();
    let host = Identity::new(host_key, leaf.der(), root_certificate.der()).unwrap();
    assert!(link(&host, &host, &[&host]).is_ok());
    let on_the_api = handshake(api_client(host.authority(), Some(&host)).unwrap(), api_server(&host).unwrap(), "x");
    assert!(on_the_api.is_err(), "people's certificates do");
}
