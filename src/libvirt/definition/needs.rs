//! What a host lacks for a VM.

use super::described::{Attachment, Described, Source};
use std::collections::BTreeSet;

/// What a host has, as far as VMs ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostFacts {
    /// Bridges.
    pub bridges: BTreeSet<String>,
    /// Network cards.
    pub cards: BTreeSet<String>,
    /// Networks of libvirt that run.
    pub networks: BTreeSet<String>,
    /// Storage pools that run.
    pub pools: BTreeSet<String>,
    /// Secrets, by UUID and by usage.
    pub secrets: BTreeSet<String>,
    /// The paths, of those that were asked for, that are there.
    pub paths: BTreeSet<std::path::PathBuf>,
    /// Machines that QEMU can play, by their names and other names; empty: not known.
    pub machines: BTreeSet<String>,
    /// Processor models that can be used; empty: not known.
    pub processors: BTreeSet<String>,
}

/// The paths whose presence must be looked for.
pub fn paths(described: &Described) -> BTreeSet<std::path::PathBuf> {
    let sources = described.disks.iter().flat_map(|disk| std::iter::once(&disk.source).chain(&disk.backing));
    let disks = sources.filter_map(Source::path);
    disks.chain(&described.files).chain(&described.loader).chain(&described.emulator).cloned().collect()
}

/// What is missing on a host for a VM, for people; nothing if it can be started there.
pub fn needs(described: &Described, facts: &HostFacts) -> Vec<String> {
    let mut missing = Vec::new();
    for path in paths(described) {
        if !facts.paths.contains(&path) {
            missing.push(format!("{} is missing", path.display()));
        }
    }
    for network in &described.networks {
        match network {
            Attachment::Network { name, .. } if !facts.networks.contains(name) => {
                missing.push(format!("libvirt's network {name} does not run: virsh net-start {name}"));
            }
            Attachment::Bridge(name) if !facts.bridges.contains(name) => {
                missing.push(format!("there is no bridge {name}"));
            }
            Attachment::Direct(name) if !facts.cards.contains(name) => {
                missing.push(format!("there is no network card {name}"));
            }
            _ => {}
        }
    }
    let pools: BTreeSet<&String> = described
        .disks
        .iter()
        .filter_map(|disk| match &disk.source {
            Source::Volume { pool, .. } => Some(pool),
            _ => None,
        })
        .collect();
    for pool in pools.into_iter().filter(|pool| !facts.pools.contains(*pool)) {
        missing.push(format!("the storage pool {pool} does not run: virsh pool-start {pool}"));
    }
    for secret in described.secrets.iter().filter(|secret| !facts.secrets.contains(*secret)) {
        missing.push(format!("there is no secret {secret}"));
    }
    if !facts.machines.is_empty() && !described.machine.is_empty() && !facts.machines.contains(&described.machine) {
        missing.push(format!("QEMU knows no machine {}: it may be older here", described.machine));
    }
    if let Some(model) = &described.cpu.model
        && described.cpu.mode == "custom"
        && !facts.processors.is_empty()
        && !facts.processors.contains(model)
    {
        missing.push(format!("the processor model {model} cannot be used here"));
    }
    missing
}
