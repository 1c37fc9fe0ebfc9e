//! The processes below this one.
//!
//! A process whose parent dies is handed to the nearest ancestor that asked for orphans. So whoever asked, and has no
//! child left, has no descendant left: that is the proof that a host is off.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, WaitStatus};
use rustix::process::{
    PidfdFlags, getpid, kill_process, pidfd_open, pidfd_send_signal, set_child_subreaper, wait, waitid, waitpid,
};
use std::{fs, io};

/// From now on the orphans among this process's descendants become its children.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// The children of this process, those that are dead and not reaped among them.
pub(super) fn children() -> io::Result<Vec<Pid>> {
    let own = getpid().as_raw_nonzero().get();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        // One that has ended meanwhile cannot be read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { continue };
        if parent(&stat) == Some(own) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// All living processes below this one, except for one of them; what is below that one is counted.
pub(super) fn below(spared: Option<Pid>) -> io::Result<Vec<Descendant>> {
    let mut others = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        if let Some(parent) = parent_of(pid) {
            others.push(Descendant { pid, parent });
        }
    }
    let mut found = Vec::new();
    let mut above = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = above.pop() {
        let (children, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|other| other.parent == parent);
        above.extend(children.iter().map(|child| child.pid.as_raw_nonzero().get()));
        found.extend(children.into_iter().filter(|child| Some(child.pid) != spared));
        others = rest;
    }
    Ok(found)
}

/// A process somewhere below this one.
#[derive(Debug)]
pub(super) struct Descendant {
    pid: Pid,
    parent: i32,
}

impl Descendant {
    /// Sends it a signal, if it is still the one that was found: others reap it, so its number may be another's by now.
    pub(super) fn signal(&self, signal: Signal) {
        // An error means that it is gone.
        let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty()) else { return };
        if parent_of(self.pid) == Some(self.parent) {
            pidfd_send_signal(&process, signal).ok();
        }
    }
}

/// The parent of a process that lives.
fn parent_of(pid: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parent(&stat).filter(|_| !is_dead(&stat))
}

fn is_dead(stat: &str) -> bool {
    let state = stat.rfind(')').and_then(|end| stat.get(end + 1..)).and_then(|rest| rest.split_whitespace().next());
    matches!(state, Some("Z" | "X"))
}

/// The parent, which stands behind the state, which stands behind the name. The name may hold anything.
fn parent(stat: &str) -> Option<i32> {
    stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(1)?.parse().ok()
}

/// Kills children. Only this process reaps them, so their numbers are still theirs.
pub(super) fn kill(children: &[Pid]) {
    for child in children {
        // An error means that it is gone.
        kill_process(*child, Signal::KILL).ok();
    }
}

/// Whether a child is dead, and how it ended. It stays to be reaped, so that its number stays taken.
pub(super) fn ended(child: Pid) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(child), options).ok().flatten()
}

/// Reaps one child, if it is dead.
pub(super) fn reap(child: Pid) {
    waitpid(Some(child), WaitOptions::NOHANG).ok();
}

/// Reaps the next dead child, whichever it is.
pub(super) fn reap_any() -> Option<(Pid, WaitStatus)> {
    // Not `waitpid` without a number: that looks at the caller's own process group only.
    wait(WaitOptions::NOHANG).ok().flatten()
}

/// Whether this process has no child at all, dead or alive. One that is dead is reaped by this.
pub(super) fn is_childless() -> bool {
    matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pose_as_a_parent() {
        assert_eq!(parent("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) S 1 (b) R 8 1 1"), Some(8));
        assert_eq!(parent("12 (sh"), None);
        assert_eq!(parent("12 (sh)"), None);
        assert!(is_dead("12 (R) Z 7 12") && !is_dead("12 (Z) S 7 12") && !is_dead("12 (sh"));
    }
}
