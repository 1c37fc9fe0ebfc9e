//! What a VM's firmware keeps: a file that often only its host has, and that travels with the definition.
//!
//! Where the file is there already, it lies on shared storage, or somebody has put it there: it is left alone. Only if it
//! is to the byte what the VM left there when it went elsewhere, it is out of date.

use crate::libvirt::definition::payload::LONGEST_NVRAM;
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why it could not be brought or read.
#[derive(Debug, Error)]
#[error("what its firmware keeps, {path:?}, cannot be {done}: {source}")]
pub(super) struct NvramError {
    path: PathBuf,
    done: &'static str,
    #[source]
    source: io::Error,
}

/// Writes the file, if there is none, or only what the VM once `left`. It appears whole, or not at all.
pub(super) fn bring(path: &Path, content: &[u8], left: Option<&[u8]>) -> Result<(), NvramError> {
    let failed = |source| NvramError { path: path.to_owned(), done: "written", source };
    if left.is_none() && path.exists() {
        return Ok(());
    }
    let found = read(path)?;
    if found.as_deref().is_some_and(|found| Some(found) != left || found == content) {
        return Ok(());
    }
    let folder = path.parent().ok_or_else(|| failed(io::Error::from(Errno::INVAL)))?;
    let new = folder.join(format!(".{}.holdfast", uuid::Uuid::new_v4()));
    let put = || match found {
        Some(_) => fs::rename(&new, path),
        // Unlike a renaming, this never takes the place of what is there by now.
        None => match fs::hard_link(&new, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        },
    };
    let written = write(&new, content).and_then(|()| put()).and_then(|()| File::open(folder)?.sync_all());
    // If it cannot be removed, it is in nobody's way.
    let _removed = fs::remove_file(&new);
    written.map_err(failed)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads the file; nothing if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, NvramError> {
    let failed = |source| NvramError { path: path.to_owned(), done: "read", source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut content = Vec::new();
    let limit = u64::try_from(LONGEST_NVRAM).unwrap_or(u64::MAX);
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > LONGEST_NVRAM {
        return Err(failed(io::Error::from(Errno::FBIG)));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_brought_once_and_what_is_in_use_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm_VARS.fd");
        assert_eq!(read(&path).unwrap(), None);
        bring(&path, b"old", None).unwrap();
        bring(&path, b"new", None).unwrap();
        bring(&path, b"new", Some(b"another")).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"old");
        bring(&path, b"new", Some(b"old")).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"new", "what the VM left there is out of date");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("nowhere/vm").to_owned();
        assert!(bring(&missing, b"x", None).unwrap_err().to_string().contains("nowhere"));
    }
}
