//! Finds the process of a VM in the kernel's table.
//!
//! A process number alone names nothing, as it is used again. A process is taken for a VM's only if its standard
//! input is that VM's life file, and that is looked at after a descriptor of the process (`pidfd`) was opened, which
//! never comes to mean another one.

use crate::platform::pid::{Process, open_if, started};
use crate::process::life::LifeFile;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The process of a VM, if it can be found. One that was just forked can not, for some microseconds.
pub(super) fn find(life: &LifeFile) -> Option<Process> {
    let identity = life.identity()?;
    let registered = life.read().ok().flatten().and_then(|record| record.process);
    let by_name = registered.and_then(|name| {
        let process = open_if(name.pid, || has_as_input(name.pid, identity))?;
        (started(name.pid) == Some(name.started) && !process.has_ended()).then_some(process)
    });
    by_name.or_else(|| find_unregistered(life, identity))
}

/// Looks through all processes for the one whose standard input is the life file, and has its lock.
fn find_unregistered(life: &LifeFile, identity: (u64, u64)) -> Option<Process> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // The path is compared first: it is a look into memory, while that of another file may lie on storage that hangs.
    let named = |pid: &u32| fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|path| path == life.path());
    pids.filter(named).find_map(|pid| open_if(pid, || has_as_input(pid, identity) && has_locked_input(pid)))
}

fn has_as_input(pid: u32, identity: (u64, u64)) -> bool {
    fs::metadata(format!("/proc/{pid}/fd/0")).is_ok_and(|file| (file.dev(), file.ino()) == identity)
}

fn has_locked_input(pid: u32) -> bool {
    let is_lock = |line: &str| line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE");
    fs::read_to_string(format!("/proc/{pid}/fdinfo/0")).is_ok_and(|text| text.lines().any(is_lock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::VmId;
    use crate::platform::pid::{ProcessName, is_dying, own_name};
    use crate::process::life::LifeDirectory;

    #[test]
    fn this_process_lives_and_is_no_vm() {
        let own = own_name().unwrap();
        assert_eq!(started(own.pid), Some(own.started));
        assert!(!is_dying(own));
        assert!(!is_dying(ProcessName { started: own.started + 1, ..own }));
        let run = tempfile::tempdir().unwrap();
        let file = LifeDirectory::open(run.path()).unwrap().file(VmId(1));
        assert!(find(&file).is_none());
        let _claimed = file.claim().unwrap().unwrap();
        // It holds the lock, and not as its input.
        assert!(find(&file).is_none());
        assert!(Process::open(0).is_err() && Process::open(u32::MAX).is_err());
    }
}
