//! A host joins: it shows its token, and gets its certificates and its number.

use super::actions::find_host;
use super::bodies::{JoinAnswer, JoinBody};
use super::errors::Failure;
use super::extract::Json;
use super::handle::Api;
use super::protect::{MOST_MEMORY, MOST_MILLICORES};
use super::registry::{authority, register};
use crate::clock;
use crate::core::command::Said;
use crate::core::ids::{Address, SocketAddr, Ticket};
use crate::core::state::{ClusterState, Newcomer, Registration};
use crate::runtime::roster;
use crate::trust::{JoinToken, SecretDigest, SigningRequest, fingerprint};
use crate::wire::{Member, NAME_LIMIT, Roster, RosterVersion};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

/// The two highest bits of a ticket belong to the masters' own.
const TICKETS: u128 = (1 << 62) - 1;
/// A host has no more tags.
const MOST_TAGS: usize = 64;

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
    let (endpoints, name) = (body.endpoints.clone(), body.name.clone());
    api.state(move |state| not_anothers(state, &endpoints, &name)).await??;
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

/// A host that could stand in no roster is refused: one such entry, and nobody hears of any later host.
pub(super) fn check(body: &JoinBody) -> Result<(), Failure> {
    let is_word = |word: &String| word.len() <= NAME_LIMIT && !word.chars().any(char::is_control);
    let described = is_word(&body.failure_domain) && body.tags.iter().all(is_word) && body.tags.len() <= MOST_TAGS;
    if body.memory_mib > MOST_MEMORY || body.millicores > MOST_MILLICORES {
        return Err(Failure::bad("no host has more than 1 PiB of memory or 100000 cores for VMs"));
    }
    if body.uuid.is_nil() || body.endpoints.is_empty() || !described {
        return Err(Failure::bad(format!(
            "a host needs its machine's UUID, at least one endpoint, a failure domain of at most {NAME_LIMIT} bytes, and \
             at most {MOST_TAGS} such tags"
        )));
    }
    let (name, endpoints) = (body.name.clone(), body.endpoints.clone());
    let member = Member { address: Address(0), name, fingerprint: Default::default(), endpoints };
    let roster = Roster::new(RosterVersion::default(), vec![member]);
    roster.map(drop).map_err(|error| Failure::bad(format!("a host like this can be no member: {error}")))
}

/// Refuses a host that is reached where another one is: one of them would get what is meant for the other.
fn not_anothers(state: &ClusterState, endpoints: &[SocketAddr], name: &str) -> Result<(), Failure> {
    for host in state.hosts.values().filter(|host| host.name != name) {
        if let Some(taken) = endpoints.iter().find(|endpoint| host.endpoints.contains(endpoint)) {
            let text = format!("{taken} is where {} is reached", host.name);
            return Err(Failure::ambiguous(text).hint("see `listen` and `advertise` in this host's configuration"));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::Command;
    use crate::core::ids::LogIndex;

    fn body(change: impl FnOnce(&mut JoinBody)) -> JoinBody {
        let mut body = JoinBody {
            token: String::new(),
            name: "host-2".to_owned(),
            uuid: Uuid::from_u128(2),
            endpoints: vec!["192.0.2.2:7770".parse().unwrap(), "[fe80::2]:7770".parse().unwrap()],
            api: "192.0.2.2:7771".parse().unwrap(),
            failure_domain: "rack-1".to_owned(),
            tags: ["ssd".to_owned()].into(),
            memory_mib: 0,
            millicores: 0,
            request: String::new(),
        };
        change(&mut body);
        body
    }

    #[test]
    fn no_two_hosts_are_reached_at_one_address() {
        let endpoints = |text: &str| vec![text.parse().unwrap()];
        let mut state = ClusterState::default();
        let newcomer = Newcomer { name: "a".to_owned(), endpoints: endpoints("192.0.2.1:7770"), ..Newcomer::default() };
        let join = Command::Register(Box::new(Registration::Join(Box::new(newcomer))));
        state.apply(LogIndex(1), &join);
        let refused = not_anothers(&state, &endpoints("192.0.2.1:7770"), "b").unwrap_err().to_string();
        assert_eq!(refused, "192.0.2.1:7770 is where a is reached");
        assert!(not_anothers(&state, &endpoints("192.0.2.1:7772"), "b").is_ok());
        // Whether one that asks again under its own name may is for the log to say.
        assert!(not_anothers(&state, &endpoints("192.0.2.1:7770"), "a").is_ok());
    }

    #[test]
    fn nobody_joins_who_could_stand_in_no_roster() {
        assert!(check(&body(|_| ())).is_ok());
        let bad: [fn(&mut JoinBody); 9] = [
            |body| body.name.clear(),
            |body| body.name = "host\x1b[2J".to_owned(),
            |body| body.uuid = Uuid::nil(),
            |body| body.endpoints.clear(),
            |body| body.endpoints = vec![body.endpoints[0]; 2],
            |body| body.endpoints[0].set_port(0),
            |body| body.endpoints[0].set_ip([224, 0, 0, 1].into()),
            |body| body.failure_domain = "x".repeat(NAME_LIMIT + 1),
            |body| body.tags = (0..=MOST_TAGS).map(|number| number.to_string()).collect(),
        ];
        for change in bad {
            let body = body(change);
            assert!(check(&body).is_err(), "{body:?}");
        }
    }
}
