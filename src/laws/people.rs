//! What people write, and what they bring from elsewhere.

use super::{settles, settles_as_json};
use crate::config::{Config, LogFormat, PlatformConfig, WatchdogConfig};
use crate::core::ids::Address;
use crate::fence::FenceDevice;
use crate::samples::Retention;
use crate::sim::scenario::Scenario;
use crate::sim::spelling::fault_as_toml;
use crate::trust::{JoinToken, Principal, Secret, SigningRequest, TokenId};
use crate::wire::{Fingerprint, Member, Roster, RosterVersion};
use crate::words::{format_duration, parse_duration, parse_memory};
use std::fmt::Display;
use std::path::Path;

/// The configuration of a host.
pub(super) fn config(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        let config = Config::parse(Path::new("holdfast.toml"), text);
        if let Err(problem) = &config {
            assert!(problem.line >= 1 && problem.line <= text.lines().count() + 1, "{problem}");
            assert!(problem.to_string().starts_with("holdfast.toml:"));
        }
        config.ok().inspect(can_be_a_member)
    };
    settles(bytes, read, |config| Ok::<_, ()>(config_as_toml(config).into_bytes()))
}

/// One host that could stand in no roster would keep all others from learning of each other.
fn can_be_a_member(config: &Config) {
    let (name, endpoints) = (config.name.clone(), config.advertise.clone());
    let member = Member { address: Address(1), name, fingerprint: Fingerprint::default(), endpoints };
    let roster = Roster::new(RosterVersion::default(), vec![member]);
    assert!(roster.is_ok(), "{roster:?}");
}

fn config_as_toml(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: toml::Value| text.push_str(&format!("{key} = {value}\n"));
    line("name", config.name.as_str().into());
    line("uuid", uuid::Uuid::from_u128(config.uuid).to_string().into());
    line("state", said(config.state.display()));
    line("listen", config.listen.iter().map(said).collect::<Vec<_>>().into());
    line("advertise", config.advertise.iter().map(said).collect::<Vec<_>>().into());
    line("api", said(config.api));
    if !config.failure_domain.is_empty() {
        line("failure_domain", config.failure_domain.as_str().into());
    }
    line("tags", config.tags.iter().map(said).collect::<Vec<_>>().into());
    line("networks", config.networks.iter().map(said).collect::<Vec<_>>().into());
    if config.capacity.memory_mib > 0 {
        line("memory", format!("{}MiB", config.capacity.memory_mib).into());
        line("cores", (config.capacity.millicores as f64 / 1_000.0).into());
    }
    if !config.alert_command.is_empty() {
        line("alert_command", config.alert_command.iter().map(said).collect::<Vec<_>>().into());
    }
    if !config.commands.is_empty() {
        let words = |argv: &Vec<String>| toml::Value::from(argv.iter().map(said).collect::<Vec<_>>());
        let commands: toml::Table = config.commands.iter().map(|(name, argv)| (name.clone(), words(argv))).collect();
        line("commands", commands.into());
    }
    for datastore in &config.datastores {
        let (name, path) = (said(&datastore.name), said(datastore.path.display()));
        text.push_str(&format!("[[datastore]]\nname = {name}\npath = {path}\nheartbeat = {}\n", datastore.heartbeat));
    }
    match &config.platform {
        PlatformConfig::None => text.push_str("[platform]\nkind = \"none\"\n"),
        PlatformConfig::Process { run } => {
            text.push_str(&format!("[platform]\nkind = \"process\"\nrun = {}\n", said(run.display())));
        }
        PlatformConfig::Libvirt { uri, migration, run } => {
            let (uri, migration, run) = (said(uri), said(migration), said(run.display()));
            text.push_str(&format!(
                "[platform]\nkind = \"libvirt\"\nuri = {uri}\nmigration = {migration}\nrun = {run}\n"
            ));
        }
    }
    match &config.watchdog {
        WatchdogConfig::None => {}
        WatchdogConfig::Machine { socket } => {
            text.push_str(&format!("[watchdog]\nkind = \"machine\"\nsocket = {}\n", said(socket.display())));
        }
        WatchdogConfig::Device { path } => {
            text.push_str(&format!("[watchdog]\nkind = \"device\"\npath = {}\n", said(path.display())));
        }
    }
    let Retention { raw, minutes, hours } = config.retention;
    let (raw, minutes, hours) = (raw / 24, minutes / 24, hours / 24);
    text.push_str(&format!("[samples]\nraw_days = {raw}\nminute_days = {minutes}\nhour_days = {hours}\n"));
    let format = if config.log.format == LogFormat::Json { "json" } else { "text" };
    text.push_str(&format!("[log]\nformat = \"{format}\"\nlevel = {}\n", said(&config.log.level)));
    text
}

fn said(value: impl Display) -> toml::Value {
    toml::Value::String(value.to_string())
}

/// A scenario for the simulator.
pub(super) fn scenario(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Scenario::parse("fuzzed", Path::new("scenario.toml"), text) {
        Ok(scenario) => {
            assert!(scenario.events.is_sorted_by_key(|event| event.at));
            assert!(scenario.events.iter().all(|event| event.at <= scenario.duration));
            let names = scenario.world.names();
            for event in &scenario.events {
                // An event that is shown can be put into a scenario as it stands.
                let shown = fault_as_toml(event.at, &event.fault, &names);
                assert!(shown.parse::<toml::Table>().is_ok(), "{shown}");
            }
            true
        }
        Err(problem) => {
            assert!(problem.line >= 1 && problem.line <= text.lines().count() + 1, "{problem}");
            false
        }
    }
}

/// Tokens, and the words for durations and sizes.
pub(super) fn token(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let token = text.parse::<JoinToken>();
    if let Ok(token) = &token {
        assert_eq!(token.to_string().parse::<JoinToken>().as_ref(), Ok(token));
        assert!(token.secret().digest().matches(token.secret()));
        assert!(!format!("{token:?}").contains(&token.secret().reveal()), "a secret is not shown");
    }
    if let Ok(secret) = text.parse::<Secret>() {
        assert_eq!(secret.reveal().parse::<Secret>(), Ok(secret));
    }
    let id = settles(
        bytes,
        |bytes| std::str::from_utf8(bytes).ok()?.parse::<TokenId>().ok(),
        |id| Ok::<_, ()>(id.to_string().into_bytes()),
    );
    let duration = parse_duration(text);
    if let Ok(duration) = duration {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
    token.is_ok() || id || duration.is_ok() || parse_memory(text).is_ok()
}

/// Certificates, and the requests for them, in DER.
pub(super) fn certificates(bytes: &[u8]) -> bool {
    let request = SigningRequest::parse(bytes);
    let principal = Principal::of(bytes);
    if let Ok(principal) = &principal {
        assert!(super::is_plain(&principal.name) && !principal.name.is_empty());
        assert_eq!(Principal::new(&principal.name, principal.role).as_ref().ok(), Some(principal));
    }
    request.is_ok() || principal.is_ok()
}

/// A fence device, as a person writes it and as the log keeps it.
pub(super) fn fence_device(bytes: &[u8]) -> bool {
    let packed = |bytes: &[u8]| postcard::from_bytes::<FenceDevice>(bytes).ok();
    let taken = settles_as_json::<FenceDevice>(bytes);
    settles(bytes, packed, postcard::to_stdvec) || taken
}
