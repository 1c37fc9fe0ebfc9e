//! What there is on this host: all domains, for people who want one protected.

use crate::clock::boottime;
use crate::core::state::Shape;
use crate::libvirt::daemon::{Daemon, unless_unsupported};
use crate::libvirt::definition::payload::{Package, pack};
use crate::libvirt::definition::{Circumstances, Datastore, Described, describe, obstacles, shape};
use crate::libvirt::nvram;
use crate::platform::wait::Late;
use crate::platform::{Found, Survey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

/// All domains are told within this, or none.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a firmware keeps is read within this, or not at all.
const NVRAM: Duration = Duration::from_secs(5);

/// Tells all domains. It may be used on any thread that may wait.
pub(super) struct Surveyor {
    daemon: Arc<Daemon>,
    datastores: Vec<Datastore>,
}

impl Surveyor {
    pub(super) fn new(daemon: Arc<Daemon>, datastores: Vec<Datastore>) -> Surveyor {
        Surveyor { daemon, datastores }
    }
}

impl Survey for Surveyor {
    fn found(&self) -> Result<Vec<Found>, String> {
        let datastores = self.datastores.clone();
        let work = move |connect: &Connect| {
            let domains = connect.list_all_domains(0)?;
            domains.iter().map(|domain| Read::of(connect, domain, &datastores)).collect::<Result<Vec<_>, _>>()
        };
        let all = self.daemon.ask(boottime() + PATIENCE, work).map_err(|trouble| trouble.to_string())?;
        let found = all.iter().filter_map(|read| match read.shape(&self.datastores) {
            Ok((described, shape)) => Some(Found { uuid: described.uuid, runs: read.runs, shape }),
            Err(error) => {
                // One that cannot be read hides no other.
                tracing::warn!("the definition of {} cannot be read: {error}", read.name);
                None
            }
        });
        Ok(found.collect())
    }
}

/// What the daemon has of a domain.
pub(super) struct Read {
    name: String,
    xml: String,
    pub(super) runs: bool,
    pub(super) starts_with_host: bool,
    circumstances: Circumstances,
}

impl Read {
    /// Asks the daemon.
    pub(super) fn of(connect: &Connect, domain: &Domain, datastores: &[Datastore]) -> Result<Read, Error> {
        let is_persistent = domain.is_persistent()?;
        Ok(Read {
            name: domain.name()?,
            xml: domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE)?,
            runs: domain.is_active()?,
            starts_with_host: is_persistent && unless_unsupported(domain.autostart())?,
            circumstances: circumstances(connect, domain, datastores)?,
        })
    }

    /// Whether its next process goes on from a saved state.
    pub(super) fn is_saved(&self) -> bool {
        self.circumstances.has_managed_save
    }

    /// What it is, as this host knows it.
    pub(super) fn shape(&self, datastores: &[Datastore]) -> Result<(Described, Shape), String> {
        let described = describe(&self.xml).map_err(|error| error.to_string())?;
        let nvram = match described.nvram.clone().filter(|path| !is_shared(path, datastores)) {
            None => None,
            Some(path) => Late::run("nvram", boottime() + NVRAM, move || nvram::read(&path))
                .ok_or_else(|| "what its firmware keeps cannot be read in time".to_owned())?
                .map_err(|error| error.to_string())?,
        };
        let payload = pack(&Package { xml: self.xml.clone(), nvram, is_saved: self.circumstances.has_managed_save });
        let payload = payload.map_err(|error| error.to_string())?;
        let obstacles = obstacles(&described, &self.circumstances);
        let shape = shape(&described, &obstacles, datastores, payload.into());
        Ok((described, shape))
    }
}

/// Whether a file lies on a datastore that has a name in the cluster.
pub(super) fn is_shared(path: &Path, datastores: &[Datastore]) -> bool {
    datastores.iter().any(|datastore| path.starts_with(&datastore.path))
}

/// What a definition does not tell of its domain.
fn circumstances(connect: &Connect, domain: &Domain, datastores: &[Datastore]) -> Result<Circumstances, Error> {
    let pools = unless_unsupported(connect.list_all_storage_pools(sys::VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE))?;
    let paths: Vec<PathBuf> = datastores.iter().map(|datastore| datastore.path.clone()).collect();
    Ok(Circumstances {
        datastores: paths,
        is_transient: !domain.is_persistent()?,
        has_managed_save: unless_unsupported(domain.has_managed_save(0))?,
        snapshots: unless_unsupported(domain.num_snapshots(0))?.try_into().unwrap_or(usize::MAX),
        inactive_pools: pools.iter().map(|pool| pool.name()).collect::<Result<_, _>>()?,
    })
}
