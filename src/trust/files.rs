//! Files of keys and certificates: written whole or not at all, and private keys readable by their owner only.

use crate::trust::{TrustError, random};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// No key or certificate comes near to this length.
const FILE_LIMIT: u64 = 64 * 1024;

/// Writes a file that only its owner reads. After a power cut either the old content is there or the new.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), TrustError> {
    let mark = u64::from_le_bytes(random()?);
    let failed = |source| TrustError::Write { path: path.to_owned(), source };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidFilename.into()));
    };
    // Two processes at once each write a file of their own, and the last rename wins as a whole.
    let draft = folder.join(format!(".{}.{mark:016x}", name.to_string_lossy()));
    let written = write_draft(&draft, content).and_then(|()| fs::rename(&draft, path));
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = fs::remove_file(&draft);
        return Err(failed(error));
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write_draft(draft: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a file that holds a private key; refuses it if others can read it.
pub(super) fn read_private(path: &Path) -> Result<Vec<u8>, TrustError> {
    let (file, content) = read_open(path)?;
    let mode = file.metadata().map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
    match mode.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(TrustError::Exposed { path: path.to_owned(), mode }),
        _ => Ok(content),
    }
}

/// Reads a file that holds nothing secret.
pub(super) fn read_public(path: &Path) -> Result<Vec<u8>, TrustError> {
    read_open(path).map(|(_, content)| content)
}

fn read_open(path: &Path) -> Result<(File, Vec<u8>), TrustError> {
    let read = || {
        let file = File::open(path)?;
        let mut content = Vec::new();
        (&file).take(FILE_LIMIT + 1).read_to_end(&mut content)?;
        match content.len() as u64 > FILE_LIMIT {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok((file, content)),
        }
    };
    read().map_err(|source| TrustError::Read { path: path.to_owned(), source })
}
