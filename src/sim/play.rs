//! One seed of a soak: a random world, played to its end. Whoever plays a seed of a shape gets the same world.

use crate::explain::NameList;
use crate::sim::coverage::Counts;
use crate::sim::generate::{self, Shape};
use crate::sim::timeline::Violation;
use crate::sim::world::Simulation;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Whether all that happens is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    Everything,
    /// Counts and violations.
    Counts,
}

/// What came of a seed.
#[derive(Debug, Default)]
pub struct Played {
    /// How often each thing happened.
    pub counts: Counts,
    /// Every violation, the excused ones too.
    pub violations: Vec<Violation>,
    /// The program itself gave up, with these words.
    pub panic: Option<String>,
}

impl Played {
    /// The violations that nothing excuses.
    pub fn unexcused(&self) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(|violation| !violation.excused)
    }

    /// Whether all was as it should be.
    pub fn is_clean(&self) -> bool {
        self.panic.is_none() && self.unexcused().next().is_none()
    }
}

/// Plays a seed to its end: faults first, then everything is mended, and the VMs have the stated time to come back.
/// What is left of the world's time is calm, and nothing may happen in it that need not.
pub fn play(seed: u64, shape: &Shape, keep: Keep) -> (Simulation, NameList) {
    let world = generate::world(seed, shape);
    let names = world.spec.names();
    let mut simulation = Simulation::new(world.spec);
    simulation.record(keep == Keep::Everything);
    for (at, fault) in world.faults {
        simulation.schedule(at, fault);
    }
    simulation.run_until(world.heals_at);
    let bound = simulation.recovery_bound();
    simulation.recover(bound);
    simulation.run_until(shape.lasts);
    simulation.account();
    (simulation, names)
}

/// Plays a seed. An assertion that fails inside is a finding about that seed and no reason to lose the others.
pub fn outcome(seed: u64, shape: &Shape) -> Played {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let (simulation, _) = play(seed, shape, Keep::Counts);
        Played { counts: simulation.counts(), violations: simulation.violations().to_vec(), panic: None }
    }));
    played.unwrap_or_else(|words| {
        let text = words.downcast_ref::<String>().cloned();
        let text = text.or_else(|| words.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Played { panic: Some(text.unwrap_or_else(|| "without words".to_owned())), ..Played::default() }
    })
}
