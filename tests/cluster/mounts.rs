//! File systems of their own, for faults of storage that nothing else can make. They need root; without it, the tests
//! that stand on them say that they are skipped.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system that is gone when the test ends, however it ends.
pub struct Mount {
    path: PathBuf,
    /// Nobody answers through this end what is asked of a hanging one. When it is closed, all who hang get an error.
    server: Option<File>,
}

impl Mount {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A small disk.
    pub fn small(path: &Path, mebibytes: u32) -> Option<Mount> {
        fs::create_dir_all(path).expect("a folder");
        let options = format!("size={mebibytes}m,mode=700");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "none"]).arg(path).stdin(Stdio::null());
        mounted(command, path, None)
    }

    /// Takes all the room that there is, to the last byte.
    pub fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler()).expect("a file");
        let mut piece: &[u8] = &[1; 65_536];
        while !piece.is_empty() {
            match file.write(piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => piece = &piece[..piece.len() / 2],
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives the room back.
    pub fn clear(&self) {
        fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Storage that does not answer: whoever looks into it hangs, until this is dropped.
    pub fn hanging(path: &Path) -> Option<Mount> {
        fs::create_dir_all(path).expect("a folder");
        let Ok(server) = OpenOptions::new().read(true).write(true).open("/dev/fuse") else {
            return skipped("/dev/fuse cannot be opened");
        };
        // The mount takes hold of what it finds as its standard input.
        let inherited = server.try_clone().expect("a second handle");
        let mut command = Command::new("mount");
        command.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "none"]);
        command.arg(path).stdin(inherited);
        mounted(command, path, Some(server))
    }
}

fn mounted(mut command: Command, path: &Path, server: Option<File>) -> Option<Mount> {
    match command.output() {
        Ok(output) if output.status.success() => Some(Mount { path: path.to_owned(), server }),
        Ok(output) => skipped(String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => skipped(&error.to_string()),
    }
}

/// Tests end early where a file system of their own is not to be had, and nobody may take that for a success.
fn skipped<T>(why: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("cluster: {test}: NOT TESTED: it needs to be root and a file system of its own: {why}\n");
    // Not kept back by the test harness as the output of a macro is.
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

impl Drop for Mount {
    fn drop(&mut self) {
        // First of all, or the unmounting would hang as well.
        self.server.take();
        // Also while somebody is still in it. What cannot be unmounted was not mounted any more.
        let _ = Command::new("umount").arg("-l").arg(&self.path).stderr(Stdio::null()).status();
    }
}
