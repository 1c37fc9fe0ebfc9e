//! What holds for whatever a definition or a life file says: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::definition::{Definition, DiskLock, StopRequest};
use super::life::{parse, serialise};
use crate::laws::settles;

/// A definition of a VM, and what stands in a life file behind a checksum that is right.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let definition = |bytes: &[u8]| Definition::parse(bytes).ok();
    let defined = settles(bytes, definition, |definition| Ok::<_, ()>(as_toml(definition).into_bytes()));
    let _any = parse(bytes);
    let body = String::from_utf8_lossy(bytes).trim_end().to_owned();
    let line = format!("{:08x} {body}", crc32fast::hash(body.as_bytes()));
    // What was read may be longer than what is written, but not what it says.
    settles(line.as_bytes(), parse, serialise) || defined
}

fn as_toml(definition: &Definition) -> String {
    let disk = toml::Value::String(definition.disk().display().to_string());
    format!(
        "disk = {disk}\nlock = {}\nwrite_interval_ms = {}\ncpu_load_percent = {}\nignores_stop = {}\nstart_delay_ms = {}\n",
        definition.lock == DiskLock::Taken,
        definition.write_interval.as_millis(),
        definition.cpu_load_percent,
        definition.stop_request == StopRequest::Ignored,
        definition.start_delay.as_millis(),
    )
}
