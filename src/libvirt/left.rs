//! What VMs left on this host when they went elsewhere last.
//!
//! A definition is removed then, and somebody may have edited it in the last moment. What the firmware keeps stays where
//! it is, for other hosts may use that file; but if the VM comes back and finds it just as it was left, it is out of date.

use crate::files::replace;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The folder of it.
#[derive(Debug)]
pub(super) struct Left(PathBuf);

impl Left {
    /// In this folder of the agent's.
    pub(super) fn within(state: &Path) -> Left {
        Left(state.join("left"))
    }

    /// Keeps a definition, and what the firmware keeps if that is this host's alone.
    pub(super) fn keep(&self, uuid: Uuid, xml: &str, nvram: Option<&[u8]>) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        replace(&self.xml(uuid), xml.as_bytes())?;
        match nvram {
            Some(content) => replace(&self.nvram_file(uuid), content),
            None => unless_missing(fs::remove_file(self.nvram_file(uuid))).map(|_| ()),
        }
    }

    /// What the firmware kept when the VM left.
    pub(super) fn nvram(&self, uuid: Uuid) -> io::Result<Option<Vec<u8>>> {
        unless_missing(fs::read(self.nvram_file(uuid)))
    }

    fn xml(&self, uuid: Uuid) -> PathBuf {
        self.0.join(format!("{uuid}.xml"))
    }

    fn nvram_file(&self, uuid: Uuid) -> PathBuf {
        self.0.join(format!("{uuid}.nvram"))
    }
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_last_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let left = Left::within(folder.path());
        let uuid = Uuid::new_v4();
        assert_eq!(left.nvram(uuid).unwrap(), None);
        left.keep(uuid, "<domain/>", Some(b"keys")).unwrap();
        assert_eq!(left.nvram(uuid).unwrap().unwrap(), b"keys");
        left.keep(uuid, "<domain>1</domain>", None).unwrap();
        assert_eq!(left.nvram(uuid).unwrap(), None);
        assert_eq!(fs::read_to_string(left.xml(uuid)).unwrap(), "<domain>1</domain>");
    }
}
