//! What the kernel says that a process has used.

use crate::clock;
use crate::core::time::Instant;
use anyhow::Context;
use std::fs;

/// The kernel counts time in hundredths of a second, on every architecture, wherever it shows it to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, and what it had used at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: i32,
    ticks: u64,
    at: Instant,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Usage {
    /// Processor time, in percent of one core.
    pub cpu_percent: f64,
    /// Memory that is there for it, shared or not.
    pub rss_mib: f64,
    /// Memory, where what is shared by several counts in part for each.
    pub pss_mib: f64,
}

impl Process {
    /// Looks at a process.
    pub fn look(pid: i32) -> anyhow::Result<Process> {
        Ok(Process { pid, ticks: ticks(pid)?, at: clock::boottime() })
    }

    /// What it has used since it was looked at.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let now = Process::look(self.pid)?;
        let seconds = now.at.since(self.at).as_secs_f64();
        let used = now.ticks.saturating_sub(self.ticks) as f64 / TICKS_PER_SECOND;
        Ok(Usage {
            cpu_percent: 100.0 * used / seconds,
            rss_mib: kibibytes(self.pid, "status", "VmRSS:")? / 1_024.0,
            pss_mib: kibibytes(self.pid, "smaps_rollup", "Pss:")? / 1_024.0,
        })
    }
}

/// The processor time of all its threads, those that have ended among them.
fn ticks(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let line = fs::read_to_string(&path).with_context(|| path.clone())?;
    // What precedes is the program's name, which may hold anything.
    let fields = line.rsplit_once(") ").map(|(_, fields)| fields).with_context(|| path.clone())?;
    let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    field(14).zip(field(15)).map(|(user, system)| user + system).with_context(|| path.clone())
}

fn kibibytes(pid: i32, file: &str, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("{path} has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn a_process_that_works_has_used_what_it_used() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = Process::look(own).unwrap();
        let begun = clock::boottime();
        while clock::boottime().since(begun).as_millis() < 200 {
            black_box(fs::read("/proc/self/stat").unwrap());
        }
        let usage = before.usage().unwrap();
        // Other tests run beside it, and use more than it alone.
        assert!(usage.cpu_percent > 5.0, "{usage:?}");
        assert!(usage.rss_mib > 1.0 && usage.pss_mib > 0.5 && usage.pss_mib <= usage.rss_mib * 1.1, "{usage:?}");
    }
}
