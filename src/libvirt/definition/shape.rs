//! What the cluster keeps of a definition.

use super::described::Described;
use super::needs::needs;
use super::obstacles::{Obstacle, ObstacleKind};
use crate::core::ids::DatastoreId;
use crate::core::state::Shape;
use std::path::PathBuf;
use std::sync::Arc;

/// A shared datastore as this host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Its number in the cluster, if it could be read.
    pub id: Option<DatastoreId>,
    /// Where it is.
    pub path: PathBuf,
}

/// The shape of a VM, for the log. What can be lived with does not bind it to its host.
pub fn shape(described: &Described, obstacles: &[Obstacle], datastores: &[Datastore], payload: Arc<[u8]>) -> Shape {
    let holds = |datastore: &&Datastore| described.paths().any(|path| path.starts_with(&datastore.path));
    let bonds = obstacles.iter().filter(|obstacle| !obstacle.kind.is_warning());
    Shape {
        name: described.name.clone(),
        memory_mib: described.memory_mib,
        millicores: u64::from(described.vcpus) * 1_000,
        datastores: datastores.iter().filter(holds).filter_map(|datastore| datastore.id).collect(),
        needs: needs(described),
        bonds: bonds.map(ToString::to_string).collect(),
        is_transient: obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::Transient),
        payload,
    }
}
