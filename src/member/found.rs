//! The first host of a cluster: it makes the cluster, its authority, and itself the only voter.

use super::{MemberError, Membership, Places};
use crate::config::Config;
use crate::core::action::AgentStore;
use crate::core::command::Command;
use crate::core::ids::{Address, ConfigVersion, HostId, LogIndex, VoterId};
use crate::core::state::{Access, ClusterState, Identity as Cluster, Newcomer, Registration, Right, Secret};
use crate::core::timing::Profile;
use crate::election::StoreImage;
use crate::node::format;
use crate::runtime::roster;
use crate::store::backup::{CLUSTER_SETTING, HOST_SETTING};
use crate::store::{Operation, Store, StoreError, WriteError};
use crate::trust::{Authority, Identity, Principal, PrivateKey, Role, SigningRequest, TrustError, fingerprint};
use std::path::PathBuf;
use std::sync::mpsc;
use thiserror::Error;
use uuid::Uuid;

/// The place in the log of the state with which a cluster begins.
const FIRST: LogIndex = LogIndex(1);

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founded {
    /// The cluster's UUID.
    pub cluster: Uuid,
    /// Where the first operator's key and certificate lie.
    pub operator: PathBuf,
}

/// Why no cluster was made.
#[derive(Debug, Error)]
pub enum FoundError {
    /// The host is a member already, or its state directory cannot be used.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Keys or certificates could not be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first state could not be written.
    #[error("the first state of the cluster could not be written: {0}")]
    Write(String),
}

impl From<WriteError> for FoundError {
    fn from(error: WriteError) -> FoundError {
        FoundError::Write(error.to_string())
    }
}

/// Makes a cluster with this host as its first member.
pub fn found(config: &Config, name: &str, profile: Profile) -> Result<Founded, FoundError> {
    let places = Places::of(&config.state);
    Membership::must_be_none(&places)?;
    places.make()?;
    let cluster = Uuid::new_v4();
    let authority = Authority::create(cluster.as_u128())?;
    let host = host_identity(config, &authority, &places)?;
    let (operator, access) = operator_identity(&authority, &places)?;
    let state = first_state(config, (cluster, name, profile), (&authority, &host, &access));
    write_first_state(&places, &state, &config.name)?;
    let member = Membership { cluster, cluster_name: name.to_owned(), profile, host: 0, name: config.name.clone() };
    member.save(&places)?;
    Ok(Founded { cluster, operator })
}

fn host_identity(config: &Config, authority: &Authority, places: &Places) -> Result<Identity, TrustError> {
    let key = PrivateKey::generate()?;
    let request = SigningRequest::parse(&key.request()?)?;
    let addresses: Vec<_> = config.advertise.iter().map(|endpoint| endpoint.ip()).chain([config.api.ip()]).collect();
    let certificate = authority.issue_api_server(&request, &config.name, &[], &addresses)?;
    Identity::new(key.duplicate()?, &certificate, authority.certificate())?.store(&places.trust(), "api")?;
    let certificate = authority.issue_host(&request, &config.name)?;
    let identity = Identity::new(key, &certificate, authority.certificate())?;
    identity.store(&places.trust(), "host")?;
    Ok(identity)
}

/// The first operator, who may let others in.
fn operator_identity(authority: &Authority, places: &Places) -> Result<(PathBuf, Identity), TrustError> {
    let key = PrivateKey::generate()?;
    let request = SigningRequest::parse(&key.request()?)?;
    let certificate = authority.issue_person(&request, &Principal::new("operator", Role::Operator)?)?;
    let identity = Identity::new(key, &certificate, authority.certificate())?;
    let folder = places.operator();
    identity.store(&folder, "operator")?;
    Ok((folder, identity))
}

fn first_state(
    config: &Config,
    (cluster, name, profile): (Uuid, &str, Profile),
    (authority, host, operator): (&Authority, &Identity, &Identity),
) -> ClusterState {
    let mut state = ClusterState {
        config: ConfigVersion(1),
        armed_since: ConfigVersion(1),
        next_epoch: 1,
        next_voter: 1,
        ..ClusterState::default()
    };
    state.registry.cluster = Cluster {
        uuid: cluster.as_u128(),
        name: name.to_owned(),
        profile,
        certificate: authority.certificate().to_vec(),
        key: Secret(authority.key()),
    };
    let newcomer = Newcomer {
        invitation: None,
        name: config.name.clone(),
        uuid: config.uuid,
        fingerprint: host.fingerprint(),
        endpoints: config.advertise.clone(),
        failure_domain: config.failure_domain.clone(),
        tags: config.tags.clone(),
        memory_mib: config.capacity.memory_mib,
        millicores: config.capacity.millicores,
    };
    let access = Access { name: "operator".to_owned(), right: Right::Operator };
    let operator = fingerprint(operator.certificate());
    let register = |change| Command::Register(Box::new(change));
    let commands = [
        register(Registration::Join(Box::new(newcomer))),
        register(Registration::Grant(operator, access)),
        Command::NewVoter { voter: VoterId(1), host: HostId(0) },
    ];
    for command in &commands {
        state.apply(FIRST, command);
    }
    state
}

fn write_first_state(places: &Places, state: &ClusterState, host: &str) -> Result<(), FoundError> {
    let data = format::write_state(state).ok_or_else(|| FoundError::Write("it cannot be encoded".to_owned()))?;
    let image = StoreImage::bootstrap(VoterId(1), &[VoterId(1)], data);
    let agent = AgentStore { voters: vec![Address(0)], ..AgentStore::default() };
    let members = roster::roster(state).map_err(|error| FoundError::Write(error.to_string()))?;
    let roster = roster::written(&members).ok_or_else(|| FoundError::Write("the members".to_owned()))?;
    write(
        places,
        [
            Operation::NewVoter(Box::new(image)),
            Operation::SaveAgent(Box::new(agent)),
            Operation::Mark { key: roster::ROSTER.to_owned(), value: roster },
            Operation::Mark { key: CLUSTER_SETTING.to_owned(), value: state.registry.cluster.name.clone() },
            Operation::Mark { key: HOST_SETTING.to_owned(), value: host.to_owned() },
        ],
    )
}

/// Writes what a new member begins with.
pub(super) fn write<const N: usize>(places: &Places, operations: [Operation; N]) -> Result<(), FoundError> {
    let store = Store::open(places.state())?.store;
    for operation in operations {
        let (done, finished) = mpsc::channel();
        let told = move |result| {
            // Whoever waits is just below.
            let _ = done.send(result);
        };
        store.submit(operation, told).map_err(|refused| FoundError::Write(refused.why.to_string()))?;
        finished.recv().map_err(|error| FoundError::Write(error.to_string()))??;
    }
    store.close()?;
    Ok(())
}
