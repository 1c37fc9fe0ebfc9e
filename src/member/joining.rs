//! A host that joins: it asks any member, shows its token, and keeps what it is given.

use super::found::{FoundError, write};
use super::{MemberError, Membership, Places};
use crate::api::{ErrorBody, JoinAnswer, JoinBody};
use crate::config::Config;
use crate::core::action::AgentStore;
use crate::core::ids::Address;
use crate::runtime::roster;
use crate::store::Operation;
use crate::store::backup::{CLUSTER_SETTING, HOST_SETTING};
use crate::trust::{Identity, JoinToken, PrivateKey, TrustError, joining_client, use_ring};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// A member answers within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a host did not join.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The host is a member already, or its state directory cannot be used.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Keys or certificates could not be made or used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What the host was given could not be kept.
    #[error(transparent)]
    Keep(#[from] FoundError),
    /// The member could not be asked.
    #[error("{address} cannot be asked: {why}; see that it is the API address of a member, and that it can be reached")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// The cluster said no.
    #[error("the cluster refuses: {0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("the answer of {address} cannot be used: {why}")]
    Nonsense {
        /// Whose.
        address: SocketAddr,
        /// What is wrong.
        why: String,
    },
}

/// Makes this host a member of the cluster that has given the token.
pub async fn join(config: &Config, address: SocketAddr, token: &JoinToken) -> Result<Membership, JoinError> {
    let places = Places::of(&config.state);
    Membership::must_be_none(&places)?;
    places.make()?;
    let key = PrivateKey::generate()?;
    let body = JoinBody {
        token: token.to_string(),
        name: config.name.clone(),
        uuid: Uuid::from_u128(config.uuid),
        endpoints: config.advertise.clone(),
        api: config.api,
        failure_domain: config.failure_domain.clone(),
        tags: config.tags.clone(),
        memory_mib: config.capacity.memory_mib,
        millicores: config.capacity.millicores,
        request: BASE64.encode(key.request()?),
    };
    let answer = ask(address, token, &body).await?;
    keep(config, &places, key, answer, address)
}

async fn ask(address: SocketAddr, token: &JoinToken, body: &JoinBody) -> Result<JoinAnswer, JoinError> {
    let unreachable = |error: reqwest::Error| JoinError::Unreachable { address, why: causes(&error) };
    use_ring();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(joining_client(token)?)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .map_err(unreachable)?;
    let answer = client.post(format!("https://{address}/v1/join")).json(body).send().await.map_err(unreachable)?;
    if answer.status().is_success() {
        return answer.json().await.map_err(|error| JoinError::Nonsense { address, why: causes(&error) });
    }
    let status = answer.status();
    match answer.json::<ErrorBody>().await {
        Ok(error) => {
            let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            Err(JoinError::Refused(format!("{}{hint}", error.error)))
        }
        Err(_) => Err(JoinError::Refused(status.to_string())),
    }
}

/// What went wrong, down to the cause.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn keep(
    config: &Config,
    places: &Places,
    key: PrivateKey,
    answer: JoinAnswer,
    address: SocketAddr,
) -> Result<Membership, JoinError> {
    let nonsense = |why: &str| JoinError::Nonsense { address, why: why.to_owned() };
    let decode = |text: &str| BASE64.decode(text).map_err(|_| nonsense("a certificate is no base64"));
    let (authority, certificate) = (decode(&answer.authority)?, decode(&answer.certificate)?);
    let api = Identity::new(key.duplicate()?, &decode(&answer.api_certificate)?, &authority)?;
    api.store(&places.trust(), "api")?;
    Identity::new(key, &certificate, &authority)?.store(&places.trust(), "host")?;
    roster::read(&answer.roster).ok_or_else(|| nonsense("the list of members"))?;
    let voters = answer.voters.iter().map(|number| Address(*number)).collect();
    let agent = AgentStore { voters, ..AgentStore::default() };
    write(
        places,
        [
            Operation::SaveAgent(Box::new(agent)),
            Operation::Mark { key: roster::ROSTER.to_owned(), value: answer.roster },
            Operation::Mark { key: CLUSTER_SETTING.to_owned(), value: answer.cluster_name.clone() },
            Operation::Mark { key: HOST_SETTING.to_owned(), value: config.name.clone() },
        ],
    )?;
    let member = Membership {
        cluster: answer.cluster,
        cluster_name: answer.cluster_name,
        profile: answer.profile,
        host: answer.host,
        name: config.name.clone(),
    };
    member.save(places)?;
    Ok(member)
}
