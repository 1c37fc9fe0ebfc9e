//! Reading the file, key by key.

use super::{
    Capacity, Config, DatastoreConfig, LIBVIRT, LIBVIRT_OF_OTHERS, LogConfig, LogFormat, PlatformConfig, RUN,
    SHUTDOWN_MARK, WATCHDOG_DEVICE, WatchdogConfig,
};
use super::{commands, retention};
use crate::api::{MOST_MEMORY, MOST_MILLICORES};
use crate::core::ids::SocketAddr;
use crate::reader::{Found, Problem, Reader, Source};
use crate::samples::Retention;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// At most so many networks of the cluster, datastores and networks of guests.
pub(super) const LIST_LIMIT: usize = 64;
/// A name is shown in tables, written on datastores and sent about.
const NAME_LIMIT: usize = 64;
pub(super) const NAME_HINT: &str = "letters, digits, `-`, `_` and `.`, at most 64 of them";

pub(super) fn config(path: &Path, text: &str) -> Result<Config, Problem> {
    let source = Source { path, text };
    let table = DeTable::parse(text)
        .map_err(|error| source.problem(error.span().unwrap_or(0..0), error.message().replace('\n', ", ")))?;
    let mut reader = Reader::new(source, "the configuration", table.span(), table.get_ref());
    let config = top(&mut reader)?;
    reader.finish()?;
    Ok(config)
}

fn top(reader: &mut Reader<'_>) -> Result<Config, Problem> {
    let platform = match reader.get("platform") {
        Some(found) => platform(found.table("[platform]")?)?,
        None => PlatformConfig::None,
    };
    let listen = reader.must("listen", addresses)?;
    let advertise = advertise(reader, &listen)?;
    let api = reader.must("api", address)?;
    Ok(Config {
        name: reader.must("name", name)?,
        uuid: reader.must("uuid", uuid)?,
        state: reader.must("state", absolute)?,
        advertise,
        listen,
        api,
        metrics: reader.maybe("metrics", address)?,
        failure_domain: reader.maybe("failure_domain", name)?.unwrap_or_default(),
        tags: reader.maybe("tags", names)?.unwrap_or_default(),
        capacity: capacity(reader, &platform)?,
        datastores: datastores(reader)?,
        networks: reader.maybe("networks", names)?.unwrap_or_default(),
        watchdog: match reader.get("watchdog") {
            Some(found) => watchdog(found.table("[watchdog]")?)?,
            None => WatchdogConfig::None,
        },
        shutdown_mark: shutdown_mark(reader, &platform)?,
        commands: match reader.get("commands") {
            Some(found) => commands::read(found.table("[commands]")?)?,
            None => BTreeMap::new(),
        },
        alert_command: reader.maybe("alert_command", commands::command)?.unwrap_or_default(),
        retention: match reader.get("samples") {
            Some(found) => retention::read(found.table("[samples]")?)?,
            None => Retention::default(),
        },
        log: match reader.get("log") {
            Some(found) => log(found.table("[log]")?)?,
            None => LogConfig { format: LogFormat::Text, level: "info".to_owned() },
        },
        platform,
    })
}

/// Where peers find the host is what it listens on, unless that is every address.
fn advertise(reader: &mut Reader<'_>, listen: &[SocketAddr]) -> Result<Vec<SocketAddr>, Problem> {
    let nobody_calls =
        |address: &&SocketAddr| address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0;
    let Some(found) = reader.get("advertise") else {
        return match listen.iter().find(nobody_calls) {
            None => Ok(listen.to_vec()),
            Some(address) => Err(reader
                .problem(format!("`listen` has {address}, which no peer can call"))
                .hint("say with `advertise` by which addresses peers reach this host")),
        };
    };
    let addresses = addresses(&found)?;
    if addresses.len() != listen.len() {
        return Err(found.problem(format!("`advertise` must have as many addresses as `listen`: {}", listen.len())));
    }
    match addresses.iter().find(nobody_calls) {
        Some(address) => Err(found.problem(format!("no peer can call {address}"))),
        None => Ok(addresses),
    }
}

fn capacity(reader: &mut Reader<'_>, platform: &PlatformConfig) -> Result<Capacity, Problem> {
    let memory = reader.maybe("memory", Found::memory)?;
    let millicores = reader.maybe("cores", Found::cores)?;
    if *platform == PlatformConfig::None {
        return match memory {
            Some(1..) => Err(reader
                .problem("a host without [platform] is a witness and has no `memory` for VMs")
                .hint("take `memory` out, or add [platform]")),
            _ => Ok(Capacity { memory_mib: 0, millicores: 0 }),
        };
    }
    match (memory, millicores) {
        (Some(memory_mib @ 1..=MOST_MEMORY), Some(millicores @ 1..=MOST_MILLICORES)) => {
            Ok(Capacity { memory_mib, millicores })
        }
        (Some(1..), Some(1..)) => Err(reader.problem("no host has more than 1024TiB of memory or 100000 cores")),
        _ => Err(reader
            .problem("the configuration needs `memory` and `cores`: what the host has for VMs")
            .hint("such as memory = \"64GiB\" and cores = 16, less than the machine has: the host itself needs some")),
    }
}

fn shutdown_mark(reader: &mut Reader<'_>, platform: &PlatformConfig) -> Result<PathBuf, Problem> {
    let usual = match platform {
        PlatformConfig::None | PlatformConfig::Libvirt { .. } => PathBuf::from(SHUTDOWN_MARK),
        PlatformConfig::Process { run } => run.join(crate::machine::SHUTDOWN_MARK),
    };
    Ok(reader.maybe("shutdown_mark", absolute)?.unwrap_or(usual))
}

fn datastores(reader: &mut Reader<'_>) -> Result<Vec<DatastoreConfig>, Problem> {
    let mut datastores: Vec<DatastoreConfig> = Vec::new();
    for mut entry in reader.tables("datastore")? {
        let datastore = DatastoreConfig {
            name: entry.must("name", name)?,
            path: entry.must("path", absolute)?,
            heartbeat: entry.maybe("heartbeat", Found::boolean)?.unwrap_or(true),
        };
        if datastores.iter().any(|other| other.name == datastore.name || other.path == datastore.path) {
            return Err(entry.problem(format!("the datastore \"{}\" or its path is named twice", datastore.name)));
        }
        if datastores.len() >= LIST_LIMIT {
            return Err(entry.problem(format!("there are more than {LIST_LIMIT} datastores")));
        }
        entry.finish()?;
        datastores.push(datastore);
    }
    Ok(datastores)
}

fn platform(mut reader: Reader<'_>) -> Result<PlatformConfig, Problem> {
    #[derive(Clone)]
    enum Kind {
        None,
        Process,
        Libvirt,
    }
    let kinds = [("none", Kind::None), ("process", Kind::Process), ("libvirt", Kind::Libvirt)];
    let kind = reader.must("kind", |found| found.word(&kinds))?;
    let platform = match kind {
        Kind::Libvirt if cfg!(not(feature = "libvirt")) => {
            return Err(reader
                .problem("this build of Holdfast cannot call libvirt")
                .hint("install the usual build, or build it with the feature `libvirt`"));
        }
        Kind::Libvirt => PlatformConfig::Libvirt {
            uri: reader.maybe("uri", uri)?.unwrap_or_else(|| LIBVIRT.to_owned()),
            migration: reader.maybe("migration", template)?.unwrap_or_else(|| LIBVIRT_OF_OTHERS.to_owned()),
            run: reader.maybe("run", absolute)?.unwrap_or_else(|| PathBuf::from(RUN)),
        },
        Kind::None => PlatformConfig::None,
        Kind::Process => PlatformConfig::Process { run: reader.must("run", absolute)? },
    };
    reader.finish()?;
    Ok(platform)
}

fn uri(found: &Found<'_>) -> Result<String, Problem> {
    let text = found.text()?;
    if text.contains("://") && !text.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        return Ok(text.to_owned());
    }
    Err(found
        .problem(format!("\"{}\" is no URI of libvirt", text.escape_debug()))
        .hint(format!("such as \"{LIBVIRT}\"")))
}

fn template(found: &Found<'_>) -> Result<String, Problem> {
    let text = uri(found)?;
    match text.contains("{host}") {
        true => Ok(text),
        false => Err(found
            .problem("`migration` names the same host for all")
            .hint(format!("write {{host}} where the name of a host is to stand, such as \"{LIBVIRT_OF_OTHERS}\""))),
    }
}

fn watchdog(mut reader: Reader<'_>) -> Result<WatchdogConfig, Problem> {
    #[derive(Clone)]
    enum Kind {
        None,
        Machine,
        Device,
    }
    let kinds = [("none", Kind::None), ("device", Kind::Device), ("machine", Kind::Machine)];
    let kind = reader.must("kind", |found| found.word(&kinds))?;
    let watchdog = match kind {
        Kind::None => WatchdogConfig::None,
        Kind::Machine => WatchdogConfig::Machine { socket: reader.must("socket", absolute)? },
        Kind::Device => {
            let path = reader.maybe("path", absolute)?.unwrap_or_else(|| PathBuf::from(WATCHDOG_DEVICE));
            WatchdogConfig::Device { path }
        }
    };
    reader.finish()?;
    Ok(watchdog)
}

fn log(mut reader: Reader<'_>) -> Result<LogConfig, Problem> {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = reader.maybe("format", |found| found.word(&formats))?.unwrap_or(LogFormat::Text);
    let level = reader.maybe("level", level)?.unwrap_or_else(|| "info".to_owned());
    reader.finish()?;
    Ok(LogConfig { format, level })
}

fn level(found: &Found<'_>) -> Result<String, Problem> {
    let text = found.text()?;
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(found.problem(format!("`level`: {error}")).hint("such as info, debug or warn,holdfast=debug"))
        }
    }
}

fn name(found: &Found<'_>) -> Result<String, Problem> {
    let text = found.text()?;
    if !is_name(text) {
        return Err(found.problem(format!("\"{text}\" is no name")).hint(NAME_HINT));
    }
    Ok(text.to_owned())
}

/// Whether something can be called so.
pub(crate) fn is_name(text: &str) -> bool {
    let sound = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= NAME_LIMIT && text.chars().all(sound)
}

fn names(found: &Found<'_>) -> Result<BTreeSet<String>, Problem> {
    found.list()?.iter().take(LIST_LIMIT + 1).map(name).collect::<Result<_, _>>().and_then(|names: BTreeSet<_>| {
        if names.len() > LIST_LIMIT { Err(found.problem(format!("more than {LIST_LIMIT} of them"))) } else { Ok(names) }
    })
}

fn uuid(found: &Found<'_>) -> Result<u128, Problem> {
    let text = found.text()?;
    match text.parse::<uuid::Uuid>() {
        Ok(uuid) if !uuid.is_nil() => Ok(uuid.as_u128()),
        _ => Err(found
            .problem(format!("\"{text}\" is no UUID of a machine"))
            .hint("take what /sys/class/dmi/id/product_uuid says: fence devices show the same")),
    }
}

fn absolute(found: &Found<'_>) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(found.text()?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(found.problem(format!("{} must be a path from the root", path.display())))
    }
}

fn address(found: &Found<'_>) -> Result<SocketAddr, Problem> {
    let text = found.text()?;
    text.parse().map_err(|_| {
        found.problem(format!("\"{text}\" is no address")).hint("an address and its port, such as \"192.0.2.7:7770\"")
    })
}

fn addresses(found: &Found<'_>) -> Result<Vec<SocketAddr>, Problem> {
    let list = found.one_or_more()?;
    if list.is_empty() || list.len() > 8 {
        return Err(found.problem("between one and eight addresses are needed, one for each network of the cluster"));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for found in &list {
        let address = address(found)?;
        if addresses.iter().any(|other| unscoped(*other) == unscoped(address)) {
            return Err(found.problem(format!("{address} stands there twice")));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// Zone and flow of an IPv6 address mean something on this machine only, and no peer is told of them.
fn unscoped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "libvirt")]
    use crate::config::EXAMPLE;

    const WHOLE: &str = r#"
name = "host-1"
uuid = "6f3c1a52-2f70-4a8b-8d6e-0c9b1c5f7a01"
state = "/var/lib/holdfast"
listen = ["0.0.0.0:7770"]
advertise = ["192.0.2.1:7770"]
api = "192.0.2.1:7771"
memory = "64GiB"
cores = 16
networks = ["guests"]

[[datastore]]
name = "shared"
path = "/mnt/shared"

[platform]
kind = "process"
run = "/run/holdfast"

[log]
format = "json"
"#;

    fn wrong(text: &str) -> String {
        config(Path::new("holdfast.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = config(Path::new("holdfast.toml"), WHOLE).unwrap();
        assert_eq!((config.name.as_str(), config.capacity.memory_mib), ("host-1", 65_536));
        assert_eq!((config.capacity.millicores, config.datastores.len()), (16_000, 1));
        assert_eq!(config.shutdown_mark, Path::new("/run/holdfast/shutting-down"));
        assert!(config.datastores[0].heartbeat && config.log.format == LogFormat::Json);
    }

    /// The keys that the reader knows there, by its own word.
    fn known(text: &str) -> Vec<String> {
        let said = wrong(text);
        let list = said.rsplit_once("there is ").expect("it says which there are").1;
        list.replace(" and ", ", ").split(", ").map(str::to_owned).collect()
    }

    #[cfg(feature = "libvirt")]
    #[test]
    fn the_example_is_a_configuration_and_has_every_key() {
        let read = |text: &str| config(Path::new("holdfast.toml"), text);
        let short = read(EXAMPLE).expect("the example as it is");
        // With each key that may be left out.
        let key = |rest: &&str| rest.starts_with(char::is_alphabetic) || rest.starts_with('[');
        let bare = |line: &'static str| line.strip_prefix('#').filter(key);
        let lines: Vec<&str> = EXAMPLE.lines().map(|line| bare(line).unwrap_or(line)).collect();
        let text = lines.join("\n");
        let whole = read(&text).expect("the example with all that may be left out");
        assert_eq!((&whole.log, &whole.platform, &whole.watchdog), (&short.log, &short.platform, &short.watchdog));
        assert_eq!((&whole.shutdown_mark, &whole.advertise), (&short.shutdown_mark, &short.advertise));
        assert_eq!((whole.datastores.len(), whole.networks.len(), whole.tags.len()), (1, 1, 1));
        assert_eq!(whole.commands.len(), 1);
        for table in ["", "[platform]", "[watchdog]", "[[datastore]]", "[log]"] {
            let at = lines.iter().position(|line| *line == table && !table.is_empty()).map_or(0, |line| line + 1);
            let mut lines = lines.clone();
            lines.insert(at, "xxxxxxxxxxxx = 1");
            for key in known(&lines.join("\n")) {
                let there = |line: &&str| line.starts_with(&format!("{key} = ")) || line.contains(&format!("[{key}]"));
                assert!(lines.iter().any(there), "{table} of the example lacks `{key}`");
            }
        }
    }

    #[test]
    fn a_typo_is_said_where_its_key_is_missing() {
        let found = wrong(&WHOLE.replace("uuid =", "uiud ="));
        assert!(found.contains("needs `uuid`\n  hint: line 3 has `uiud`: did you mean `uuid`?"), "{found}");
    }

    #[test]
    fn what_is_wrong_is_found_in_its_line() {
        let samples = [
            ("name = \"host-1\"", "nmae = \"host-1\"", "holdfast.toml:1: the configuration needs `name`"),
            ("cores = 16", "cores = 16\ncoers = 2", "holdfast.toml:10: the configuration has no key `coers`"),
            ("advertise = [\"192.0.2.1:7770\"]\n", "", "which no peer can call"),
            ("[\"192.0.2.1:7770\"]", "[\"192.0.2.1\"]", "holdfast.toml:6: \"192.0.2.1\" is no address"),
            ("\"/var/lib/holdfast\"", "\"lib\"", "holdfast.toml:4: lib must be a path from the root"),
            ("6f3c1a52-2f70-4a8b-8d6e-0c9b1c5f7a01", "no", "holdfast.toml:3: \"no\" is no UUID"),
            ("kind = \"process\"", "kind = \"kvmm\"", "holdfast.toml:17: `kind` cannot be \"kvmm\""),
            ("memory = \"64GiB\"\n", "", "needs `memory` and `cores`"),
            ("64GiB", "1025TiB", "no host has more than 1024TiB"),
            ("cores = 16", "cores = 100001", "no host has more than 1024TiB of memory or 100000 cores"),
            ("[\"192.0.2.1:7770\"]", "[\"192.0.2.1:0\"]", "no peer can call 192.0.2.1:0"),
            ("[\"0.0.0.0:7770\"]", "[\"[fe80::1%1]:7\", \"[fe80::1%2]:7\"]", "stands there twice"),
            ("name = \"host-1\"", "name = \"a b\"", "holdfast.toml:2: \"a b\" is no name"),
            ("format = \"json\"", "level = \"=,=\"", "`level`: "),
            ("[log]", "[commands]\npage = \"page\"\n[log]", "holdfast.toml:21: `page` must begin with the full path"),
            ("[log]", "[commands]\n\"a b\" = \"/x\"\n[log]", "holdfast.toml:21: \"a b\" is no name of a command"),
        ];
        for (from, to, expected) in samples {
            assert!(WHOLE.contains(from), "{from}");
            let found = wrong(&WHOLE.replace(from, to));
            assert!(found.contains(expected), "{from} -> {to}: {found}");
        }
    }

    #[cfg(feature = "libvirt")]
    #[test]
    fn libvirt_needs_no_more_than_its_name() {
        let text = |more: &str| {
            WHOLE.replace("kind = \"process\"\nrun = \"/run/holdfast\"", &format!("kind = \"libvirt\"{more}"))
        };
        let read = config(Path::new("x"), &text("")).unwrap();
        assert_eq!(read.shutdown_mark, Path::new("/run/holdfast/shutting-down"));
        let PlatformConfig::Libvirt { uri, migration, run } = read.platform else { panic!("{:?}", read.platform) };
        assert_eq!((uri.as_str(), migration.as_str()), (LIBVIRT, LIBVIRT_OF_OTHERS));
        assert_eq!(run, Path::new(RUN));
        assert!(wrong(&text("\nuri = \"qemu\"")).contains("no URI of libvirt"));
        assert!(wrong(&text("\nmigration = \"qemu+tls://kvm1/system\"")).contains("{host}"));
    }

    #[test]
    fn a_host_without_a_hypervisor_is_a_witness() {
        let text = WHOLE.replace("[platform]\nkind = \"process\"\nrun = \"/run/holdfast\"", "");
        assert!(wrong(&text).contains("is a witness"));
        let text = text.replace("memory = \"64GiB\"\ncores = 16\n", "");
        assert_eq!(config(Path::new("x"), &text).unwrap().capacity, Capacity { memory_mib: 0, millicores: 0 });
    }
}
