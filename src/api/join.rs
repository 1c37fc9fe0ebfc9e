//! A host joins: it shows its token, and gets its certificates and its number.

use super::actions::find_host;
use super::bodies::{JoinAnswer, JoinBody};
use super::errors::Failure;
use super::handle::Api;
use super::registry::{authority, register};
use crate::clock;
use crate::core::command::Said;
use crate::core::ids::Ticket;
use crate::core::state::{ClusterState, Newcomer, Registration};
use crate::runtime::roster;
use crate::trust::{JoinToken, SecretDigest, SigningRequest, fingerprint};
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

/// The two highest bits of a ticket belong to the masters' own.
const TICKETS: u128 = (1 << 62) - 1;

/// `POST /v1/join`: the one request for which nobody need be known, for it brings its own proof.
pub(super) async fn join(State(api): State<Api>, Json(body): Json<JoinBody>) -> Result<Json<JoinAnswer>, Failure> {
    check(&body)?;
    let token: JoinToken = body.token.parse().map_err(|error| Failure::bad(format!("the token: {error}")))?;
    let invitation = u128::from(token.id().number());
    let found = api.state(move |state| state.registry.invitations.get(&invitation).cloned()).await?;
    let refused = || Failure::bad("this token was used, taken back, or never given").hint("ask for a new one");
    let found = found.ok_or_else(refused)?;
    if !SecretDigest::from(found.secret).matches(token.secret()) {
        return Err(refused());
    }
    if clock::wall_milliseconds() > found.expires_milliseconds {
        return Err(Failure::bad("this token has run out").hint("ask for a new one with `holdfast token create`"));
    }
    let authority = authority(&api).await?;
    let der = BASE64.decode(&body.request).map_err(|_| Failure::bad("the request for a certificate is no base64"))?;
    let request = SigningRequest::parse(&der).map_err(|error| Failure::bad(error.to_string()))?;
    let issue = |error: crate::trust::TrustError| Failure::bad(error.to_string());
    let certificate = authority.issue_host(&request, &body.name).map_err(issue)?;
    let addresses = body.endpoints.iter().map(|endpoint| endpoint.ip()).chain([body.api.ip()]).collect::<Vec<_>>();
    let api_certificate = authority.issue_api_server(&request, &body.name, &[], &addresses).map_err(issue)?;
    let newcomer = Newcomer {
        invitation: Some(invitation),
        name: body.name.clone(),
        uuid: body.uuid.as_u128(),
        fingerprint: fingerprint(&certificate),
        endpoints: body.endpoints.clone(),
        failure_domain: body.failure_domain.clone(),
        tags: body.tags.clone(),
        memory_mib: body.memory_mib,
        millicores: body.millicores,
    };
    let said = Said { who: body.name.clone(), why: "it joins".to_owned() };
    let ticket = Ticket((Uuid::new_v4().as_u128() & TICKETS) as u64);
    api.ask(ticket, register(Registration::Join(Box::new(newcomer))), said).await?;
    let name = body.name.clone();
    let answer = api.view(move |viewer, _, _| answer(viewer.state(), &name)).await??;
    Ok(Json(JoinAnswer {
        certificate: BASE64.encode(certificate),
        api_certificate: BASE64.encode(api_certificate),
        authority: BASE64.encode(authority.certificate()),
        ..answer
    }))
}

fn check(body: &JoinBody) -> Result<(), Failure> {
    let named = !body.name.is_empty() && body.name.len() <= 64 && !body.name.chars().any(char::is_control);
    let reached = (1..=8).contains(&body.endpoints.len())
        && body.endpoints.iter().all(|endpoint| !endpoint.ip().is_unspecified() && endpoint.port() != 0);
    if named && reached && !body.uuid.is_nil() {
        Ok(())
    } else {
        Err(Failure::bad("a host needs a name of at most 64 bytes, its machine's UUID, and one to eight endpoints"))
    }
}

fn answer(state: &ClusterState, name: &str) -> Result<JoinAnswer, Failure> {
    let host = find_host(state, name)?;
    let identity = &state.registry.cluster;
    let members = roster::roster(state).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(JoinAnswer {
        host: host.0,
        cluster: Uuid::from_u128(identity.uuid),
        cluster_name: identity.name.clone(),
        profile: identity.profile,
        certificate: String::new(),
        api_certificate: String::new(),
        authority: String::new(),
        roster: roster::written(&members).ok_or_else(|| Failure::internal("the list of members cannot be written"))?,
        voters: state.voter_addresses().into_iter().map(|address| address.0).collect(),
    })
}
