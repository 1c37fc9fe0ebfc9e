//! Who has a watchdog open: a device takes one process at a time, and says nothing about which.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that has the watchdog open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    process: u32,
    name: String,
}

impl Holder {
    /// Looks through all processes. `processes` is `/proc`, except in tests.
    pub(super) fn find(processes: &Path, device: &Path) -> Option<Holder> {
        let me = std::process::id();
        let numbers = fs::read_dir(processes).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let others = numbers.filter(|process: &u32| *process != me);
        others.map(|process| (process, processes.join(process.to_string()))).find_map(|(process, folder)| {
            let open = fs::read_dir(folder.join("fd")).ok()?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
            let holds = |path: &Path| path == device || is_watchdog(path) && is_watchdog(device);
            open.into_iter().any(|path| holds(&path)).then(|| {
                let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
                let name = name.trim().chars().filter(|c| !c.is_control()).collect();
                Holder { process, name }
            })
        })
    }
}

/// The first watchdog has two names.
fn is_watchdog(path: &Path) -> bool {
    matches!(path.to_str(), Some("/dev/watchdog" | "/dev/watchdog0"))
}

/// Who it is and what to do.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { process, name } = self;
        match name.as_str() {
            "systemd" => write!(
                f,
                "systemd (process {process}) has it open: set RuntimeWatchdogSec=off in /etc/systemd/system.conf and run \
                 `systemctl daemon-reexec`, or, if it keeps it for the agent, start the agent as a service"
            ),
            "sbd" => write!(
                f,
                "sbd (process {process}) has it open: disable it (`systemctl disable --now sbd`), or give it another \
                 device, for two that end this host do not know of each other"
            ),
            "watchdog" | "wd_keepalive" => write!(
                f,
                "the daemon {name} (process {process}) has it open: `systemctl disable --now watchdog wd_keepalive`"
            ),
            "watchdog-mux" => write!(
                f,
                "watchdog-mux of Proxmox VE (process {process}) has it open: a host has one high availability only"
            ),
            "holdfast" => write!(f, "another agent (process {process}) has it open: end that one first"),
            _ => write!(f, "{name} (process {process}) has it open: end it, or name another device under [watchdog]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn who_has_it_open_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let process = |number: u32, name: &str, open: &str| {
            let process = folder.path().join(number.to_string());
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            symlink(open, process.join("fd/5")).unwrap();
        };
        let find = |device: &str| Holder::find(folder.path(), Path::new(device)).map(|holder| holder.to_string());
        process(7, "bash", "/dev/tty");
        assert_eq!(find("/dev/watchdog"), None);
        process(1, "systemd", "/dev/watchdog0");
        let told = find("/dev/watchdog").unwrap();
        assert!(told.contains("RuntimeWatchdogSec=off"), "{told}");
        process(9, "odd", "/dev/watchdog1");
        assert!(find("/dev/watchdog1").unwrap().contains("odd (process 9)"));
        assert_eq!(find("/dev/watchdog2"), None);
    }
}
