//! The one file that a backup is.
//!
//! ```text
//!  holdfast-backup\n │ length │ whose and when, names and lengths: JSON │ file │ file │ ... │ SHA-256 of all before
//! ```
//!
//! The first file is the database; the others lie beside it in the state directory: who the host is, its keys. Nothing of
//! an archive is used before its checksum is seen to be right.

use super::backup::Header;
use super::directory::{exists, make_private, sync_file};
use super::error::StoreError;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What an archive begins with.
const MAGIC: &[u8; 16] = b"holdfast-backup\n";
/// What it says of itself is not longer.
const HEAD_LIMIT: u32 = 64 * 1024;
/// Nor is any file beside the database: they are keys, certificates and lists.
const FILE_LIMIT: u64 = 1 << 20;
/// What is copied at once.
const STRIDE: usize = 64 * 1024;

/// What is kept beside the database: files, and folders of files.
const BESIDE: [&str; 5] = ["member.json", "trust", "operator", "autostart", "protected-uuids"];
const DATABASE: &str = "holdfast.db";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    of: Header,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    length: u64,
}

/// A file beside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beside {
    /// Its path within the state directory.
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// Writes whole bytes on, and remembers their checksum.
struct Sealer {
    file: File,
    digest: Context,
}

impl Write for Sealer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes an archive to a file that is not there yet: of a database, and of what lies beside it in a state directory.
pub(super) fn pack(to: &Path, of: &Header, database: &Path, directory: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::file("cannot write", to)(source);
    let beside = beside(directory)?;
    let length = fs::metadata(database).map_err(StoreError::file("cannot read", database))?.len();
    let mut parts = vec![Part { name: DATABASE.to_owned(), length }];
    parts.extend(beside.iter().map(|file| Part { name: file.name.clone(), length: file.content.len() as u64 }));
    let head = serde_json::to_vec(&Head { of: of.clone(), parts }).map_err(|error| failed(error.into()))?;
    let mut sealer = Sealer { file: make_private(to)?, digest: Context::new(&SHA256) };
    let head_length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes();
    sealer.write_all(&[MAGIC, head_length.as_slice(), &head].concat()).map_err(failed)?;
    let mut source = File::open(database).map_err(StoreError::file("cannot read", database))?;
    copy(&mut source, &mut sealer, length).map_err(StoreError::file("cannot copy", database))?;
    for file in &beside {
        sealer.write_all(&file.content).map_err(failed)?;
    }
    let Sealer { mut file, digest } = sealer;
    file.write_all(digest.finish().as_ref()).map_err(failed)?;
    drop(file);
    sync_file(to)
}

/// All that is kept beside the database, by name.
fn beside(directory: &Path) -> Result<Vec<Beside>, StoreError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in BESIDE {
        let path = directory.join(name);
        if path.is_dir() {
            let reading = || StoreError::file("cannot read", &path);
            for entry in fs::read_dir(&path).map_err(|error| reading()(error))? {
                paths.push(entry.map_err(|error| reading()(error))?.path());
            }
        } else if exists(&path) {
            paths.push(path);
        }
    }
    paths.retain(|path| path.is_file() && !is_passing(path));
    paths.sort();
    paths.iter().map(|path| read(directory, path)).collect()
}

/// A draft of a file is not yet one, and what was moved aside is one no more.
fn is_passing(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with('.') || name.ends_with(".new") || name.contains(".replaced-")
}

fn read(directory: &Path, path: &Path) -> Result<Beside, StoreError> {
    let content = crate::files::read(path, FILE_LIMIT).map_err(StoreError::file("cannot read", path))?;
    let name = path.strip_prefix(directory).unwrap_or(path).to_string_lossy().into_owned();
    Ok(Beside { name, content })
}

/// Whether a file is such an archive.
pub(super) fn is_archive(path: &Path) -> Result<bool, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut bytes));
    read.map_err(StoreError::file("cannot read", path))?;
    Ok(bytes == MAGIC)
}

/// Takes an archive apart: the database goes where it is told, and is of no use if this fails.
pub(super) fn unpack(from: &Path, database: &mut impl Write) -> Result<(Header, Vec<Beside>), StoreError> {
    let damaged = |what: &str| StoreError::NotABackup { path: from.to_owned(), what: what.to_owned() };
    let failed = || StoreError::file("cannot read", from);
    let mut file = File::open(from).map_err(|error| failed()(error))?;
    let size = file.metadata().map_err(|error| failed()(error))?.len();
    let mut digest = Context::new(&SHA256);
    let mut take = |length: u64| -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        (&file).take(length).read_to_end(&mut bytes).map_err(|error| failed()(error))?;
        digest.update(&bytes);
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(damaged("it is cut short; take another backup")) }
    };
    let begin = take(MAGIC.len() as u64 + 4)?;
    let (magic, length) = begin.split_at(MAGIC.len());
    let length = length.try_into().map_or(u32::MAX, u32::from_le_bytes);
    if magic != MAGIC || length > HEAD_LIMIT {
        return Err(damaged("it is damaged; take another backup"));
    }
    let head: Head = serde_json::from_slice(&take(u64::from(length))?)
        .map_err(|_| damaged("it is damaged, or of a newer holdfast"))?;
    let Some((first, others)) = head.parts.split_first().filter(|_| head.is_sound()) else {
        return Err(damaged("it is damaged, or of a newer holdfast"));
    };
    let all =
        head.parts.iter().try_fold(begin.len() as u64 + u64::from(length), |sum, part| sum.checked_add(part.length));
    if all.and_then(|all| all.checked_add(SHA256_OUTPUT_LEN as u64)) != Some(size) {
        return Err(damaged("it has not the length that it says; take another backup"));
    }
    let mut left = first.length;
    while left > 0 {
        let bytes = take(left.min(STRIDE as u64))?;
        database.write_all(&bytes).map_err(StoreError::file("cannot copy", from))?;
        left -= bytes.len() as u64;
    }
    let mut beside = Vec::new();
    for part in others {
        beside.push(Beside { name: part.name.clone(), content: take(part.length)? });
    }
    let mut sum = Vec::new();
    file.read_to_end(&mut sum).map_err(|error| failed()(error))?;
    if sum != digest.finish().as_ref() {
        return Err(damaged("it is damaged: its checksum is not that of its content; take another backup"));
    }
    Ok((head.of, beside))
}

impl Head {
    /// Whether the names lead nowhere but to what is kept beside a database.
    fn is_sound(&self) -> bool {
        let plain = |word: &str| !word.is_empty() && !word.starts_with('.') && !word.contains(['/', '\0']);
        let kept = |part: &Part| {
            let mut words = part.name.split('/');
            let first = words.next().is_some_and(|first| BESIDE.contains(&first));
            first && words.next().is_none_or(plain) && words.next().is_none() && part.length <= FILE_LIMIT
        };
        self.parts.first().is_some_and(|first| first.name == DATABASE) && self.parts.iter().skip(1).all(kept)
    }
}

fn copy(from: &mut File, to: &mut impl Write, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; STRIDE];
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        from.read_exact(&mut buffer[..most])?;
        to.write_all(&buffer[..most])?;
        left -= most as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let part = |name: &str| Part { name: name.to_owned(), length: 1 };
        let of = Header { cluster: None, host: None, at_milliseconds: 0, schema: 1 };
        let sound = |name: &str| Head { of: of.clone(), parts: vec![part(DATABASE), part(name)] }.is_sound();
        assert!(sound("member.json") && sound("trust/host.key"));
        for name in
            ["holdfast.db", "../member.json", "/etc/passwd", "trust/../../x", "trust/a/b", "trust/", "trust/.a", ""]
        {
            assert!(!sound(name), "{name}");
        }
        assert!(!Head { of: of.clone(), parts: vec![part("member.json")] }.is_sound());
        assert!(!Head { of, parts: Vec::new() }.is_sound());
    }
}
