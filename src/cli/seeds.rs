//! What soak and replay have in common: one seed is one world, and runs the same way in both.

use crate::core::timing::Profile;
use crate::sim::generate::{self, Shape};
use crate::sim::names::Names;
use crate::sim::words::{format_duration, parse_duration};
use crate::sim::world::Simulation;
use clap::{Args, ValueEnum};
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

/// Whether all that happens is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    Everything,
    /// Counts and violations.
    Counts,
}

/// Plays a seed to its end: faults first, then everything is mended, and the VMs have the stated time to come back.
/// What is left of the world's time is calm, and nothing may happen in it that need not.
pub fn play(seed: u64, shape: &Shape, keep: Keep) -> (Simulation, Names) {
    let world = generate::world(seed, shape);
    let names = Names::of(&world.spec);
    let mut simulation = Simulation::new(world.spec);
    simulation.record(keep == Keep::Everything);
    for (at, fault) in world.faults {
        simulation.schedule(at, fault);
    }
    simulation.run_until(world.heals_at);
    let bound = simulation.recovery_bound();
    simulation.recover(bound);
    simulation.run_until(shape.lasts);
    (simulation, names)
}
