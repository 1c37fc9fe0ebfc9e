//! What the kernel says that the host and a process have used. All of it is read from memory and waits for nothing.

use super::live::HostUse;
use super::pid::{self, ProcessName};
use std::fs;
use std::io;

/// The kernel tells times in hundredths of a second, on every machine that runs KVM.
const TICK_NANOSECONDS: u64 = 10_000_000;

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessUse {
    pub(crate) cpu_nanoseconds: u64,
    pub(crate) resident_kib: u64,
}

/// What this host has used.
pub(crate) fn host() -> io::Result<HostUse> {
    let read = |path: &str| fs::read_to_string(path);
    parse_host(&read("/proc/stat")?, &read("/proc/meminfo")?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the kernel tells it in another form"))
}

fn parse_host(stat: &str, memory: &str) -> Option<HostUse> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    // User, nice, system, idle, waiting for a disk, two kinds of interrupts, and what a hypervisor below had taken. The
    // time of guests is in the first two already.
    let [user, nice, system, idle, waits, hard, soft, stolen] = ticks.get(..8)?.try_into().ok()?;
    let used: u64 = user + nice + system + hard + soft;
    let is_core =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    Some(HostUse {
        cores: stat.lines().filter(is_core).count().try_into().ok()?,
        cpu_total_nanoseconds: (used + idle + waits + stolen).saturating_mul(TICK_NANOSECONDS),
        cpu_used_nanoseconds: used.saturating_mul(TICK_NANOSECONDS),
        memory_kib: kib(memory, "MemTotal:")?,
        available_kib: kib(memory, "MemAvailable:")?,
    })
}

/// What a process has used, if it still is the one that was meant.
pub(crate) fn of(name: ProcessName) -> Option<ProcessUse> {
    let stat = pid::stat(name.pid)?;
    let number = |field| pid::field(&stat, field).and_then(|text| text.parse::<u64>().ok());
    let resident_kib = kib(&fs::read_to_string(format!("/proc/{}/status", name.pid)).ok()?, "VmRSS:")?;
    let ticks = number(14)?.saturating_add(number(15)?);
    (pid::started(name.pid)? == name.started)
        .then_some(ProcessUse { cpu_nanoseconds: ticks.saturating_mul(TICK_NANOSECONDS), resident_kib })
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read_as_what_it_means() {
        let stat = "cpu  10 20 30 400 50 6 7 8 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\ncpu11 1 2 3 4 5 6 7 8 9 0\nctxt 5\n";
        let memory = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n";
        let host = parse_host(stat, memory).unwrap();
        assert_eq!((host.cores, host.memory_kib, host.available_kib), (2, 1_000, 600));
        assert_eq!(host.cpu_used_nanoseconds, 73 * TICK_NANOSECONDS);
        assert_eq!(host.cpu_total_nanoseconds, 531 * TICK_NANOSECONDS);
        assert_eq!(parse_host("cpu  1 2 3\n", memory), None);
        assert_eq!(parse_host(stat, "MemTotal: 1000 kB\n"), None);
    }

    #[test]
    fn this_process_uses_something_and_another_start_of_its_number_does_not() {
        let own = pid::own_name().unwrap();
        assert!(of(own).unwrap().resident_kib > 0);
        assert_eq!(of(ProcessName { started: own.started + 1, ..own }), None);
        let host = host().unwrap();
        assert!(host.cores > 0 && host.cpu_used_nanoseconds <= host.cpu_total_nanoseconds);
    }
}
