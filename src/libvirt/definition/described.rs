//! Reading libvirt's XML.

use roxmltree::{Document, Node, ParsingOptions};
use std::collections::BTreeSet;
use std::path::PathBuf;
use thiserror::Error;
use uuid::Uuid;

/// No definition is longer.
pub(super) const LONGEST: usize = 1_024 * 1_024;
/// Nor has more parts.
const MOST_NODES: u32 = 100_000;
/// No name in one is longer.
const LONGEST_NAME: usize = 4_096;
/// Nor has anybody more of such a thing.
const MOST: usize = 1_024;

/// Why something is no definition.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum DescribeError {
    /// It is too long to be one.
    #[error("a definition of {0} bytes is refused: none is longer than {LONGEST}")]
    TooLong(usize),
    /// It is no XML.
    #[error("the definition is no XML: {0}")]
    NoXml(#[from] roxmltree::Error),
    /// Something that each definition has is missing, or cannot be.
    #[error("the definition has no `{0}` that can be read")]
    Missing(&'static str),
    /// There is too much of something.
    #[error("the definition has more than {MOST} of `{0}`")]
    TooMany(&'static str),
}

/// A VM, as its definition tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its UUID.
    pub uuid: u128,
    /// Its name.
    pub name: String,
    /// Its kind: `kvm`, `qemu` and the like.
    pub kind: String,
    /// The most memory that it may have.
    pub memory_mib: u64,
    /// Its virtual processors.
    pub vcpus: u32,
    /// The machine that QEMU plays.
    pub machine: String,
    /// The processor's architecture.
    pub arch: String,
    /// The processor that it sees.
    pub cpu: Cpu,
    /// The program that runs it.
    pub emulator: Option<PathBuf>,
    /// Whether the daemon is to choose its firmware.
    pub firmware: Option<String>,
    /// The image of its firmware.
    pub loader: Option<PathBuf>,
    /// Where its firmware keeps what it sets.
    pub nvram: Option<PathBuf>,
    /// Kernel, initial file system and the like, which the host lends it.
    pub files: Vec<PathBuf>,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// What its network cards are attached to.
    pub networks: Vec<Attachment>,
    /// Its trusted platform module.
    pub tpm: Option<Tpm>,
    /// Devices of the host, by what they are.
    pub passthrough: Vec<String>,
    /// The secrets that its disks need, by UUID or usage.
    pub secrets: BTreeSet<String>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What the guest's bus calls it.
    pub target: String,
    /// `disk`, `cdrom`, `floppy` or `lun`.
    pub device: String,
    /// Where it lies.
    pub source: Source,
    /// The form of the image.
    pub format: String,
    /// How the host caches it; empty: as QEMU likes.
    pub cache: String,
    /// Whether the guest may not write.
    pub read_only: bool,
    /// Whether other guests may write, too.
    pub shareable: bool,
    /// The images below it, nearest first.
    pub backing: Vec<Source>,
}

/// Where a disk lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nowhere: an empty drive.
    Empty,
    /// In a file.
    File(PathBuf),
    /// On a device of blocks.
    Block(PathBuf),
    /// In a storage pool.
    Volume {
        /// Which pool.
        pool: String,
        /// Which volume of it.
        volume: String,
    },
    /// On a server, such as Ceph's RBD.
    Network {
        /// How it is spoken to.
        protocol: String,
        /// What it is called there.
        name: String,
    },
    /// On something that this version does not know.
    Other(String),
}

/// What a network card is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attachment {
    /// A network of libvirt.
    Network {
        /// Which.
        name: String,
        /// Which group of its ports.
        portgroup: Option<String>,
    },
    /// A bridge of the host.
    Bridge(String),
    /// A network card of the host.
    Direct(String),
    /// Nothing that a host must have.
    User,
    /// Something that this version does not know.
    Other(String),
}

/// The processor that a guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cpu {
    /// `host-passthrough`, `host-model`, `maximum`, `custom`; empty: as QEMU likes.
    pub mode: String,
    /// Which model, of a custom one.
    pub model: Option<String>,
}

/// A trusted platform module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tpm {
    /// A program of the host is it, and keeps its state there.
    Emulator,
    /// It is the host's own.
    Host,
}

impl Described {
    /// The paths of this host that it is made of.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let sources = self.disks.iter().flat_map(|disk| std::iter::once(&disk.source).chain(&disk.backing));
        sources.filter_map(Source::path).chain(&self.files)
    }
}

impl Disk {
    /// The path on this host, if it has one.
    pub fn path(&self) -> Option<&PathBuf> {
        self.source.path()
    }

    /// Whether only one guest may write to it, and this one does.
    pub fn is_own(&self) -> bool {
        !self.read_only && !self.shareable && self.source != Source::Empty
    }
}

impl Source {
    /// The path on this host, if it has one.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Source::File(path) | Source::Block(path) => Some(path),
            _ => None,
        }
    }
}

/// Reads the XML of a domain.
pub(super) fn parse(xml: &str) -> Result<Document<'_>, DescribeError> {
    if xml.len() > LONGEST {
        return Err(DescribeError::TooLong(xml.len()));
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options)?;
    match document.root_element().tag_name().name() {
        "domain" => Ok(document),
        _ => Err(DescribeError::Missing("domain")),
    }
}

/// Reads a definition.
pub fn describe(xml: &str) -> Result<Described, DescribeError> {
    let document = parse(xml)?;
    let domain = document.root_element();
    let os = child(domain, "os").ok_or(DescribeError::Missing("os"))?;
    let kind = child(os, "type").ok_or(DescribeError::Missing("os/type"))?;
    let devices = child(domain, "devices");
    let each = |name: &'static str| devices.into_iter().flat_map(move |devices| children(devices, name));
    let uuid = text(domain, "uuid").and_then(|text| Uuid::try_parse(text).ok()).filter(|uuid| !uuid.is_nil());
    let described = Described {
        uuid: uuid.ok_or(DescribeError::Missing("uuid"))?.as_u128(),
        name: text(domain, "name").map(plain).filter(|name| !name.is_empty()).ok_or(DescribeError::Missing("name"))?,
        kind: attribute(domain, "type").unwrap_or_default(),
        memory_mib: memory(domain).ok_or(DescribeError::Missing("memory"))?,
        vcpus: text(domain, "vcpu").map_or(Some(1), |text| text.parse().ok()).ok_or(DescribeError::Missing("vcpu"))?,
        machine: attribute(kind, "machine").unwrap_or_default(),
        arch: attribute(kind, "arch").unwrap_or_default(),
        cpu: child(domain, "cpu").map(cpu).unwrap_or_default(),
        emulator: devices.and_then(|devices| path(text(devices, "emulator")?)),
        firmware: attribute(os, "firmware"),
        loader: text(os, "loader").and_then(path),
        nvram: text(os, "nvram").and_then(path),
        files: ["kernel", "initrd", "dtb"].into_iter().filter_map(|name| path(text(os, name)?)).collect(),
        disks: bounded("disk", each("disk").map(disk))?,
        networks: bounded("interface", each("interface").map(attachment))?,
        tpm: each("tpm").find_map(|tpm| child(tpm, "backend")).map(tpm),
        passthrough: bounded("hostdev", passthrough(devices).into_iter())?,
        secrets: devices.into_iter().flat_map(secrets).take(MOST).collect(),
    };
    Ok(described)
}

fn bounded<T>(what: &'static str, all: impl Iterator<Item = T>) -> Result<Vec<T>, DescribeError> {
    let all: Vec<T> = all.take(MOST + 1).collect();
    if all.len() > MOST { Err(DescribeError::TooMany(what)) } else { Ok(all) }
}

fn memory(domain: Node<'_, '_>) -> Option<u64> {
    let memory = child(domain, "memory")?;
    let number: u64 = memory.text()?.trim().parse().ok()?;
    let bytes: u64 = match memory.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1_000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    Some(number.checked_mul(bytes)?.div_ceil(1 << 20))
}

fn cpu(cpu: Node<'_, '_>) -> Cpu {
    let mode = attribute(cpu, "mode").unwrap_or_default();
    Cpu { mode, model: text(cpu, "model").map(plain).filter(|model| !model.is_empty()) }
}

pub(super) fn disk(disk: Node<'_, '_>) -> Disk {
    let driver = child(disk, "driver");
    let of_driver = |name| driver.and_then(|driver| attribute(driver, name)).unwrap_or_default();
    let device = attribute(disk, "device").unwrap_or_else(|| "disk".to_owned());
    Disk {
        target: child(disk, "target").and_then(|target| attribute(target, "dev")).unwrap_or_default(),
        source: source(attribute(disk, "type").as_deref(), child(disk, "source")),
        format: of_driver("type"),
        cache: of_driver("cache"),
        read_only: child(disk, "readonly").is_some() || device == "cdrom",
        shareable: child(disk, "shareable").is_some(),
        backing: backing(disk),
        device,
    }
}

fn source(kind: Option<&str>, source: Option<Node<'_, '_>>) -> Source {
    let Some(source) = source else { return Source::Empty };
    let of = |name| attribute(source, name);
    let found = match kind {
        Some("file") => of("file").and_then(|text| path(&text)).map(Source::File),
        Some("block") => of("dev").and_then(|text| path(&text)).map(Source::Block),
        Some("volume") => of("pool").zip(of("volume")).map(|(pool, volume)| Source::Volume { pool, volume }),
        Some("network") => {
            of("protocol").map(|protocol| Source::Network { protocol, name: of("name").unwrap_or_default() })
        }
        Some(other) => Some(Source::Other(plain(other))),
        None => of("file").and_then(|text| path(&text)).map(Source::File),
    };
    found.unwrap_or(Source::Empty)
}

/// The chain below a disk. It is walked, not recursed into, so that a long one takes no stack.
fn backing(disk: Node<'_, '_>) -> Vec<Source> {
    let mut chain = Vec::new();
    let mut next = child(disk, "backingStore");
    while let Some(store) = next.filter(|_| chain.len() < MOST) {
        let below = source(attribute(store, "type").as_deref(), child(store, "source"));
        if below == Source::Empty {
            break;
        }
        chain.push(below);
        next = child(store, "backingStore");
    }
    chain
}

fn attachment(interface: Node<'_, '_>) -> Attachment {
    let source = child(interface, "source");
    let of = |name| source.and_then(|source| attribute(source, name));
    let kind = attribute(interface, "type").unwrap_or_default();
    let found = match kind.as_str() {
        "network" => of("network").map(|name| Attachment::Network { name, portgroup: of("portgroup") }),
        "bridge" => of("bridge").map(Attachment::Bridge),
        "direct" => of("dev").map(Attachment::Direct),
        "user" | "null" => Some(Attachment::User),
        _ => None,
    };
    found.unwrap_or(Attachment::Other(kind))
}

fn tpm(backend: Node<'_, '_>) -> Tpm {
    match backend.attribute("type") {
        Some("passthrough") => Tpm::Host,
        _ => Tpm::Emulator,
    }
}

fn passthrough(devices: Option<Node<'_, '_>>) -> Vec<String> {
    let Some(devices) = devices else { return Vec::new() };
    let hostdevs = children(devices, "hostdev")
        .map(|device| format!("{} device", attribute(device, "type").unwrap_or_else(|| "host".to_owned())));
    let cards =
        children(devices, "interface").filter(|card| matches!(card.attribute("type"), Some("hostdev" | "vdpa")));
    let shares = children(devices, "filesystem").map(|_| "directory of the host".to_owned());
    let memory = children(devices, "memory")
        .filter(|memory| matches!(memory.attribute("model"), Some("nvdimm" | "virtio-pmem")))
        .map(|_| "memory that is a file of the host".to_owned());
    let parts = children(devices, "disk")
        .filter(|disk| matches!(disk.attribute("type"), Some("nvme" | "vhostuser" | "vhostvdpa")))
        .map(|_| "disk that is a device of the host".to_owned());
    hostdevs
        .chain(cards.map(|_| "network card of the host".to_owned()))
        .chain(shares)
        .chain(memory)
        .chain(parts)
        .collect()
}

fn secrets<'a>(devices: Node<'a, 'a>) -> impl Iterator<Item = String> + 'a {
    let secrets =
        children(devices, "disk").flat_map(|disk| disk.descendants()).filter(|node| node.has_tag_name("secret"));
    secrets.filter_map(|secret| attribute(secret, "uuid").or_else(|| attribute(secret, "usage")))
}

pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

pub(super) fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(plain)
}

/// An absolute path; anything else would mean another file in each process.
fn path(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && text.len() <= LONGEST_NAME && !text.contains('\0')).then(|| PathBuf::from(text))
}

/// What people may be shown: no control characters, and not endless.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect()
}

/// The UUID that a definition names, whatever else it says.
pub fn uuid_of(xml: &str) -> Option<Uuid> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options).ok()?;
    Uuid::try_parse(text(document.root_element(), "uuid")?).ok()
}
