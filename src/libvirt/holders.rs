//! Who has a disk open for writing: until nobody has, its VM is not gone.
//!
//! The kernel is asked for the names that files were opened under, and how they were opened. Both are read from memory:
//! to ask the files themselves would hang where their storage hangs, which is just when this matters.

use crate::core::ids::VmId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

/// The bits of a file's flags that say what it was opened for.
const ACCESS: u32 = 0o3;
/// What the kernel adds to the name of a file that has none any more.
const DELETED: &str = " (deleted)";

/// The VMs of which some process of this host has a disk open for writing. A process of QEMU counts, too, so this is
/// asked of VMs without one.
pub(super) fn held(disks: &BTreeMap<PathBuf, BTreeSet<VmId>>) -> io::Result<BTreeSet<VmId>> {
    let mut held = BTreeSet::new();
    if disks.is_empty() {
        return Ok(held);
    }
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| name.parse::<u32>().is_err()) {
            continue;
        }
        // Who ends meanwhile holds nothing.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(path) = fs::read_link(file.path()) else { continue };
            let Some(vms) = disks.get(&named(path)) else { continue };
            let info = entry.path().join("fdinfo").join(file.file_name());
            // What cannot be read any more was closed.
            if fs::read_to_string(info).is_ok_and(|text| may_write(&text)) {
                held.extend(vms.iter().copied());
            }
        }
    }
    Ok(held)
}

/// The files that a process has open for writing, by the names that they were opened under.
pub(super) fn open_by(pid: u32) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let open = files.flatten().filter_map(|file| {
        let path = named(fs::read_link(file.path()).ok()?);
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", file.file_name().to_str()?)).ok()?;
        (path.is_absolute() && may_write(&info)).then_some(path)
    });
    open.collect()
}

fn named(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(DELETED)) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

fn may_write(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    // What cannot be told is taken for the worse.
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_none_or(|flags| flags & ACCESS != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};

    #[test]
    fn who_writes_holds_and_who_reads_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("disk");
        let writer = File::create(&path).unwrap();
        let vm = VmId(7);
        let disks = BTreeMap::from([(path.clone(), BTreeSet::from([vm]))]);
        assert_eq!(held(&disks).unwrap(), BTreeSet::from([vm]));
        drop(writer);
        let _reader = File::open(&path).unwrap();
        assert!(held(&disks).unwrap().is_empty());
        let _writer = OpenOptions::new().append(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            held(&disks).unwrap(),
            BTreeSet::from([vm]),
            "it has no name any more, and is written to all the same"
        );
    }
}
