//! What the commands that play seeds have in common: the shape of their worlds.

use crate::core::timing::Profile;
use crate::sim::generate::Shape;
use crate::words::{format_duration, parse_duration};
use clap::{Args, ValueEnum};
use std::str::FromStr;
use std::time::Duration;

/// The shape of random worlds.
#[derive(Debug, Clone, Args)]
pub struct ShapeArgs {
    /// For how long each world lasts, in virtual time: faults first, then all is mended and the VMs must come back
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    duration: Duration,
    /// How many hosts each world has
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    hosts: u32,
    /// How many VMs each world has
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    vms: u32,
    /// Which time table the worlds run with
    #[arg(long, value_enum, default_value = "lan")]
    profile: ProfileArg,
}

/// A [`Profile`], as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileArg {
    /// An ordinary data-centre network.
    Lan,
    /// A quiet network of its own.
    Fast,
}

impl ShapeArgs {
    /// The shape.
    pub fn shape(&self) -> Shape {
        let profile = match self.profile {
            ProfileArg::Lan => Profile::Lan,
            ProfileArg::Fast => Profile::Fast,
        };
        Shape { hosts: self.hosts, vms: self.vms, profile, lasts: self.duration }
    }
}

/// The command that plays a seed again.
pub fn replay_command(seed: u64, shape: &Shape) -> String {
    let profile = match shape.profile {
        Profile::Lan => "lan",
        Profile::Fast => "fast",
    };
    let duration = format_duration(shape.lasts);
    let (hosts, vms) = (shape.hosts, shape.vms);
    format!("holdfast simulate replay --seed {seed} --for {duration} --hosts {hosts} --vms {vms} --profile {profile}")
}

/// A range of seeds, its ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let number = |text: &str| {
            let text = text.trim();
            text.parse::<u64>().map_err(|_| format!("\"{text}\" is no seed: write 1..1000, or one number"))
        };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let seeds = Seeds { first: number(first)?, last: number(last.trim_start_matches('='))? };
        if seeds.first > seeds.last || seeds.last == u64::MAX {
            return Err(format!("there is no seed in {text}: the first comes before the last"));
        }
        Ok(seeds)
    }
}

impl Seeds {
    /// How many there are.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_one_or_a_range() {
        assert_eq!("1..1000".parse(), Ok(Seeds { first: 1, last: 1_000 }));
        assert_eq!("17".parse(), Ok(Seeds { first: 17, last: 17 }));
        for bad in ["", "3..1", "a..b", "1..", "-1"] {
            assert!(bad.parse::<Seeds>().is_err(), "{bad}");
        }
    }
}
