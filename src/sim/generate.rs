//! Random worlds: from a seed, a cluster and what befalls it.
//!
//! Each seed has a taste of its own: it makes some kinds of faults likely and leaves others out, so that over many
//! seeds every pair of kinds meets often, and a few meet in bursts. The choices for the world and for the faults come
//! from streams of their own; the world's own chances (delays, torn writes) come from others still.

mod cluster;
mod faults;
mod guests;
mod kind;

use crate::core::timing::{Profile, Timing};
use crate::sim::dice::Dice;
use crate::sim::fault::Fault;
use crate::sim::spec::WorldSpec;
use std::time::Duration;

/// How large a random world is, and how long it lasts.
#[derive(Debug, Clone)]
pub struct Shape {
    /// How many hosts.
    pub hosts: u32,
    /// How many VMs.
    pub vms: u32,
    /// Which time table.
    pub profile: Profile,
    /// How long it lasts, healing included.
    pub lasts: Duration,
}

/// A random world.
#[derive(Debug, Clone)]
pub struct Generated {
    /// What it is made of.
    pub spec: WorldSpec,
    /// What befalls it, in order of time.
    pub faults: Vec<(Duration, Fault)>,
    /// When it heals.
    pub heals_at: Duration,
}

/// The world of a seed.
pub fn world(seed: u64, shape: &Shape) -> Generated {
    let dice = Dice::new(seed);
    let mut spec = cluster::spec(seed, shape, &mut dice.fork("cluster"));
    let slowest = spec.hosts.values().map(|host| host.boot_time).max().unwrap_or_default();
    let bound = Timing::of(shape.profile).recovery_bound() + slowest;
    // The healed world needs its bound; a world too short for that heals half-way and is given the bound on top.
    let heals_at = shape.lasts.saturating_sub(bound).max(shape.lasts / 2);
    let mut faults = faults::faults(&spec, heals_at, &mut dice.fork("faults"));
    faults.extend(guests::guests(&mut spec, heals_at, &mut dice.fork("guests")));
    faults.sort_by_key(|(at, _)| *at);
    Generated { spec, faults, heals_at }
}
