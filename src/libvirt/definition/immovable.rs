//! Why a VM that runs cannot be moved alive: what libvirt would refuse, said before anything is begun.
//!
//! These are the rules of libvirt 9.0, and none beside them. A later libvirt may allow more, and is asked by trying: it
//! checks before it begins, too.

use super::described::{DescribeError, Source, attribute, child, children, disk, parse};
use roxmltree::Node;
use std::path::Path;

/// The last version of libvirt whose rules these are.
pub const RULES_OF: u32 = 9_000_999;
/// From this version on QEMU makes sure itself that no cache of the other host is out of date.
const DROPS_CACHES: u32 = 4_000_000;
/// From this version on QEMU says itself which devices cannot be moved, so libvirt does not.
const KNOWS_ITS_DEVICES: u32 = 6_000_000;

/// What the XML does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The version of QEMU, as the daemon numbers versions.
    pub qemu: u32,
    /// How many snapshots the daemon knows.
    pub snapshots: u32,
    /// Whether it stands still because a disk cannot be read or written.
    pub has_io_error: bool,
}

/// All reasons. `is_shared` says whether a path lies on a file system that libvirt knows to be shared; nothing: it cannot
/// be told, and is left to libvirt.
pub fn immovable(
    xml: &str,
    running: Running,
    is_shared: impl Fn(&Path) -> Option<bool>,
) -> Result<Vec<String>, DescribeError> {
    let document = parse(xml)?;
    let domain = document.root_element();
    let devices = child(domain, "devices");
    let each = |name: &'static str| devices.into_iter().flat_map(move |devices| children(devices, name));
    let mut reasons = Vec::new();
    if running.snapshots > 0 {
        reasons.push(format!(
            "it has snapshots ({}), which would stay behind: delete them (virsh snapshot-delete)",
            running.snapshots
        ));
    }
    if running.has_io_error {
        reasons.push("it is paused, because a disk of it cannot be read or written".to_owned());
    }
    if counts_unsteadily(domain) {
        reasons.push("its processor has \"invtsc\", and no frequency is set for its clock \"tsc\"".to_owned());
    }
    reasons.extend(each("disk").filter_map(|node| of_disk(node, running, &is_shared)));
    reasons.extend(each("shmem").filter_map(of_shared_memory));
    let has_virtiofs = |share: Node<'_, '_>| child(share, "driver")?.attribute("type").map(|kind| kind == "virtiofs");
    if each("filesystem").any(|share| has_virtiofs(share) == Some(true)) {
        reasons.push("it has a directory of its host, by virtiofs".to_owned());
    }
    if running.qemu < KNOWS_ITS_DEVICES {
        reasons.extend(each("hostdev").chain(each("interface")).filter_map(of_host_device));
    }
    Ok(reasons)
}

fn of_disk(node: Node<'_, '_>, running: Running, is_shared: &impl Fn(&Path) -> Option<bool>) -> Option<String> {
    let has = |name| child(node, name).is_some();
    let disk = disk(node);
    let target = &disk.target;
    if has("mirror") {
        return Some(format!("{target} is being copied or merged: wait for the end of that (virsh blockjob)"));
    }
    if has("transient") {
        return Some(format!("what is written to {target} is to be thrown away with its process"));
    }
    if disk.source == Source::Empty || has("readonly") {
        return None;
    }
    match &disk.source {
        Source::File(path) if is_shared(path) == Some(false) => {
            return Some(format!(
                "{} ({target}) is on no file system that libvirt knows to be shared between hosts",
                path.display()
            ));
        }
        Source::Other(kind) if kind == "nvme" => return Some(format!("{target} is a device of its host")),
        Source::File(_) | Source::Block(_) => {}
        // What servers keep is nobody's cache, and what lies in a pool is left to libvirt.
        Source::Network { .. } | Source::Volume { .. } | Source::Other(_) | Source::Empty => return None,
    }
    let is_safe = disk.shareable || matches!(disk.cache.as_str(), "none" | "directsync");
    (running.qemu < DROPS_CACHES && !is_safe)
        .then(|| format!("{target} is cached by its host: set its cache mode to \"none\""))
}

fn of_shared_memory(node: Node<'_, '_>) -> Option<String> {
    let name = attribute(node, "name").unwrap_or_default();
    let is_legacy = child(node, "model").and_then(|model| model.attribute("type")) == Some("ivshmem");
    (is_legacy || node.attribute("role") != Some("master"))
        .then(|| format!("it shares the memory \"{name}\" with others on its host"))
}

/// A device of the host. One of USB comes back at the other end as if it was plugged in there, and one that is only the
/// faster half of a pair is taken out for the time.
fn of_host_device(node: Node<'_, '_>) -> Option<String> {
    let kind = node.attribute("type").unwrap_or("host");
    let is_half = child(node, "teaming").and_then(|teaming| teaming.attribute("type")) == Some("transient");
    let is_card = node.has_tag_name("interface");
    let stays = if is_card { matches!(kind, "hostdev" | "vdpa") } else { kind != "usb" };
    (stays && !is_half).then(|| format!("it has a {kind} device of its host: take that out"))
}

fn counts_unsteadily(domain: Node<'_, '_>) -> bool {
    let feature = |node: &Node<'_, '_>| {
        node.attribute("name") == Some("invtsc") && matches!(node.attribute("policy"), Some("require" | "force"))
    };
    let cpu = child(domain, "cpu").into_iter().flat_map(|cpu| children(cpu, "feature"));
    let timers = child(domain, "clock").into_iter().flat_map(|clock| children(clock, "timer"));
    let is_set = |timer: Node<'_, '_>| timer.attribute("name") == Some("tsc") && timer.has_attribute("frequency");
    cpu.into_iter().any(|node| feature(&node)) && !timers.into_iter().any(is_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Running = Running { qemu: 7_002_022, snapshots: 0, has_io_error: false };
    const OLD: Running = Running { qemu: 3_001_000, ..NEW };

    fn reasons(running: Running, head: &str, devices: &str) -> Vec<String> {
        let xml = format!("<domain type='kvm'><name>a</name>{head}<devices>{devices}</devices></domain>");
        immovable(&xml, running, |path| Some(path.starts_with("/shared"))).unwrap()
    }

    fn disk(more: &str, path: &str) -> String {
        format!("<disk type='file' device='disk'><source file='{path}'/><target dev='vda'/>{more}</disk>")
    }

    #[test]
    fn a_disk_must_lie_where_the_other_host_sees_it() {
        let of = |running, more: &str, path: &str| reasons(running, "", &disk(more, path));
        assert!(of(NEW, "", "/shared/a").is_empty());
        assert!(of(NEW, "", "/local/a")[0].starts_with("/local/a (vda) is on no file system"));
        assert!(of(NEW, "<readonly/>", "/local/a").is_empty());
        assert!(of(NEW, "<mirror type='file'/>", "/shared/a")[0].contains("copied or merged"));
        assert!(of(NEW, "<transient/>", "/shared/a")[0].contains("thrown away"));
        let nvme = "<disk type='nvme' device='disk'><source type='pci'/><target dev='vdb'/></disk>";
        assert_eq!(reasons(NEW, "", nvme), ["vdb is a device of its host"]);
        let rbd = "<disk type='network'><source protocol='rbd' name='pool/a'/><target dev='vdc'/></disk>";
        assert!(reasons(OLD, "", rbd).is_empty());
        let unknown = immovable("<domain><devices/></domain>", NEW, |_| None).unwrap();
        assert!(unknown.is_empty());
        let xml = format!("<domain><devices>{}</devices></domain>", disk("", "/local/a"));
        assert!(immovable(&xml, NEW, |_| None).unwrap().is_empty(), "it is left to libvirt");
    }

    #[test]
    fn a_cache_is_in_the_way_of_an_old_qemu_only() {
        let of = |running, cache: &str| reasons(running, "", &disk(&format!("<driver cache='{cache}'/>"), "/shared/a"));
        assert!(of(NEW, "writeback").is_empty());
        assert!(of(OLD, "writeback")[0].contains("\"none\""));
        assert!(of(OLD, "none").is_empty() && of(OLD, "directsync").is_empty());
        assert!(reasons(OLD, "", &disk("<shareable/>", "/shared/a")).is_empty());
    }

    #[test]
    fn what_belongs_to_its_host_stays_there() {
        let pci = "<hostdev mode='subsystem' type='pci'/>";
        assert_eq!(reasons(OLD, "", pci).len(), 1);
        assert!(reasons(NEW, "", pci).is_empty(), "QEMU says so itself");
        assert!(reasons(OLD, "", "<hostdev mode='subsystem' type='usb'/>").is_empty());
        let half = "<interface type='hostdev'><teaming type='transient' persistent='ua-0'/></interface>";
        assert!(reasons(OLD, "", half).is_empty());
        assert_eq!(reasons(OLD, "", "<interface type='bridge'/>").len(), 0);
        assert_eq!(reasons(NEW, "", "<filesystem type='mount'><driver type='virtiofs'/></filesystem>").len(), 1);
        assert_eq!(reasons(NEW, "", "<filesystem type='mount'><driver type='path'/></filesystem>").len(), 0);
        let memory = |role: &str, model: &str| {
            reasons(NEW, "", &format!("<shmem name='s' role='{role}'><model type='{model}'/></shmem>")).len()
        };
        assert_eq!(
            [memory("master", "ivshmem-plain"), memory("peer", "ivshmem-plain"), memory("master", "ivshmem")],
            [0, 1, 1]
        );
    }

    #[test]
    fn what_it_is_just_now_counts_too() {
        assert!(reasons(Running { snapshots: 2, ..NEW }, "", "")[0].contains("snapshots (2)"));
        assert!(reasons(Running { has_io_error: true, ..NEW }, "", "")[0].contains("paused"));
        let cpu = "<cpu mode='custom'><feature policy='require' name='invtsc'/></cpu>";
        assert_eq!(reasons(NEW, cpu, "").len(), 1);
        assert!(reasons(NEW, &format!("{cpu}<clock><timer name='tsc' frequency='1'/></clock>"), "").is_empty());
    }
}
