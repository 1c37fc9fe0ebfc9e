//! What a VM needs of a host besides its disks, and what of that a host has: both by the same names.

use super::described::{Attachment, Described, Source};
use crate::libvirt::daemon::unless_unsupported;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use virt::connect::Connect;
use virt::error::Error;
use virt::sys;

/// No host is taken to have more of it.
const MOST: usize = 4_096;
/// Where programs of QEMU are.
const PROGRAMS: [&str; 2] = ["/usr/bin", "/usr/libexec"];
/// Where images of firmware are.
const FIRMWARE: [&str; 5] =
    ["/usr/share/OVMF", "/usr/share/AAVMF", "/usr/share/qemu", "/usr/share/edk2/ovmf", "/usr/share/edk2/x64"];

/// What a VM needs, by name.
pub fn needs(described: &Described) -> BTreeSet<String> {
    let mut needs = BTreeSet::new();
    let mut add = |name: Option<String>| needs.extend(name);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    add(some(&described.kind).map(|kind| format!("kind {kind}")));
    add(some(&described.machine).map(|machine| machine_name(&described.arch, &machine)));
    let custom = described.cpu.model.as_ref().filter(|_| described.cpu.mode == "custom");
    add(custom.map(|model| format!("processor {model}")));
    add(described.emulator.as_ref().map(|path| format!("program {}", path.display())));
    add(described.loader.as_ref().map(|path| format!("firmware {}", path.display())));
    for network in &described.networks {
        match network {
            Attachment::Network { name, portgroup } => {
                add(Some(format!("network {name}")));
                add(portgroup.as_ref().map(|group| portgroup_name(name, group)));
            }
            Attachment::Bridge(name) => add(Some(format!("bridge {name}"))),
            Attachment::Direct(name) => add(Some(format!("network card {name}"))),
            Attachment::User | Attachment::Other(_) => {}
        }
    }
    for disk in &described.disks {
        if let Source::Volume { pool, .. } = &disk.source {
            add(Some(format!("storage pool {pool}")));
        }
    }
    needs.extend(described.secrets.iter().map(|secret| format!("secret {secret}")));
    needs
}

/// What this host has, by the same names. It asks the daemon, and never storage.
pub(in crate::libvirt) fn offers(connect: &Connect) -> Result<BTreeSet<String>, Error> {
    let mut offers = BTreeSet::new();
    for network in unless_unsupported(connect.list_all_networks(sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE))? {
        let name = network.name()?;
        if let Ok(xml) = network.xml_desc(0) {
            offers.extend(portgroups(&xml).iter().map(|group| portgroup_name(&name, group)));
        }
        offers.insert(format!("network {name}"));
    }
    for pool in unless_unsupported(connect.list_all_storage_pools(sys::VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE))? {
        offers.insert(format!("storage pool {}", pool.name()?));
    }
    for secret in unless_unsupported(connect.list_all_secrets(0))? {
        offers.insert(format!("secret {}", secret.uuid_string()?));
        offers.insert(format!("secret {}", secret.usage_id()?));
    }
    offers.extend(capabilities(&connect.capabilities()?));
    // A host may lack what is asked for by default; then it has no processors to offer.
    if let Ok(xml) = connect.domain_capabilities(None, None, None, None, 0) {
        offers.extend(processors(&xml));
    }
    for card in names(Path::new("/sys/class/net")) {
        if Path::new("/sys/class/net").join(&card).join("bridge").exists() {
            offers.insert(format!("bridge {card}"));
        }
        offers.insert(format!("network card {card}"));
    }
    for folder in PROGRAMS {
        let programs = names(Path::new(folder)).into_iter().filter(|name| name.contains("qemu") || name == "kvm");
        offers.extend(programs.map(|name| format!("program {folder}/{name}")));
    }
    for folder in FIRMWARE {
        offers.extend(names(Path::new(folder)).into_iter().map(|name| format!("firmware {folder}/{name}")));
    }
    Ok(offers.into_iter().take(MOST).collect())
}

fn machine_name(arch: &str, machine: &str) -> String {
    format!("machine {machine} of {arch}")
}

fn portgroup_name(network: &str, group: &str) -> String {
    format!("port group {group} of network {network}")
}

/// Kinds of domains and types of machines, by the daemon's capabilities.
fn capabilities(xml: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Ok(document) = Document::parse(xml) else { return found };
    for arch in document.descendants().filter(|node| node.has_tag_name("arch") && node.has_attribute("name")) {
        let name = arch.attribute("name").unwrap_or_default();
        let of = |tag: &'static str| arch.descendants().filter(move |node| node.has_tag_name(tag));
        let machines = of("machine").flat_map(|machine| [machine.text(), machine.attribute("canonical")]);
        found.extend(machines.flatten().map(|machine| machine_name(name, machine)));
        found.extend(of("domain").filter_map(|domain| domain.attribute("type")).map(|kind| format!("kind {kind}")));
        found.extend(of("emulator").filter_map(|node| node.text()).map(|path| format!("program {path}")));
    }
    found
}

fn processors(xml: &str) -> BTreeSet<String> {
    let Ok(document) = Document::parse(xml) else { return BTreeSet::new() };
    let usable = |node: &Node<'_, '_>| node.has_tag_name("model") && node.attribute("usable") == Some("yes");
    document
        .descendants()
        .filter(usable)
        .filter_map(|node| node.text())
        .map(|model| format!("processor {model}"))
        .collect()
}

fn portgroups(xml: &str) -> BTreeSet<String> {
    let Ok(document) = Document::parse(xml) else { return BTreeSet::new() };
    let groups = document.descendants().filter(|node| node.has_tag_name("portgroup"));
    groups.filter_map(|node| node.attribute("name")).map(str::to_owned).collect()
}

/// What is in a folder that need not be there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).take(MOST).collect()
}
