//! What there is on this host: all domains, for people who want one protected.

use crate::clock::boottime;
use crate::libvirt::daemon::{Daemon, Trouble};
use crate::libvirt::definition::{Circumstances, Datastore, DescribeError, Described, Obstacle, describe, obstacles};
use crate::libvirt::keeper::{has_managed_save, unless_unsupported};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error as LibvirtError;
use virt::sys;

/// Why domains cannot be told.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct SurveyError(#[from] Trouble);

/// A domain of this host.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// What the daemon calls it.
    pub name: String,
    /// Whether it has a process.
    pub is_active: bool,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Whether it starts with its host.
    pub starts_with_host: bool,
    /// What its definition says, if it can be read.
    pub described: Result<Described, DescribeError>,
    /// Why it could not be restarted elsewhere.
    pub obstacles: Vec<Obstacle>,
}

/// Tells all domains. It may be used on any thread that may wait.
pub struct Surveyor {
    daemon: Arc<Daemon>,
    datastores: Vec<PathBuf>,
}

impl Surveyor {
    pub(super) fn new(daemon: Arc<Daemon>, datastores: Vec<Datastore>) -> Surveyor {
        let datastores = datastores.into_iter().map(|datastore| datastore.path).collect();
        Surveyor { daemon, datastores }
    }

    /// All domains of this host.
    pub fn survey(&self, patience: Duration) -> Result<Vec<Surveyed>, SurveyError> {
        let datastores = self.datastores.clone();
        let work = move |connect: &Connect| {
            let domains = connect.list_all_domains(0)?;
            domains.iter().map(|domain| surveyed(connect, domain, datastores.clone())).collect()
        };
        Ok(self.daemon.ask(boottime() + patience, work)?)
    }
}

fn surveyed(connect: &Connect, domain: &Domain, datastores: Vec<PathBuf>) -> Result<Surveyed, LibvirtError> {
    let circumstances = circumstances(connect, domain, datastores)?;
    let described = describe(&domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?);
    let obstacles = described.as_ref().map(|described| obstacles(described, &circumstances)).unwrap_or_default();
    Ok(Surveyed {
        name: domain.name()?,
        is_active: domain.is_active()?,
        is_paused: domain.info()?.state == virt::domain::DomainStateEnum::Known(virt::domain::DomainState::Paused),
        starts_with_host: unless_unsupported(domain.autostart())?,
        described,
        obstacles,
    })
}

/// What a definition does not tell of its domain.
pub(super) fn circumstances(
    connect: &Connect,
    domain: &Domain,
    datastores: Vec<PathBuf>,
) -> Result<Circumstances, LibvirtError> {
    let pools = connect.list_all_storage_pools(sys::VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE)?;
    Ok(Circumstances {
        datastores,
        is_transient: !domain.is_persistent()?,
        has_managed_save: has_managed_save(domain)?,
        snapshots: unless_unsupported(domain.num_snapshots(0))?.try_into().unwrap_or(usize::MAX),
        inactive_pools: pools.iter().map(|pool| pool.name()).collect::<Result<_, _>>()?,
    })
}
