//! What the kernel tells of a watchdog without opening it, for to open it is to start it.

use super::Kind;
use rustix::fs::{major, minor, stat};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Its driver can set the time-out (`WDIOF_SETTIMEOUT`).
const SETS_TIMEOUT: u32 = 0x80;
/// Its driver stops it at a close only after the magic letter (`WDIOF_MAGICCLOSE`).
const MAGIC_CLOSE: u32 = 0x100;
/// The last reset of the machine came from it (`WDIOF_CARDRESET`).
const RESET_THE_MACHINE: u32 = 0x20;

/// A watchdog as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// What its driver calls it.
    pub(super) identity: String,
    /// What counts.
    pub(super) kind: Kind,
    /// Why that is no hardware, for a person.
    pub(super) why_software: Option<&'static str>,
    /// Whether nothing stops it any more once it counts.
    pub(super) no_way_out: bool,
    /// Whether it counts on when the process that opened it dies.
    pub(super) outlives: bool,
    /// Whether it counts now, where that is told.
    pub(super) active: bool,
    /// Its shortest and longest time-out, in seconds, where they are told.
    pub(super) shortest: Option<u64>,
    pub(super) longest: Option<u64>,
    /// The only time-out that it has, in seconds, if its driver can set none.
    pub(super) fixed: Option<u64>,
    /// Whether the machine's last reset came from it.
    pub(super) has_reset: bool,
}

/// Why nothing is told of a watchdog.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFacts {
    #[error(
        "there is no such device: load the driver of this machine's watchdog, such as iTCO_wdt, sp5100_tco, hpwdt or \
         ipmi_watchdog, or set `kind = \"none\"` under [watchdog]"
    )]
    NoDevice,
    #[error("it is not the device of a watchdog")]
    NotOne,
    #[error("the kernel tells nothing of it in {0}, so it is not known what it would do")]
    Untold(String),
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl Facts {
    /// Reads them. `system` is `/sys` and `processors` is `/proc/cpuinfo`, except in tests.
    pub(super) fn read(device: &Path, system: &Path, processors: &Path) -> Result<Facts, NoFacts> {
        let found = stat(device).map_err(|_| NoFacts::NoDevice)?;
        let (major, minor) = (major(found.st_rdev), minor(found.st_rdev));
        if major == 0 {
            return Err(NoFacts::NotOne);
        }
        Facts::of_number(major, minor, system, processors)
    }

    fn of_number(major: u32, minor: u32, system: &Path, processors: &Path) -> Result<Facts, NoFacts> {
        // The first watchdog has a second name and number, from the time when there was one only.
        let class = if (major, minor) == (10, 130) {
            system.join("class/watchdog/watchdog0")
        } else {
            system.join(format!("dev/char/{major}:{minor}"))
        };
        if class.join("identity").exists() {
            return Facts::of_class(&class, system, processors);
        }
        let ipmi = system.join("module/ipmi_watchdog/parameters");
        if (major, minor) == (10, 130) && ipmi.exists() {
            return Facts::of_ipmi(&ipmi, system, processors);
        }
        Err(NoFacts::Untold(class.display().to_string()))
    }

    fn of_class(class: &Path, system: &Path, processors: &Path) -> Result<Facts, NoFacts> {
        let identity = text(&class.join("identity"))?;
        let options = number(&class.join("options"));
        let has = |flag: u32| options.is_none_or(|options| options & u64::from(flag) != 0);
        let no_way_out = number(&class.join("nowayout")) == Some(1);
        let fixed = if has(SETS_TIMEOUT) { None } else { number(&class.join("timeout")) };
        let why_software = why_software(&identity, system, processors);
        let bootstatus = number(&class.join("bootstatus")).unwrap_or(0);
        Ok(Facts {
            identity,
            kind: if why_software.is_some() { Kind::Software } else { Kind::Hardware },
            why_software,
            no_way_out,
            outlives: no_way_out || has(MAGIC_CLOSE),
            active: text(&class.join("state")).is_ok_and(|state| state == "active"),
            shortest: number(&class.join("min_timeout")).filter(|seconds| *seconds > 0),
            longest: number(&class.join("max_timeout")).filter(|seconds| *seconds > 0),
            fixed,
            has_reset: bootstatus & u64::from(RESET_THE_MACHINE) != 0,
        })
    }

    /// The driver of BMCs' watchdogs is older than the class and is not in it.
    fn of_ipmi(parameters: &Path, system: &Path, processors: &Path) -> Result<Facts, NoFacts> {
        let identity = "IPMI".to_owned();
        let why_software = why_software(&identity, system, processors);
        let no_way_out = text(&parameters.join("nowayout")).is_ok_and(|value| matches!(value.as_str(), "Y" | "1"));
        Ok(Facts {
            identity,
            kind: if why_software.is_some() { Kind::Software } else { Kind::Hardware },
            why_software,
            no_way_out,
            // It has the magic letter; but by its settings it may do nothing at the end of its time.
            outlives: text(&parameters.join("action")).is_ok_and(|action| action != "none"),
            active: false,
            shortest: None,
            longest: None,
            fixed: None,
            has_reset: false,
        })
    }

    /// What it would make of a time-out in seconds.
    pub(super) fn would_grant(&self, wanted: u64) -> u64 {
        let wanted = wanted.max(self.shortest.unwrap_or(1));
        self.fixed.unwrap_or_else(|| self.longest.map_or(wanted, |longest| wanted.min(longest)))
    }
}

/// Why a watchdog does not count on while this host stands still, if it does not. What stands still with the host proves
/// nothing about it: a host that was suspended wakes up, and its VMs with it.
fn why_software(identity: &str, system: &Path, processors: &Path) -> Option<&'static str> {
    if identity.to_ascii_lowercase().contains("software watchdog") {
        return Some("a timer of the kernel, which stands still with it");
    }
    // A virtual machine's devices count in its own time, which its hypervisor can stop.
    let flagged = fs::read_to_string(processors).is_ok_and(|text| {
        let flags = text.lines().find(|line| line.starts_with("flags"));
        flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
    });
    let vendor = text(&system.join("class/dmi/id/sys_vendor")).unwrap_or_default();
    let virtual_vendors = ["QEMU", "VMware, Inc.", "Xen", "innotek GmbH", "Parallels", "Bochs"];
    if flagged || identity == "Xen watchdog" || virtual_vendors.iter().any(|name| vendor.starts_with(name)) {
        return Some("a device of a virtual machine, which stands still when that is suspended");
    }
    None
}

fn text(path: &Path) -> Result<String, NoFacts> {
    let unreadable = |source| NoFacts::Unreadable { path: path.display().to_string(), source };
    Ok(fs::read_to_string(path).map_err(unreadable)?.trim().to_owned())
}

/// A number as sysfs writes it: decimal, or hexadecimal with its mark.
fn number(path: &Path) -> Option<u64> {
    let text = text(path).ok()?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The places that tell of the machine's real watchdogs.
pub(super) fn real_places() -> (PathBuf, PathBuf) {
    (PathBuf::from("/sys"), PathBuf::from("/proc/cpuinfo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of a machine with one watchdog, and what a watchdog of the class tells there.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(flags: &str, vendor: &str) -> Machine {
            let machine = Machine(tempfile::tempdir().unwrap());
            machine.put("cpuinfo", &format!("processor : 0\nflags\t\t: {flags}\n"));
            machine.put("class/dmi/id/sys_vendor", vendor);
            machine
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn class(&self, files: &[(&str, &str)]) -> Facts {
            for (name, text) in files {
                self.put(&format!("class/watchdog/watchdog0/{name}"), &format!("{text}\n"));
            }
            self.facts().unwrap()
        }

        fn facts(&self) -> Result<Facts, NoFacts> {
            Facts::of_number(10, 130, self.0.path(), &self.0.path().join("cpuinfo"))
        }
    }

    const BARE: &str = "fpu vme sse2";

    #[test]
    fn a_chip_of_a_real_machine_is_hardware() {
        let files = [("identity", "iTCO_wdt"), ("options", "0x8180"), ("nowayout", "0"), ("state", "inactive")];
        let facts = Machine::new(BARE, "Dell Inc.").class(&files);
        assert_eq!((facts.kind, facts.no_way_out, facts.outlives, facts.active), (Kind::Hardware, false, true, false));
        assert_eq!(facts.would_grant(4), 4);
    }

    #[test]
    fn what_stands_still_with_the_host_is_software() {
        let soft = Machine::new(BARE, "Dell Inc.").class(&[("identity", "Software Watchdog"), ("options", "0x8180")]);
        assert_eq!(soft.kind, Kind::Software);
        let chip = [("identity", "i6300ESB timer"), ("options", "0x8180")];
        assert_eq!(Machine::new("fpu hypervisor sse2", "ACME").class(&chip).kind, Kind::Software);
        assert_eq!(Machine::new(BARE, "QEMU").class(&chip).kind, Kind::Software);
        assert_eq!(Machine::new(BARE, "Supermicro").class(&chip).kind, Kind::Hardware);
    }

    #[test]
    fn limits_are_told_beforehand() {
        let machine = Machine::new(BARE, "ACME");
        let limits = [("identity", "x"), ("options", "0x8180"), ("min_timeout", "2"), ("max_timeout", "3")];
        let facts = machine.class(&limits);
        assert_eq!((facts.would_grant(1), facts.would_grant(9)), (2, 3));
        // No driver that can set it: what it has is what counts.
        let facts = machine.class(&[("options", "0x8100"), ("timeout", "60")]);
        assert_eq!(facts.would_grant(4), 60);
    }

    #[test]
    fn a_watchdog_that_any_close_stops_is_no_guard() {
        let machine = Machine::new(BARE, "ACME");
        assert!(!machine.class(&[("identity", "x"), ("options", "0x8080"), ("nowayout", "0")]).outlives);
        assert!(machine.class(&[("nowayout", "1")]).outlives);
        assert!(machine.class(&[("bootstatus", "32")]).has_reset);
    }

    #[test]
    fn the_watchdog_of_a_bmc_is_known_by_its_driver() {
        let machine = Machine::new(BARE, "ACME");
        assert!(matches!(machine.facts(), Err(NoFacts::Untold(_))));
        machine.put("module/ipmi_watchdog/parameters/nowayout", "N\n");
        machine.put("module/ipmi_watchdog/parameters/action", "reset\n");
        let facts = machine.facts().unwrap();
        assert_eq!((facts.kind, facts.no_way_out, facts.outlives), (Kind::Hardware, false, true));
        machine.put("module/ipmi_watchdog/parameters/action", "none\n");
        assert!(!machine.facts().unwrap().outlives);
    }

    #[test]
    fn what_is_no_device_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (system, processors) = real_places();
        let read = |path: &Path| Facts::read(path, &system, &processors);
        assert!(matches!(read(&folder.path().join("watchdog")), Err(NoFacts::NoDevice)));
        assert!(matches!(read(folder.path()), Err(NoFacts::NotOne)));
    }
}
