//! Which file systems libvirt knows to be shared between hosts: those of libvirt 9.0, told apart as it does.

use crate::core::time::Instant;
use crate::platform::wait::Late;
use std::fs;
use std::path::Path;

/// By the kernel's numbers: NFS, GFS2, OCFS2, AFS, SMB, CIFS, Ceph, GPFS, ACFS.
const SHARED: [i64; 9] =
    [0x6969, 0x0116_1970, 0x7461_636f, 0x6b41_4653, 0x517b, 0xff53_4d42, 0x00c3_6400, 0x4750_4653, 0x6163_6673];
/// What runs outside of the kernel is told apart by name.
const FUSE: i64 = 0x6573_5546;
const SHARED_FUSE: [&str; 2] = ["fuse.glusterfs", "fuse.quobyte"];

/// Whether a path lies on such a file system. Its storage may hang, or there may be nothing: then nobody can tell.
pub(super) fn is_shared(path: &Path, deadline: Instant) -> Option<bool> {
    let path = path.to_owned();
    Late::run("file-system", deadline, move || look(&path)).flatten()
}

fn look(path: &Path) -> Option<bool> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    if kind != FUSE {
        return Some(SHARED.contains(&kind));
    }
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    Some(kind_of(&path.canonicalize().ok()?, &mounts).is_some_and(|kind| SHARED_FUSE.contains(&kind)))
}

/// The kind of the file system that is mounted nearest above a path. Of several at one place the last is the one that is
/// seen.
fn kind_of<'a>(path: &Path, mounts: &'a str) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounted.filter(|(place, _)| path.starts_with(place));
    above.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_on_what_is_mounted_nearest_above() {
        let mounts = "/dev/a / ext4 rw 0 0\nfs /ds fuse.glusterfs rw 0 0\nx /ds/b fuse.sshfs rw 0 0\ny /ds/b fuse.quobyte rw 0 0\n";
        assert_eq!(kind_of(Path::new("/ds/a.qcow2"), mounts), Some("fuse.glusterfs"));
        assert_eq!(kind_of(Path::new("/ds/b/c"), mounts), Some("fuse.quobyte"));
        assert_eq!(kind_of(Path::new("/dsx"), mounts), Some("ext4"));
    }

    #[test]
    fn a_local_file_system_is_not_shared_and_nothing_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let soon = crate::clock::boottime() + std::time::Duration::from_secs(20);
        assert_eq!(is_shared(folder.path(), soon), Some(false));
        assert_eq!(is_shared(&folder.path().join("missing"), soon), None);
    }
}
