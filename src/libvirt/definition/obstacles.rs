//! Why a VM could not be started on another host, or not safely.

use super::described::{Attachment, Described, Source, Tpm};
use std::fmt;
use std::path::PathBuf;

/// What the definition itself does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// Where the shared datastores are on this host.
    pub datastores: Vec<PathBuf>,
    /// Whether it has no definition that outlives its process.
    pub is_transient: bool,
    /// Whether its state was saved on this host, to go on from there.
    pub has_managed_save: bool,
    /// So many snapshots of it are known to this host's daemon.
    pub snapshots: usize,
    /// Storage pools of this host that do not run.
    pub inactive_pools: Vec<String>,
}

/// What kind of obstacle something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    /// A device of this host.
    Passthrough,
    /// A file that only this host has.
    LocalFile,
    /// A disk in a form that this version does not know.
    UnknownDisk,
    /// Its storage pool does not run.
    InactivePool,
    /// A TPM, whose state lies on this host.
    Tpm,
    /// Its state was saved on this host.
    ManagedSave,
    /// A network that this version does not know.
    UnknownNetwork,
    /// A disk whose writes may lie in this host's memory.
    UnsafeCache,
    /// Several guests may write to a disk: it locks nobody out.
    Shareable,
    /// It has no definition of its own: it gets one where it is restarted.
    Transient,
    /// Snapshots that only this host's daemon knows of.
    Snapshots,
    /// It sees the processor of its host as it is.
    HostProcessor,
}

impl ObstacleKind {
    /// Whether it can be started elsewhere all the same.
    pub fn is_warning(self) -> bool {
        use ObstacleKind::*;
        matches!(self, UnsafeCache | Shareable | Transient | Snapshots | HostProcessor)
    }
}

/// Why a VM could not be started on another host, or not safely.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// Of what kind.
    pub kind: ObstacleKind,
    /// For people.
    pub text: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All obstacles of a VM.
pub fn obstacles(described: &Described, circumstances: &Circumstances) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut add = |kind, text: String| found.push(Obstacle { kind, text });
    for device in &described.passthrough {
        add(ObstacleKind::Passthrough, format!("it has a {device}: take that out, or leave the VM unprotected"));
    }
    disks(described, circumstances, &mut add);
    let local = described.files.iter().filter(|path| !is_shared(path, circumstances));
    for path in local {
        add(ObstacleKind::LocalFile, format!("{} is on this host only: move it to a datastore", path.display()));
    }
    match described.tpm {
        Some(Tpm::Host) => add(ObstacleKind::Passthrough, "it has the TPM of its host".to_owned()),
        Some(Tpm::Emulator) => {
            add(ObstacleKind::Tpm, "the state of its TPM lies on this host only, and would be lost".to_owned());
        }
        None => {}
    }
    for network in &described.networks {
        if let Attachment::Other(kind) = network {
            add(ObstacleKind::UnknownNetwork, format!("a network card of the type \"{kind}\" cannot be moved"));
        }
    }
    if circumstances.has_managed_save {
        let text =
            "its state was saved on this host: start it here, or remove what was saved (virsh managedsave-remove)";
        add(ObstacleKind::ManagedSave, text.to_owned());
    }
    if circumstances.is_transient {
        add(ObstacleKind::Transient, "it is transient: where it is restarted, it is defined".to_owned());
    }
    if circumstances.snapshots > 0 {
        let text = format!("{} snapshots are known to this host only; its disks go along", circumstances.snapshots);
        add(ObstacleKind::Snapshots, text);
    }
    if described.cpu.mode == "host-passthrough" {
        let text = "it sees its host's processor as it is: live migration needs the same one".to_owned();
        add(ObstacleKind::HostProcessor, text);
    }
    found
}

fn disks(described: &Described, circumstances: &Circumstances, add: &mut impl FnMut(ObstacleKind, String)) {
    for disk in &described.disks {
        let target = &disk.target;
        for source in std::iter::once(&disk.source).chain(&disk.backing) {
            match source {
                Source::File(path) | Source::Block(path) if !is_shared(path, circumstances) => {
                    let text = format!("{} ({target}) is not on a shared datastore: move it to one", path.display());
                    add(ObstacleKind::LocalFile, text);
                }
                Source::Volume { pool, .. } if circumstances.inactive_pools.contains(pool) => {
                    let text = format!("the storage pool {pool} ({target}) does not run: virsh pool-start {pool}");
                    add(ObstacleKind::InactivePool, text);
                }
                Source::Other(kind) => {
                    add(ObstacleKind::UnknownDisk, format!("{target} is a disk of the type \"{kind}\""));
                }
                _ => {}
            }
        }
        let is_written = !disk.read_only && disk.source != Source::Empty;
        if is_written && !matches!(disk.cache.as_str(), "none" | "directsync") {
            let cache = if disk.cache.is_empty() { "default" } else { &disk.cache };
            let text = format!(
                "{target} has the cache mode \"{cache}\": what the guest wrote may be lost with its host; set \"none\""
            );
            add(ObstacleKind::UnsafeCache, text);
        }
        if is_written && disk.shareable {
            let text = format!("{target} is shareable: its lock keeps no second copy of the VM away");
            add(ObstacleKind::Shareable, text);
        }
    }
}

fn is_shared(path: &std::path::Path, circumstances: &Circumstances) -> bool {
    // Devices are shared or not by what lies behind them, which nobody can see here: the target's own look tells.
    path.starts_with("/dev") || circumstances.datastores.iter().any(|datastore| path.starts_with(datastore))
}
