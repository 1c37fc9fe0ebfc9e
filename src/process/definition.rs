//! What a VM of the embedded hypervisor is made of: a short TOML text.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// No definition is longer.
const LONGEST: usize = 64 * 1024;
const LONGEST_WRITE_INTERVAL: u64 = 60_000;
const LONGEST_START_DELAY: u64 = 600_000;

/// Why a definition is none.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// It is too long to be one.
    #[error("a definition of {0} bytes is refused: none is longer than {LONGEST}")]
    TooLong(usize),
    /// It is no text.
    #[error("the definition is not UTF-8 text: {0}")]
    NoText(#[from] std::str::Utf8Error),
    /// It is no TOML, or has a key that does not exist, or lacks one.
    #[error("the definition cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// A path means another file in each process.
    #[error("the disk {0:?} is no absolute path: write it from the root on")]
    RelativeDisk(PathBuf),
    /// A value is out of its bounds.
    #[error("`{key}` is {value}, but must lie between {least} and {most}")]
    OutOfBounds {
        /// Which.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
}

/// Whether a VM locks its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLock {
    /// It takes the exclusive lock, or does not start.
    Taken,
    /// It does not, so that tests can show that nothing starts twice without locks either.
    Ignored,
}

/// What a guest does when it is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// It powers off.
    Heeded,
    /// Nothing.
    Ignored,
}

/// A VM, as it is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub(super) disk: PathBuf,
    pub(super) lock: DiskLock,
    pub(super) write_interval: Duration,
    pub(super) cpu_load_percent: u64,
    pub(super) stop_request: StopRequest,
    pub(super) start_delay: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    disk: PathBuf,
    #[serde(default = "yes")]
    lock: bool,
    #[serde(default = "ten")]
    write_interval_ms: u64,
    #[serde(default)]
    cpu_load_percent: u64,
    #[serde(default)]
    ignores_stop: bool,
    #[serde(default)]
    start_delay_ms: u64,
}

fn yes() -> bool {
    true
}

fn ten() -> u64 {
    10
}

impl Definition {
    /// Reads a definition:
    ///
    /// ```toml
    /// disk = "/shared/vm-1.disk"   # made before, see `disk::create`
    /// lock = true                  # take the disk's lock
    /// write_interval_ms = 10       # how often the guest writes
    /// cpu_load_percent = 0         # of one processor; a running VM reads it anew on SIGHUP
    /// ignores_stop = false         # a guest that does not heed a request to stop
    /// start_delay_ms = 0           # how long it takes to come up
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Definition, DefinitionError> {
        if bytes.len() > LONGEST {
            return Err(DefinitionError::TooLong(bytes.len()));
        }
        let written: Written = toml::from_str(std::str::from_utf8(bytes)?)?;
        if !written.disk.is_absolute() {
            return Err(DefinitionError::RelativeDisk(written.disk));
        }
        let interval = within("write_interval_ms", written.write_interval_ms, 1, LONGEST_WRITE_INTERVAL)?;
        let delay = within("start_delay_ms", written.start_delay_ms, 0, LONGEST_START_DELAY)?;
        Ok(Definition {
            disk: written.disk,
            lock: if written.lock { DiskLock::Taken } else { DiskLock::Ignored },
            write_interval: Duration::from_millis(interval),
            cpu_load_percent: within("cpu_load_percent", written.cpu_load_percent, 0, 100)?,
            stop_request: if written.ignores_stop { StopRequest::Ignored } else { StopRequest::Heeded },
            start_delay: Duration::from_millis(delay),
        })
    }

    /// Where its disk is.
    pub fn disk(&self) -> &Path {
        &self.disk
    }
}

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<u64, DefinitionError> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(DefinitionError::OutOfBounds { key, value, least, most }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_enough() {
        let definition = Definition::parse(b"disk = \"/shared/a.disk\"").unwrap();
        assert_eq!(definition.disk(), Path::new("/shared/a.disk"));
        assert_eq!(definition.lock, DiskLock::Taken);
        assert_eq!(definition.write_interval, Duration::from_millis(10));
        assert_eq!(definition.stop_request, StopRequest::Heeded);
        assert!(definition.start_delay.is_zero() && definition.cpu_load_percent == 0);
    }

    #[test]
    fn a_bad_definition_is_refused_with_what_is_wrong() {
        let refused = |text: &[u8]| Definition::parse(text).unwrap_err().to_string();
        let unknown = refused(b"disk = \"/a\"\ncpu_laod_percent = 3");
        assert!(unknown.contains("unknown field `cpu_laod_percent`") && unknown.contains("cpu_load_percent"));
        assert!(refused(b"lock = true").contains("missing field `disk`"));
        assert!(refused(b"disk = \"a\"").contains("no absolute path"));
        assert!(refused(b"disk = \"/a\"\nwrite_interval_ms = 0").contains("between 1 and 60000"));
        assert!(refused(b"disk = \"/a\"\ncpu_load_percent = 101").contains("between 0 and 100"));
        assert!(refused(b"\xff").contains("not UTF-8"));
        assert!(refused(&vec![b'#'; LONGEST + 1]).contains("none is longer"));
    }
}
