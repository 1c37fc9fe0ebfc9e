//! `holdfast bench history`: what it costs to keep what a large cluster has seen, and how soon it is told.

mod ledger;
mod past;
mod samples;

use super::figure::Figure;
use anyhow::Context;
use std::fs;
use std::path::PathBuf;

const HOSTS: u32 = 1_000;
const VMS: u32 = 20_000;

/// What happened in a year, so many times over, and the samples of an hour and of a year.
pub(super) fn history(runs: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = Scratch::new()?;
    let mut figures = ledger::ledger(&folder, runs)?;
    figures.extend(samples::samples(&folder)?);
    Ok(figures)
}

/// A folder on the disk that is gone with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("holdfast-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is in the way of nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The most memory that this process has had since this was asked last.
fn peak_mib() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("the kernel does not tell of this process")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells it otherwise")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    fs::write("/proc/self/clear_refs", "5").context("the kernel does not forget how much memory this process had")?;
    Ok(kib / 1_024.0)
}
